// Dawn's toggles: what is experimental is asked for only where the adapter has it, and all that is asked for is told.

import test from 'ava';
import { isAttncError } from '../../runtime/errors.js';
import { MATRIX_FEATURE } from '../../runtime/node/adapter.js';
import { listDevices, openDevice } from '../../runtime/node/index.js';
import { togglesFor, type ToggleOptions } from '../../runtime/node/toggles.js';
import { runCompute } from './run-compute.js';

interface Case {
  readonly name: string;
  readonly info: Partial<GPUAdapterInfo>;
  readonly features: readonly string[];
  readonly options?: ToggleOptions;
  readonly enable: readonly string[];
  readonly disable: readonly string[];
}

const MATRICES = ['allow_unsafe_apis', 'use_vulkan_memory_model'];
const ALL = ['shader-f16', 'subgroups', MATRIX_FEATURE, 'timestamp-query'];

const CASES: readonly Case[] = [
  {
    name: "NVIDIA's driver with matrices",
    info: { vendor: 'nvidia', device: 'nvidia-h200' },
    features: ALL,
    enable: ['vulkan_enable_f16_on_nvidia', ...MATRICES],
    disable: ['timestamp_quantization'],
  },
  {
    name: 'an NVIDIA card without f16',
    info: { vendor: 'nvidia', device: 'old' },
    features: ['subgroups'],
    enable: [],
    disable: [],
  },
  {
    name: 'another card with f16 and no matrices',
    info: { vendor: 'intel', device: 'arc' },
    features: ['shader-f16', 'timestamp-query'],
    enable: [],
    disable: ['timestamp_quantization'],
  },
  {
    name: 'software with matrices',
    info: { vendor: 'mesa', device: 'llvmpipe-llvm-22' },
    features: ALL,
    enable: [...MATRICES, 'disable_workgroup_init'],
    disable: ['timestamp_quantization'],
  },
  {
    name: 'robustness off, and toggles of the caller',
    info: { vendor: 'amd', device: 'radeon' },
    features: [],
    options: { robustness: false, toggles: { enable: ['skip_validation'], disable: ['fxc_optimizations'] } },
    enable: ['disable_robustness', 'skip_validation'],
    disable: ['fxc_optimizations'],
  },
];

for (const { name, info, features, options, enable, disable } of CASES) {
  test(`toggles of ${name}`, (t) => {
    const words = { vendor: '', architecture: '', device: '', description: '', ...info };
    const adapter = { info: words, features: new Set(features) } as unknown as GPUAdapter;
    t.deepEqual(togglesFor(adapter, options), { enable, disable });
  });
}

test('an open device tells its toggles, and listing tells the same', async (t) => {
  const opened = await openDevice();
  const matrices = opened.adapter.features.has(MATRIX_FEATURE);
  t.is(opened.toggles.enable.includes('allow_unsafe_apis'), matrices);
  const { devices } = await listDevices();
  const same = devices.find((d) => d.kind === opened.kind && d.features[MATRIX_FEATURE] === matrices);
  t.deepEqual(same?.toggles, opened.toggles);
  opened.close();
});

test('with robustness off a device still computes', async (t) => {
  const opened = await openDevice({ robustness: false });
  t.true(opened.toggles.enable.includes('disable_robustness'));
  const shader = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) i: u32) { out[i] = 2.0 * a[7u - i]; }`;
  const a = Float32Array.from({ length: 8 }, (_, i) => i);
  t.deepEqual([...(await runCompute(opened.device, shader, [a], 8, 1))], [14, 12, 10, 8, 6, 4, 2, 0]);
  opened.close();
});

test('lavapipe26 is lavapipe with matrices, or an error that says how to have it', async (t) => {
  try {
    const opened = await openDevice({ device: 'lavapipe26' });
    t.is(opened.kind, 'lavapipe');
    t.true(opened.adapter.features.has(MATRIX_FEATURE));
    opened.close();
  } catch (error) {
    if (!isAttncError(error, 'no-adapter')) throw error;
    t.not(process.env.ATTNC_DEVICE, 'lavapipe26');
    t.regex(`${error.message} ${error.help ?? ''}`, /lavapipe26.*with-lavapipe26/);
  }
});
