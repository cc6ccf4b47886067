import type { KeyNeeds } from '../../compiler/ir/needs.js';
import { baseOf, type BoundShape } from '../../compiler/ir/shape.js';
import type { Step } from '../launches.js';
import type { RowRange } from './layout.js';
import type { QueryPiece } from './shard.js';

/** Keys that are at hand together: of the rank's own, or from another one. */
export interface KeyPart {
  readonly window: RowRange;
  /** Number of the shipment that brings them; undefined for the rank's own. */
  readonly shipment: number | undefined;
  /** Number of the piece among the rank's own. */
  readonly piece: number | undefined;
}

/** Some query rows of a piece, computed with some keys. */
export interface RankStep extends KeyPart {
  readonly rows: RowRange;
  readonly step: Step;
}

/** Query rows that are looked at together: those of a tile. */
const TILE = 64;
/** Keys that count as needed between two that are: what is asked is only whether a window is needed at all. */
const GAP = 256;

/**
 * The steps of a piece of query rows, in the order of the parts: each over the rows that may need the part's keys. The
 * first sets all rows, and where there is a sink, so that all rows are met once when all keys were seen, the last takes
 * all of them too. None for rows that no sequence has.
 * @param wholeRows steps over all rows only: for schedules that allow no other
 */
export function stepsOfPiece(
  needs: KeyNeeds,
  shape: BoundShape,
  { batch, group, rows: all }: Pick<QueryPiece, 'batch' | 'group' | 'rows'>,
  parts: readonly KeyPart[],
  wholeRows: boolean,
  sink: boolean,
): readonly RankStep[] {
  const rows = { lo: all.lo, hi: Math.min(all.hi, shape.queries[batch]) };
  if (rows.lo >= rows.hi) return [];
  const base = baseOf(shape, batch);
  const heads = [group.head, group.head + group.heads] as const;
  const needed = parts.flatMap((part) => {
    const { lo, hi } = { lo: part.window.lo, hi: Math.min(part.window.hi, shape.keys[batch]) };
    const touches = (from: number, to: number): boolean =>
      needs.intervals(batch, ...heads, base + from, base + to, GAP).some((x) => x.lo < hi && lo < x.hi);
    const found = lo < hi ? hullOf(rows, touches) : undefined;
    return found ? [{ ...part, window: { lo, hi }, rows: found }] : [];
  });
  const nothing = {
    window: { lo: 0, hi: Math.min(1, shape.keys[batch]) },
    shipment: undefined,
    piece: undefined,
    rows,
  };
  const list = needed.length > 0 ? needed : [nothing];
  return list.map((part, n): RankStep => {
    const step = { first: n === 0, last: n === list.length - 1 };
    return { ...part, rows: step.first || wholeRows || (sink && step.last) ? rows : part.rows, step };
  });
}

/** From the first tile to the last that touches; undefined if none does. What touches, touches as part of more. */
function hullOf({ lo, hi }: RowRange, touches: (from: number, to: number) => boolean): RowRange | undefined {
  if (!touches(lo, hi)) return undefined;
  let [first, after] = [lo, hi];
  while (after - first > TILE) {
    const middle = first + Math.ceil((after - first) / 2 / TILE) * TILE;
    if (touches(first, middle)) after = middle;
    else first = middle;
  }
  let [last, end] = [first, hi];
  while (end - last >= 2 * TILE) {
    const middle = last + Math.floor((end - last) / 2 / TILE) * TILE;
    if (touches(middle, end)) last = middle;
    else end = middle;
  }
  return { lo: first, hi: end };
}
