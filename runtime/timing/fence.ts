import { createOwnKernel, type OwnKernel } from './own-kernel.js';

/**
 * Runs over different buffers don't depend on each other, so a device may begin one before the last has ended. A
 * dispatch that writes the buffer that the one before it wrote makes it wait: the barrier that WebGPU puts between
 * the two holds back all that follows.
 */
export type Fence = OwnKernel;

const WGSL = `
@group(0) @binding(0) var<storage, read_write> passed: array<u32, 4>;

@compute @workgroup_size(1)
fn fence() {
  passed[0] += 1u;
}
`;

export const createFence = (device: GPUDevice): Promise<Fence> =>
  createOwnKernel(device, 'attnc fence', { code: WGSL, entryPoint: 'fence', bytes: 16 });
