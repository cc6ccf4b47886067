import { STAGE_COMPUTE, USAGE } from '../gpu-flags.js';

/**
 * Runs over different buffers don't depend on each other, so a device may begin one before the last has ended. A
 * dispatch that writes the buffer that the one before it wrote makes it wait: the barrier that WebGPU puts between
 * the two holds back all that follows.
 */
export interface Fence {
  dispatch(pass: GPUComputePassEncoder): void;
  release(): void;
}

const WGSL = `
@group(0) @binding(0) var<storage, read_write> passed: array<u32, 4>;

@compute @workgroup_size(1)
fn fence() {
  passed[0] += 1u;
}
`;

export async function createFence(device: GPUDevice): Promise<Fence> {
  const label = 'attnc fence';
  const module = device.createShaderModule({ label, code: WGSL });
  const layout = device.createBindGroupLayout({
    label,
    entries: [{ binding: 0, visibility: STAGE_COMPUTE, buffer: { type: 'storage' } }],
  });
  const pipeline = await device.createComputePipelineAsync({
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: 'fence' },
  });
  const buffer = device.createBuffer({ label, size: 16, usage: USAGE.storage });
  const group = device.createBindGroup({ label, layout, entries: [{ binding: 0, resource: { buffer } }] });
  return {
    dispatch: (pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(1);
    },
    release: () => buffer.destroy(),
  };
}
