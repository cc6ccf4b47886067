// The device that Node gets: opened, used, closed, refused with a typed error, and never in the way of an exit.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { isAttncError } from '../../runtime/errors.js';
import { listDevices, nullDevice, openDevice, validateWgsl } from '../../runtime/node/index.js';
import { runCompute } from './run-compute.js';

const run = promisify(execFile);
const nodeIndex = new URL('../../runtime/node/index.js', import.meta.url).href;

// Sums groups of 64 in workgroup memory, with a barrier a step, and adds two vectors on the way.
const SUM_SHADER = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
  let i = group.x * 64u + lane;
  partial[lane] = a[i] + b[i];
  for (var step = 32u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (lane < step) { partial[lane] += partial[lane + step]; }
  }
  if (lane == 0u) { out[group.x] = partial[0]; }
}`;

test('a shader with barriers gives the right sums on the chosen device', async (t) => {
  const opened = await openDevice();
  const groups = 37;
  const a = Float32Array.from({ length: groups * 64 }, (_, i) => (i % 17) - 8);
  const b = Float32Array.from({ length: groups * 64 }, (_, i) => (i % 5) * 0.25);
  const expected = Float32Array.from({ length: groups }, (_, group) => {
    let sum = 0;
    for (let i = group * 64; i < group * 64 + 64; i++) sum += a[i]! + b[i]!;
    return sum; // exact: small multiples of 1/4
  });
  const out = await runCompute(opened.device, SUM_SHADER, [a, b], groups, groups);
  t.deepEqual(out, expected);
  t.not(opened.name, '');
  t.regex(opened.why, /taken/);
  opened.close();
});

test('devices open and close many times, and several are open at once', async (t) => {
  const ones = new Float32Array(64).fill(1);
  for (let round = 0; round < 5; round++) {
    const two = await Promise.all([openDevice(), openDevice()]);
    for (const opened of two) {
      t.deepEqual(await runCompute(opened.device, SUM_SHADER, [ones, ones], 1, 1), new Float32Array([128]));
    }
    for (const opened of two) opened.close();
    two[0].close(); // a second time does nothing
  }
});

test('f16 and subgroups work where the device offers them', async (t) => {
  const opened = await openDevice({ features: 'offered', limits: 'offered' });
  if (!opened.device.features.has('shader-f16') || !opened.device.features.has('subgroups')) {
    t.log(`not run: ${opened.name} has no f16 with subgroups`);
    t.pass();
    return opened.close();
  }
  const shader = `
enable f16;
enable subgroups;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_size) size: u32,
        @builtin(subgroup_invocation_id) sub_lane: u32) {
  let sum = subgroupAdd(a[lane]);
  if (sub_lane == 0u) { out[lane / size] = sum; }
  if (lane == 63u) { out[63] = f32(bitcast<u32>(vec2<f16>(f16(a[63]), f16(0.0)))); }
}`;
  const a = Float32Array.from({ length: 64 }, (_, i) => (i < 63 ? i / 4 : 1 / 3));
  const out = await runCompute(opened.device, shader, [a], 64, 1);
  t.is(out[63], 0x3555); // the bits of 1/3 in f16
  const sums = out.subarray(0, 63).reduce((sum, part) => sum + part, 0);
  t.true(Math.abs(sums - (488.25 + 1 / 3)) < 1e-3, `${sums}`);
  opened.close();
});

test('a device that is not there is a typed error with the list of what is', async (t) => {
  const error = await t.throwsAsync(openDevice({ device: 'no such card' }));
  t.true(isAttncError(error, 'no-adapter'));
  t.regex(error?.message ?? '', /no device matches 'no such card' \(system: /);
  t.notRegex(error?.message ?? '', /\n/);
});

test('features and limits that are not offered are typed errors: which, needed, offered', async (t) => {
  const feature = await t.throwsAsync(
    openDevice({ features: ['core-features-and-limits', 'no-such-feature'] }),
  );
  t.true(isAttncError(feature, 'missing-feature'));
  t.is(isAttncError(feature) && feature.details.feature, 'no-such-feature');

  const two = await t.throwsAsync(openDevice({ features: ['first-thing', 'second-thing'] }));
  t.regex(two?.message ?? '', /first-thing, second-thing/);

  const limit = await t.throwsAsync(openDevice({ limits: { maxComputeWorkgroupStorageSize: 2 ** 40 } }));
  t.true(isAttncError(limit, 'limit-too-small'));
  const details = isAttncError(limit) ? limit.details : {};
  t.is(details.limit, 'maxComputeWorkgroupStorageSize');
  t.is(details.needed, 2 ** 40);
  t.true(Number(details.offered) >= 16384);

  const opened = await openDevice({ limits: { maxComputeWorkgroupStorageSize: 16384 } });
  t.is(opened.device.limits.maxComputeWorkgroupStorageSize, 16384);
  opened.close();
});

test('errors that nobody caught reach onProblem, and the device goes on', async (t) => {
  const problems: string[] = [];
  const opened = await openDevice({ onProblem: (message) => problems.push(message) });
  opened.device.createShaderModule({ code: 'this is no shader' });
  await opened.device.queue.onSubmittedWorkDone();
  await new Promise((done) => setTimeout(done, 20));
  t.is(problems.length, 1);
  t.regex(problems[0]!, /unexpected token/);
  const ones = new Float32Array(64).fill(1);
  t.deepEqual(await runCompute(opened.device, SUM_SHADER, [ones, ones], 1, 1), new Float32Array([128]));
  opened.close();
  await opened.device.lost;
  t.is(problems.length, 1); // a loss that was asked for is no problem
});

test('opening leaves the environment and globalThis alone', async (t) => {
  const keys = Object.getOwnPropertyNames(globalThis).sort();
  const drivers = process.env.VK_DRIVER_FILES;
  const opened = await openDevice();
  t.is(process.env.VK_DRIVER_FILES, drivers);
  t.deepEqual(Object.getOwnPropertyNames(globalThis).sort(), keys);
  opened.close();
});

test('listing names every device with its features and limits', async (t) => {
  const { devices } = await listDevices();
  const opened = await openDevice();
  t.true(devices.some((device) => device.kind === opened.kind));
  t.is(devices.at(-1)?.kind, 'null');
  for (const device of devices) {
    t.true(device.limits.maxStorageBufferBindingSize >= 128 * 2 ** 20, device.name);
    if (device.subgroupSizes !== null) t.true(device.subgroupSizes[0] <= device.subgroupSizes[1]);
  }
  opened.close();
});

test('part of a name chooses a device', async (t) => {
  const { devices } = await listDevices();
  const first = devices[0];
  if (first === undefined || first.kind === 'null') return t.fail('no device to choose');
  const slug = first.name.toLowerCase().replaceAll(' ', '-');
  for (const part of [first.name, first.name.slice(0, 9).toUpperCase(), slug.slice(0, 12)]) {
    const opened = await openDevice({ device: part });
    t.is(opened.kind, first.kind, part);
    opened.close();
  }
});

test('WGSL is checked without a device: place and text of each message', async (t) => {
  t.deepEqual(await validateWgsl(SUM_SHADER, { entryPoints: ['main'] }), []);
  const broken = await validateWgsl('@compute @workgroup_size(1)\nfn main() { let x = y; }');
  t.deepEqual(broken, [{ severity: 'error', message: "unresolved value 'y'", line: 2, column: 21 }]);

  const matrix = `enable f16; enable subgroups; enable chromium_experimental_subgroup_matrix;
@compute @workgroup_size(32) fn main() { var m: subgroup_matrix_left<f16, 16, 16>; }`;
  t.deepEqual(await validateWgsl(matrix), []);
  const without = await validateWgsl('enable f16;', { features: [] });
  t.is(without[0]?.severity, 'error');

  const big = `var<workgroup> w: array<vec4<f32>, 2000>;
@compute @workgroup_size(1) fn main() { w[0] = vec4(1.0); }`;
  t.deepEqual(await validateWgsl(big), []);
  const pipeline = await validateWgsl(big, { entryPoints: ['main'] });
  t.is(pipeline.length, 1);
  t.regex(pipeline[0]!.message, /main: .*32000/s);
});

test('the null device is a device', async (t) => {
  const opened = await nullDevice();
  t.is(opened.kind, 'null');
  t.true(opened.device.features.has('shader-f16'));
  opened.close();
});

const EXITS: readonly (readonly [name: string, end: string])[] = [
  ['closed', 'opened.close();'],
  ['left open', ''],
  ['left open and kept', 'globalThis.kept = opened;'],
  [
    'with work under way',
    'opened.device.createBuffer({ size: 64, usage: 9 }).mapAsync(1).catch(() => undefined);',
  ],
];
for (const [name, end] of EXITS) {
  test(`a process exits by itself: ${name}`, async (t) => {
    const script = `
      const { openDevice } = await import(${JSON.stringify(nodeIndex)});
      const opened = await openDevice();
      ${end}
      console.log('done');`;
    const args = ['--input-type=module', '--eval', script];
    const { stdout } = await run(process.execPath, args, { timeout: 30_000 });
    t.is(stdout, 'done\n');
  });
}
