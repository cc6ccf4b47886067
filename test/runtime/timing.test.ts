import test from 'ava';
import { record, quantile, spreadOf, timeRuns } from '../../runtime/timing/index.js';
import { doubt } from '../../runtime/timing/time-runs.js';
import { passTimes } from '../../runtime/timing/timestamps.js';
import { openDevice } from '../../runtime/node/index.js';
import { DEVICE } from '../cli/harness.js';

const quantiles: readonly (readonly [values: readonly number[], share: number, expected: number])[] = [
  [[5], 0.5, 5],
  [[1, 2], 0.5, 1.5],
  [[1, 2, 3, 4, 5], 0.1, 1.4],
  [[1, 2, 3, 4, 5], 0.9, 4.6],
  [[1, 2, 3, 4, 5], 0, 1],
  [[1, 2, 3, 4, 5], 1, 5],
];

test('quantiles lie between neighbours in proportion', (t) => {
  for (const [values, share, expected] of quantiles) {
    t.true(Math.abs(quantile(values, share) - expected) < 1e-12, `${share} of ${values.join(' ')}`);
  }
  t.true(Number.isNaN(quantile([], 0.5)));
  t.deepEqual(spreadOf([9, 1, 5]), { median: 5, p10: 1.8, p90: 8.2, least: 1 });
});

test('a pass begins where the one before it ends, if it was stamped earlier', (t) => {
  const stamps = [
    [0, 5],
    [6, 8],
    [7, 12],
    [7, 13],
  ];
  const nanoseconds = BigInt64Array.from(stamps.flat(), (x) => BigInt(x * 1e6));
  t.deepEqual(passTimes(nanoseconds), [5, 2, 4, 1]);
});

test('timestamps that cannot be are not believed', (t) => {
  t.is(doubt([1, 2, 3], 7), undefined);
  t.is(doubt([0.01, 0.02], 2), undefined);
  t.regex(doubt([1, 0, 3], 7) ?? '', /do not rise/);
  t.regex(doubt([1, -1], 7) ?? '', /do not rise/);
  t.regex(doubt([0.001, 0.002], 50) ?? '', /tell of 0.0030 of 50 ms/);
});

const WGSL = `
@group(0) @binding(0) var<storage, read_write> runs: array<u32>;
@compute @workgroup_size(1) fn main() { runs[0] += 1u; }
`;

/** A device, and recordings that count their runs, each in a buffer of its own. */
async function counters(count: number) {
  const opened = await openDevice({ device: DEVICE, features: 'offered' });
  const { device } = opened;
  const module = device.createShaderModule({ code: WGSL });
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const buffers = Array.from({ length: count }, () => device.createBuffer({ size: 4, usage: 0x80 | 0x4 }));
  const recordings = buffers.map((buffer) => {
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }],
    });
    return record((pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(1);
    });
  });
  const read = async (): Promise<readonly number[]> => {
    const back = device.createBuffer({ size: 4 * count, usage: 0x1 | 0x8 });
    const encoder = device.createCommandEncoder();
    buffers.forEach((b, n) => encoder.copyBufferToBuffer(b, 0, back, 4 * n, 4));
    device.queue.submit([encoder.finish()]);
    await back.mapAsync(0x1);
    return [...new Uint32Array(back.getMappedRange().slice(0))];
  };
  return { opened, recordings, read };
}

for (const wall of [false, true]) {
  test.serial(
    `runs take turns on their buffers and are all timed (${wall ? 'wall' : 'timestamps'})`,
    async (t) => {
      const { opened, recordings, read } = await counters(3);
      t.is(recordings[0].dispatches, 1);
      const timing = await timeRuns(opened.device, recordings, { warmUp: 20, runs: 24, wall });
      const clock = !wall && opened.device.features.has('timestamp-query') ? 'timestamps' : 'wall';
      t.is(timing.clock, clock);
      t.is(timing.why === undefined, clock === 'timestamps');
      t.true(timing.runs >= 24);
      t.true(timing.warmUp.milliseconds >= 20);
      const { least, p10, median, p90 } = timing.time;
      t.true(0 < least && least <= p10 && p10 <= median && median <= p90);
      const runs = await read();
      t.is(
        runs.reduce((a, b) => a + b, 0),
        timing.runs + timing.warmUp.runs,
      );
      t.true(Math.max(...runs) - Math.min(...runs) <= 1, runs.join(' '));
      opened.close();
    },
  );
}

test.serial('warming up goes on until the clock is up, and its runs are counted', async (t) => {
  const { opened, recordings, read } = await counters(1);
  const timing = await timeRuns(opened.device, recordings, { warmUp: 20, runs: 5, settle: true });
  const { clock, milliseconds } = timing.warmUp;
  if (opened.device.features.has('timestamp-query')) {
    t.true(clock !== undefined && clock > 0 && clock <= 1, String(clock));
    // An adapter that nobody has looked at yet is looked at for a while.
    if (clock !== 1) t.true(milliseconds > 1000);
  } else {
    t.is(clock, undefined);
  }
  t.deepEqual(await read(), [timing.runs + timing.warmUp.runs]);
  const again = await timeRuns(opened.device, recordings, { warmUp: 20, runs: 5 });
  t.is(again.warmUp.clock, undefined);
  opened.close();
});

test.serial('more runs than one set of queries holds', async (t) => {
  const { opened, recordings, read } = await counters(1);
  const timing = await timeRuns(opened.device, recordings, { warmUp: 0, runs: 2100 });
  t.is(timing.runs, 2100);
  t.deepEqual(await read(), [2100 + timing.warmUp.runs]);
  opened.close();
});

test.serial('what the device refuses is an error, not a time', async (t) => {
  const { opened, recordings } = await counters(1);
  const [good] = recordings;
  const bad = { dispatches: 1, replay: (pass: GPUComputePassEncoder) => pass.dispatchWorkgroups(70_000) };
  await t.throwsAsync(timeRuns(opened.device, [good, bad], { warmUp: 0, runs: 2 }), { code: 'ATTN4099' });
  opened.close();
});
