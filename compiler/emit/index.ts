// Schedules printed as WGSL kernels.

export { emitVariant, type EmitInfo } from './variant.js';
