import type { Pattern } from '../ir/edges.js';
import { STORAGE_TYPES, type Kernel, type Variant } from '../ir/program.js';
import type { Schedule } from '../ir/schedule.js';
import { withSubgroupDecoding } from './decode-variant.js';
import { emitGatherKernel, PORTABLE_GATHER_ROWS } from './gather-kernel.js';
import { emitGatherMergeKernel } from './gather-merge-kernel.js';
import { isDivided } from './gather-rows.js';
import { emitMatrixVariants } from './matrix-variant.js';
import { emitMergeKernel } from './merge-kernel.js';
import { emitInitialise, emitSinkKernel, ROWS } from './row-kernels.js';
import type { Shader } from './shader.js';
import { addsSink, mergesInto, type Target } from './target.js';
import { emitSubgroupVariant } from './subgroup-variant.js';
import { emitTileKernel } from './tile-kernel.js';
import { DECODE_ROWS, DECODE_TILING, portableTiling, PREFILL_ROWS } from './tiling.js';
import { identifier } from './wgsl.js';

export interface EmitInfo {
  /** Head sizes of q and k, and of v: multiples of 8 from 16 to 256. */
  readonly dim: number;
  readonly valueDim: number;
  readonly pattern: Pattern;
  /** For runs in parts: see Program.windows. */
  readonly windows?: boolean;
}

/** What kernels are printed for. */
export function targetOf(info: EmitInfo): Target {
  const { dim, valueDim, pattern } = info;
  const { inputs, parameters, score, mix, grid, align } = pattern;
  const axes = grid?.length ?? 0;
  return { dim, valueDim, inputs, parameters, score, mix, axes, align, windows: info.windows ?? false };
}

/**
 * Prints a schedule as WGSL: the `portable` family, f32 arithmetic within WebGPU's default limits. The kernels run in the order
 * given; of a pass's kernels either `tiles` runs or `decode` and `merge`.
 */
export function emitVariant(schedule: Schedule, index: number, target: Target): Variant {
  const { passes } = schedule;
  const kernels: Kernel[] = [];
  const add = (
    role: Kernel['role'],
    pass: number | undefined,
    rows: number,
    emit: (name: string) => { readonly text: string; readonly shader: Shader; readonly threads: number },
  ): void => {
    const name = identifier([schedule.name, role, ...(pass === undefined ? [] : [pass])].join('_'));
    const { text, shader, threads } = emit(name);
    kernels.push({
      name,
      role,
      pass,
      directives: '',
      wgsl: text,
      entry: 'main',
      workgroup: [threads, 1, 1],
      rows,
      bindings: shader.bindings,
      uniforms: shader.uniforms,
    });
  };

  const first = passes[0];
  if (!first || mergesInto(target, schedule, first))
    add('initialise', undefined, ROWS, (name) => emitInitialise(target, name));
  passes.forEach((pass, n) => {
    const common = { merge: mergesInto(target, schedule, pass), sink: addsSink(target, schedule) };
    if (pass.kind === 'gather') {
      add('gather', n, PORTABLE_GATHER_ROWS, (name) => emitGatherKernel(target, pass, { name, ...common }));
      if (isDivided(pass))
        add('gather_merge', n, 1, (name) => emitGatherMergeKernel(target, { name, ...common }));
      return;
    }
    add('tiles', n, PREFILL_ROWS, (name) =>
      emitTileKernel(target, pass, {
        name,
        tiling: portableTiling(),
        split: false,
        ...common,
      }),
    );
    // Boxes of a grid are of 64 cells; all tokens are queries there.
    if (pass.queries.kind === 'grid') return;
    add('decode', n, DECODE_ROWS, (name) =>
      emitTileKernel(target, pass, { name, tiling: DECODE_TILING, split: true, ...common }),
    );
    add('merge', n, DECODE_ROWS, (name) =>
      emitMergeKernel(target, pass, { name, rows: DECODE_ROWS, ...common }),
    );
  });
  if (target.mix.sink !== undefined && !addsSink(target, schedule))
    add('sink', undefined, ROWS, (name) => emitSinkKernel(target, name));
  return {
    family: 'portable',
    inputs: STORAGE_TYPES,
    outputs: STORAGE_TYPES,
    schedule: index,
    kernels,
    features: [],
    limits: {
      maxStorageBuffersPerShaderStage: 8,
      maxComputeWorkgroupStorageSize: 16384,
      maxComputeInvocationsPerWorkgroup: 256,
    },
  };
}

/** Families of kernels: every one that there is, or only the one that runs everywhere. */
export type Families = 'auto' | 'portable';

/** Every schedule in each family: first all `portable` variants, in the order of the schedules. */
export function emitVariants(
  schedules: readonly Schedule[],
  info: EmitInfo,
  families: Families,
): readonly Variant[] {
  const target = targetOf(info);
  const portable = schedules.map((s, n) => emitVariant(s, n, target));
  if (families === 'portable') return portable;
  const base = schedules.map((s, n) => withSubgroupDecoding(portable[n], s, target));
  const subgroup = schedules.flatMap((s, n) => emitSubgroupVariant(base[n], s, target) ?? []);
  const matrix = schedules.flatMap((s, n) => emitMatrixVariants(base[n], s, target));
  return [...portable, ...subgroup, ...matrix];
}
