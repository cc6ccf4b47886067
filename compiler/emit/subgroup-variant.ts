import { STORAGE_TYPES, type Kernel, type Variant } from '../ir/program.js';
import type { GatherPass, Schedule } from '../ir/schedule.js';
import { emitGatherKernel } from './gather-kernel.js';
import { GATHER_DIRECTIVES } from './gather-subgroup.js';
import { addsSink, mergesInto, type Target } from './target.js';
import { emitTileKernel } from './tile-kernel.js';
import { subgroupTiling, type Tiling } from './tiling.js';

/** Kernels that use subgroups ask for this. */
export const SUBGROUP_DIRECTIVES = 'enable subgroups;';

/**
 * The `subgroup` family: the portable variant of a schedule with the kernels replaced that there are for subgroups (of
 * any size). Undefined if there are none.
 */
export function emitSubgroupVariant(
  portable: Variant,
  schedule: Schedule,
  target: Target,
  tiling: Tiling = subgroupTiling(),
): Variant | undefined {
  let memory = portable.limits.maxComputeWorkgroupStorageSize;
  const replaced = portable.kernels.map((kernel): Kernel => {
    const pass = kernel.pass === undefined ? undefined : schedule.passes[kernel.pass];
    if (kernel.role === 'gather' && pass?.kind === 'gather')
      return subgroupGather(kernel, pass, schedule, target);
    if (kernel.role !== 'tiles' || pass?.kind !== 'tiles') return kernel;
    const { text, shader, threads, bytes } = emitTileKernel(target, pass, {
      name: kernel.name,
      tiling,
      split: false,
      merge: mergesInto(target, schedule, pass),
      sink: addsSink(target, schedule),
    });
    memory = Math.max(memory, bytes);
    return {
      ...kernel,
      directives: SUBGROUP_DIRECTIVES,
      wgsl: text,
      workgroup: [threads, 1, 1],
      rows: tiling.rows,
      bindings: shader.bindings,
      uniforms: shader.uniforms,
    };
  });
  if (replaced.every((kernel, n) => kernel === portable.kernels[n])) return undefined;
  return {
    family: 'subgroup',
    inputs: STORAGE_TYPES,
    outputs: STORAGE_TYPES,
    schedule: portable.schedule,
    kernels: replaced,
    features: ['subgroups'],
    limits: { ...portable.limits, maxComputeWorkgroupStorageSize: memory },
  };
}

/** A portable gather kernel replaced by the one for subgroups. */
export function subgroupGather(
  portable: Kernel,
  pass: GatherPass,
  schedule: Schedule,
  target: Target,
): Kernel {
  const { text, shader, threads, rows } = emitGatherKernel(target, pass, {
    name: portable.name,
    subgroups: true,
    merge: mergesInto(target, schedule, pass),
    sink: addsSink(target, schedule),
  });
  return {
    ...portable,
    directives: GATHER_DIRECTIVES,
    wgsl: text,
    workgroup: [threads, 1, 1],
    rows,
    bindings: shader.bindings,
    uniforms: shader.uniforms,
  };
}
