import type { Binding } from '../compiler/ir/program.js';
import type { TensorBinding } from './bindings.js';
import { AttncError, limitTooSmall, shapeText, usageError, wrongShape } from './errors.js';
import { USAGE } from './gpu-flags.js';
import { bytesPerElement } from './tensor.js';

/** Where a tensor lies in its buffer, as a kernel sees it. */
export interface Placement {
  readonly buffer: GPUBuffer;
  /** Bytes: what is bound. */
  readonly offset: number;
  readonly size: number;
  /** Elements from the bound start to element 0, and between neighbours on each axis. */
  readonly start: number;
  /** Number of the tensor's first row in the run. */
  readonly row: number;
  readonly strides: { readonly batch: number; readonly head: number; readonly row: number };
}

export type TensorName = 'q' | 'k' | 'v' | 'out' | 'lse';

type Strides = Placement['strides'];

export const elementBytes = (tensor: TensorBinding): number => bytesPerElement[tensor.dtype ?? 'f32'];

/** Elements of a row: lse has no last axis. */
const rowSize = (name: TensorName, shape: readonly number[]): number => (name === 'lse' ? 1 : shape[3]);

export function stridesOf(name: TensorName, { shape, strides }: TensorBinding): Strides {
  const dim = rowSize(name, shape);
  const [, heads, rows] = shape;
  return strides ?? { batch: heads * rows * dim, head: rows * dim, row: dim };
}

/**
 * Checks a tensor that was lent and finds what to bind: offsets are aligned down to what the device asks for, the rest
 * goes to the kernel as an offset in elements. `granule` is the number of elements that kernels read at once.
 */
export function placeTensor(
  device: GPUDevice,
  name: TensorName,
  tensor: TensorBinding,
  granule: number,
): Placement {
  const { buffer, shape } = tensor;
  const offset = tensor.offset ?? 0;
  const dim = rowSize(name, shape);
  const [batch, heads, rows] = shape;
  const strides = stridesOf(name, tensor);
  const bytes = elementBytes(tensor);
  const unit = granule * bytes;
  if (!Number.isInteger(offset) || offset < 0 || offset % unit !== 0) {
    throw usageError(`the offset of '${name}' is ${offset} bytes`, `it must be a multiple of ${unit}`);
  }
  for (const [axis, stride] of Object.entries(strides)) {
    if (!Number.isInteger(stride) || stride < 0 || stride % granule !== 0) {
      const help = `strides count elements and must be multiples of ${granule}`;
      throw usageError(`the ${axis} stride of '${name}' is ${stride}`, help);
    }
    if (stride > 0x7fffffff)
      throw usageError(`the ${axis} stride of '${name}' is ${stride}`, 'it must be below 2^31');
  }
  const last = (batch - 1) * strides.batch + (heads - 1) * strides.head + (rows - 1) * strides.row;
  const empty = shape.includes(0);
  const elements = empty ? 0 : last + dim;
  const room = Math.min(buffer.size - offset, tensor.size ?? Infinity);
  if (elements * bytes > room) {
    throw new AttncError(
      'wrong-shape',
      `'${name}' of shape ${shapeText(shape)} takes ${elements * bytes} bytes from offset ${offset}, but there are ${Math.max(room, 0)}`,
      { help: 'check its shape, strides and offset', details: { name, needed: elements * bytes, room } },
    );
  }
  if (!empty && (name === 'out' || name === 'lse') && overlapsItself(shape, strides, dim)) {
    throw usageError(`rows of '${name}' overlap`, `its strides are ${shapeText(Object.values(strides))}`);
  }
  if ((buffer.usage & USAGE.storage) === 0) {
    throw usageError(`the buffer of '${name}' cannot be bound`, 'make it with GPUBufferUsage.STORAGE');
  }
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  const bound = Math.floor(offset / alignment) * alignment;
  const size = offset - bound + elements * bytes;
  const most = device.limits.maxStorageBufferBindingSize;
  if (size > most) {
    throw limitTooSmall(
      'maxStorageBufferBindingSize',
      size,
      most,
      `'${name}' is bound as one; ask for more or split it`,
    );
  }
  return { buffer, offset: bound, size, start: (offset - bound) / bytes, row: tensor.row ?? 0, strides };
}

/** Do two rows share an element? Strides are sorted by size: each must step over all that lies within. */
function overlapsItself(shape: readonly number[], strides: Strides, dim: number): boolean {
  const axes = [
    { count: shape[0], stride: strides.batch },
    { count: shape[1], stride: strides.head },
    { count: shape[2], stride: strides.row },
  ].filter((a) => a.count > 1);
  axes.sort((a, b) => a.stride - b.stride);
  let extent = dim;
  for (const { count, stride } of axes) {
    if (stride < extent) return true;
    extent += (count - 1) * stride;
  }
  return false;
}

/** WebGPU forbids a buffer that a dispatch writes to be read by it too, and two writes to overlapping ranges. */
export function checkOverlap(placed: Readonly<Record<TensorName, Placement>>): void {
  for (const written of ['out', 'lse'] as const) {
    for (const read of ['q', 'k', 'v'] as const) {
      if (placed[written].buffer === placed[read].buffer) {
        const help = 'WebGPU forbids to read and write one buffer at once: give it a buffer of its own';
        throw usageError(`'${written}' is in the same buffer as '${read}'`, help);
      }
    }
  }
  const { out, lse } = placed;
  if (out.buffer === lse.buffer && out.offset < lse.offset + lse.size && lse.offset < out.offset + out.size) {
    throw usageError(
      "'out' and 'lse' overlap",
      'leave at least 256 bytes between them, or give each a buffer',
    );
  }
}

/** The shape of `out` and `lse` follows from those of q and v. */
export function checkShape(name: TensorName, expected: readonly number[], actual: readonly number[]): void {
  if (expected.length !== actual.length || expected.some((n, axis) => n !== actual[axis])) {
    throw wrongShape(name, expected, actual);
  }
}

export function bindingOf(bindings: readonly Binding[], name: Binding['name']): Binding | undefined {
  return bindings.find((b) => b.name === name);
}
