// The oracle on rows of sources: equal to that of whole tensors, and to sums written out here at a billion tokens.

import { join } from 'node:path';
import test from 'ava';
import type { StorageType } from '../../compiler/ir/program.js';
import { rowReference, reference, type RowIndex } from '../../runtime/reference/index.js';
import { writeTensors } from '../../runtime/files/node.js';
import { fileRows } from '../../runtime/stream/node/file-rows.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { valueAt, valueStream } from '../../runtime/stream/random-values.js';
import { firstKey, secondKey } from '../../runtime/stream/row-hash.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { tensorRows } from '../../runtime/stream/tensor-rows.js';
import { fromNumbers, type Tensor } from '../../runtime/tensor.js';
import { CASES } from '../emit/patterns.js';
import { lowerSample } from '../differential/problems.js';
import { qkv, type Sizes } from '../runtime/data.js';
import { withFolder } from './folder.js';

type Three = Record<'q' | 'k' | 'v', Tensor>;

const sourcesOf = ({ q, k, v }: Three): Record<'q' | 'k' | 'v', RowSource> => ({
  q: tensorRows(q),
  k: tensorRows(k),
  v: tensorRows(v),
});

function rowsOf(shape: readonly number[], step = 1): RowIndex[] {
  const rows: RowIndex[] = [];
  for (let batch = 0; batch < shape[0]; batch++)
    for (let head = 0; head < shape[1]; head++)
      for (let row = 0; row < shape[2]; row += step) rows.push({ batch, head, row });
  return rows;
}

for (const { pattern, settings, tokens } of CASES) {
  test(`${pattern.name}: rows of sources are those of the whole`, async (t) => {
    const count = tokens?.find((n) => n >= 60) ?? 70;
    const heads = 4;
    const sizes: Sizes = { batch: 2, heads, keyHeads: 2, queries: count, valueDim: 24 };
    const more = settings?.(count, heads) ?? {};
    // Sinks and masks let the tensors be any, these leave some rows out of range.
    const tensors = qkv(sizes);
    const rows = rowsOf(tensors.q.shape);
    const whole = reference(pattern, { ...tensors, ...more });
    const some = await rowReference(pattern, { ...sourcesOf(tensors), ...more }, rows);
    t.deepEqual(some.rows, rows);
    t.deepEqual(some.skipped, []);
    t.deepEqual(some.edges, whole.edges);
    t.deepEqual(some.tainted, whole.tainted);
    t.deepEqual(some.maxScore, whole.maxScore);
    const near = (a: number, b: number): boolean => a === b || Math.abs(a - b) < 1e-12 * (1 + Math.abs(b));
    t.is(
      some.lse.findIndex((x, n) => !near(x, whole.lse[n])),
      -1,
      'lse',
    );
    t.is(
      some.out.findIndex((x, n) => !near(x, whole.out[n])),
      -1,
      'out',
    );
  });
}

const sliding = lowerSample({ file: 'samples/sliding.attn', pattern: 'sliding' }, { window: 100 });

test('more edges than are read at a time, scores of any size, what is not finite', async (t) => {
  const dense = lowerSample({ file: 'samples/dense.attn', pattern: 'causal' }, {});
  const tensors = qkv({ queries: 9000, dim: 8 });
  const rows = [0, 1, 4094, 4095, 4096, 8191, 8192, 8999].map((row) => ({ batch: 0, head: 0, row }));
  const changes: readonly (readonly [string, (x: typeof tensors) => void])[] = [
    ['as they are', () => undefined],
    ['the maximum comes last', ({ k }) => k.data.forEach((x, n) => (k.data[n] = (x * n) / 500))],
    ['the maximum comes first', ({ k }) => k.data.forEach((x, n) => (k.data[n] = x * (200 - n / 400)))],
    ['scores of ten thousand', ({ q }) => q.data.forEach((x, n) => (q.data[n] = x * 1e4))],
    ['an infinite value', ({ v }) => (v.data[8 * 4095] = Infinity)],
    ['a NaN among the keys', ({ k }) => (k.data[8 * 8191 + 3] = NaN)],
    ['an infinite score', ({ k }) => k.data.fill(Infinity, 8 * 4100, 8 * 4101)],
  ];
  for (const [name, change] of changes) {
    const changed = qkv({ queries: 9000, dim: 8 });
    change(changed);
    const want = reference(dense, changed, { rows });
    const got = await rowReference(dense, sourcesOf(changed), rows);
    t.deepEqual(got.tainted, want.tainted, name);
    t.deepEqual(got.maxScore, want.maxScore, name);
    const near = (a: number, b: number): boolean =>
      Object.is(a, b) || a === b || Math.abs(a - b) < 1e-11 * (1 + Math.abs(b));
    t.is(
      got.out.findIndex((x, n) => !near(x, want.out[n])),
      -1,
      name,
    );
    t.is(
      got.lse.findIndex((x, n) => !near(x, want.lse[n])),
      -1,
      name,
    );
  }
});

test('rows of files, with gaps between them', async (t) => {
  await withFolder(async (folder) => {
    const longnet = lowerSample(
      { file: 'samples/longnet.attn', pattern: 'longnet' },
      { w: [64, 2048], r: [1, 32] },
    );
    const made = qkv({ heads: 2, queries: 3000 });
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      const tensors = Object.fromEntries(
        (['q', 'k', 'v'] as const).map((n) => [n, fromNumbers(dtype, made[n].shape, made[n].data)]),
      ) as Three;
      const path = join(folder, 't.safetensors');
      await writeTensors(path, new Map(Object.entries(tensors)));
      const [q, k, v] = await Promise.all(['q', 'k', 'v'].map((name) => fileRows(path, name)));
      const rows = rowsOf([1, 2, 3000], 171);
      const got = await rowReference(longnet, { q, k, v }, rows);
      const want = reference(longnet, tensors, { rows });
      t.true(want.edges.some((e) => e > 100));
      t.deepEqual(got.edges, want.edges);
      t.true(got.out.every((x, n) => Math.abs(x - want.out[n]) < 1e-12));
      t.true(got.lse.every((x, n) => Math.abs(x - want.lse[n]) < 1e-12 || x === want.lse[n]));
      for (const s of [q, k, v]) await s.close();
    }
  });
});

interface Long {
  readonly name: string;
  readonly pattern: string;
  readonly file: string;
  readonly set: Readonly<Record<string, number | readonly number[]>>;
  readonly tokens: number;
  readonly rows: readonly number[];
  /** m, and where it may not be 0. */
  readonly m: (i: number, j: number, head: number) => number;
  readonly around: (i: number) => readonly [lo: number, hi: number];
}

const w = [2048, 4096, 8192, 16384, 32768];
const r = [1, 2, 4, 8, 16];
const branches =
  (lengths: readonly number[], rates: readonly number[]) =>
  (i: number, j: number, head: number): number =>
    lengths.filter((length, n) => {
      const kept = (x: number): boolean => (x % length) % rates[n] === head % rates[n];
      return Math.floor(i / length) === Math.floor(j / length) && kept(i) && kept(j);
    }).length;
const segment =
  (length: number, tokens: number) =>
  (i: number): readonly [number, number] => [
    i - (i % length),
    Math.min(i - (i % length) + length, tokens) - 1,
  ];

const BILLION = 1_000_000_000;
const MOST = 2 ** 31 - 1;

const LONG: readonly Long[] = [
  {
    name: 'LongNet of a billion tokens',
    ...{ file: 'samples/longnet.attn', pattern: 'longnet', set: {} },
    tokens: BILLION,
    // Past 2^26 and 2^29 rows of 64, where products of rows and columns leave 32 bits.
    rows: [0, 1, 2 ** 26, 2 ** 26 + 3, 536_870_912, 999_999_999, 999_999_489, 123_456_784],
    m: branches(w, r),
    around: segment(32768, BILLION),
  },
  {
    name: 'LongNet with a top segment of a million',
    ...{ file: 'samples/longnet.attn', pattern: 'longnet' },
    set: { w: [2048, 65536, 1_048_576], r: [1, 32, 512] },
    tokens: BILLION,
    rows: [512 * 1_048_576 + 1, 999_999_999, 2 ** 26 + 33],
    m: branches([2048, 65536, 1_048_576], [1, 32, 512]),
    around: segment(1_048_576, BILLION),
  },
  {
    name: 'a window at the largest length',
    ...{ file: 'samples/sliding.attn', pattern: 'sliding', set: { window: 300 } },
    tokens: MOST,
    rows: [0, 299, 2 ** 26, 2 ** 30, MOST - 1],
    m: (i, j) => (Math.abs(i - j) <= 300 ? 1 : 0),
    around: (i) => [Math.max(0, i - 300), Math.min(MOST - 1, i + 300)],
  },
];

const DIM = 64;

/** A row of numbers, straight from their definition. */
function valuesOf(tensor: string, head: number, row: number): number[] {
  const keys = valueStream(7, tensor, 0, head);
  const [first, second] = [firstKey(keys, row), secondKey(keys, row)];
  return Array.from({ length: DIM }, (_, c) => valueAt(first, second, c) / 64);
}

for (const { name, file, pattern, set, tokens, rows, m, around } of LONG) {
  test.serial(`${name}: rows are the sums of the definition, in seconds and little memory`, async (t) => {
    const lowered = lowerSample({ file, pattern }, set);
    const heads = 2;
    const sourceOf = (tensor: string, dtype: StorageType): RowSource =>
      randomRows(tensor, dtype, [1, heads, tokens, DIM], 7);
    const places = rows.map((row, n) => ({ batch: 0, head: n % heads, row }));
    const before = process.memoryUsage().rss;
    const start = performance.now();
    const got = await rowReference(
      lowered,
      { q: sourceOf('q', 'f16'), k: sourceOf('k', 'f16'), v: sourceOf('v', 'f16') },
      places,
    );
    const seconds = (performance.now() - start) / 1000;
    const memory = (process.memoryUsage().rss - before) / 2 ** 20;
    t.log(`${rows.length} rows in ${seconds.toFixed(2)} s and ${memory.toFixed(0)} MiB`);
    t.true(seconds < 20, `${seconds} s`);
    t.true(memory < 400, `${memory} MiB`);
    for (const [n, { head, row }] of places.entries()) {
      const q = valuesOf('q', head, row);
      const [lo, hi] = around(row);
      let sum = 0;
      let edges = 0;
      const acc = new Array<number>(DIM).fill(0);
      for (let j = lo; j <= hi; j++) {
        const times = m(row, j, head);
        if (times === 0) continue;
        edges += times;
        const k = valuesOf('k', head, j);
        const weight = times * Math.exp(q.reduce((s, x, d) => s + x * k[d], 0) / 8);
        sum += weight;
        const v = valuesOf('v', head, j);
        for (let d = 0; d < DIM; d++) acc[d] += weight * v[d];
      }
      t.is(got.edges[n], edges, `row ${row}`);
      t.true(edges > 0);
      t.true(Math.abs(got.lse[n] - Math.log(sum)) < 1e-10, `row ${row}`);
      acc.forEach((x, d) => t.true(Math.abs(got.out[n * DIM + d] - x / sum) < 1e-12, `row ${row}, ${d}`));
    }
  });
}

test.serial('rows with too many keys are left out and told, at once', async (t) => {
  const source = (tensor: string): RowSource => randomRows(tensor, 'f16', [1, 1, BILLION, 16], 1);
  const given = { q: source('q'), k: source('k'), v: source('v') };
  const places = [0, 5, 1000, BILLION - 1].map((row) => ({ batch: 0, head: 0, row }));
  const table: readonly (readonly [string, string, readonly number[]])[] = [
    ['longformer.attn', 'longformer', [0, 5]],
    ['bigbird.attn', 'bigbird', [0, 5]],
    ['dense.attn', 'causal', [BILLION - 1]],
    ['sparse-transformer.attn', 'strided', [BILLION - 1]],
  ];
  for (const [file, pattern, skipped] of table) {
    const lowered = lowerSample({ file: `samples/${file}`, pattern }, {});
    const start = performance.now();
    const got = await rowReference(lowered, given, places);
    t.deepEqual(
      got.skipped.map((p) => p.row),
      skipped,
      pattern,
    );
    t.is(got.rows.length, places.length - skipped.length);
    t.is(got.lse.length, got.rows.length);
    t.true(performance.now() - start < 10_000, `${pattern} took ${performance.now() - start} ms`);
  }
  const few = await rowReference(sliding, given, places, { mostKeys: 150 });
  t.deepEqual(few.skipped, places.slice(2, 3));
});

test('without patience only the least is done', async (t) => {
  const source = (tensor: string): RowSource => randomRows(tensor, 'f16', [1, 1, BILLION, 16], 1);
  const given = { q: source('q'), k: source('k'), v: source('v') };
  const places = [1, 2, 3, 4, 5, 6].map((n) => ({ batch: 0, head: 0, row: n * 1e8 }));
  const steps: number[] = [];
  const got = await rowReference(sliding, given, places, {
    least: 4,
    patience: 0,
    step: (n) => steps.push(n),
  });
  t.deepEqual(got.rows, places.slice(0, 4));
  t.deepEqual(steps, [0, 1, 2, 3]);
  for (const bad of [
    { batch: 0, head: 1, row: 0 },
    { batch: 0, head: 0, row: BILLION },
  ]) {
    await t.throwsAsync(rowReference(sliding, given, [bad]), { name: 'AttncError' });
  }
});
