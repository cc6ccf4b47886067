import test from 'ava';
import { compile } from '../../compiler/index.js';
import { reference, sampledReference, sampleRows } from '../../runtime/reference/index.js';
import { fromNumbers } from '../../runtime/tensor.js';
import { randomNumbers } from '../../cli/random.js';

const shapes: readonly (readonly [heads: number, queries: readonly number[], most: number, rows: number])[] =
  [
    [1, [1], 8, 1],
    [2, [3, 0], 100, 6],
    [3, [5, 7], 10, 10],
    [8, [65536], 256, 256],
    [2, [0, 0], 4, 0],
  ];

test('a sample has the first and the last row, and no row twice', (t) => {
  for (const [heads, queries, most, expected] of shapes) {
    const rows = sampleRows({ heads, queries }, most, randomNumbers(1));
    const name = `${heads} heads, ${queries.join('+')} queries, ${most}`;
    t.is(new Set(rows.map((r) => JSON.stringify(r))).size, rows.length, name);
    // Rows drawn twice are left out, and where the sample is the whole each is there once or not at all.
    t.true(rows.length <= most && rows.length >= Math.min(expected, most) / 2, `${name}: ${rows.length}`);
    if (expected === 0) continue;
    const batch = queries.findLastIndex((n) => n > 0);
    t.deepEqual(rows[0], { batch: 0, head: 0, row: 0 });
    if (rows.length > 1) t.deepEqual(rows[1], { batch, head: heads - 1, row: queries[batch] - 1 });
    for (const r of rows) t.true(r.head < heads && r.row < queries[r.batch], name);
  }
});

const pattern = compile('pattern p { i -> j when abs(i - j) <= 5 }', { dim: 16 }).program!.pattern;
const values = randomNumbers(7);
const tensors = Object.fromEntries(
  ['q', 'k', 'v'].map((name) => [
    name,
    fromNumbers(
      'f16',
      [2, 3, 50, 16],
      Array.from({ length: 4800 }, () => values() - 0.5),
    ),
  ]),
) as Record<'q' | 'k' | 'v', ReturnType<typeof fromNumbers>>;

test('sampled rows are those of the whole', (t) => {
  const rows = sampleRows({ heads: 3, queries: [50, 50] }, 90, randomNumbers(3));
  const whole = reference(pattern, tensors);
  const done: number[] = [];
  const sample = sampledReference(pattern, tensors, rows, {
    least: 1,
    patience: 60_000,
    step: (n) => done.push(n),
  });
  t.deepEqual(done.slice(0, 3), [0, 16, 48]);
  t.deepEqual(sample.rows, rows);
  rows.forEach(({ batch, head, row }, n) => {
    const at = (batch * 3 + head) * 50 + row;
    t.is(sample.lse[n], whole.lse[at]);
    t.is(sample.edges[n], whole.edges[at]);
    t.deepEqual(sample.out.subarray(16 * n, 16 * (n + 1)), whole.out.subarray(16 * at, 16 * (at + 1)));
  });
});

test('without patience only the least is done', (t) => {
  const rows = sampleRows({ heads: 3, queries: [50, 50] }, 90, randomNumbers(3));
  const sample = sampledReference(pattern, tensors, rows, { least: 20, patience: 0 });
  t.true(sample.rows!.length >= 20 && sample.rows!.length <= 48, `${sample.rows!.length}`);
  t.is(sample.out.length, 16 * sample.rows!.length);
});
