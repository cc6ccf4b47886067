// Results of several ranks in sinks: types, sums, rows that are kept, one file; and measuring.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
import type { StorageType } from '../../compiler/ir/program.js';
import { finishShared, openSharedSink } from '../../cli/distributed/sink.js';
import {
  pickForRanks,
  planDistributed,
  runDistributed,
  type DistributedOptions,
  type RankResult,
} from '../../runtime/distributed/index.js';
import { isAttncError } from '../../runtime/errors.js';
import { readTensors } from '../../runtime/files/node.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { choose } from '../../runtime/prepare.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { sumBand, sumFromText, addSums, NO_ROWS, sumText } from '../../runtime/stream/row-sum.js';
import type { RowPlace, SinkSummary } from '../../runtime/stream/rows.js';
import { bytesOf, fromBytes, toFloat32, type Tensor } from '../../runtime/tensor.js';
import { scratch } from '../cli/harness.js';
import { localRanks } from './local-ranks.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

const DIM = 16;
const LENGTH = 203;
const SHAPE = [1, 2, LENGTH, DIM];
const KEEP: readonly RowPlace[] = [0, 66, 100, 202].map((row) => ({ batch: 0, head: row % 2, row }));

interface Ran {
  readonly results: readonly RankResult[];
  readonly summaries: readonly (SinkSummary | undefined)[];
}

const sourcesOf = (dtype: StorageType) => ({
  q: randomRows('q', dtype, SHAPE, 5),
  k: randomRows('k', dtype, SHAPE, 5),
  v: randomRows('v', dtype, SHAPE, 5),
});

async function onRanks(
  text: string,
  size: number,
  dtype: StorageType,
  output: string | undefined,
  options: DistributedOptions,
): Promise<Ran> {
  const { program } = compile(text, { dim: DIM, windows: true });
  const prepared = choose(opened.device, program!);
  const all = await Promise.all(
    localRanks(size).ranks.map(async (rank) => {
      const sources = sourcesOf(dtype);
      const plan = planDistributed(program!, size, sources, {}, opened.device.limits, options);
      const picked = pickForRanks(prepared, plan, options);
      const results = { output, dtype: plan.output, shape: SHAPE, keep: KEEP, pattern: program!.name };
      const shared = await openSharedSink(rank, results);
      const result = await runDistributed(rank, prepared, plan, picked, sources, shared.sink, options);
      const summary = await finishShared(rank, shared, result.bands, results);
      for (const source of Object.values(sources)) await source.close();
      return { result, summary };
    }),
  );
  return { results: all.map((a) => a.result), summaries: all.map((a) => a.summary) };
}

const WINDOW = 'pattern window() { i -> j when abs(i - j) <= 30 }';
const DENSE = 'pattern dense() { i -> j when true }';

test.serial('one file of all ranks, its sum and kept rows are what a checksum says too', async (t) => {
  const file = scratch(t)('out.safetensors');
  const written = await onRanks(WINDOW, 3, 'f32', file, { hostBytes: 20_000 });
  const summed = await onRanks(WINDOW, 3, 'f32', undefined, {});
  const [a, b] = [written.summaries[0]!, summed.summaries[0]!];
  t.deepEqual(written.summaries.slice(1), [undefined, undefined]);
  t.is(a.sum, b.sum);
  t.is(a.rows, 2 * LENGTH);
  t.deepEqual(a.kept, b.kept);
  t.is(a.kept.length, KEEP.length);

  const { tensors } = await readTensors(file);
  const [out, lse] = [tensors.get('out') as Tensor, tensors.get('lse') as Tensor];
  const sum = [0, 1].reduce((total, head) => {
    const bytes = bytesOf(out).subarray(head * LENGTH * DIM * 4, (head + 1) * LENGTH * DIM * 4);
    const own = (lse.data as Float32Array).subarray(head * LENGTH, (head + 1) * LENGTH);
    return addSums(total, sumBand(0, head, 0, bytes, DIM * 4, own));
  }, NO_ROWS);
  t.is(sumText(sum), a.sum);
  t.truthy(sumFromText(a.sum));
  for (const { head, row, out: kept, lse: own } of a.kept) {
    const at = (head * LENGTH + row) * DIM;
    t.deepEqual(
      new Float32Array(kept.buffer, kept.byteOffset, DIM),
      (out.data as Float32Array).slice(at, at + DIM),
    );
    t.is(own, (lse.data as Float32Array)[head * LENGTH + row]);
  }
});

for (const dtype of ['f16', 'bf16'] as const) {
  test.serial(`in ${dtype}, parts of many ranks add up in f32 and are rounded once`, async (t) => {
    const file = scratch(t)('out.safetensors');
    const { results } = await onRanks(DENSE, 7, dtype, file, { out: dtype });
    t.true(results.every((r) => r.stats.kernels?.output === 'f32'));
    const { tensors } = await readTensors(file);
    const [out, lse] = [tensors.get('out') as Tensor, tensors.get('lse') as Tensor];
    t.is(out.dtype, dtype);
    const made = await Promise.all(
      Object.entries(sourcesOf(dtype)).map(async ([name, source]) => {
        const bytes = new Uint8Array(2 * LENGTH * DIM * 2);
        for (const head of [0, 1])
          await source.read(
            0,
            head,
            0,
            LENGTH,
            bytes.subarray(head * LENGTH * DIM * 2, (head + 1) * LENGTH * DIM * 2),
          );
        return [name, fromBytes(dtype, SHAPE, bytes)] as const;
      }),
    );
    const { program } = compile(DENSE, { dim: DIM });
    const expected = reference(program!.pattern, Object.fromEntries(made) as Record<'q' | 'k' | 'v', Tensor>);
    const report = compare({ out: toFloat32(out), lse: toFloat32(lse) }, expected, {
      input: dtype,
      output: dtype,
    });
    t.true(report.pass, JSON.stringify(report));
    const unit = dtype === 'f16' ? 2 ** -11 : 2 ** -8;
    const worst = toFloat32(out).reduce((most, x, n) => {
      const wanted = expected.out[n];
      return Math.max(most, Math.abs(x - wanted) / (unit * Math.max(Math.abs(wanted), 1e-3) + 1e-6));
    }, 0);
    t.true(worst < 1.02, `${worst} half units`);
  });
}

test.serial('what is measured is measured as often as asked, and gives the same', async (t) => {
  const once = await onRanks(WINDOW, 2, 'f32', undefined, {});
  const thrice = await onRanks(WINDOW, 2, 'f32', undefined, { repeats: 3 });
  t.is(once.summaries[0]!.sum, thrice.summaries[0]!.sum);
  for (const { stats } of thrice.results) {
    t.is(stats.milliseconds.length, 3);
    t.true(stats.milliseconds.every((n) => n > 0));
    if (stats.gpuMilliseconds) t.is(stats.gpuMilliseconds.length, 3);
  }
});

test.serial('what cannot be run says why, with numbers', async (t) => {
  const cases: readonly (readonly [DistributedOptions, 'usage' | 'limit-too-small', RegExp])[] = [
    [{ deviceBytes: 1000 }, 'usage', /shard of rank \d and its results take \d+ bytes .* there are 1000/],
    [{ hostBytes: 100 }, 'usage', /a memory budget of 100 bytes holds no message/],
    [{ windowBytes: 100 }, 'usage', /a budget of 100 bytes for keys of other ranks/],
    [{ bindingBytes: 300 }, 'limit-too-small', /maxStorageBufferBindingSize must be at least/],
  ];
  for (const [options, kind, told] of cases) {
    const error = await t.throwsAsync(() => onRanks(WINDOW, 1, 'f32', undefined, options));
    t.true(isAttncError(error, kind), String(error));
    t.regex(error.message, told);
  }
  const { program } = compile(WINDOW, { dim: DIM });
  const error = t.throws(() => planDistributed(program!, 2, sourcesOf('f32'), {}, opened.device.limits));
  t.regex(error.message, /compile with \{ windows: true \}/);
  const mixed = { ...sourcesOf('f32'), v: randomRows('v', 'f16', SHAPE, 5) };
  const { program: windows } = compile(WINDOW, { dim: DIM, windows: true });
  const other = t.throws(() => planDistributed(windows!, 2, mixed, {}, opened.device.limits));
  t.regex(other.message, /q is f32, k f32 and v f16/);
});
