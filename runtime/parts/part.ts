import type { BoundShape, KeyWindow } from '../../compiler/ir/shape.js';
import type { Bound } from '../bind.js';
import { internalError } from '../errors.js';

/** Parts of a run: what is computed at once where a run is too long for one binding, one device or its memory. */

/** Query rows `row` … `row + rows − 1` of some batches and heads, all numbered as in the run. */
export interface RunPart {
  readonly batch: number;
  readonly batches: number;
  readonly head: number;
  readonly heads: number;
  readonly row: number;
  readonly rows: number;
}

/** The key heads that a part's heads share: the first, and how many. */
export function keyHeadsOf(
  shape: Pick<BoundShape, 'heads' | 'keyHeads'>,
  { head, heads }: Pick<RunPart, 'head' | 'heads'>,
): { readonly first: number; readonly count: number } {
  const sharers = shape.keyHeads === 0 ? 1 : shape.heads / shape.keyHeads;
  const first = Math.floor(head / sharers);
  const count = Math.ceil((head + heads) / sharers) - first;
  // Kernels divide heads by heads per key head: a part holds whole groups of them, or heads of one group.
  if (count > 1 && (head % sharers !== 0 || heads % sharers !== 0)) {
    throw internalError(`heads ${head} to ${head + heads - 1} are no part of ${sharers} heads a key head`);
  }
  return { first, count };
}

/** A whole run bound to a part of it, with some keys at hand (all of them if no window is given). */
export function bindPart(bound: Bound, part: RunPart, window?: KeyWindow): Bound {
  const { shape, valueDim } = bound.binding;
  const slice = <T>(x: readonly T[]): readonly T[] => x.slice(part.batch, part.batch + part.batches);
  const whole = slice(shape.queries);
  const own: BoundShape = {
    ...shape,
    batch: part.batches,
    heads: part.heads,
    keyHeads: keyHeadsOf(shape, part).count,
    queries: whole.map((n) => Math.max(0, Math.min(n - part.row, part.rows))),
    keys: slice(shape.keys),
    part: { batch: part.batch, head: part.head, row: part.row, heads: shape.heads, queries: whole },
    ...(window && { window }),
  };
  const keys = window ? window.hi - window.lo : bound.binding.keys;
  return { ...bound, binding: { shape: own, queries: part.rows, keys, valueDim } };
}
