import { f16FromNumber } from '../runtime/half.js';
import { tensor, type Tensor } from '../runtime/tensor.js';

/**
 * q, k and v as a function of the element's number, the same here and in peers/inputs.py, so that two programs compute
 * on the same numbers without a file between them. Whole numbers of 64ths from −111 to 111, as likely each: mean 0,
 * variance 1 (to 1 %), and exact in f16, bf16 and f32.
 */

/** Which stream of numbers a tensor takes. */
export const SALTS = { q: 1, k: 2, v: 3 } as const;

export const VALUES = 223;
export const STEP = 64;

/** 32 bits that differ in about half of their places for neighbours (Wellons's lowbias32). */
export function mix(x: number): number {
  let h = x >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** What is added to an element's number. */
export const saltOf = (name: keyof typeof SALTS): number => mix(Math.imul(SALTS[name], 0x9e3779b9));

/** Which of the 223 values element `n` has. */
export const place = (n: number, salt: number): number => (mix(n + salt) >>> 8) % VALUES;

export const valueOf = (place: number): number => (place - (VALUES - 1) / 2) / STEP;

/** Elements are counted in row-major order. */
export function benchTensor(
  name: keyof typeof SALTS,
  dtype: 'f16' | 'f32',
  shape: readonly number[],
): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = Array.from({ length: VALUES }, (_, n) => valueOf(n));
  const salt = saltOf(name);
  if (dtype === 'f32') {
    const table = Float32Array.from(values);
    const data = new Float32Array(count);
    for (let n = 0; n < count; n++) data[n] = table[place(n, salt)];
    return tensor('f32', shape, data, name);
  }
  const table = Uint16Array.from(values, f16FromNumber);
  const data = new Uint16Array(count);
  for (let n = 0; n < count; n++) data[n] = table[place(n, salt)];
  return tensor('f16', shape, data, name);
}
