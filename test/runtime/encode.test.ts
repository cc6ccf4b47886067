// encode(): buffers of the app's own, in any layout, into its own encoders and passes.

import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { encode, prepare } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { countingDevice, type CountingDevice } from './counting-device.js';
import { qkv } from './data.js';
import { documentProgram, handProgram, windowProgram } from './hand-program.js';
import { bufferOf, encoded, LAYOUTS, readBack } from './lend.js';

let opened: OpenedDevice;
let counting: CountingDevice;
test.before(async () => {
  opened = await openDevice();
  counting = countingDevice(opened.device);
});
test.after.always(() => opened?.close());

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test.serial(`lent buffers in place: ${name}`, async (t) => {
    const tensors = qkv({ batch: 2, heads: 2, queries: 20 });
    const program = windowProgram();
    const before = counting.live().length;
    const result = await encoded(counting.device, program, tensors, { layout });
    const comparison = compare(result, reference(program.pattern, tensors));
    t.true(comparison.pass, JSON.stringify(comparison));
    t.is(counting.live().length, before);
  });
}

test.serial("into an app's own compute pass", async (t) => {
  const tensors = qkv({ queries: 30 });
  const program = handProgram();
  const result = await encoded(counting.device, program, tensors, { into: 'pass' });
  t.true(compare(result, reference(program.pattern, tensors)).pass);
});

test.serial('without lse, which then is temporary', async (t) => {
  const tensors = qkv({ queries: 30 });
  const program = handProgram();
  const { out } = await encoded(counting.device, program, tensors, { settings: { lse: undefined } });
  t.true(compare({ out }, reference(program.pattern, tensors)).pass);
  t.deepEqual(counting.live(), []);
});

test.serial('a table that lies in a buffer', async (t) => {
  const tensors = qkv({ queries: 30 });
  const program = documentProgram({ plan: 'kernel' });
  const doc = Int32Array.from({ length: 30 }, (_, n) => n % 4);
  const padded = new Int32Array(33);
  padded.set(doc, 3);
  const inputs = { doc: { buffer: bufferOf(opened.device, padded), offset: 12 } };
  const result = await encoded(counting.device, program, tensors, { settings: { inputs } });
  t.true(compare(result, reference(program.pattern, { ...tensors, inputs: { doc } })).pass);
});

test.serial('two programs in one encoder, and one twice with other parameters', async (t) => {
  const tensors = qkv({ queries: 40 });
  const [q, k, v] = [tensors.q, tensors.k, tensors.v].map((x) => ({
    buffer: bufferOf(opened.device, x.data as Float32Array<ArrayBuffer>),
    shape: x.shape,
  }));
  const programs = [handProgram(), windowProgram(), windowProgram()];
  const parameters: Record<string, number>[] = [{}, { window: 2 }, { window: 20 }];
  const outs = programs.map(() => ({ buffer: bufferOf(opened.device, 40 * 16), shape: tensors.q.shape }));
  const encoder = opened.device.createCommandEncoder();
  const recorded = [];
  for (let n = 0; n < 3; n++) {
    const prepared = await prepare(counting.device, programs[n]);
    recorded.push(encode(encoder, prepared, { q, k, v, out: outs[n], parameters: parameters[n] }));
  }
  t.true(counting.live().every((label) => label.startsWith('attnc ')));
  t.is(
    counting.live().length,
    recorded.reduce((sum, r) => sum + r.stats.temporaryBuffers, 0),
  );
  opened.device.queue.submit([encoder.finish()]);
  for (const r of recorded) r.release();
  t.deepEqual(counting.live(), []);
  for (let n = 0; n < 3; n++) {
    const expected = reference(programs[n].pattern, { ...tensors, parameters: parameters[n] });
    t.true(compare({ out: await readBack(opened.device, outs[n].buffer) }, expected).pass, String(n));
  }
});
