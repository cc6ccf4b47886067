import type { StorageTypes } from '../../compiler/ir/program.js';
import type { Bound } from '../bind.js';
import { limitTooSmall, usageError } from '../errors.js';
import { bytesPerElement } from '../tensor.js';

/** How a rank's shard lies on its device: which heads lie in one buffer, and how many rows. The same on all ranks. */
export interface ShardLayout {
  /** Heads that are computed together, and the key heads that they read: those of a group lie in one buffer. */
  readonly groups: readonly HeadGroup[];
  /** Most rows in a buffer of q and out, and of k and v. */
  readonly queryRows: number;
  readonly keyRows: number;
  /** Most key rows of another rank that are at hand at once. */
  readonly windowRows: number;
}

export interface HeadGroup {
  readonly head: number;
  readonly heads: number;
  readonly keyHead: number;
  readonly keyHeads: number;
}

export interface LayoutLimits {
  /** Most bytes of a binding. */
  readonly bindingBytes: number;
  /** Most bytes of k and v of another rank that are at hand at once. */
  readonly windowBytes: number;
}

/** A binding starts where the device's alignment allows: up to this much before its first element. */
const SLACK = 256;

/**
 * As many heads together as leave a shard whole; if not even those of one key head do, the shard is cut into pieces.
 * @param rows of the largest shard
 */
export function layoutOf(
  bound: Bound,
  types: StorageTypes,
  rows: { readonly queries: number; readonly keys: number },
  limits: LayoutLimits,
): ShardLayout {
  const { shape, valueDim } = bound.binding;
  const most = limits.bindingBytes - SLACK;
  const [input, output] = [bytesPerElement[types.input], bytesPerElement[types.output]];
  const sharers = shape.keyHeads === 0 ? 1 : shape.heads / shape.keyHeads;
  const queryBytes = sharers * Math.max(shape.dim * input, valueDim * output, 4);
  const keyBytes = Math.max(shape.dim, valueDim) * input;
  const fitting = (keyHeads: number): boolean =>
    keyHeads * queryBytes * rows.queries <= most && keyHeads * keyBytes * rows.keys <= most;
  let together = Math.max(1, shape.keyHeads);
  while (together > 1 && !fitting(together)) together--;
  const fits = (wanted: number, rowBytes: number): number =>
    Math.min(Math.max(1, wanted), Math.floor(most / together / rowBytes));
  const queryRows = fits(rows.queries, queryBytes);
  const keyRows = fits(rows.keys, keyBytes);
  if (queryRows < 1 || keyRows < 1) {
    const needed = Math.max(queryBytes, keyBytes) + SLACK;
    throw limitTooSmall('maxStorageBufferBindingSize', needed, most + SLACK, 'not even a row can be bound');
  }
  const pairBytes = together * (shape.dim + valueDim) * input;
  const windowRows = Math.min(fits(rows.keys, keyBytes), Math.floor(limits.windowBytes / pairBytes));
  if (windowRows < 1) {
    throw usageError(
      `a budget of ${limits.windowBytes} bytes for keys of other ranks does not hold a row of ${together} key heads, ${pairBytes} bytes`,
      'give more',
    );
  }
  const groups: HeadGroup[] = [];
  for (let keyHead = 0; keyHead < shape.keyHeads; keyHead += together) {
    const keyHeads = Math.min(together, shape.keyHeads - keyHead);
    groups.push({ keyHead, keyHeads, head: keyHead * sharers, heads: keyHeads * sharers });
  }
  return { groups, queryRows, keyRows, windowRows };
}

/** Consecutive rows that lie in one buffer. */
export interface RowRange {
  readonly lo: number;
  /** One past the last. */
  readonly hi: number;
}

/** Pieces of even lengths of at most `most` rows. */
export function piecesOfRows(lo: number, hi: number, most: number): readonly RowRange[] {
  const count = Math.ceil((hi - lo) / most);
  const cut = (n: number): number => lo + Math.floor(((hi - lo) * n) / count);
  return Array.from({ length: count }, (_, n) => ({ lo: cut(n), hi: cut(n + 1) }));
}
