import fc from 'fast-check';
import test from 'ava';
import { permute, sampleContains } from '../../compiler/ir/sample.js';
import { drawn, rank } from './permutation.js';

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const keys = fc.array(int32, { maxLength: 4 });

test('it is a permutation', (t) => {
  for (const below of [1, 2, 3, 4, 5, 16, 17, 64, 65, 1000]) {
    const ranks = Array.from({ length: below }, (_, x) => rank(x, below, 7, [below]));
    t.deepEqual(
      ranks.sort((a, b) => a - b),
      Array.from({ length: below }, (_, n) => n),
    );
  }
});

test('both implementations agree', (t) => {
  const below = fc.integer({ min: 1, max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(
      below,
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      int32,
      keys,
      (n, part, seed, ks) => {
        const at = Math.floor(part * n);
        return rank(permute(at, n, seed, ks), n, seed, ks) === at;
      },
    ),
    { seed: 1, numRuns: 3000 },
  );
  const small = fc.integer({ min: -3, max: 40 });
  fc.assert(
    fc.property(small, small, small, int32, keys, (x, count, n, seed, ks) => {
      return drawn(x, count, n, seed, ks) === sampleContains(x, count, n, seed, ks);
    }),
    { seed: 1, numRuns: 5000 },
  );
  t.pass();
});
