import type { StorageType } from '../../compiler/ir/program.js';
import type { HostTensors } from '../../runtime/index.js';
import { fromNumbers, tensor, toFloat32, type TensorOf } from '../../runtime/tensor.js';
import type { ProblemShape } from '../differential/problems.js';
import { randomNumbers } from '../sample-tables.js';

/** q, k and v that strain a kernel in one way or another. */
export const DATA_KINDS = ['plain', 'large', 'rising'] as const;

export type DataKind = (typeof DATA_KINDS)[number];

export interface Qkv {
  readonly q: TensorOf<'f32'>;
  readonly k: TensorOf<'f32'>;
  readonly v: TensorOf<'f32'>;
}

/**
 * plain: numbers in −1 … 1. large: scores up to about ±10,000. rising: scores grow along the keys, so that a row's
 * maximum comes last and every tile rescales what was summed before. Of the last two float32 holds every dot product
 * exactly, so that it is the softmax that is strained, and not a sum of 256 numbers that one outweighs.
 */
export function makeTensors(
  shape: ProblemShape,
  dim: number,
  valueDim: number,
  kind: DataKind,
  seed: number,
): Qkv {
  const { batch, heads, keyHeads = heads, queries, keys } = shape;
  const random = randomNumbers(seed);
  const fill = (sizes: readonly number[]): TensorOf<'f32'> => {
    const data = new Float32Array(sizes.reduce((a, b) => a * b, 1));
    for (let n = 0; n < data.length; n++) data[n] = random() * 2 - 1;
    return tensor('f32', sizes, data);
  };
  const q = fill([batch, heads, queries, dim]);
  const k = fill([batch, keyHeads, keys, dim]);
  const v = fill([batch, keyHeads, keys, valueDim]);
  if (kind !== 'plain') {
    // Eighths: sums of their products are whole 64ths. Column 0 outweighs the others, by a power of two.
    for (const t of [q, k]) t.data.forEach((x, n) => (t.data[n] = Math.round(x * 8) / 8));
    const score = kind === 'large' ? 10_000 : 40;
    const size = 2 ** Math.floor(Math.log2(Math.sqrt(dim) * score));
    for (let at = 0; at < q.data.length; at += dim) q.data[at] = kind === 'large' ? q.data[at] * size : size;
    for (let row = 0; kind === 'rising' && row * dim < k.data.length; row++) {
      k.data[row * dim] = Math.floor(((row % keys) / keys) * 1024) / 1024;
    }
  }
  return { q, k, v };
}

/** q, k and v rounded to another type; what f16 cannot hold is an error of the test that made it. */
export function storedAs(dtype: StorageType, tensors: HostTensors): HostTensors {
  if (dtype === 'f32') return tensors;
  const stored = (t: HostTensors['q']): HostTensors['q'] => {
    const made = fromNumbers(dtype, t.shape, toFloat32(t));
    const [before, after] = [toFloat32(t), toFloat32(made)];
    const lost = after.findIndex((x, n) => Number.isFinite(before[n]) && !Number.isFinite(x));
    if (lost >= 0) throw new Error(`${before[lost]} is no ${dtype}`);
    return made;
  };
  return { ...tensors, q: stored(tensors.q), k: stored(tensors.k), v: stored(tensors.v) };
}

export function fillRow(t: TensorOf<'f32'>, [batch, head, row]: readonly number[], value: number): void {
  const [, heads, rows, dim] = t.shape;
  const at = ((batch * heads + head) * rows + row) * dim;
  t.data.fill(value, at, at + dim);
}
