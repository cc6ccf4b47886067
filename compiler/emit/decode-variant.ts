import type { Kernel, Variant } from '../ir/program.js';
import type { Schedule, TilePass } from '../ir/schedule.js';
import { DECODE_DIRECTIVES, emitDecodeKernel } from './decode-kernel.js';
import { laneChoices, MOST_SETS, SET } from './decode-layout.js';
import { emitMergeKernel } from './merge-kernel.js';
import { headsAlike } from './pack-rows.js';
import { addsSink, mergesInto, type Target } from './target.js';

/**
 * A portable variant with the kernels that divide the keys replaced by ones for subgroups: what the families that have
 * subgroups start from. `decode` comes once for each kind of subgroups that it is worth it; the runtime takes the one
 * that is for the device's.
 */
export function withSubgroupDecoding(portable: Variant, schedule: Schedule, target: Target): Variant {
  const kernels = portable.kernels.flatMap((kernel): readonly Kernel[] => {
    const pass = kernel.pass === undefined ? undefined : schedule.passes[kernel.pass];
    if (pass?.kind !== 'tiles') return [kernel];
    if (kernel.role === 'decode') return decodeKernels(kernel, pass, target);
    return kernel.role === 'merge' ? [mergeKernel(kernel, schedule, pass, target)] : [kernel];
  });
  return { ...portable, kernels };
}

const packed = (pass: TilePass): Pick<Kernel, 'rows' | 'pack'> => ({
  rows: SET * MOST_SETS,
  pack: { set: SET, heads: headsAlike(pass) },
});

function decodeKernels(kernel: Kernel, pass: TilePass, target: Target): readonly Kernel[] {
  return laneChoices(target).map(({ lanes, subgroups }) => {
    const name = `${kernel.name}_${lanes}`;
    const { text, shader, threads } = emitDecodeKernel(target, pass, { name, lanes });
    return {
      ...kernel,
      ...packed(pass),
      name,
      directives: DECODE_DIRECTIVES,
      wgsl: text,
      workgroup: [threads, 1, 1],
      subgroups,
      bindings: shader.bindings,
      uniforms: shader.uniforms,
    };
  });
}

function mergeKernel(kernel: Kernel, schedule: Schedule, pass: TilePass, target: Target): Kernel {
  const { rows, pack } = packed(pass);
  const { text, shader, threads } = emitMergeKernel(target, pass, {
    name: kernel.name,
    rows,
    merge: mergesInto(target, schedule, pass),
    sink: addsSink(target, schedule),
    packed: true,
  });
  return {
    ...kernel,
    rows,
    pack,
    wgsl: text,
    workgroup: [threads, 1, 1],
    bindings: shader.bindings,
    uniforms: shader.uniforms,
  };
}
