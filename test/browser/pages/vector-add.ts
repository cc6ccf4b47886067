// Runs in the browser: a raw WebGPU compute shader, to prove that the page has a working device.

import { runCompute } from '../../devices/run-compute.js';

// The tests' own types are Node's, which has no navigator.
declare const navigator: { readonly gpu: GPU };

export interface VectorAddResult {
  readonly adapter: string;
  readonly sums: readonly number[];
}

/** Adds 0, 1, 2, … and 0, 10, 20, … of the given length on the page's own device. */
export async function addVectors(length: number): Promise<VectorAddResult> {
  const adapter = await navigator.gpu.requestAdapter();
  if (adapter === null) throw new Error('the browser gave no WebGPU adapter');
  const device = await adapter.requestDevice();
  const code = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3<u32>) {
  if (at.x < arrayLength(&out)) { out[at.x] = a[at.x] + b[at.x]; }
}`;
  const a = Float32Array.from({ length }, (_, i) => i);
  const b = Float32Array.from({ length }, (_, i) => 10 * i);
  const sums = await runCompute(device, code, [a, b], length, Math.ceil(length / 64));
  device.destroy();
  return { adapter: adapter.info.architecture, sums: [...sums] };
}
