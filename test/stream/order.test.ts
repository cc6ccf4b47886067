// Sinks that take results on the device: in which order they are called, and what becomes of their failures.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
import { internalError } from '../../runtime/errors.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { runStream } from '../../runtime/stream/pipeline.js';
import { planStream } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { NO_ROWS, sumText } from '../../runtime/stream/row-sum.js';
import type { BandResult, RowSink } from '../../runtime/stream/rows.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

const DIM = 16;
const SHAPE = [3, 1, 300, DIM];

function planned() {
  const { program } = compile('pattern window() { i -> j when abs(i - j) <= 9 }', {
    dim: DIM,
    windows: true,
  });
  if (!program) throw new Error('it does not compile');
  const of = (name: string) => randomRows(name, 'f32', SHAPE, 3);
  const sources = { q: of('q'), k: of('k'), v: of('v') };
  const settings = { lengths: { queries: [150, 300, 40], keys: [150, 300, 40] } };
  const options = { deviceBytes: 60_000, hostBytes: 60_000 };
  const plan = planStream(program, sources, settings, opened.device.limits, options);
  return { program, sources, options, plan };
}

/** @param fails the number of the call that fails */
function recordingSink(fails = Infinity): { readonly sink: RowSink; readonly calls: string[] } {
  const calls: string[] = [];
  const call = async (...[batch, head, lo, hi]: readonly number[]): Promise<BandResult> => {
    calls.push([batch, head, lo, hi].join());
    if (calls.length === fails) throw internalError('no more');
    return { sum: sumText(NO_ROWS), kept: [] };
  };
  return {
    calls,
    sink: {
      write: (batch, head, lo, hi) => call(batch, head, lo, hi),
      absorb: (_, batch, head, lo, hi) => call(batch, head, lo, hi),
      sync: async () => undefined,
      finish: () => Promise.reject(new Error('not asked for')),
      close: async () => undefined,
    },
  };
}

test.serial('bands are absorbed in order, rows past a sequence among them', async (t) => {
  const { program, sources, options, plan } = planned();
  const { sink, calls } = recordingSink();
  t.true(plan.bands.length > 6 && plan.bands.some((b) => b.windows.length === 0));
  await runStream(opened.device, program, plan, sources, sink, options);
  t.deepEqual(
    calls,
    plan.deliveries.map((d) => [d.batch, d.head, d.lo, d.hi].join()),
  );
});

test.serial('what a sink fails with ends the run, once', async (t) => {
  const { program, sources, options, plan } = planned();
  for (const fails of [1, 3, plan.deliveries.length]) {
    const { sink, calls } = recordingSink(fails);
    const run = runStream(opened.device, program, plan, sources, sink, options);
    await t.throwsAsync(run, { code: 'ATTN4099', message: /^no more/ });
    t.true(calls.length >= fails);
  }
});
