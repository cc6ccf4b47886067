/**
 * The permutation behind `sample`, written from docs/language.md ("The permutation") and from nothing else:
 * compiler/ir/sample.ts is the other implementation, and tests compare the two.
 */

/** The specification's scramble of a 32-bit word. */
function scramble(word: number): number {
  let x = word >>> 0;
  x ^= x >>> 16;
  x = Math.imul(x, 2246822507) >>> 0;
  x ^= x >>> 13;
  x = Math.imul(x >>> 0, 3266489909) >>> 0;
  x ^= x >>> 16;
  return x >>> 0;
}

/** Seed and keys as one word. */
function keyWord(seed: number, keys: readonly number[]): number {
  return keys.reduce((word, key) => scramble(Math.imul(word, 31) + (key >>> 0)), scramble(seed ^ 2654435769));
}

/** One walk through the network, from the last round to the first. */
function unround(value: number, half: number, key: number): number {
  const size = 2 ** half;
  let [left, right] = [Math.floor(value / size), value % size];
  for (const round of [3, 2, 1, 0]) {
    const noise = scramble(key + Math.imul(left + 1, 2654435761) + round) % size;
    [left, right] = [(right ^ noise) >>> 0, left];
  }
  return left * size + right;
}

/** The rank of x: the n with π(n) = x. `x` must lie in 0 … below − 1. */
export function rank(x: number, below: number, seed: number, keys: readonly number[]): number {
  const key = keyWord(seed, keys);
  let half = 1;
  while (4 ** half < below) half++;
  let n = unround(x, half, key);
  while (n >= below) n = unround(n, half, key);
  return n;
}

/** True if x is one of the first `count` values of the permutation of 0 … below − 1. */
export function drawn(
  x: number,
  count: number,
  below: number,
  seed: number,
  keys: readonly number[],
): boolean {
  return x >= 0 && x < below && rank(x, below, seed, keys) < count;
}
