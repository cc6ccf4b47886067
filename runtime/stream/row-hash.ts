import { mix32 } from '../../compiler/ir/sample.js';

/**
 * Integer hashes of places, in 32-bit words that wrap around: the CPU (Math.imul) and WGSL (u32) agree bit for bit.
 * Rows are keyed by two words, so that a billion rows of many tensors and heads do not share their streams.
 */

/** Odd constants, as WGSL writes them too. */
export const GOLDEN = 0x9e3779b9;
const SECOND = 0x85157af5;

/** Folds words into one. */
export function foldWords(...words: readonly number[]): number {
  return words.reduce((h, w) => mix32((Math.imul(h, 31) + w) >>> 0), mix32(GOLDEN));
}

/** Two words for a stream of rows: a tensor's head. */
export interface StreamKeys {
  readonly first: number;
  readonly second: number;
}

export const streamKeys = (...words: readonly number[]): StreamKeys => ({
  first: foldWords(1, ...words),
  second: foldWords(2, ...words),
});

/** The row's two words; each is a bijection of the row, so no two rows of a stream share one. */
export const firstKey = (keys: StreamKeys, row: number): number => mix32((row ^ keys.first) >>> 0);
export const secondKey = (keys: StreamKeys, row: number): number =>
  mix32((Math.imul(row, SECOND) + keys.second) >>> 0);

/** The same in WGSL: `mix32`, `first_key(key, row)` and `second_key(key, row)`. */
export const HASH_WGSL = `fn mix32(x: u32) -> u32 {
  var h = (x ^ (x >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

fn first_key(key: u32, row: u32) -> u32 {
  return mix32(row ^ key);
}

fn second_key(key: u32, row: u32) -> u32 {
  return mix32(row * ${SECOND}u + key);
}
`;
