import type { Program, StorageType } from '../../compiler/ir/program.js';
import { USAGE } from '../gpu-flags.js';
import { workgroupGrid } from './device-windows.js';

/**
 * Results of many windows are added up in f32 and converted once: rounding to f16 with every window would add an error
 * of half a unit each.
 */

/** Windows past which results are added up in f32. */
export const MOST_ROUNDINGS = 4;

const WORKGROUP = 64;

export interface Narrower {
  /** Records the conversion of so many numbers, a multiple of 4, from the start of one buffer to that of another. */
  record(encoder: GPUCommandEncoder, from: GPUBuffer, to: GPUBuffer, count: number): void;
  release(): void;
}

/** @param program for what the storage types are in WGSL */
export async function createNarrower(
  device: GPUDevice,
  program: Program,
  output: StorageType,
): Promise<Narrower> {
  const code = `${program.preludes.outputs[output]}

@group(0) @binding(0) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> results: array<OutQuad>;
@group(0) @binding(2) var<uniform> shape: vec4<u32>;

@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let n = id.x + id.y * groups.x * ${WORKGROUP}u;
  if (n < shape.x) {
    results[n] = write_out(sums[n]);
  }
}
`;
  const module = device.createShaderModule({ label: 'attnc narrow', code });
  const pipeline = await device.createComputePipelineAsync({
    label: 'attnc narrow',
    layout: 'auto',
    compute: { module, entryPoint: 'main' },
  });
  const shape = device.createBuffer({
    label: 'attnc narrow',
    size: 16,
    usage: USAGE.uniform | USAGE.copyDst,
  });
  return {
    record: (encoder, from, to, count) => {
      // The queue keeps order: what is submitted next reads what was written just before.
      device.queue.writeBuffer(shape, 0, Uint32Array.from([count / 4, 0, 0, 0]));
      const pass = encoder.beginComputePass({ label: 'attnc narrow' });
      pass.setPipeline(pipeline);
      const entries = [from, to, shape].map((buffer, binding) => ({ binding, resource: { buffer } }));
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      const workgroups = Math.ceil(count / 4 / WORKGROUP);
      pass.dispatchWorkgroups(...workgroupGrid(workgroups, device.limits.maxComputeWorkgroupsPerDimension));
      pass.end();
    },
    release: () => shape.destroy(),
  };
}
