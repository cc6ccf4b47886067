// Schedules printed as WGSL kernels.

export { emitVariant } from './variant.js';
export type { Target } from './target.js';
