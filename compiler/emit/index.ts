// Schedules printed as WGSL kernels.

export { PRELUDES } from './preludes.js';
export { emitVariants, type EmitInfo } from './variant.js';
