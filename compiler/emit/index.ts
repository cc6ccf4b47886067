// Schedules printed as WGSL kernels.

export { PRELUDES } from './preludes.js';
export { emitVariant, type EmitInfo } from './variant.js';
