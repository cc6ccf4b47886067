// Tensors of pseudo-random numbers.

import { tensor, type TensorOf } from '../../runtime/tensor.js';

export interface Sizes {
  readonly batch?: number;
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly queries: number;
  readonly keys?: number;
  readonly dim?: number;
  readonly valueDim?: number;
}

export interface Qkv {
  readonly q: TensorOf<'f32'>;
  readonly k: TensorOf<'f32'>;
  readonly v: TensorOf<'f32'>;
}

/** A small generator (mulberry32): numbers in [0, 1). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function random(shape: readonly number[], seed: number): TensorOf<'f32'> {
  const next = generator(seed);
  const count = shape.reduce((a, b) => a * b, 1);
  return tensor(
    'f32',
    shape,
    Float32Array.from({ length: count }, () => 2 * next() - 1),
  );
}

export function qkv(sizes: Sizes, seed = 1): Qkv {
  const { batch = 1, heads = 1, keyHeads = heads, queries, keys = queries, dim = 16, valueDim = dim } = sizes;
  return {
    q: random([batch, heads, queries, dim], seed),
    k: random([batch, keyHeads, keys, dim], seed + 1),
    v: random([batch, keyHeads, keys, valueDim], seed + 2),
  };
}
