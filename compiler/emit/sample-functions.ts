import { wgsl } from './wgsl.js';

/** The keyed permutation of ir/sample.ts in WGSL, bit for bit: a Feistel network with cycle walking. */

export const ROUND_FUNCTION = wgsl`
  // What a round of the network mixes into the other half.
  fn feistel_round(half: u32, round: u32, key: u32) -> u32 {
    return mix32(key + (half + 1u) * 0x9e3779b1u + round);
  }`;

export const SAMPLE_HELPERS = {
  mix32: wgsl`
    // murmur3's 32-bit finaliser.
    fn mix32(x: u32) -> u32 {
      var h = (x ^ (x >> 16u)) * 0x85ebca6bu;
      h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
      return h ^ (h >> 16u);
    }`,
  half_bits: wgsl`
    // Half of the number of bits that the network works on: the least h with 4^h at least below.
    fn half_bits(below: u32) -> u32 {
      var half = 1u;
      while (half < 16u && (1u << (2u * half)) < below) {
        half++;
      }
      return half;
    }`,
  sample_contains: wgsl`
    // Is x among the first count members of the permutation of 0 to below - 1?
    fn sample_contains(x: i32, count: i32, below: i32, key: u32) -> bool {
      if (x < 0 || x >= below) {
        return false;
      }
      let half = half_bits(u32(below));
      let mask = (1u << half) - 1u;
      var n = u32(x);
      loop {
        var left = (n >> half) & mask;
        var right = n & mask;
        for (var round = 4u; round > 0u; round--) {
          let previous = right ^ (feistel_round(left, round - 1u, key) & mask);
          right = left;
          left = previous;
        }
        n = (left << half) | right;
        if (n < u32(below)) {
          break;
        }
      }
      return i32(n) < count;
    }`,
  sample_at: wgsl`
    // Member n of the permutation of 0 to below - 1; -1 for other n.
    fn sample_at(n: i32, below: i32, key: u32) -> i32 {
      if (n < 0 || n >= below) {
        return -1;
      }
      let half = half_bits(u32(below));
      let mask = (1u << half) - 1u;
      var x = u32(n);
      loop {
        var left = (x >> half) & mask;
        var right = x & mask;
        for (var round = 0u; round < 4u; round++) {
          let next = left ^ (feistel_round(right, round, key) & mask);
          left = right;
          right = next;
        }
        x = (left << half) | right;
        if (x < u32(below)) {
          break;
        }
      }
      return i32(x);
    }`,
} as const;
