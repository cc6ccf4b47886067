import type { BoundShape, KeyWindow } from '../../compiler/ir/shape.js';
import type { RunPart } from './part.js';

/**
 * Cutting a run: queries into bands of rows, and the keys that each band needs into windows. Bands come in the order of
 * (batch, head, row); every query row of every head is in exactly one.
 */

export interface Band extends RunPart {
  /**
   * The keys, a window at a time, in ascending order: together they hold every key that the band needs. The first sets
   * (out, lse), the others add to them. At least one, if only to set rows without an edge, but for rows that no sequence
   * has.
   */
  readonly windows: readonly KeyWindow[];
}

/** What of a run may be at hand at once. */
export interface BandLimits {
  /** Batches and heads that are computed together: all of them, or one batch and `heads` heads of it. */
  readonly batches: number;
  readonly heads: number;
  /** Most query rows (of each of those heads) in a band, most keys in a window. At least 1. */
  readonly queryRows: number;
  readonly keyRows: number;
  /** Rows with which another buffer begins: no band and no window reaches over one. Ascending. */
  readonly queryBreaks: readonly number[];
  readonly keyBreaks: readonly number[];
  /** Keys between two needed ones that may lie in one window without being needed. */
  readonly gap: number;
  /** Rows of the tensors, where results of rows past a batch's length are wanted too: bands of those have no windows. */
  readonly tensorRows?: number;
}

/** Intervals of keys, ascending and apart, that hold all that queries at positions lo … hi − 1 of some heads need. */
export type FindKeys = (
  batch: number,
  heads: readonly [first: number, end: number],
  queries: readonly [lo: number, hi: number],
  gap: number,
) => readonly KeyWindow[];

/** Fewer rows are tried this many times, halving, where a band's keys don't fit one window. */
const HALVINGS = 4;
/** Bands begin at multiples of a power of two, of at least about this part of a band: segments and blocks begin there. */
const ALIGNMENT = 16;
/** Of two powers the larger is taken only if a band's keys become fewer by more than this part. */
const WORTH = 0.01;

export function planBands(
  shape: BoundShape,
  base: (batch: number) => number,
  needed: FindKeys,
  limits: BandLimits,
): readonly Band[] {
  const bands: Band[] = [];
  let unit: number | undefined;
  for (let batch = 0; batch < shape.batch; batch += limits.batches) {
    const batches = Math.min(limits.batches, shape.batch - batch);
    const total = Math.max(0, ...shape.queries.slice(batch, batch + batches));
    for (let head = 0; head < shape.heads; head += limits.heads) {
      const heads = Math.min(limits.heads, shape.heads - head);
      const all = Math.max(total, limits.tensorRows ?? 0);
      const windowsAt = (row: number, rows: number): readonly KeyWindow[] =>
        row < total ? windowsOf(shape, base, needed, limits, { batch, batches, head, heads, row, rows }) : [];
      if (total > limits.queryRows) unit ??= alignment(total, limits.queryRows, windowsAt);
      let row = 0;
      while (row < all) {
        const end = Math.min(row < total ? total : all, nextBreak(limits.queryBreaks, row));
        const from = row;
        const most = evenRows(end - row, row, limits.queryRows, unit ?? 1);
        const { rows, windows } = chooseRows(most, (n) => windowsAt(from, n));
        bands.push({ batch, batches, head, heads, row, rows, windows });
        row += rows;
      }
    }
  }
  return bands;
}

const nextBreak = (breaks: readonly number[], row: number): number => breaks.find((b) => b > row) ?? Infinity;

/** Where in the sequence bands are looked at. */
const SAMPLES = [1 / 4, 1 / 2, 3 / 4] as const;

/**
 * The power of two at multiples of which bands begin. Where segments end with a band, the next one needs none of its
 * keys again, so of several powers the one is taken with the fewest keys a row, in some bands.
 */
function alignment(
  total: number,
  most: number,
  windowsAt: (row: number, rows: number) => readonly KeyWindow[],
): number {
  const largest = 2 ** Math.floor(Math.log2(most));
  let best = { unit: 1, rows: 0, keys: Infinity };
  for (let unit = Math.max(1, largest / ALIGNMENT); unit <= largest; unit *= 2) {
    const rows = Math.floor(most / unit) * unit;
    const keys = SAMPLES.reduce((sum, share) => {
      const row = Math.floor((total * share) / rows) * rows;
      const windows = windowsAt(row, Math.min(rows, total - row));
      return sum + windows.reduce((n, w) => n + w.hi - w.lo, 0) / Math.min(rows, total - row);
    }, 0);
    // Bands of as many rows may as well begin at multiples of the larger.
    if (rows === best.rows ? keys <= best.keys : keys < best.keys * (1 - WORTH)) best = { unit, rows, keys };
  }
  return best.unit;
}

/** Rows of the next band of `left` ones: bands of like sizes, that end where segments may end too. */
function evenRows(left: number, row: number, most: number, unit: number): number {
  if (left <= most) return left;
  const even = Math.ceil(left / Math.ceil(left / most));
  const up = Math.ceil((row + even) / unit) * unit - row;
  const down = Math.floor((row + even) / unit) * unit - row;
  return up <= most ? up : down > 0 ? down : even;
}

/** Fewer rows, if their keys then fit one window. */
function chooseRows(
  most: number,
  windowsFor: (rows: number) => readonly KeyWindow[],
): { readonly rows: number; readonly windows: readonly KeyWindow[] } {
  const windows = windowsFor(most);
  if (windows.length > 1) {
    for (let n = 1, rows = most; n <= HALVINGS; n++) {
      rows = Math.ceil(rows / 2);
      if (rows === most) break;
      const fewer = windowsFor(rows);
      if (fewer.length === 1) return { rows, windows: fewer };
    }
  }
  return { rows: most, windows };
}

function windowsOf(
  shape: BoundShape,
  base: (batch: number) => number,
  needed: FindKeys,
  limits: BandLimits,
  part: RunPart,
): readonly KeyWindow[] {
  const found: KeyWindow[] = [];
  for (let b = part.batch; b < part.batch + part.batches; b++) {
    const rows = Math.min(part.rows, shape.queries[b] - part.row);
    if (rows <= 0) continue;
    const first = base(b) + part.row;
    found.push(...needed(b, [part.head, part.head + part.heads], [first, first + rows], limits.gap));
  }
  found.sort((a, b) => a.lo - b.lo);
  const windows: { lo: number; hi: number }[] = [];
  for (const { lo, hi } of found) {
    for (let from = lo; from < hi;) {
      const last = windows.at(-1);
      from = Math.max(from, last?.hi ?? 0);
      if (from >= hi) break;
      const broken = last ? nextBreak(limits.keyBreaks, last.lo) : 0;
      const room = last ? Math.min(last.lo + limits.keyRows, broken, hi) : 0;
      // Into the last window, if that brings it as far as this piece, or a new one.
      if (last && from - last.hi <= limits.gap && room > from && (room === hi || from === last.hi)) {
        last.hi = room;
        from = room;
      } else {
        const to = Math.min(hi, from + limits.keyRows, nextBreak(limits.keyBreaks, from));
        windows.push({ lo: from, hi: to });
        from = to;
      }
    }
  }
  const keys = Math.max(0, ...shape.keys.slice(part.batch, part.batch + part.batches));
  return windows.length > 0 ? windows : [{ lo: 0, hi: Math.min(1, keys) }];
}
