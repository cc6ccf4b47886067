import { STORAGE_TYPES, type Kernel, type Variant } from '../ir/program.js';
import { dividesGraphs } from '../ir/graph-boxes.js';
import type { Schedule } from '../ir/schedule.js';
import { emitMatrixKernel, MATRIX_DIRECTIVES } from './matrix-kernel.js';
import {
  matrixBytes,
  matrixLayout,
  SCORE_COLUMNS,
  type MatrixTiling,
  type MatrixUnit,
} from './matrix-layout.js';
import { emitMergeKernel } from './merge-kernel.js';
import { remembered } from './remembered.js';
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

const tiling = (change: Partial<MatrixTiling>): MatrixTiling => ({
  subgroups: 4,
  blocks: 1,
  keys: 16,
  chunk: change.keys ?? 16,
  prefetch: true,
  lone: true,
  steady: false,
  retries: false,
  ...change,
});

/**
 * The first that the device can run is the default; `attnc tune` tries the others too. Measured on an NVIDIA H200
 * (docs/performance.md): with heads up to 64 two blocks of rows fit into the registers of a subgroup, and matrices of
 * keys and values then serve twice as many products, unless tiles are few and much of them is masked
 * (`choose-tiling`); with larger heads, staging more keys at once.
 */
export function matrixChoices(target: Target): readonly MatrixChoice[] {
  const wide = Math.max(target.dim, target.valueDim);
  const online = [
    { unit: NVIDIA, tiling: tiling({ subgroups: 8 }) },
    { unit: NVIDIA, tiling: tiling({}) },
  ];
  const narrow = {
    unit: NVIDIA,
    tiling: tiling({ blocks: 2, keys: 32, chunk: 16, steady: true, retries: true }),
  };
  const steady = [
    ...(wide <= 64 ? [narrow] : []),
    {
      unit: NVIDIA,
      tiling: tiling({
        subgroups: 8,
        keys: wide <= 128 ? 32 : 16,
        chunk: 16,
        steady: true,
        retries: wide > 64,
      }),
    },
    { unit: NVIDIA, tiling: tiling({ keys: wide <= 64 ? 32 : 16, chunk: 16, steady: true }) },
    online[0],
  ];
  return [
    ...(target.score === undefined ? steady : online),
    { unit: NVIDIA, tiling: tiling({ lone: false }) },
    { unit: WIDE_8, tiling: tiling({ subgroups: 8, keys: 32, lone: false, steady: true }) },
    { unit: NARROW_8, tiling: tiling({ subgroups: 8, lone: false }) },
  ];
}

/**
 * The tiling of kernels that take a part of the keys: there are few rows then, global tokens say, and larger tiles would
 * be half empty. Three workgroups of 64 rows run at a time on a multiprocessor, which is what keys are divided for. Past
 * heads of 64 as many keys are staged as whole tilings of 64 rows stage, for the same registers.
 */
function partTiling(target: Target, { m }: MatrixUnit, whole: MatrixTiling): MatrixTiling {
  const once = { ...whole, retries: false };
  if (m * whole.blocks * whole.subgroups <= 64) return once;
  const keys = Math.max(target.dim, target.valueDim) <= 64 ? whole.keys : 16;
  return { ...once, subgroups: 64 / m, blocks: 1, keys, chunk: Math.min(whole.chunk, keys) };
}

/** The variants of a schedule: `base` with its tile kernels replaced. None for a schedule without tiles. */
export function emitMatrixVariants(
  base: Variant,
  schedule: Schedule,
  target: Target,
  choices: readonly MatrixChoice[] = matrixChoices(target),
): readonly Variant[] {
  if (!schedule.passes.some((p) => p.kind === 'tiles')) return [];
  const kernels = new Map<string, Kernel>();
  return choices.flatMap((choice) => emitMatrixVariant(base, schedule, target, choice, kernels) ?? []);
}

function emitMatrixVariant(
  base: Variant,
  schedule: Schedule,
  target: Target,
  { unit, tiling }: MatrixChoice,
  /** Those of other choices, which share some. */
  known: Map<string, Kernel>,
): Variant | undefined {
  const { m, n, k, lanes } = unit;
  const layout = matrixLayout(target, unit, tiling);
  const parts = partTiling(target, unit, tiling);
  const partLayout = matrixLayout(target, unit, parts);
  // Boxes of grids have 64 cells, dense ones of graphs 64 rows.
  const onGrid = schedule.passes.some((p) => p.kind === 'tiles' && p.queries.kind === 'grid');
  if ((onGrid || dividesGraphs(schedule)) && layout.rows !== 64) return undefined;
  const withText = (
    kernel: Kernel,
    directives: string,
    rows: number,
    made: {
      readonly text: string;
      readonly shader: Shader;
      readonly threads: number;
      readonly apart?: number;
    },
  ): Kernel => ({
    name: kernel.name,
    role: kernel.role,
    pass: kernel.pass,
    directives,
    wgsl: made.text,
    entry: kernel.entry,
    workgroup: [made.threads, 1, 1],
    rows,
    ...(made.apart === undefined || made.apart === rows ? {} : { apart: made.apart }),
    bindings: made.shader.bindings,
    uniforms: made.shader.uniforms,
  });
  const kernels = base.kernels.flatMap((kernel): readonly Kernel[] => {
    const pass = kernel.pass === undefined ? undefined : schedule.passes[kernel.pass];
    const { subgroups } = kernel;
    if (subgroups && (lanes < subgroups.least || lanes >= subgroups.below)) return [];
    // Subgroups are there wherever matrices are.
    if (kernel.role === 'gather' && pass?.kind === 'gather')
      return [remembered(known, kernel.name, () => subgroupGather(kernel, pass, schedule, target))];
    if (pass?.kind !== 'tiles') return [kernel];
    const merge = mergesInto(target, schedule, pass);
    const common = { name: kernel.name, merge, sink: addsSink(target, schedule) };
    const matrices = (role: 'tiles' | 'decode'): readonly Kernel[] => {
      const split = role === 'decode';
      const options = { ...common, unit, tiling: split ? parts : tiling, split };
      const emit = (own: Kernel, again: boolean): Kernel =>
        remembered(known, JSON.stringify([own.name, unit, options.tiling]), () =>
          withText(
            own,
            MATRIX_DIRECTIVES,
            (split ? partLayout : layout).rows,
            emitMatrixKernel(target, pass, { ...options, name: own.name, again }),
          ),
        );
      const listed = { ...kernel, name: `${kernel.name}_again`, role: `${role}_again` } as const;
      return layout.care === 'later' ? [emit(kernel, false), emit(listed, true)] : [emit(kernel, false)];
    };
    if (kernel.role === 'tiles') return matrices('tiles');
    // Passes over some rows have long rows in prefill too, where matrices pay; those over all rows only in decoding.
    if (pass.complete) return [kernel];
    if (kernel.role === 'merge')
      return [
        remembered(known, JSON.stringify([kernel.name, partLayout.rows]), () =>
          withText(
            kernel,
            '',
            partLayout.rows,
            emitMergeKernel(target, pass, { ...common, rows: partLayout.rows }),
          ),
        ),
      ];
    return matrices('decode');
  });
  const memory = Math.max(
    base.limits.maxComputeWorkgroupStorageSize ?? 0,
    matrixBytes(layout),
    matrixBytes(partLayout),
  );
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
    matrix: { m, n, k, lanes, scoreColumns: SCORE_COLUMNS, lockstep: tiling.lone },
    tiling: `${layout.rows} queries x ${tiling.keys} keys, ${tiling.subgroups} subgroups${layout.steady ? ', steady' : ''}`,
  };
}
