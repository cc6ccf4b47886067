// Streamed runs: every sample through a budget of a few kilobytes, against the oracle.

import test from 'ava';
import { compile, compilePattern } from '../../compiler/compile.js';
import { run } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { runStream } from '../../runtime/stream/pipeline.js';
import { planStream } from '../../runtime/stream/plan.js';
import { tensorRows } from '../../runtime/stream/tensor-rows.js';
import { tensorSink } from '../../runtime/stream/tensor-sink.js';
import { tensor, toFloat32, zeros } from '../../runtime/tensor.js';
import { lowerSample, settingsFor, sizesFor, type ProblemShape } from '../differential/problems.js';
import { makeTensors } from '../gpu/tensors.js';
import { LENGTHS, SAMPLES } from '../shapes.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

const DIM = 16;

for (const [number, sample] of SAMPLES.entries()) {
  test.serial(`${sample.pattern} through a small budget`, async (t) => {
    const [setting] = sample.settings;
    const pattern = lowerSample(sample, setting.set);
    const program = compilePattern(pattern, { dim: DIM, valueDim: DIM, windows: true });
    const own = setting.lengths !== LENGTHS;
    const [queries, keys] = own ? sizesFor(sample, setting)[0] : [200, 200];
    const heads = sample.heads < 4 ? 2 : sample.heads;
    const uneven = !own && number % 2 === 0;
    const shape: ProblemShape = {
      batch: uneven ? 2 : 1,
      heads,
      keyHeads: number % 3 === 0 ? heads / 2 : heads,
      queries,
      keys,
      ...(uneven && { lengths: { queries: [queries, queries - 61], keys: [keys, keys - 61] } }),
    };
    const made = makeTensors(shape, DIM, DIM, 'plain', 5);
    const settings = settingsFor(sample, pattern, setting.set, shape, 2);
    const expected = reference(pattern, { ...made, ...settings });
    const sources = { q: tensorRows(made.q, 'q'), k: tensorRows(made.k, 'k'), v: tensorRows(made.v, 'v') };
    const out = zeros('f32', [shape.batch, heads, queries, DIM]);
    const lse = tensor('f32', [shape.batch, heads, queries], new Float32Array(shape.batch * heads * queries));
    // A weighted graph is bound whole.
    const bindingBytes = sample.pattern === 'graph_weighted' ? 24_576 : 16_384;
    const options = { deviceBytes: 100_000, hostBytes: 64_000, bindingBytes };
    const planned = planStream(program, sources, settings, opened.device.limits, options);
    const stats = await runStream(opened.device, program, planned, sources, tensorSink(out, lse), options);
    const report = compare({ out: out.data, lse: lse.data }, expected);
    t.true(report.pass, JSON.stringify(report));
    t.true(
      stats.deviceBytes <= options.deviceBytes * 1.5 && stats.hostBytes <= options.hostBytes,
      JSON.stringify(stats),
    );
    t.log(
      `${stats.bands} bands, ${stats.steps} steps, ${stats.uploadedBytes} B up, ${stats.keptBytes} B kept, ${stats.deviceBytes} B`,
    );
  });
}

test.serial('run takes tensors that cannot be bound at once', async (t) => {
  const { program } = compile('pattern window() { i -> j when abs(i - j) <= 9 }', {
    dim: DIM,
    windows: true,
  });
  if (!program) return t.fail();
  const tensors = makeTensors({ batch: 2, heads: 2, queries: 300, keys: 300 }, DIM, DIM, 'plain', 1);
  const expected = reference(program.pattern, tensors);
  const { out, lse, stats } = await run(opened.device, program, tensors, { bindingBytes: 8192 });
  const report = compare({ out: out.data, lse: lse.data }, expected);
  t.true(report.pass, JSON.stringify(report));
  t.true(stats.steps > 8, `${stats.steps} steps`);
});

for (const dtype of ['f16', 'bf16'] as const) {
  test.serial(`results of many windows are rounded to ${dtype} once`, async (t) => {
    const { program } = compile('pattern dense() { i -> j when true }', { dim: DIM, windows: true });
    if (!program) return t.fail();
    const made = makeTensors({ batch: 1, heads: 2, queries: 100, keys: 3000 }, DIM, DIM, 'plain', 1);
    const expected = reference(program.pattern, made);
    const sources = { q: tensorRows(made.q, 'q'), k: tensorRows(made.k, 'k'), v: tensorRows(made.v, 'v') };
    const out = zeros(dtype, [1, 2, 100, DIM]);
    const lse = tensor('f32', [1, 2, 100], new Float32Array(200));
    const options = { deviceBytes: 60_000, hostBytes: 64_000, out: dtype };
    const planned = planStream(program, sources, {}, opened.device.limits, options);
    t.true(planned.bands[0].windows.length > 30 && planned.computed === 'f32');
    await runStream(opened.device, program, planned, sources, tensorSink(out, lse), options);
    const got = toFloat32(out);
    // Half a unit of the last place of the type, of what f32 says it is.
    const unit = dtype === 'f16' ? 2 ** -11 : 2 ** -8;
    const worst = got.reduce((most, x, n) => {
      const wanted = expected.out[n];
      return Math.max(most, Math.abs(x - wanted) / (unit * Math.max(Math.abs(wanted), 1e-3) + 1e-6));
    }, 0);
    t.true(worst < 1.02, `${worst} half units`);
  });
}
