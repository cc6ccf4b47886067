import type { Kernel, StorageType, StorageTypes } from '../compiler/ir/program.js';
import { Arena } from './arena.js';
import { bind, type Bound } from './bind.js';
import type { Bindings, TensorBinding } from './bindings.js';
import { tilingLabel } from './choose-tiling.js';
import { usageError } from './errors.js';
import { USAGE } from './gpu-flags.js';
import {
  ONLY_STEP,
  pickVariant,
  planLaunches,
  type Choice,
  type ChooseOptions,
  type Launch,
  type Picked,
  type Step,
} from './launches.js';
import {
  bindingOf,
  checkOverlap,
  checkShape,
  placeTensor,
  type Placement,
  type TensorName,
} from './place.js';
import { pipelineOf, type Prepared } from './prepare.js';
import { granuleOf, storageOf } from './storage.js';
import { uniformWords, type UniformValues } from './uniforms.js';
import { planWords, tableWords, type TableWords } from './words.js';

/** Recorded dispatches, and the temporary buffers that they read. */
export interface Encoded {
  /** Destroys the temporary buffers: call it once the work is submitted (it still completes) or given up. */
  release(): void;
  readonly stats: EncodeStats;
}

export interface EncodeStats {
  readonly family: string;
  /** Storage types of q, k and v, and of out. */
  readonly input: StorageType;
  readonly output: StorageType;
  readonly schedule: string;
  /** How the kernels divide their work; ChooseOptions.tiling takes it. */
  readonly tiling: string;
  /** Whether this was chosen because it was measured: ChooseOptions.tuned. */
  readonly tuned: boolean;
  readonly kernels: readonly string[];
  readonly workgroups: number;
  readonly splits: number;
  /** Buffers made by this call, until `release`. */
  readonly temporaryBuffers: number;
  readonly temporaryBytes: number;
  /** Box tests made in planning on the host, and its time. */
  readonly planSteps: number;
  readonly planMilliseconds: number;
}

/**
 * Records a prepared program without submitting anything. Into a command encoder: one compute pass, after copies of
 * the tables that lie in buffers. Into a compute pass: the dispatches alone.
 *
 * All that the kernels read besides q, k, v is written when its buffers are made, so nothing has to be ordered with
 * the app's own writes to the queue. Out and lse are overwritten in all rows up to each batch's length.
 */
export function encode(
  target: GPUCommandEncoder | GPUComputePassEncoder,
  prepared: Prepared,
  bindings: Bindings,
  options: ChooseOptions = {},
): Encoded {
  const shapes = { q: bindings.q.shape, k: bindings.k.shape, v: bindings.v.shape };
  const bound = bind(prepared.program, shapes, bindings);
  const picked = pickVariant(prepared, bound, { ...storageOf(bindings), tensors: bindings }, options);
  return encodeBound(target, prepared, bindings, bound, planPicked(picked, bound, options));
}

/** What was picked, planned. */
export const planPicked = (
  picked: Picked,
  bound: Bound,
  options: ChooseOptions,
  step: Step = ONLY_STEP,
): Timed<PickedChoice> =>
  timed(() => ({ ...planLaunches(picked.variant, bound, options, step), tuned: picked.tuned }));

export type PickedChoice = Choice & Pick<Picked, 'tuned'>;

export interface Timed<T> {
  readonly value: T;
  readonly milliseconds: number;
}

export function timed<T>(work: () => T): Timed<T> {
  const start = performance.now();
  const value = work();
  return { value, milliseconds: performance.now() - start };
}

/** The second half of `encode`: what is bound is checked, and the launches are known. */
export function encodeBound(
  target: GPUCommandEncoder | GPUComputePassEncoder,
  prepared: Prepared,
  bindings: Bindings,
  bound: Bound,
  plan: Timed<PickedChoice>,
): Encoded {
  const choice = plan.value;
  const types = storageOf(bindings);
  const arena = new Arena(prepared.device);
  try {
    const work = assemble(prepared, bindings, bound, choice, arena);
    if (work) record(target, prepared, choice.launches, types, work);
  } catch (error) {
    arena.release();
    throw error;
  }
  return {
    release: () => arena.release(),
    stats: {
      family: choice.variant.family,
      ...types,
      schedule: choice.schedule.name,
      tiling: tilingLabel(choice.variant),
      tuned: choice.tuned,
      kernels: choice.launches.map((l) => l.kernel.name),
      workgroups: choice.launches.reduce((sum, l) => sum + l.total, 0),
      splits: choice.splits,
      temporaryBuffers: arena.buffers,
      temporaryBytes: arena.bytes,
      planSteps: choice.plans.reduce((sum, p) => sum + (p?.steps ?? 0), 0),
      planMilliseconds: plan.milliseconds,
    },
  };
}

interface Work {
  readonly resources: Readonly<Record<string, GPUBufferBinding>>;
  readonly uniforms: GPUBuffer;
  /** Bytes between the blocks of two kernels. */
  readonly uniformStep: number;
  readonly tables: TableWords;
}

/** Checks the tensors and makes every buffer that the kernels need; undefined where there is nothing to compute. */
function assemble(
  prepared: Prepared,
  bindings: Bindings,
  bound: Bound,
  choice: Choice,
  arena: Arena,
): Work | undefined {
  const { device } = prepared;
  const { shape, queries, valueDim } = bound.binding;
  checkShape('out', [shape.batch, shape.heads, queries, valueDim], bindings.out.shape);
  if (bindings.lse) checkShape('lse', [shape.batch, shape.heads, queries], bindings.lse.shape);
  const rows = shape.batch * shape.heads * queries;
  const lse = bindings.lse ?? scratchLse(arena, [shape.batch, shape.heads, queries]);
  const tensors: Record<TensorName, TensorBinding> = { ...bindings, lse };
  const kernels = choice.launches.map((l) => l.kernel);
  const placed = {} as Record<TensorName, Placement>;
  for (const name of ['q', 'k', 'v', 'out', 'lse'] as const) {
    placed[name] = placeTensor(device, name, tensors[name], granuleOf(kernels, name));
  }
  checkOverlap(placed);
  if (rows === 0) return undefined;

  const tables = tableWords(bound.inputs);
  const planned = planWords(shape, choice.plans, choice.gathers);
  const values: UniformValues = { shape, divisions: choice.divisions, placed, tables, plan: planned };
  const step = device.limits.minUniformBufferOffsetAlignment;
  const blocks = choice.launches.map((l) => uniformWords(l.kernel, values));
  const uniformStep = Math.max(step, ...blocks.map((b) => Math.ceil(b.byteLength / step) * step));
  const uniforms = new Uint32Array((uniformStep / 4) * blocks.length);
  blocks.forEach((block, n) => uniforms.set(block, (n * uniformStep) / 4));

  // A binding cannot be empty: without keys, k and v are a few zeros that no kernel reads.
  const nothing = shape.keys.every((n) => n === 0) ? arena.create('nothing', 16, USAGE.storage) : undefined;
  const bufferOf = (p: Placement): GPUBufferBinding =>
    p.size === 0 && nothing ? { buffer: nothing } : { buffer: p.buffer, offset: p.offset, size: p.size };
  const tablesUsage = USAGE.storage | (tables.copies.length > 0 ? USAGE.copyDst : 0);
  return {
    tables,
    uniforms: arena.upload('uniforms', uniforms, USAGE.uniform),
    uniformStep,
    resources: {
      q: bufferOf(placed.q),
      k: bufferOf(placed.k),
      v: bufferOf(placed.v),
      out: bufferOf(placed.out),
      lse: bufferOf(placed.lse),
      ...(reads(choice.launches, 'tables') && {
        tables: { buffer: arena.upload('tables', tables.words, tablesUsage) },
      }),
      ...(reads(choice.launches, 'plan') && { plan: { buffer: arena.upload('plan', planned.words) } }),
      ...(reads(choice.launches, 'parts') && { parts: { buffer: partsBuffer(arena, choice) } }),
    },
  };
}

function record(
  target: GPUCommandEncoder | GPUComputePassEncoder,
  prepared: Prepared,
  launches: readonly Launch[],
  types: StorageTypes,
  work: Work,
): void {
  const recorded = launches.map((l, n): Recorded => {
    const made = pipelineOf(prepared, l.kernel, types);
    const group = bindGroup(prepared.device, l.kernel, made.layout, work, n);
    return { pipeline: made.pipeline, group, workgroups: l.workgroups };
  });
  if ('dispatchWorkgroups' in target) {
    if (work.tables.copies.length > 0) {
      const help = 'pass the command encoder instead, or the table as an array';
      throw usageError('a table in a GPU buffer is copied, which a compute pass cannot do', help);
    }
    dispatch(target, recorded);
    return;
  }
  for (const { from, to } of work.tables.copies) {
    const buffer = work.resources.tables?.buffer;
    if (buffer && from.words > 0)
      target.copyBufferToBuffer(from.buffer, from.offset, buffer, 4 * to, 4 * from.words);
  }
  const pass = target.beginComputePass({ label: `attnc ${prepared.program.name}` });
  dispatch(pass, recorded);
  pass.end();
}

interface Recorded {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number];
}

function dispatch(pass: GPUComputePassEncoder, recorded: readonly Recorded[]): void {
  for (const { pipeline, group, workgroups } of recorded) {
    if (workgroups[0] === 0) continue;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...workgroups);
  }
}

function bindGroup(
  device: GPUDevice,
  kernel: Kernel,
  layout: GPUBindGroupLayout,
  work: Work,
  n: number,
): GPUBindGroup {
  const entries = kernel.bindings.map((b): GPUBindGroupEntry => {
    if (b.name === 'shape') {
      const size = Math.max(16, Math.ceil(kernel.uniforms.length / 4) * 16);
      return { binding: b.binding, resource: { buffer: work.uniforms, offset: n * work.uniformStep, size } };
    }
    return { binding: b.binding, resource: work.resources[b.name] };
  });
  return device.createBindGroup({ label: `attnc ${kernel.name}`, layout, entries });
}

function reads(launches: readonly Launch[], name: 'tables' | 'plan' | 'parts'): boolean {
  return launches.some((l) => bindingOf(l.kernel.bindings, name) !== undefined);
}

function scratchLse(arena: Arena, shape: readonly number[]): TensorBinding {
  const bytes = 4 * shape.reduce((a, b) => a * b, 1);
  return { buffer: arena.create('lse', bytes, USAGE.storage), shape };
}

/** Partial results of decoding and of long rows of gathers, of one pass at a time: for each part and row the sums of values, and statistics. */
function partsBuffer(arena: Arena, choice: Choice): GPUBuffer {
  const bytes = Math.max(16, ...choice.divisions.map((d) => d?.bytes ?? 0), choice.gatherBytes);
  return arena.create('parts', bytes, USAGE.storage);
}
