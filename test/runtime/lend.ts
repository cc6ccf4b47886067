// Buffers of an app's own, in any layout and storage type, lent to `encode`.

import {
  encode,
  prepare,
  type Bindings,
  type ChooseOptions,
  type Encoded,
  type EncodeStats,
  type Program,
  type TensorBinding,
} from '../../runtime/index.js';
import type { StorageType } from '../../compiler/ir/program.js';
import { bytesOf, bytesPerElement, fromBytes, toFloat32, zeros, type Tensor } from '../../runtime/tensor.js';

const STORAGE = 0x80;
const COPY_SRC = 0x4;
const COPY_DST = 0x8;
const MAP_READ = 0x1;

export function bufferOf(device: GPUDevice, data: ArrayBufferView<ArrayBuffer> | number): GPUBuffer {
  const size = typeof data === 'number' ? 4 * data : data.byteLength;
  const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
  if (typeof data !== 'number') device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

/** All of a buffer, as numbers. */
export async function readBack(
  device: GPUDevice,
  buffer: GPUBuffer,
  dtype: StorageType = 'f32',
): Promise<Float32Array> {
  const readback = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await readback.mapAsync(1);
  const bytes = new Uint8Array(readback.getMappedRange().slice(0));
  readback.destroy();
  return toFloat32(fromBytes(dtype, [bytes.length / bytesPerElement[dtype]], bytes));
}

export type Lent = 'q' | 'k' | 'v' | 'out' | 'lse';
export type Strides = { readonly batch: number; readonly head: number; readonly row: number };

/** Calls `visit` with each element's place in a dense [batch, head, row, dim] array and in another layout. */
export function relayout(
  shape: readonly number[],
  strides: Strides,
  offset: number,
  visit: (dense: number, strided: number) => void,
): void {
  const [batch, heads, rows, dim = 1] = shape;
  for (let b = 0, n = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let r = 0; r < rows; r++) {
        for (let d = 0; d < dim; d++)
          visit(n++, offset + b * strides.batch + h * strides.head + r * strides.row + d);
      }
    }
  }
}

export interface Layout {
  /** Elements from the start of the buffer, for each tensor. */
  readonly offsets: Readonly<Record<Lent, number>>;
  readonly strides: (name: Lent, shape: readonly number[]) => Strides;
  /** q, k and v share one buffer. */
  readonly packed: boolean;
}

const dense = (shape: readonly number[]): Strides => {
  const [, heads, rows, dim = 1] = shape;
  return { batch: heads * rows * dim, head: rows * dim, row: dim };
};
const rowFirst = (shape: readonly number[]): Strides => {
  const [, heads, rows, dim = 1] = shape;
  return { batch: heads * rows * dim, head: dim, row: heads * dim };
};
const none = { q: 0, k: 0, v: 0, out: 0, lse: 0 };

/** For tensors of 2 heads of 16. */
export const LAYOUTS: Readonly<Record<string, Layout>> = {
  'batch, head, row': { offsets: none, strides: (_, shape) => dense(shape), packed: false },
  'batch, row, head': { offsets: none, strides: (_, shape) => rowFirst(shape), packed: false },
  'offsets that no device aligns to': {
    offsets: { q: 4, k: 68, v: 1000, out: 12, lse: 7 },
    strides: (_, shape) => dense(shape),
    packed: false,
  },
  'q, k and v packed in each row': {
    offsets: { q: 0, k: 2 * 16, v: 4 * 16, out: 0, lse: 0 },
    // [batch, row, 3, head, dim]
    strides: (name, shape) =>
      name === 'out' || name === 'lse'
        ? rowFirst(shape)
        : { batch: shape[2] * 3 * 2 * 16, head: 16, row: 3 * 2 * 16 },
    packed: true,
  },
  'rows far apart': {
    offsets: none,
    strides: (name, shape) => {
      const row = name === 'lse' ? 3 : 36;
      return { row, head: row * shape[2] + 8, batch: (row * shape[2] + 8) * shape[1] + 64 };
    },
    packed: false,
  },
};

export type FloatTensor = Extract<Tensor, { readonly dtype: StorageType }>;

export interface LendOptions {
  readonly layout?: Layout;
  readonly into?: 'encoder' | 'pass';
  /** Type of out. */
  readonly out?: StorageType;
  readonly settings?: Partial<Bindings>;
  /** Elements of each buffer. */
  readonly room?: number;
  readonly choose?: ChooseOptions;
}

/** Bits that are NaN in each type. */
const NAN: Readonly<Record<StorageType, number>> = { f32: NaN, f16: 0x7e00, bf16: 0x7fc0 };

/**
 * Encodes a program on tensors laid out as asked for, runs it, and gives out and lse as dense arrays. All that is no
 * part of q, k and v is NaN.
 */
export async function encoded(
  device: GPUDevice,
  program: Program,
  tensors: { readonly q: FloatTensor; readonly k: FloatTensor; readonly v: FloatTensor },
  options: LendOptions = {},
): Promise<{ out: Float32Array; lse: Float32Array; stats: EncodeStats }> {
  const { layout = LAYOUTS['batch, head, row'], into = 'encoder', settings = {}, room = 1 << 14 } = options;
  const { choose } = options;
  const { q, k, v } = tensors;
  const outType = options.out ?? 'f32';
  const outShape = [q.shape[0], q.shape[1], q.shape[2], v.shape[3]];
  const shapes = { q: q.shape, k: k.shape, v: v.shape, out: outShape, lse: outShape.slice(0, 3) };
  const binding = (name: Lent, dtype: StorageType, buffer: GPUBuffer): TensorBinding => ({
    buffer,
    dtype,
    shape: shapes[name],
    strides: layout.strides(name, shapes[name]),
    offset: bytesPerElement[dtype] * layout.offsets[name],
  });
  const put = (name: 'q' | 'k' | 'v', contents: FloatTensor): void =>
    relayout(shapes[name], layout.strides(name, shapes[name]), layout.offsets[name], (from, to) => {
      contents.data[to] = tensors[name].data[from];
    });
  const nothing = (): FloatTensor => {
    const made = zeros(q.dtype, [room]) as FloatTensor;
    made.data.fill(NAN[q.dtype]);
    return made;
  };
  const bufferFor = (t: FloatTensor): GPUBuffer => bufferOf(device, bytesOf(t) as Uint8Array<ArrayBuffer>);
  const names = ['q', 'k', 'v'] as const;
  const contents = layout.packed ? names.map(() => undefined) : names.map(nothing);
  const shared = nothing();
  names.forEach((name, n) => put(name, contents[n] ?? shared));
  const sharedBuffer = layout.packed ? bufferFor(shared) : undefined;
  const [qBuffer, kBuffer, vBuffer] = contents.map((t) => (t ? bufferFor(t) : (sharedBuffer as GPUBuffer)));
  const bindings: Bindings = {
    q: binding('q', q.dtype, qBuffer),
    k: binding('k', k.dtype, kBuffer),
    v: binding('v', v.dtype, vBuffer),
    out: binding('out', outType, bufferOf(device, room)),
    ...('lse' in settings ? {} : { lse: binding('lse', 'f32', bufferOf(device, room)) }),
    ...settings,
  };
  const prepared = await prepare(device, program, { inputs: [q.dtype], outputs: [outType] });
  const encoder = device.createCommandEncoder();
  device.pushErrorScope('validation');
  let made: Encoded;
  if (into === 'encoder') {
    made = encode(encoder, prepared, bindings, choose);
  } else {
    const pass = encoder.beginComputePass();
    made = encode(pass, prepared, bindings, choose);
    pass.end();
  }
  device.queue.submit([encoder.finish()]);
  made.release();
  const error = await device.popErrorScope();
  if (error) throw new Error(error.message);
  const dense = async (name: 'out' | 'lse', t: TensorBinding | undefined): Promise<Float32Array> => {
    const made = new Float32Array(shapes[name].reduce((a, b) => a * b, 1));
    if (!t) return made;
    const all = await readBack(device, t.buffer, t.dtype);
    relayout(t.shape, layout.strides(name, t.shape), layout.offsets[name], (to, from) => {
      made[to] = all[from];
    });
    return made;
  };
  const results = {
    out: await dense('out', bindings.out),
    lse: await dense('lse', bindings.lse),
    stats: made.stats,
  };
  for (const name of ['q', 'k', 'v', 'out', 'lse'] as const) bindings[name]?.buffer.destroy();
  return results;
}
