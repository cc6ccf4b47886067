// A billion rows, of which only a few bands are computed: positions and element offsets past 2^31 and 2^32.

import test from 'ava';
import { compilePattern } from '../../compiler/compile.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { MATRIX_FEATURE } from '../../runtime/node/adapter.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import type { Band } from '../../runtime/parts/bands.js';
import { neededKeys } from '../../runtime/parts/needed.js';
import { compare, rowReference, type RowIndex } from '../../runtime/reference/index.js';
import { estimateStream } from '../../runtime/stream/estimate.js';
import { runStream } from '../../runtime/stream/pipeline.js';
import {
  deliveriesOf,
  planStream,
  type PlannedStream,
  type StreamSources,
} from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import type { KeptRow, RowSink } from '../../runtime/stream/rows.js';
import { keptResults } from '../../runtime/stream/summary.js';
import { lowerSample } from '../differential/problems.js';
import type { SampleSetting } from '../shapes.js';

const DIM = 16;
const BILLION = 1_000_000_000;
const MOST = 2 ** 31 - 1;
/** Rows where the number of an element reaches 2^31 and 2^32. */
const EDGES = [2 ** 31 / DIM, 2 ** 32 / DIM];

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ features: 'offered', limits: 'offered' });
});
test.after.always(() => opened?.close());

interface Case {
  readonly file: string;
  readonly pattern: string;
  readonly set: SampleSetting['set'];
  readonly tokens: number;
  readonly heads: number;
}

const CASES: readonly Case[] = [
  { file: 'sliding', pattern: 'sliding', set: { window: 20 }, tokens: BILLION, heads: 1 },
  // The kernels compute i + window, which is an integer of 32 bits.
  { file: 'sliding', pattern: 'sliding', set: { window: 20 }, tokens: MOST - 20, heads: 1 },
  { file: 'sliding', pattern: 'window_causal', set: { window: 40 }, tokens: BILLION, heads: 2 },
  {
    file: 'dilated',
    pattern: 'dilated_window',
    set: { window: 512, dilation: 8 },
    tokens: BILLION,
    heads: 1,
  },
  {
    file: 'longnet',
    pattern: 'longnet',
    set: { w: [64, 256, 1024], r: [1, 4, 16] },
    tokens: BILLION,
    heads: 2,
  },
];

const sourcesOf = (tokens: number, heads: number): StreamSources => {
  const source = (name: string) => randomRows(name, 'f16', [1, heads, tokens, DIM], 11);
  return { q: source('q'), k: source('k'), v: source('v') };
};

/** Keeps some rows of every band that comes: the first, the last, and a few between. */
function keepingSink(rowBytes: number): { readonly sink: RowSink; readonly kept: KeptRow[] } {
  const kept: KeptRow[] = [];
  const sink: RowSink = {
    write: async (batch, head, lo, hi, out, lse) => {
      const step = Math.max(1, Math.floor((hi - lo) / 7));
      const rows = new Set([lo, hi - 1, ...Array.from({ length: 7 }, (_, n) => lo + n * step)]);
      for (const row of [...rows].sort((a, b) => a - b)) {
        const bytes = out.slice((row - lo) * rowBytes, (row - lo + 1) * rowBytes);
        kept.push({ batch, head, row, out: bytes, lse: lse[row - lo] });
      }
      return { sum: '0'.repeat(16), kept: [] };
    },
    sync: async () => undefined,
    finish: async () => {
      throw new Error('not all rows came');
    },
    close: async () => undefined,
  };
  return { sink, kept };
}

/** Band of so many rows, with the keys that they need. */
function bandAt({ bound }: PlannedStream, head: number, row: number, rows: number): Band {
  const first = baseOf(bound.binding.shape, 0) + row;
  const windows = neededKeys(bound)(0, [head, head + 1], [first, first + rows], 256);
  return { batch: 0, batches: 1, head, heads: 1, row, rows, windows };
}

for (const { file, pattern: name, set, tokens, heads } of CASES) {
  test.serial(`${name} of ${tokens} rows: around 2^31 and 2^32 elements, and at the end`, async (t) => {
    const pattern = lowerSample({ file: `samples/${file}.attn`, pattern: name }, set);
    const program = compilePattern(pattern, { dim: DIM, windows: true });
    const sources = sourcesOf(tokens, heads);
    const options = { deviceBytes: 2 ** 32, hostBytes: 2 ** 30 };
    const limits = { maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 40 };
    const whole = planStream(program, sources, {}, limits, options);
    const places = [...EDGES.map((row) => row - 100), tokens - 200];
    const bands = places.map((row, n) => bandAt(whole, n % heads, row, 200));
    const planned = { ...whole, bands, deliveries: bands.flatMap(deliveriesOf) };
    const { sink, kept } = keepingSink(DIM * 4);
    const small = { ...options, hostBytes: 2 ** 22 };
    const { family } = await runStream(opened.device, program, planned, sources, sink, small);
    const rows: RowIndex[] = kept.map(({ batch, head, row }) => ({ batch, head, row }));
    t.true(rows.some((r) => r.row * DIM >= 2 ** 32) && rows.some((r) => r.row === tokens - 1));
    const expected = await rowReference(pattern, sources, rows);
    t.deepEqual(expected.skipped, []);
    t.true(expected.edges.every((e) => e > 0));
    const report = compare(keptResults(kept, 'f32'), expected, 'f16');
    t.true(report.pass, JSON.stringify(report));
    // Far nearer than f16 would let them be: all is computed in float32, but for what matrices multiply.
    t.true(
      report.worstRow.error < (family === 'matrix' ? 1e-3 : 1e-5),
      `${family}, ${report.worstRow.error}`,
    );
    t.true(family === 'matrix' || !opened.device.features.has(MATRIX_FEATURE), family);
    for (const s of [sources.q, sources.k, sources.v]) await s.close();
  });
}

test.serial('a number past 32 bits, in the last band alone, is an error before anything runs', async (t) => {
  const pattern = lowerSample({ file: 'samples/sliding.attn', pattern: 'sliding' }, { window: 20 });
  const program = compilePattern(pattern, { dim: DIM, windows: true });
  const sources = sourcesOf(MOST, 1);
  const options = { deviceBytes: 2 ** 32, hostBytes: 2 ** 30 };
  const planned = planStream(program, sources, {}, opened.device.limits, options);
  const { sink, kept } = keepingSink(DIM * 4);
  await t.throwsAsync(runStream(opened.device, program, planned, sources, sink, options), {
    name: 'AttncError',
    message: /the kernels need the number 2147483666 to find the keys .* past 32 bits/,
  });
  t.deepEqual(kept, []);
});

test.serial('a billion rows, of which all bands but the last are done', async (t) => {
  const set = { window: 5 };
  const pattern = lowerSample({ file: 'samples/sliding.attn', pattern: 'window_causal' }, set);
  const program = compilePattern(pattern, { dim: DIM, windows: true });
  const sources = sourcesOf(BILLION, 1);
  const options = { deviceBytes: 2 ** 24, hostBytes: 2 ** 24, out: 'f16' } as const;
  const planned = planStream(program, sources, {}, opened.device.limits, options);
  const { deliveries } = planned;
  t.is(
    deliveries.reduce((n, d) => n + d.hi - d.lo, 0),
    BILLION,
  );
  t.true(deliveries.every((d, n) => d.lo === (n === 0 ? 0 : deliveries[n - 1].hi)));
  const { sink, kept } = keepingSink(DIM * 2);
  const told: number[] = [];
  const stats = await runStream(opened.device, program, planned, sources, sink, {
    ...options,
    done: deliveries.length - 2,
    onBand: ({ rows }) => told.push(rows),
  });
  t.is(stats.steps, 2);
  t.is(told.at(-1), BILLION);
  t.is(kept.at(-1)?.row, BILLION - 1);
  t.is(kept[0].row, deliveries[deliveries.length - 2].lo);
  const expected = await rowReference(
    pattern,
    sources,
    kept.map(({ batch, head, row }) => ({ batch, head, row })),
  );
  const report = compare(keptResults(kept, 'f16'), expected, { input: 'f16', output: 'f16' });
  t.true(report.pass, JSON.stringify(report));
  const { bands } = estimateStream(planned, sources, 'f16');
  t.true(bands === planned.bands.length && bands > 1000, `${bands}`);
  for (const s of [sources.q, sources.k, sources.v]) await s.close();
});
