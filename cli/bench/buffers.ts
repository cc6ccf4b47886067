import type { StorageType } from '../../compiler/ir/program.js';
import { Arena } from '../../runtime/arena.js';
import type { Bindings, HostTensors, TensorBinding } from '../../runtime/bindings.js';
import { wrongType } from '../../runtime/errors.js';
import { MAP_MODE_READ, USAGE } from '../../runtime/gpu-flags.js';
import type { RowIndex } from '../../runtime/reference/index.js';
import { scoped, untilLost } from '../../runtime/scopes.js';
import {
  bytesOf,
  bytesPerElement,
  fromBytes,
  toFloat32,
  type DType,
  type Tensor,
} from '../../runtime/tensor.js';

/** Copies of the same tensors in buffers of their own, so that no run finds its operands in a cache. */
export interface BufferSets {
  readonly sets: readonly Bindings[];
  /** Of q, k, v, out and lse. */
  readonly bytesASet: number;
  release(): void;
}

/** All sets together: several times the largest last-level cache of any GPU. */
const ENOUGH = 2 ** 30;
const MOST_SETS = 16;
/** Bytes handed to the queue at once, so that what the driver stages stays small. */
const PIECE = 2 ** 26;

/** How many sets of so many bytes: two at least, since one alone is its own cache. */
export function setsFor(bytesASet: number): number {
  return Math.max(2, Math.min(MOST_SETS, Math.ceil(ENOUGH / Math.max(1, bytesASet))));
}

/** @param outShape [batch, heads, queries, valueDim] */
export async function createSets(
  device: GPUDevice,
  tensors: HostTensors,
  output: StorageType,
  outShape: readonly number[],
  count?: number,
): Promise<BufferSets> {
  const arena = new Arena(device);
  const names = ['q', 'k', 'v'] as const;
  const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
  const lseShape = outShape.slice(0, 3);
  const bytesASet =
    names.reduce((sum, name) => sum + bytesOf(tensors[name]).length, 0) +
    bytesPerElement[output] * elements(outShape) +
    4 * elements(lseShape);
  const { result: sets, problem } = scoped(device, 'making buffers', () => {
    const make = (
      name: string,
      shape: readonly number[],
      dtype: StorageType,
      usage: number,
    ): TensorBinding => {
      const bytes = bytesPerElement[dtype] * elements(shape);
      return { buffer: arena.create(name, bytes, USAGE.storage | usage), shape, dtype };
    };
    return Array.from({ length: count ?? setsFor(bytesASet) }, (): Bindings => {
      const input = (name: 'q' | 'k' | 'v'): TensorBinding =>
        make(name, tensors[name].shape, storageType(name, tensors[name]), USAGE.copySrc | USAGE.copyDst);
      return {
        ...tensors,
        q: input('q'),
        k: input('k'),
        v: input('v'),
        out: make('out', outShape, output, USAGE.copySrc),
        lse: make('lse', lseShape, 'f32', USAGE.copySrc),
      };
    });
  });
  const error = await problem;
  if (error) {
    arena.release();
    throw error;
  }
  const [first, ...others] = sets;
  const encoder = device.createCommandEncoder({ label: 'attnc copies' });
  for (const name of names) {
    const bytes = bytesOf(tensors[name]);
    for (let at = 0; at < bytes.length; at += PIECE) {
      const part = bytes.subarray(at, Math.min(at + PIECE, bytes.length)) as Uint8Array<ArrayBuffer>;
      device.queue.writeBuffer(first[name].buffer, at, part);
    }
    for (const other of others) {
      encoder.copyBufferToBuffer(first[name].buffer, 0, other[name].buffer, 0, bytes.length);
    }
  }
  device.queue.submit([encoder.finish()]);
  return { sets, bytesASet, release: () => arena.release() };
}

export function storageType(name: string, { dtype }: Pick<Tensor, 'dtype'>): StorageType {
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'bf16') return dtype;
  throw wrongType(name, ['f32', 'f16', 'bf16'], dtype);
}

/** Rows of out and lse, in the order asked for. */
export interface Rows {
  readonly out: Float32Array;
  readonly lse: Float32Array;
}

/** Copies only these rows back: of large tensors all would take longer than computing them. */
export async function readRows(device: GPUDevice, set: Bindings, rows: readonly RowIndex[]): Promise<Rows> {
  const [, heads, queries, dim] = set.out.shape;
  const dtype: DType = set.out.dtype ?? 'f32';
  const width = dim * bytesPerElement[dtype];
  const [out, lse] = await readBack(device, [rows.length * width, rows.length * 4], (encoder, [out, lse]) =>
    rows.forEach(({ batch, head, row }, n) => {
      const at = (batch * heads + head) * queries + row;
      encoder.copyBufferToBuffer(set.out.buffer, at * width, out, n * width, width);
      if (set.lse) encoder.copyBufferToBuffer(set.lse.buffer, at * 4, lse, n * 4, 4);
    }),
  );
  return {
    out: toFloat32(fromBytes(dtype, [rows.length, dim], out)),
    lse: toFloat32(fromBytes('f32', [rows.length], lse)),
  };
}

/** The first words of a buffer. */
export async function readWords(
  device: GPUDevice,
  buffer: GPUBuffer,
  count: number,
): Promise<readonly number[]> {
  const [bytes] = await readBack(device, [4 * count], (encoder, [into]) =>
    encoder.copyBufferToBuffer(buffer, 0, into, 0, 4 * count),
  );
  return [...new Uint32Array(bytes.buffer)];
}

/** What `copy` puts into buffers of so many bytes. */
async function readBack(
  device: GPUDevice,
  sizes: readonly number[],
  copy: (encoder: GPUCommandEncoder, into: readonly GPUBuffer[]) => void,
): Promise<readonly Uint8Array<ArrayBuffer>[]> {
  const arena = new Arena(device);
  try {
    const into = sizes.map((size) => arena.create('readback', size, USAGE.mapRead | USAGE.copyDst));
    const { problem } = scoped(device, 'reading results', () => {
      const encoder = device.createCommandEncoder({ label: 'attnc results' });
      copy(encoder, into);
      device.queue.submit([encoder.finish()]);
    });
    const error = await untilLost(device, problem);
    if (error) throw error;
    await untilLost(device, Promise.all(into.map((b) => b.mapAsync(MAP_MODE_READ))));
    return into.map((b, n) => new Uint8Array(b.getMappedRange().slice(0, sizes[n])));
  } finally {
    arena.release();
  }
}
