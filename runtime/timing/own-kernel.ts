import { STAGE_COMPUTE, USAGE } from '../gpu-flags.js';

/** A kernel of the timing's own: one workgroup with a buffer of its own, bound at (0, 0). */
export interface OwnKernel {
  dispatch(pass: GPUComputePassEncoder): void;
  release(): void;
}

/** @param entryPoint which `code` has, and @param bytes of its buffer */
export async function createOwnKernel(
  device: GPUDevice,
  label: string,
  { code, entryPoint, bytes }: { readonly code: string; readonly entryPoint: string; readonly bytes: number },
): Promise<OwnKernel> {
  const module = device.createShaderModule({ label, code });
  const layout = device.createBindGroupLayout({
    label,
    entries: [{ binding: 0, visibility: STAGE_COMPUTE, buffer: { type: 'storage' } }],
  });
  const pipeline = await device.createComputePipelineAsync({
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    compute: { module, entryPoint },
  });
  const buffer = device.createBuffer({ label, size: bytes, usage: USAGE.storage });
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
