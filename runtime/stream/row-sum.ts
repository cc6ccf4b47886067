import { firstKey, GOLDEN, HASH_WGSL, streamKeys } from './row-hash.js';

/**
 * A 64-bit sum over the rows of `out` and `lse` that does not depend on how they are divided into bands: each 32-bit
 * word is hashed together with its place, and the hashes are added. Two words a and b, each modulo 2^32:
 *
 *     x = mix'(word ^ (K + c·G))      K of (tensor, batch, head, row), c the word's number in the row
 *     a += x,  b += g(x)              g mixes once more, so that b is no function of a
 *
 * mix' has one-to-one steps only, so a single wrong word is always noticed; anything else goes unnoticed once in 2^64.
 * Equal numbers in another storage type have another sum, as they have other words.
 */
export interface RowSum {
  readonly a: number;
  readonly b: number;
}

export const NO_ROWS: RowSum = { a: 0, b: 0 };

export const addSums = (x: RowSum, y: RowSum): RowSum => ({ a: (x.a + y.a) >>> 0, b: (x.b + y.b) >>> 0 });

/** 16 hexadecimal digits, b first. */
export const sumText = ({ a, b }: RowSum): string =>
  [b, a].map((x) => x.toString(16).padStart(8, '0')).join('');

export function sumFromText(text: string): RowSum | undefined {
  if (!/^[0-9a-f]{16}$/.test(text)) return undefined;
  return { b: parseInt(text.slice(0, 8), 16), a: parseInt(text.slice(8), 16) };
}

export type SummedTensor = 'out' | 'lse';

const TENSORS: Readonly<Record<SummedTensor, number>> = { out: 0x6f7574, lse: 0x6c7365 };

export const sumKey = (tensor: SummedTensor, batch: number, head: number): number =>
  streamKeys(TENSORS[tensor], batch, head).first;

/** Of rows that start at `lo`, as little-endian words; `rowBytes` is a multiple of 4. */
export function sumRows(
  tensor: SummedTensor,
  batch: number,
  head: number,
  lo: number,
  bytes: Uint8Array,
  rowBytes: number,
): RowSum {
  if (rowBytes % 4 !== 0) throw new RangeError(`rows of ${rowBytes} bytes are not whole words`);
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
  const rowWords = rowBytes / 4;
  const stream = { first: sumKey(tensor, batch, head), second: 0 };
  let a = 0;
  let b = 0;
  for (let at = 0, row = lo; at < words.length; row++) {
    let place = firstKey(stream, row);
    for (const end = at + rowWords; at < end; at++) {
      let x = words[at] ^ place;
      place = (place + GOLDEN) | 0;
      x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
      x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
      x ^= x >>> 16;
      a = (a + x) | 0;
      b = (b + Math.imul(x ^ (x >>> 13), 0xc2b2ae35)) | 0;
    }
  }
  return { a: a >>> 0, b: b >>> 0 };
}

/** Of a band: rows of out and their lse. */
export function sumBand(
  batch: number,
  head: number,
  lo: number,
  out: Uint8Array,
  outRowBytes: number,
  lse: Float32Array,
): RowSum {
  return addSums(sumRows('out', batch, head, lo, out, outRowBytes), sumLse(batch, head, lo, lse));
}

export function sumLse(batch: number, head: number, lo: number, lse: Float32Array): RowSum {
  const bytes = new Uint8Array(lse.buffer, lse.byteOffset, lse.byteLength);
  return sumRows('lse', batch, head, lo, bytes, 4);
}

/** Invocations of a workgroup, along x. */
export const SUM_WORKGROUP = 256;

/** Words that a summing kernel reads at a time: 16 bytes, or one word where places are no multiples of that. */
export type SumWidth = 1 | 4;

/** Reads of an invocation that are under way together. */
const SUM_READS = 4;

/**
 * Adds the sum of a window of words to `sums[0]` (a) and `sums[1]` (b).
 * @param rowWords words of a row, and @param width words read at a time, which divide them and `at`
 */
export function sumShader(rowWords: number, width: SumWidth): string {
  const hash = (n: number): string =>
    `hash_word(found${width === 1 ? '' : `.${'xyzw'[n]}`}, place${n === 0 ? '' : ` + ${(n * GOLDEN) % 2 ** 32}u`})`;
  const hashes = Array.from({ length: width }, (_, n) => hash(n)).join(' + ');
  const eachRead = (line: (n: number) => string): string =>
    Array.from({ length: SUM_READS }, (_, n) => line(n)).join('\n    ');
  return `struct Window {
  key: u32,
  first_row: u32,
  words: u32,
  at: u32,
}
@group(0) @binding(0) var<uniform> window: Window;
@group(0) @binding(1) var<storage, read> words: array<${width === 1 ? 'u32' : 'vec4u'}>;
@group(0) @binding(2) var<storage, read_write> sums: array<atomic<u32>, 2>;

var<workgroup> part: array<vec2u, ${SUM_WORKGROUP}>;

${HASH_WGSL}
fn hash_word(word: u32, place: u32) -> vec2u {
  var x = word ^ place;
  x = (x ^ (x >> 16u)) * 0x7feb352du;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  x = x ^ (x >> 16u);
  return vec2u(x, (x ^ (x >> 13u)) * 0xc2b2ae35u);
}

// Of the words read at place n of the window.
fn hash_words(found: ${width === 1 ? 'u32' : 'vec4u'}, n: u32) -> vec2u {
  let row = window.first_row + n / ${rowWords / width}u;
  let place = first_key(window.key, row) + (n % ${rowWords / width}u) * ${(width * GOLDEN) % 2 ** 32}u;
  return ${hashes};
}

@compute @workgroup_size(${SUM_WORKGROUP})
fn main(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(num_workgroups) groups: vec3u,
) {
  var sum = vec2u(0u);
  let first = window.at / ${width}u;
  let count = window.words / ${width}u;
  let step = groups.x * ${SUM_WORKGROUP}u;
  for (var n = id.x; n < count; n += ${SUM_READS}u * step) {
    // Past the end the last words again, which then don't count.
    ${eachRead((n) => `let words_${n} = words[first + min(n + ${n}u * step, count - 1u)];`)}
    ${eachRead((n) => `sum += select(vec2u(0u), hash_words(words_${n}, n + ${n}u * step), n + ${n}u * step < count);`)}
  }
  part[lane] = sum;
  for (var half = ${SUM_WORKGROUP / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      part[lane] += part[lane + half];
    }
  }
  if (lane == 0u) {
    atomicAdd(&sums[0], part[0].x);
    atomicAdd(&sums[1], part[0].y);
  }
}
`;
}
