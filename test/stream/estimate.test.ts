// What a plan says it takes and moves is what the run takes and moves.

import test from 'ava';
import { compilePattern } from '../../compiler/compile.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { estimateStream } from '../../runtime/stream/estimate.js';
import { runStream } from '../../runtime/stream/pipeline.js';
import { planStream, type StreamOptions } from '../../runtime/stream/plan.js';
import type { RowSink } from '../../runtime/stream/rows.js';
import { tensorRows } from '../../runtime/stream/tensor-rows.js';
import { emptySlot, placeWindow } from '../../runtime/stream/window-slots.js';
import { lowerSample } from '../differential/problems.js';
import { makeTensors } from '../gpu/tensors.js';
import type { SampleSetting } from '../shapes.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

const DIM = 16;
const SMALL = { deviceBytes: 100_000, hostBytes: 64_000, bindingBytes: 16_384 };

interface Case {
  readonly file: string;
  readonly pattern: string;
  readonly set: SampleSetting['set'];
  readonly heads: number;
  readonly keyHeads: number;
  readonly keys: number;
  readonly options: StreamOptions;
}

const CASES: readonly Case[] = [
  {
    file: 'sliding',
    pattern: 'sliding',
    set: { window: 9 },
    heads: 2,
    keyHeads: 2,
    keys: 600,
    options: SMALL,
  },
  { file: 'dense', pattern: 'causal', set: {}, heads: 2, keyHeads: 1, keys: 600, options: SMALL },
  {
    file: 'longformer',
    pattern: 'longformer',
    set: { window: 8, globals: 4 },
    heads: 1,
    keyHeads: 1,
    keys: 700,
    options: SMALL,
  },
  {
    file: 'dense',
    pattern: 'dense',
    set: {},
    heads: 1,
    keyHeads: 1,
    keys: 3000,
    options: { ...SMALL, out: 'f16' },
  },
  { file: 'dense', pattern: 'dense', set: {}, heads: 1, keyHeads: 1, keys: 40, options: {} },
];

for (const { file, pattern: name, set, heads, keyHeads, keys, options } of CASES) {
  test.serial(`${name} of ${keys} keys, ${JSON.stringify(options)}`, async (t) => {
    const pattern = lowerSample({ file: `samples/${file}.attn`, pattern: name }, set);
    const program = compilePattern(pattern, { dim: DIM, windows: true });
    const queries = Math.min(keys, 600);
    const made = makeTensors({ batch: 1, heads, keyHeads, queries, keys }, DIM, DIM, 'plain', 5);
    const sources = { q: tensorRows(made.q, 'q'), k: tensorRows(made.k, 'k'), v: tensorRows(made.v, 'v') };
    const output = options.out ?? 'f32';
    const planned = planStream(program, sources, {}, opened.device.limits, options);
    const expected = estimateStream(planned, sources, output);
    const { absorb: _, ...sink }: RowSink = checksumSink(output, [1, heads, queries, DIM]);
    const stats = await runStream(opened.device, program, planned, sources, sink, options);
    for (const what of [
      'bands',
      'steps',
      'uploadedBytes',
      'downloadedBytes',
      'keptBytes',
      'hostBytes',
    ] as const) {
      t.is(expected[what], stats[what], what);
    }
    // Besides, a step has its uniforms and its plan.
    const more = stats.deviceBytes - expected.deviceBytes;
    t.true(more > 0 && more < 8192, `${more}`);
    await sink.close();
  });
}

test('windows are kept as long as there is room for them', (t) => {
  const slots = [emptySlot(), emptySlot()];
  let clock = 0;
  const place = (head: number, lo: number, hi: number): readonly [number, string] => {
    const { slot, load } = placeWindow(slots, 0, head, { lo, hi });
    if (load) Object.assign(slot, { batch: 0, head, lo, hi });
    slot.used = ++clock;
    const missing = load?.missing.map((w) => `${w.lo}-${w.hi}`).join();
    return [slots.indexOf(slot), missing === undefined ? 'there' : `load ${missing}`];
  };
  t.deepEqual(place(0, 0, 100), [0, 'load 0-100']);
  t.deepEqual(place(0, 20, 80), [0, 'there']);
  // Of the next one, what the first holds is copied.
  t.deepEqual(place(0, 50, 150), [1, 'load 100-150']);
  t.deepEqual(place(0, 140, 240), [0, 'load 150-240']);
  t.deepEqual(place(1, 140, 240), [1, 'load 140-240']);
  // In the middle of what is held: both sides are missing, and what gives is not overwritten.
  t.deepEqual(place(1, 100, 300), [0, 'load 100-140,240-300']);
});
