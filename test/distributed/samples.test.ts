// Every sample on several ranks in one process: results against the oracle, bytes against the definition.

import test from 'ava';
import { compilePattern } from '../../compiler/compile.js';
import { planDistributed, pickForRanks, runDistributed } from '../../runtime/distributed/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { choose } from '../../runtime/prepare.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { tensorRows } from '../../runtime/stream/tensor-rows.js';
import { tensorSink } from '../../runtime/stream/tensor-sink.js';
import { tensor, zeros } from '../../runtime/tensor.js';
import {
  bindProblem,
  lowerSample,
  settingsFor,
  sizesFor,
  type ProblemShape,
} from '../differential/problems.js';
import { makeTensors } from '../gpu/tensors.js';
import { LENGTHS, SAMPLES } from '../shapes.js';
import { bytesByDefinition } from './definition.js';
import { localRanks } from './local-ranks.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

const DIM = 16;
const RANKS = [2, 3, 4, 7];

for (const [number, sample] of SAMPLES.entries()) {
  const size = RANKS[number % RANKS.length];
  test.serial(`${sample.pattern} on ${size} ranks`, async (t) => {
    const [setting] = sample.settings;
    const pattern = lowerSample(sample, setting.set);
    const program = compilePattern(pattern, { dim: DIM, valueDim: DIM, windows: true });
    const own = setting.lengths !== LENGTHS;
    const [queries, keys] = own ? sizesFor(sample, setting)[0] : number % 5 === 0 ? [151, 211] : [211, 211];
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
    // Small messages, windows and bindings, so that there are many of each.
    const options = [
      {},
      { gap: 8, hostBytes: 8000 },
      { gap: 8, windowBytes: 4096 },
      { bindingBytes: 4096, gap: 16 },
    ][(number >> 1) % 4];
    const prepared = choose(opened.device, program);
    const { ranks, sent } = localRanks(size);
    const results = await Promise.all(
      ranks.map(async (rank) => {
        const plan = planDistributed(program, size, sources, settings, opened.device.limits, options);
        const picked = pickForRanks(prepared, plan, options);
        const sink = tensorSink(out, lse);
        return runDistributed(rank, prepared, plan, picked, sources, sink, options);
      }),
    );
    const report = compare({ out: out.data, lse: lse.data }, expected);
    t.true(report.pass, JSON.stringify({ shape, options, report }));

    const bytes = bytesByDefinition(pattern, bindProblem(pattern, shape, settings, DIM), size, 2 * 4 * DIM);
    t.deepEqual(sent, bytes);
    results.forEach(({ stats }, rank) => {
      t.is(
        stats.sentBytes,
        bytes[rank].reduce((a, b) => a + b, 0),
      );
      t.is(
        stats.receivedBytes,
        bytes.reduce((n, from) => n + from[rank], 0),
      );
    });
    const steps = results.map((r) => r.stats.kernels?.steps ?? 0);
    t.log(
      `${queries} × ${keys}, ${JSON.stringify(options)}: steps ${steps.join()}, bytes ${bytes.map((b) => b.join()).join(' | ')}`,
    );
  });
}
