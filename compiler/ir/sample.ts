/**
 * The keyed permutation behind `sample(count, below, seed, key…)`: a four-round Feistel network on the smallest even
 * number of bits that holds 0 … below−1, with cycle walking. Everything is unsigned 32-bit arithmetic, so the CPU and
 * the GPU agree bit for bit; `docs/language.md` has test vectors.
 */

/** murmur3's 32-bit finaliser (Appleby, public domain constants). */
export function mix32(x: number): number {
  let h = x >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Folds the seed and the keys into one word. */
export function sampleKey(seed: number, keys: readonly number[]): number {
  let h = mix32((seed ^ 0x9e3779b9) >>> 0);
  for (const k of keys) h = mix32((Math.imul(h, 31) + (k | 0)) >>> 0);
  return h;
}

/** Half of the number of bits that the network works on: the least h ≥ 1 with 4^h ≥ below. */
export function halfBits(below: number): number {
  // Bits of below − 1, halved and rounded up.
  return Math.max(1, (33 - Math.clz32(below - 1)) >> 1);
}

const ROUNDS = 4;

function forward(x: number, half: number, key: number): number {
  const mask = (1 << half) - 1;
  let left = (x >>> half) & mask;
  let right = x & mask;
  for (let round = 0; round < ROUNDS; round++) {
    const next = left ^ (mix32((key + Math.imul(right + 1, 0x9e3779b1) + round) >>> 0) & mask);
    left = right;
    right = next;
  }
  return ((left << half) | right) >>> 0;
}

function backward(y: number, half: number, key: number): number {
  const mask = (1 << half) - 1;
  let left = (y >>> half) & mask;
  let right = y & mask;
  for (let round = ROUNDS - 1; round >= 0; round--) {
    const previous = right ^ (mix32((key + Math.imul(left + 1, 0x9e3779b1) + round) >>> 0) & mask);
    right = left;
    left = previous;
  }
  return ((left << half) | right) >>> 0;
}

/** π(n) for 0 ≤ n < below; −1 outside. */
export function permute(n: number, below: number, seed: number, keys: readonly number[]): number {
  if (!(n >= 0 && n < below)) return -1;
  const half = halfBits(below);
  const key = sampleKey(seed, keys);
  let x = n;
  do x = forward(x, half, key);
  while (x >= below);
  return x;
}

/** π⁻¹(x) for 0 ≤ x < below; −1 outside. */
export function unpermute(x: number, below: number, seed: number, keys: readonly number[]): number {
  if (!(x >= 0 && x < below)) return -1;
  const half = halfBits(below);
  const key = sampleKey(seed, keys);
  let n = x;
  do n = backward(n, half, key);
  while (n >= below);
  return n;
}

/** Is x among π(0) … π(min(count, below) − 1)? */
export function sampleContains(
  x: number,
  count: number,
  below: number,
  seed: number,
  keys: readonly number[],
): boolean {
  const n = unpermute(x, below, seed, keys);
  return n >= 0 && n < count;
}
