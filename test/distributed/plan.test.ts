// What is planned before any rank computes: shards, windows, messages, steps.

import test from 'ava';
import { clipRun, keysInRun, type KeyRun } from '../../compiler/ir/key-runs.js';
import { keyNeeds } from '../../compiler/ir/needs.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { layoutOf, piecesOfRows } from '../../runtime/distributed/layout.js';
import { byDistance, shardCuts } from '../../runtime/distributed/shards.js';
import { rowsOf, shipmentsOf, windowsOfRuns } from '../../runtime/distributed/shipments.js';
import { stepsOfPiece } from '../../runtime/distributed/steps.js';
import { isAttncError } from '../../runtime/errors.js';
import { bind } from '../../runtime/bind.js';
import { compile } from '../../compiler/compile.js';
import { attnc } from '../cli/harness.js';
import { bindProblem, lowerSample, settingsFor } from '../differential/problems.js';
import { trueMultiplicity } from '../differential/schedule-edges.js';
import { SAMPLES } from '../shapes.js';

test('shards are contiguous and even, and begin at tiles where there is room', (t) => {
  t.deepEqual(shardCuts(4_000_000, 2), [0, 2_000_000, 4_000_000]);
  t.deepEqual(shardCuts(1_000_000, 4), [0, 249_984, 500_032, 750_016, 1_000_000]);
  t.deepEqual(shardCuts(3, 4), [0, 1, 2, 2, 3]);
  t.deepEqual(shardCuts(0, 3), [0, 0, 0, 0]);
  for (const rows of [1, 2, 3, 63, 64, 65, 211, 1009, 100_003, 2 ** 31 - 1]) {
    for (const ranks of [1, 2, 3, 4, 7, 64, 1000]) {
      const cuts = shardCuts(rows, ranks);
      t.is(cuts.length, ranks + 1);
      t.deepEqual([cuts[0], cuts[ranks]], [0, rows]);
      cuts.slice(1).forEach((cut, n) => {
        const size = cut - cuts[n];
        t.true(
          size >= 0 && Math.abs(size - rows / ranks) <= Math.max(1, rows / ranks / 3.9),
          `${rows} ${ranks}`,
        );
      });
    }
  }
});

test('ranks by distance, and pieces of rows', (t) => {
  t.deepEqual(byDistance(2, 6), [1, 3, 0, 4, 5]);
  t.deepEqual(byDistance(0, 1), []);
  t.deepEqual(piecesOfRows(10, 20, 4), [
    { lo: 10, hi: 13 },
    { lo: 13, hi: 16 },
    { lo: 16, hi: 20 },
  ]);
  t.deepEqual(piecesOfRows(5, 5, 4), []);
});

const run = (lo: number, hi: number, step = 1): KeyRun => ({ lo, hi, step });

test('windows hold what is needed, are cut at the largest gaps, and are not larger than there is room', (t) => {
  t.deepEqual(windowsOfRuns([run(0, 3), run(90, 99)], 10, 1000), [
    { lo: 0, hi: 4 },
    { lo: 90, hi: 100 },
  ]);
  t.deepEqual(windowsOfRuns([run(90, 99), run(0, 3)], 100, 1000), [{ lo: 0, hi: 100 }]);
  t.deepEqual(windowsOfRuns([run(0, 96, 8)], 10, 50), [
    { lo: 0, hi: 48 },
    { lo: 48, hi: 97 },
  ]);
  t.deepEqual(windowsOfRuns([], 10, 50), []);
  // Of twelve places the seven largest gaps cut.
  const places = Array.from({ length: 12 }, (_, n) => run(n * n * 100, n * n * 100));
  const windows = windowsOfRuns(places, 10, 1e9);
  t.is(windows.length, 8);
  t.deepEqual(windows[0], { lo: 0, hi: 1601 });
  t.true(places.every(({ lo }) => windows.filter((w) => w.lo <= lo && lo < w.hi).length === 1));
});

test('rows of runs by their numbers', (t) => {
  const runs = [run(10, 14), run(20, 40, 10), run(21, 21)];
  t.deepEqual(rowsOf(runs, 0, 9), runs);
  t.deepEqual(rowsOf(runs, 3, 3), [run(13, 14), run(20, 20)]);
  t.deepEqual(rowsOf(runs, 6, 3), [run(30, 40, 10), run(21, 21)]);
  t.deepEqual(rowsOf(runs, 9, 3), []);
});

test('messages hold each needed row of each window once, in order, and are not too long', (t) => {
  const { program } = compile('pattern p() { i -> j when true }', { dim: 16, valueDim: 24, windows: true });
  const shapes = { q: [2, 4, 100, 16], k: [2, 2, 100, 16], v: [2, 2, 100, 24] };
  const bound = bind(program!, shapes, {});
  const types = { input: 'f16', output: 'f16' } as const;
  const rows = { queries: 50, keys: 50 };
  const layout = layoutOf(bound, types, rows, { bindingBytes: 1e6, windowBytes: 6000 });
  t.is(layout.groups.length, 1);
  t.is(layout.windowRows, 37);
  const runs = [run(0, 30, 2), run(5, 45, 8)];
  const parcels = [0, 1].flatMap((batch) =>
    [0, 1].map((keyHead) => ({ from: 0, to: 1, batch, keyHead, runs, rows: 22 })),
  );
  const options = { rowBytes: { k: 32, v: 48 }, messageBytes: 100, gap: 1000 };
  const shipments = shipmentsOf(parcels, layout, options);
  t.is(shipments.length, 4);
  const sent = new Map<string, number[]>();
  for (const { batch, window, messages } of shipments) {
    for (const { bytes, slices } of messages) {
      t.true(bytes > 0 && bytes <= 100);
      t.is(
        slices.reduce((n, s) => n + s.rows * options.rowBytes[s.tensor], 0),
        bytes,
      );
      for (const { tensor, keyHead, runs: own, rows: count } of slices) {
        t.is(
          own.reduce((n, r) => n + keysInRun(r), 0),
          count,
        );
        t.deepEqual(
          own,
          own.flatMap((r) => clipRun(r, window.lo, window.hi - 1) ?? []),
        );
        const name = `${tensor} ${batch} ${keyHead}`;
        const keys = sent.get(name) ?? [];
        for (const r of own) for (let k = r.lo; k <= r.hi; k += r.step) keys.push(k);
        sent.set(name, keys);
      }
    }
  }
  const expected = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 5, 13, 21, 29, 37, 45];
  t.is(sent.size, 8);
  for (const keys of sent.values()) {
    t.deepEqual(
      keys.slice().sort((a, b) => a - b),
      expected.sort((a, b) => a - b),
    );
  }
});

test('a shard is cut into pieces where a binding is small; not even a row is an error with numbers', (t) => {
  const { program } = compile('pattern p() { i -> j when true }', { dim: 16, windows: true });
  const bound = bind(program!, { q: [1, 8, 100, 16], k: [1, 2, 100, 16], v: [1, 2, 100, 16] }, {});
  const types = { input: 'f32', output: 'f32' } as const;
  const rows = { queries: 50, keys: 50 };
  const at = (bindingBytes: number, windowBytes = 1e6) =>
    layoutOf(bound, types, rows, { bindingBytes, windowBytes });
  t.deepEqual(at(1e6).groups, [{ keyHead: 0, keyHeads: 2, head: 0, heads: 8 }]);
  t.is(at(14_000).groups.length, 2);
  const { groups, queryRows, keyRows } = at(5000);
  t.deepEqual([groups.length, queryRows, keyRows], [2, 18, 50]);
  t.true(
    isAttncError(
      t.throws(() => at(400)),
      'limit-too-small',
    ),
  );
  t.true(
    isAttncError(
      t.throws(() => at(1e6, 100)),
      'usage',
    ),
  );
});

for (const sample of SAMPLES.filter((_, n) => n % 3 === 0)) {
  test(`steps of ${sample.pattern} are over all rows that attend to their keys`, (t) => {
    const [setting] = sample.settings;
    const pattern = lowerSample(sample, setting.set);
    const length = setting.lengths.find((n) => n >= 127) ?? setting.lengths.at(-1)!;
    const problem = { batch: 1, heads: Math.max(2, sample.heads), queries: length, keys: length };
    const { shape, inputs } = bindProblem(
      pattern,
      problem,
      settingsFor(sample, pattern, setting.set, problem),
    );
    const needs = keyNeeds(pattern, shape, inputs);
    const truth = trueMultiplicity(pattern, shape, inputs);
    const group = { head: 0, heads: shape.heads, keyHead: 0, keyHeads: shape.keyHeads };
    const rows = { lo: Math.floor(length / 5), hi: Math.ceil((length * 4) / 5) };
    const parts = piecesOfRows(0, length, Math.ceil(length / 5)).map((window) => ({
      window,
      shipment: undefined,
      piece: undefined,
    }));
    const steps = stepsOfPiece(needs, shape, { batch: 0, group, rows }, parts, false, false);
    t.is(baseOf(shape, 0), 0);
    t.deepEqual(steps[0].rows, rows);
    t.deepEqual(
      steps.map((s) => [s.step.first, s.step.last]),
      steps.map((_, n) => [n === 0, n === steps.length - 1]),
    );
    for (let h = 0; h < shape.heads; h++) {
      for (let i = rows.lo; i < rows.hi; i++) {
        for (let j = 0; j < length; j++) {
          if (truth[h][i * length + j] === 0) continue;
          const found = steps.filter(
            (s) => s.window.lo <= j && j < s.window.hi && s.rows.lo <= i && i < s.rows.hi,
          );
          if (found.length !== 1) t.fail(`head ${h}, pair ${i}, ${j}: ${found.length} steps`);
        }
      }
    }
    const whole = stepsOfPiece(needs, shape, { batch: 0, group, rows }, parts, true, false);
    t.true(whole.every((s) => s.rows.lo === rows.lo && s.rows.hi === rows.hi));
    const sink = stepsOfPiece(needs, shape, { batch: 0, group, rows }, parts, false, true);
    t.deepEqual(sink.at(-1)!.rows, rows);
  });
}

interface ExplainJson {
  readonly ranks: {
    readonly exact: boolean;
    readonly rowBytes: number;
    readonly pairs: readonly { readonly from: number; readonly to: number; readonly rows: number }[];
    readonly total: { readonly rows: number; readonly bytes: number };
    readonly shards: readonly { readonly receivedBytes: number; readonly localRows: number }[];
  };
}

test('attnc explain --ranks: a table, and the same as JSON', async (t) => {
  const args =
    'explain samples/sliding.attn --pattern sliding_causal --set window=100 --length 4096 --heads 4';
  const more = '--key-heads 2 --head-size 32 --ranks 4 --dtype f16';
  const text = await attnc(`${args} ${more}`);
  t.is(text.status, 0, text.stderr);
  t.regex(text.stdout, /^exchanged +600 rows, 76\.8 kB, 100 % between neighbours$/m);
  t.regex(text.stdout, /^rank 2 needs +2,048–3,071 +0 +200 +\(2,048\) +0 +25\.6 kB$/m);
  const json = await attnc(`${args} ${more} --json`);
  const { ranks } = JSON.parse(json.stdout) as ExplainJson;
  t.deepEqual(
    ranks.pairs.map((p) => [p.from, p.to, p.rows]),
    [
      [0, 1, 200],
      [1, 2, 200],
      [2, 3, 200],
    ],
  );
  t.deepEqual([ranks.exact, ranks.rowBytes, ranks.total.bytes], [true, 128, 76_800]);
  t.deepEqual(
    ranks.shards.map((s) => s.receivedBytes),
    [0, 25_600, 25_600, 25_600],
  );
  // A rank for itself, and more ranks than a table is printed for.
  const one = await attnc(`${args} --ranks 1`);
  t.regex(one.stdout, /^exchanged +0 rows, 0 B$/m);
  const many = await attnc(`${args} --ranks 17`);
  t.notRegex(many.stdout, /^rank 2 needs/m);
});
