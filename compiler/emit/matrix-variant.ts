import { STORAGE_TYPES, type Kernel, type Variant } from '../ir/program.js';
import type { Schedule } from '../ir/schedule.js';
import { emitMatrixKernel, MATRIX_DIRECTIVES } from './matrix-kernel.js';
import { matrixBytes, matrixLayout, type MatrixTiling, type MatrixUnit } from './matrix-layout.js';
import { emitMergeKernel } from './merge-kernel.js';
import type { Shader } from './shader.js';
import { subgroupGather } from './subgroup-variant.js';
import { addsSink, mergesInto, type Target } from './target.js';

/** The `matrix` family: of a schedule, one variant for each configuration of matrices and each tiling. */

export interface MatrixChoice {
  readonly unit: MatrixUnit;
  readonly tiling: MatrixTiling;
}

const NVIDIA: MatrixUnit = { m: 16, n: 16, k: 16, lanes: 32 };
const WIDE_8: MatrixUnit = { m: 8, n: 8, k: 8, lanes: 32 };
const NARROW_8: MatrixUnit = { m: 8, n: 8, k: 8, lanes: 8 };

const tiling = (subgroups: number, keys: number, lone: boolean): MatrixTiling => ({
  subgroups,
  blocks: 1,
  keys,
  chunk: keys,
  prefetch: true,
  lone,
});

/** The first that the device can run is the default; `attnc tune` tries the others too. */
export const MATRIX_CHOICES: readonly MatrixChoice[] = [
  { unit: NVIDIA, tiling: tiling(8, 16, true) },
  { unit: NVIDIA, tiling: tiling(4, 16, true) },
  { unit: NVIDIA, tiling: tiling(4, 16, false) },
  { unit: WIDE_8, tiling: tiling(8, 32, false) },
  { unit: NARROW_8, tiling: tiling(8, 16, false) },
];

/** The variants of a schedule: `base` with its tile kernels replaced. None for a schedule without tiles. */
export function emitMatrixVariants(
  base: Variant,
  schedule: Schedule,
  target: Target,
  choices: readonly MatrixChoice[] = MATRIX_CHOICES,
): readonly Variant[] {
  if (!schedule.passes.some((p) => p.kind === 'tiles')) return [];
  return choices.flatMap((choice) => emitMatrixVariant(base, schedule, target, choice) ?? []);
}

function emitMatrixVariant(
  base: Variant,
  schedule: Schedule,
  target: Target,
  { unit, tiling }: MatrixChoice,
): Variant | undefined {
  const { m, n, k, lanes } = unit;
  const layout = matrixLayout(target, unit, tiling);
  const onGrid = schedule.passes.some((p) => p.kind === 'tiles' && p.queries.kind === 'grid');
  if (onGrid && layout.rows !== 64) return undefined;
  const withText = (
    kernel: Kernel,
    directives: string,
    { text, shader, threads }: { readonly text: string; readonly shader: Shader; readonly threads: number },
  ): Kernel => ({
    name: kernel.name,
    role: kernel.role,
    pass: kernel.pass,
    directives,
    wgsl: text,
    entry: kernel.entry,
    workgroup: [threads, 1, 1],
    rows: layout.rows,
    bindings: shader.bindings,
    uniforms: shader.uniforms,
  });
  const kernels = base.kernels.flatMap((kernel): readonly Kernel[] => {
    const pass = kernel.pass === undefined ? undefined : schedule.passes[kernel.pass];
    const { subgroups } = kernel;
    if (subgroups && (lanes < subgroups.least || lanes >= subgroups.below)) return [];
    // Subgroups are there wherever matrices are.
    if (kernel.role === 'gather' && pass?.kind === 'gather')
      return [subgroupGather(kernel, pass, schedule, target)];
    if (pass?.kind !== 'tiles') return [kernel];
    const merge = mergesInto(target, schedule, pass);
    const common = { name: kernel.name, merge, sink: addsSink(target, schedule) };
    const matrices = (split: boolean): Kernel =>
      withText(kernel, MATRIX_DIRECTIVES, emitMatrixKernel(target, pass, { ...common, unit, tiling, split }));
    if (kernel.role === 'tiles') return [matrices(false)];
    // Passes over some rows have long rows in prefill too, where matrices pay; those over all rows only in decoding.
    if (pass.complete) return [kernel];
    if (kernel.role === 'merge')
      return [withText(kernel, '', emitMergeKernel(target, pass, { ...common, rows: layout.rows }))];
    return [matrices(true)];
  });
  const memory = Math.max(base.limits.maxComputeWorkgroupStorageSize ?? 0, matrixBytes(layout));
  return {
    family: 'matrix',
    inputs: ['f16'],
    outputs: STORAGE_TYPES,
    schedule: base.schedule,
    kernels,
    features: ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups'],
    limits: {
      ...base.limits,
      maxComputeWorkgroupStorageSize: memory,
      maxComputeInvocationsPerWorkgroup: Math.max(
        layout.threads,
        base.limits.maxComputeInvocationsPerWorkgroup ?? 0,
      ),
    },
    matrix: { m, n, k, lanes, lockstep: tiling.lone },
    tiling: `${layout.rows} queries x ${tiling.keys} keys, ${tiling.subgroups} subgroups`,
  };
}
