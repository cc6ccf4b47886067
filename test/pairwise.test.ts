import test from 'ava';
import { pairwise } from './pairwise.js';

const axes = {
  n: [1, 2, 63, 64, 65, 127, 128, 200, 1000],
  heads: ['1/1', '3/1', '3/3', '8/2', '8/8'],
  batch: [1, 2],
  dim: [16, 64, 72, 256],
} as const;

test('every two values of any two axes meet', (t) => {
  const rows = pairwise(axes);
  const names = Object.keys(axes) as (keyof typeof axes)[];
  for (const a of names) {
    for (const b of names) {
      if (a === b) continue;
      for (const x of axes[a]) {
        for (const y of axes[b])
          t.true(
            rows.some((row) => row[a] === x && row[b] === y),
            `${a} ${x}, ${b} ${y}`,
          );
      }
    }
  }
});

test('the cover is short: near the product of the two longest axes', (t) => {
  const { length } = pairwise(axes);
  t.true(length >= 45 && length <= 54, `${length} rows`);
});

test('one axis gives its values, an empty axis no rows', (t) => {
  t.deepEqual(pairwise({ n: [3, 5] }), [{ n: 3 }, { n: 5 }]);
  t.deepEqual(pairwise({ n: [3, 5], m: [] }), []);
});
