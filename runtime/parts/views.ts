import type { LentTensor, TensorBinding } from '../bindings.js';
import { usageError, wrongShape } from '../errors.js';
import { elementBytes, stridesOf, type TensorName } from '../place.js';

/** Tensors in one buffer or several, and the rows of them that one part of a run binds. */

/** Batches and heads from a first one on, and rows lo … hi − 1. */
export interface ViewRange {
  readonly batch: number;
  readonly batches: number;
  readonly head: number;
  readonly heads: number;
  readonly lo: number;
  readonly hi: number;
}

export const piecesOf = (tensor: LentTensor): readonly TensorBinding[] =>
  'pieces' in tensor ? tensor.pieces : [tensor];

/** The shape of the whole. A typed error if its pieces differ in anything but their rows. */
export function lentShape(name: TensorName, tensor: LentTensor): readonly number[] {
  if (!('pieces' in tensor)) return tensor.shape;
  const [first, ...others] = tensor.pieces;
  if (!first) throw usageError(`'${name}' has no pieces`, 'give at least one');
  const rows = tensor.pieces.reduce((sum, p) => sum + p.shape[2], 0);
  for (const other of others) {
    const expected = first.shape.map((n, axis) => (axis === 2 ? other.shape[2] : n));
    if (expected.length !== other.shape.length || expected.some((n, axis) => n !== other.shape[axis])) {
      throw wrongShape(name, expected, other.shape, 'pieces of a tensor differ in their rows only');
    }
    if ((other.dtype ?? 'f32') !== (first.dtype ?? 'f32')) {
      throw usageError(`pieces of '${name}' are of different types`, 'give all of them one type');
    }
  }
  return first.shape.map((n, axis) => (axis === 2 ? rows : n));
}

/** Rows with which pieces begin, but for the first. */
export function breaksOf(tensor: LentTensor): readonly number[] {
  const breaks: number[] = [];
  let row = 0;
  for (const piece of piecesOf(tensor).slice(0, -1)) {
    row += piece.shape[2];
    breaks.push(row);
  }
  return breaks;
}

/** The rows, which lie in one piece, as a tensor of their own. */
export function viewOf(name: TensorName, tensor: LentTensor, range: ViewRange): TensorBinding {
  let first = 0;
  for (const piece of piecesOf(tensor)) {
    const rows = piece.shape[2];
    if (range.lo >= first && range.hi <= first + rows) return slice(name, piece, range, first);
    first += rows;
  }
  throw usageError(
    `rows ${range.lo} to ${range.hi - 1} of '${name}' lie in several pieces`,
    'cut the run at their ends',
  );
}

function slice(name: TensorName, tensor: TensorBinding, range: ViewRange, first: number): TensorBinding {
  const { batch, batches, head, heads, lo, hi } = range;
  const strides = stridesOf(name, tensor);
  const skipped = batch * strides.batch + head * strides.head + (lo - first) * strides.row;
  const bytes = skipped * elementBytes(tensor);
  const { size } = tensor;
  return {
    buffer: tensor.buffer,
    ...(tensor.dtype && { dtype: tensor.dtype }),
    offset: (tensor.offset ?? 0) + bytes,
    ...(size !== undefined && { size: size - bytes }),
    shape: [batches, heads, hi - lo, ...tensor.shape.slice(3)],
    // What isn't counted doesn't have to fit in 32 bits.
    strides: {
      batch: batches > 1 ? strides.batch : 0,
      head: heads > 1 ? strides.head : 0,
      row: strides.row,
    },
    // Kernels number keys as the run does, queries from the part's first.
    ...((name === 'k' || name === 'v') && { row: lo }),
  };
}

/** Bytes from the first element to the last of a view of that many batches, heads and rows. */
export function spanBytes(
  name: TensorName,
  tensor: TensorBinding,
  batches: number,
  heads: number,
  rows: number,
): number {
  const strides = stridesOf(name, tensor);
  const dim = name === 'lse' ? 1 : tensor.shape[3];
  const last = (batches - 1) * strides.batch + (heads - 1) * strides.head + (rows - 1) * strides.row;
  return (last + dim) * elementBytes(tensor);
}
