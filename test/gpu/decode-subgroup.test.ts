// Decoding kernels for subgroups, against the oracle: heads that share keys, few and many queries, every storage type.

import test from 'ava';
import { STORAGE_TYPES } from '../../compiler/ir/program.js';
import { compilePattern } from '../../compiler/compile.js';
import { run, type HostTensors, type RunResult } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { fromNumbers, tensor, toFloat32, type TensorOf } from '../../runtime/tensor.js';
import { lowerSample, settingsFor, type ProblemShape } from '../differential/problems.js';
import { SAMPLES, type SampleCase } from '../shapes.js';
import { checkNotFinite } from './not-finite.js';
import { compileSample } from './samples.js';
import { makeTensors, type DataKind } from './tensors.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered', features: 'offered' });
});
test.after.always(() => opened?.close());

const sampleOf = (name: string): SampleCase => {
  const found = SAMPLES.find((s) => s.pattern === name);
  if (!found) throw new Error(`no sample ${name}`);
  return found;
};

const HEADS = [
  [1, 1],
  [8, 2],
  [32, 8],
  [3, 1],
] as const;

interface Row {
  readonly pattern: string;
  readonly dims: readonly [number, number];
  readonly kind?: DataKind;
  /** Tiles that differ by head: heads don't share workgroups. */
  readonly apart?: boolean;
}

/** Masks, scores, sinks, tables, lists of positions, several passes, and what depends on the head. */
const ROWS: readonly Row[] = [
  { pattern: 'dense', dims: [128, 128] },
  { pattern: 'causal', dims: [256, 24], kind: 'large' },
  { pattern: 'window_causal', dims: [24, 16] },
  { pattern: 'alibi', dims: [128, 24], kind: 'rising' },
  { pattern: 'sink', dims: [64, 64] },
  { pattern: 'documents_causal', dims: [16, 128] },
  { pattern: 'shared_prefix_causal', dims: [80, 40] },
  { pattern: 'global_sliding', dims: [16, 24] },
  { pattern: 'longformer', dims: [24, 256], kind: 'large' },
  { pattern: 'relative_bias', dims: [16, 16] },
  { pattern: 'bigbird', dims: [24, 24], apart: true },
  { pattern: 'longnet_causal', dims: [16, 40], apart: true },
];

const sizes = (n: number): readonly ProblemShape[] => {
  const pairs = [
    [1, 129],
    [2, 300],
    [17, 300],
    [64, 129],
  ] as const;
  const [many, few] = [HEADS[n % 4], HEADS[(n + 1) % 4]];
  return [
    ...pairs.map(([queries, keys], m): ProblemShape => {
      const [heads, keyHeads] = m % 2 === 0 ? many : few;
      return { batch: 1 + (m % 2), heads, keyHeads, queries, keys };
    }),
    { batch: 1, heads: 8, keyHeads: 2, queries: 1, keys: 5000 },
    {
      batch: 2,
      heads: 4,
      keyHeads: 2,
      queries: 3,
      keys: 900,
      lengths: { queries: [3, 1], keys: [900, 401] },
    },
  ];
};

ROWS.forEach(({ pattern: name, dims: [dim, valueDim], kind = 'plain', apart = false }, n) => {
  test.serial(`${name}, head sizes ${dim} and ${valueDim}`, async (t) => {
    const sample = sampleOf(name);
    const [{ set }] = sample.settings;
    const pattern = lowerSample(sample, set);
    const program = compilePattern(pattern, { dim, valueDim });
    const packs = program.variants
      .filter((v) => v.family === 'subgroup')
      .flatMap((v) => v.kernels.flatMap((k) => (k.role === 'decode' ? [k.pack?.heads] : [])));
    t.true(packs.length > 0);
    t.is(packs.includes(false), apart, 'heads share workgroups where their tiles are the same');
    for (const shape of sizes(n)) {
      const tensors = {
        ...makeTensors(shape, dim, valueDim, kind, n),
        ...settingsFor(sample, pattern, set, shape),
      };
      const result = await run(opened.device, program, tensors, { decode: true, family: 'subgroup' });
      const report = compare({ out: result.out.data, lse: result.lse.data }, reference(pattern, tensors));
      t.true(report.pass, JSON.stringify([shape, result.stats.kernels, report]));
      t.true(
        result.stats.kernels.some((k) => k.includes('decode')),
        'it decodes',
      );
      if (shape.keys === 5000 && name === 'dense') t.is(result.stats.splits, 19);
    }
  });
});

test.serial('every storage type', async (t) => {
  const sample = sampleOf('alibi');
  const pattern = lowerSample(sample, {});
  const program = compilePattern(pattern, { dim: 40, valueDim: 64 });
  const shape: ProblemShape = { batch: 1, heads: 6, keyHeads: 2, queries: 2, keys: 700 };
  for (const type of STORAGE_TYPES) {
    const { q, k, v } = makeTensors(shape, 40, 64, 'plain', 4);
    const given = settingsFor(sample, pattern, {}, shape);
    const stored = [q, k, v].map((x) => fromNumbers(type, x.shape, x.data));
    const wide = stored.map((x) => tensor('f32', x.shape, toFloat32(x)));
    const [sq, sk, sv] = stored as TensorOf<'f32'>[];
    const [wq, wk, wv] = wide;
    const result = await run(
      opened.device,
      program,
      { q: sq, k: sk, v: sv, ...given },
      { decode: true, family: 'subgroup' },
    );
    t.is(result.stats.input, type);
    const report = compare(
      { out: result.out.data, lse: result.lse.data },
      reference(pattern, { q: wq, k: wk, v: wv, ...given }),
    );
    t.true(report.pass, JSON.stringify([type, report]));
  }
});

for (const name of ['causal', 'window_causal', 'global_sliding', 'documents_causal', 'bigbird']) {
  test.serial(`NaN and infinity reach the rows with an edge to them, and no others: ${name}`, async (t) => {
    const [compiled] = compileSample(sampleOf(name), 1, { dim: 40, valueDim: 24 });
    const go = (tensors: HostTensors, options: object): Promise<RunResult> =>
      run(opened.device, compiled.program, tensors, { ...options, family: 'subgroup' });
    for (const shape of [
      { batch: 1, heads: 8, keyHeads: 2, queries: 3, keys: 150 },
      { batch: 1, heads: 3, keyHeads: 1, queries: 20, keys: 100 },
    ]) {
      const rows = await checkNotFinite(t, compiled, go, () => [{ decode: true }], shape);
      t.true(rows > 0);
    }
  });
}

test.serial('a long row among short ones: the keys of its pass alone are divided', async (t) => {
  const sample = sampleOf('longformer');
  const pattern = lowerSample(sample, { window: 16, globals: 3 });
  const program = compilePattern(pattern, { dim: 16 });
  const shape: ProblemShape = { batch: 1, heads: 1, queries: 4160, keys: 4160 };
  const tensors = makeTensors(shape, 16, 16, 'plain', 2);
  const result = await run(opened.device, program, tensors, { family: 'subgroup' });
  const report = compare({ out: result.out.data, lse: result.lse.data }, reference(pattern, tensors));
  t.true(report.pass, JSON.stringify([result.stats.kernels, report]));
  const roles = result.stats.kernels.map((k) => /tiles|decode|merge/.exec(k)?.[0]);
  t.deepEqual(roles, ['tiles', 'decode', 'merge']);
  t.is(result.stats.splits, 16);
});
