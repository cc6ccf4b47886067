import type { StorageType } from '../../compiler/ir/program.js';
import { bf16FromNumber, f16FromNumber } from '../half.js';
import {
  firstKey,
  foldWords,
  GOLDEN,
  HASH_WGSL,
  secondKey,
  streamKeys,
  type StreamKeys,
} from './row-hash.js';

/**
 * The numbers of `--random`: each value of q, k and v is a function of (seed, tensor, batch, head, row, column) alone.
 * With K₁ and K₂ the row's words and c the column,
 *
 *     x = mix(K₁ + c·G) of one round, + K₂, of another round        a word, as good as random
 *     n = (b₀ + b₁ − b₂ − b₃) / 4 of its bytes, towards 0            −127 … 127, nearly normal
 *     value = n / 64                                                 |value| < 2, mean 0, deviation 0.575
 *
 * f32, f16 and bf16 all hold n/64 exactly, so that the type only says how the same numbers are stored.
 */

/** A tensor's head. Streams of different batches and heads are different ones. */
export function valueStream(seed: number, tensor: string, batch: number, head: number): StreamKeys {
  const name = foldWords(...[...tensor].map((c) => c.codePointAt(0)!));
  return streamKeys(seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, name, batch, head);
}

/** n of column `col`: the value times 64. */
export function valueAt(first: number, second: number, col: number): number {
  let x = first + Math.imul(col, GOLDEN);
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) + second;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  x ^= x >>> 16;
  return (((x & 255) + ((x >>> 8) & 255) - ((x >>> 16) & 255) - (x >>> 24)) / 4) | 0;
}

/** Writes rows lo … hi − 1 of a stream, each of `dim` values. */
export function writeValues(
  keys: StreamKeys,
  dtype: StorageType,
  lo: number,
  hi: number,
  dim: number,
  into: Uint8Array,
): void {
  const words = wordsOf(dtype, into);
  const bits = BITS[dtype];
  let at = 0;
  for (let row = lo; row < hi; row++) {
    const first = firstKey(keys, row);
    const second = secondKey(keys, row);
    for (let col = 0; col < dim; col++) words[at++] = bits[valueAt(first, second, col) + 127];
  }
  if (words.buffer !== into.buffer) into.set(bytesIn(words));
}

/** A view on the bytes, or room of its own where these are not aligned. */
function wordsOf(dtype: StorageType, into: Uint8Array): Uint32Array | Uint16Array {
  const size = dtype === 'f32' ? 4 : 2;
  const at = into.byteOffset % size === 0 ? into : new Uint8Array(into.byteLength);
  const length = into.byteLength / size;
  return dtype === 'f32'
    ? new Uint32Array(at.buffer, at.byteOffset, length)
    : new Uint16Array(at.buffer, at.byteOffset, length);
}

const bytesIn = (x: ArrayBufferView): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** Bits of (n − 127)/64 for n from 0 to 254. */
const BITS: Readonly<Record<StorageType, Uint32Array>> = {
  f32: new Uint32Array(Float32Array.from({ length: 255 }, (_, n) => (n - 127) / 64).buffer),
  f16: Uint32Array.from({ length: 255 }, (_, n) => f16FromNumber((n - 127) / 64)),
  bf16: Uint32Array.from({ length: 255 }, (_, n) => bf16FromNumber((n - 127) / 64)),
};

/** Invocations of a workgroup, along x. */
export const FILL_WORKGROUP = 256;

/** Words of a store: 16 bytes, or one word where places are no multiples of that. */
export type FillWidth = 1 | 4;

/** Stores of an invocation, in one row, as far as its length divides: they share the row's keys. */
export const fillStores = (rowWords: number, width: FillWidth): number =>
  [4, 2].find((n) => (rowWords / width) % n === 0) ?? 1;

/**
 * Fills a window of words: word w of the rows (counted from the window's first row) goes to word `at + w`. Two 16-bit
 * values a word, so rows must be whole words. Dispatched as x·y workgroups.
 * @param rowWords words of a row, and @param width words of a store, which divide them and `at`
 */
export function fillShader(dtype: StorageType, rowWords: number, width: FillWidth): string {
  const two = dtype !== 'f32';
  const stores = fillStores(rowWords, width);
  // Invocations of a row, and values from one of their stores to the next: neighbours store side by side.
  const lanes = rowWords / width / stores;
  const values = width * (two ? 2 : 1);
  const pack = (from: number, n: number): string => {
    const [a, b] = two ? [value(from + 2 * n), value(from + 2 * n + 1)] : [value(from + n), ''];
    return {
      f32: `bitcast<u32>(${a})`,
      f16: `pack2x16float(vec2f(${a}, ${b}))`,
      bf16: `(bitcast<u32>(${a}) >> 16u) | (bitcast<u32>(${b}) & 0xffff0000u)`,
    }[dtype];
  };
  const value = (n: number): string => `value_of(first + ${Math.imul(n, GOLDEN) >>> 0}u, second)`;
  const store = (number: number): string => {
    const packed = Array.from({ length: width }, (_, n) => pack(number * lanes * values, n));
    return `words[place${number === 0 ? '' : ` + ${number * lanes}u`}] = ${
      width === 1
        ? packed[0]
        : `vec4u(
    ${packed.join(',\n    ')},
  )`
    };`;
  };
  return `struct Window {
  key_first: u32,
  key_second: u32,
  first_row: u32,
  words: u32,
  at: u32,
}
@group(0) @binding(0) var<uniform> window: Window;
@group(0) @binding(1) var<storage, read_write> words: array<${width === 1 ? 'u32' : 'vec4u'}>;

${HASH_WGSL}
fn value_of(place: u32, second: u32) -> f32 {
  var x = (place ^ (place >> 16u)) * 0x7feb352du + second;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  x = x ^ (x >> 16u);
  // b0 + b1 in the lower half, b2 + b3 in the upper.
  let sums = (x & 0x00ff00ffu) + ((x >> 8u) & 0x00ff00ffu);
  // Their difference in the upper half: (low + 2^16 high)(2^16 - 1) + 2^16 - 1 = 2^16 (low - high) + (2^16 - 1 - low).
  let difference = i32(sums * 0xffffu + 0xffffu);
  // A quarter of it towards 0: three more where it is negative, which nothing below carries into.
  let n = (difference - (difference >> 31u) * 0x30000) >> 18u;
  // n / 64, exactly: floats around 196608 are 1/64 apart.
  return bitcast<f32>(u32(n + 0x48400000)) - 196608.0;
}

@compute @workgroup_size(${FILL_WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let n = id.y * groups.x * ${FILL_WORKGROUP}u + id.x;
  if (n >= window.words / ${width * stores}u) {
    return;
  }
  let row_number = n / ${lanes}u;
  let lane = n % ${lanes}u;
  let row = window.first_row + row_number;
  let first = first_key(window.key_first, row) + lane * ${Math.imul(values, GOLDEN) >>> 0}u;
  let second = second_key(window.key_second, row);
  let place = window.at / ${width}u + row_number * ${rowWords / width}u + lane;
  ${Array.from({ length: stores }, (_, n) => store(n)).join('\n  ')}
}
`;
}
