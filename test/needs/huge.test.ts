// Needs at a billion keys: what they are, and that finding them takes few steps, whatever the length.

import test from 'ava';
import { countKeys, type KeyRun } from '../../compiler/ir/key-runs.js';
import type { BoundGraph, BoundInputs } from '../../compiler/ir/inputs.js';
import { keyNeeds } from '../../compiler/ir/needs.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { lowerSample } from '../differential/problems.js';
import { randomNumbers } from '../sample-tables.js';
import type { SampleSetting } from '../shapes.js';

const KEYS = 1_000_000_000;
const ROWS = 16_000_000;
const START = 500_000_123;
const HEAD = 5;

function shapeOf(pattern: Pattern, keys: number, grid: readonly number[] = []): BoundShape {
  const parameters = new Map(
    pattern.parameters.filter((p) => !p.fixed).map((p) => [p.name, p.value as number]),
  );
  const { align } = pattern;
  return { batch: 1, heads: 8, keyHeads: 8, dim: 64, queries: [keys], keys: [keys], grid, align, parameters };
}

const run = (lo: number, hi: number, step = 1): KeyRun => ({ lo, hi, step });
const END = START + ROWS - 1;

interface Case {
  readonly file: string;
  readonly pattern: string;
  readonly set: SampleSetting['set'];
  /** What the queries START … START + ROWS − 1 need, where it is easily said. */
  readonly runs?: readonly KeyRun[];
  readonly most: { readonly steps: number; readonly runs: number };
}

/** The segment of `length` that a position lies in, every rate-th key of it. */
const segment = (position: number, length: number, rate: number): KeyRun => {
  const start = position - (position % length);
  return run(start + (HEAD % rate), start + length - rate + (HEAD % rate), rate);
};
const few = { steps: 3000, runs: 8 };

const CASES: readonly Case[] = [
  { file: 'sliding', pattern: 'sliding', set: { window: 32 }, runs: [run(START - 32, END + 32)], most: few },
  {
    file: 'sliding',
    pattern: 'window_causal',
    set: { window: 4096 },
    runs: [run(START - 4095, END)],
    most: few,
  },
  { file: 'dense', pattern: 'causal', set: {}, runs: [run(0, END)], most: few },
  {
    file: 'dilated',
    pattern: 'dilated_window',
    set: { window: 2048, dilation: 8 },
    runs: [run(START - 2048, END)],
    most: few,
  },
  {
    file: 'dilated',
    pattern: 'dilated_2d',
    set: { block: 256, gap: 1 },
    runs: [run(500_000_000, 516_000_254, 2)],
    most: few,
  },
  {
    file: 'longformer',
    pattern: 'longformer',
    set: { window: 256, globals: 64 },
    runs: [run(0, 63), run(START - 256, END + 256)],
    most: few,
  },
  {
    file: 'global-minus-local',
    pattern: 'global_minus_local',
    set: { globals: [0, 7, 100_000_000], window: 256 },
    runs: [run(0, 0), run(7, 7), run(100_000_000, 100_000_000)],
    most: few,
  },
  { file: 'sparse-transformer', pattern: 'strided', set: { stride: 4096 }, runs: [run(0, END)], most: few },
  {
    file: 'sparse-transformer',
    pattern: 'fixed',
    set: { stride: 128, summary: 1 },
    runs: [run(127, 499_999_999, 128), run(500_000_000, END)],
    most: few,
  },
  {
    file: 'longnet',
    pattern: 'longnet',
    set: { w: [2048, 1_048_576], r: [1, 512] },
    runs: [
      { ...segment(START, 1_048_576, 512), hi: 499_998_213 },
      run(499_998_720, 516_001_791),
      { ...segment(END, 1_048_576, 512), lo: 516_001_797 },
    ],
    most: few,
  },
  {
    file: 'longnet',
    pattern: 'longnet',
    set: { w: [2048, 16384, 131_072, 1_048_576], r: [1, 8, 64, 512] },
    most: few,
  },
  {
    file: 'longnet',
    pattern: 'longnet_causal',
    set: { w: [2048, 16384, 131_072, 1_048_576], r: [1, 8, 64, 512] },
    most: few,
  },
  {
    file: 'longnet',
    pattern: 'longnet_torchscale',
    set: { w: [2048, 16384, 131_072, 1_048_576], r: [1, 8, 64, 512] },
    most: few,
  },
  // Rates that don't divide their segments: the rows of each segment are runs of their own.
  {
    file: 'longnet',
    pattern: 'longnet',
    set: { w: [2000, 16000], r: [3, 7] },
    most: { steps: 10_000, runs: 100_000 },
  },
  { file: 'prefix', pattern: 'prefix', set: {}, runs: [run(0, END)], most: few },
  { file: 'butterfly', pattern: 'butterfly', set: {}, most: { steps: 20_000, runs: 32 } },
];

for (const { file, pattern: name, set, runs, most } of CASES) {
  test(`a billion keys: ${name} ${JSON.stringify(set)}`, (t) => {
    const pattern = lowerSample({ file: `samples/${file}.attn`, pattern: name }, set);
    const shape = shapeOf(pattern, KEYS);
    const needs = keyNeeds(pattern, shape, new Map());
    const found = needs.exact(0, HEAD, START, START + ROWS, 0, KEYS);
    t.true(found.exact);
    t.true(found.steps <= most.steps, `${found.steps} steps`);
    t.true(found.runs.length <= most.runs, `${found.runs.length} runs`);
    if (runs) t.deepEqual(found.runs, runs);
    spotCheck(t, pattern, shape, found.runs);
    const intervals = needs.intervals(0, 0, 8, START, START + ROWS, 65_536);
    t.true(intervals.length <= 16, `${intervals.length} intervals`);
    const outside = found.runs.find(
      (r) => !intervals.some((x) => r.lo >= x.lo && r.hi < x.hi) && r.step === 1,
    );
    t.is(outside, undefined, 'intervals hold the runs');
    t.log(
      `${found.steps} steps, ${found.runs.length} runs of ${countKeys(found.runs)} keys, ${intervals.length} intervals`,
    );
  });
}

/** Of queries here and there, every key that they attend to nearby is needed. */
function spotCheck(
  t: { is(a: unknown, b: unknown, message?: string): void },
  pattern: Pattern,
  shape: BoundShape,
  runs: readonly KeyRun[],
): void {
  const random = randomNumbers(3);
  const m = evaluator(pattern, shape, new Map());
  const needed = (j: number): boolean =>
    runs.some((r) => j >= r.lo && j <= r.hi && (j - r.lo) % r.step === 0);
  for (let n = 0; n < 8; n++) {
    const i = n === 0 ? START : n === 1 ? END : START + Math.floor(random() * ROWS);
    m.row(0, HEAD, i);
    let missed = -1;
    for (let j = i - 3000; j <= Math.min(i + 3000, KEYS - 1) && missed < 0; j++)
      if (m.at(j) > 0 && (runs.length > 1000 ? !near(runs, j) : !needed(j))) missed = j;
    t.is(missed, -1, `query ${i} needs it`);
  }
}

/** `needed` for very many runs, of which those around a key lie near to each other. */
function near(runs: readonly KeyRun[], j: number): boolean {
  let lo = 0;
  let hi = runs.length;
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (runs[middle].lo <= j) lo = middle + 1;
    else hi = middle;
  }
  return runs.slice(Math.max(0, lo - 64), lo).some((r) => j <= r.hi && (j - r.lo) % r.step === 0);
}

test('a billion tokens of video', (t) => {
  const pattern = lowerSample(
    { file: 'samples/neighbourhood.attn', pattern: 'neighbourhood_3d' },
    { height: 500, width: 1000, frames: 3, kernel: 7 },
  );
  const frame = 500_000;
  const shape = shapeOf(pattern, 2000 * frame, [2000, 500, 1000]);
  const needs = keyNeeds(pattern, shape, new Map());
  const whole = needs.exact(0, 0, 1000 * frame, 1032 * frame, 0, KEYS);
  t.deepEqual(whole.runs, [run(999 * frame, 1033 * frame - 1)]);
  t.true(whole.steps < 10_000, `${whole.steps} steps`);
  // One row of a frame: three rows above and below, in three frames.
  const row = needs.exact(0, 0, 1000 * frame + 100_000, 1000 * frame + 101_000, 0, KEYS);
  t.deepEqual(
    row.runs,
    [-1, 0, 1].map((n) => run((1000 + n) * frame + 97_000, (1000 + n) * frame + 104_000 - 1)),
  );
  t.true(row.steps < 100_000, `${row.steps} steps`);
});

test('drawn blocks are enumerated', (t) => {
  const pattern = lowerSample({ file: 'samples/bigbird.attn', pattern: 'bigbird' }, {});
  const needs = keyNeeds(pattern, shapeOf(pattern, KEYS), new Map());
  const found = needs.exact(0, HEAD, START, START + 64_000, 0, KEYS);
  const blocks = 1001;
  t.true(found.exact);
  t.true(
    found.runs.length > 2.9 * blocks && found.runs.length <= 3 * blocks + 2,
    `${found.runs.length} runs`,
  );
  t.true(found.steps < 5 * blocks, `${found.steps} steps`);
});

test('graphs cost their edges', (t) => {
  const rows = 200_000;
  const random = randomNumbers(9);
  const rowPtr = new Int32Array(rows + 1);
  const columns: number[] = [];
  for (let a = 0; a < rows; a++) {
    const own = new Set([a, Math.floor(random() * rows), Math.floor(random() * 100)]);
    columns.push(...[...own].sort((x, y) => x - y));
    rowPtr[a + 1] = columns.length;
  }
  const graph: BoundGraph = {
    kind: 'graph',
    rows,
    cols: rows,
    batches: 1,
    heads: 1,
    rowPtr,
    colIdx: Int32Array.from(columns),
    weight: undefined,
  };
  const inputs: BoundInputs = new Map([['bonds', graph]]);
  const pattern = lowerSample({ file: 'samples/graph.attn', pattern: 'graph' }, {});
  const needs = keyNeeds(pattern, shapeOf(pattern, rows), inputs);
  const [lo, hi] = [120_000, 130_000];
  const found = needs.exact(0, 0, lo, hi, 0, rows);
  const expected = new Set(graph.colIdx.subarray(rowPtr[lo], rowPtr[hi]));
  t.is(countKeys(found.runs), expected.size);
  t.true(found.runs.every((r) => expected.has(r.lo) && expected.has(r.hi)));
  t.true(found.steps <= 1.1 * (rowPtr[hi] - rowPtr[lo]), `${found.steps} steps`);
});

test('values in no order are joined, not compared pair by pair', (t) => {
  const tokens = 300_000;
  const random = randomNumbers(5);
  const doc = Int32Array.from({ length: tokens }, () => Math.floor(random() * 50_000));
  const inputs: BoundInputs = new Map([['doc', { kind: 'table', type: 'int', sizes: [tokens], data: doc }]]);
  for (const name of ['documents', 'documents_causal']) {
    const pattern = lowerSample({ file: 'samples/documents.attn', pattern: name }, {});
    const needs = keyNeeds(pattern, shapeOf(pattern, tokens), inputs);
    const [lo, hi] = [200_000, 201_000];
    const found = needs.exact(0, 0, lo, hi, 0, tokens);
    t.true(found.exact);
    t.true(found.steps < 4 * tokens, `${found.steps} steps`);
    const last = new Map(Array.from(doc.subarray(lo, hi), (d, n) => [d, lo + n]));
    const expected = doc.reduce((n, d, j) => {
      const i = last.get(d);
      return n + (i !== undefined && (name === 'documents' || j <= i) ? 1 : 0);
    }, 0);
    t.is(countKeys(found.runs), expected);
  }
});
