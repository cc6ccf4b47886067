import type { StorageType, StorageTypes } from '../compiler/ir/program.js';
import { Arena } from './arena.js';
import { assemble, bindGroup, tablesOf, type Tables, type Work } from './assemble.js';
import { bind, type Bound } from './bind.js';
import type { Bindings, LongBindings } from './bindings.js';
import { tilingLabel } from './choose-tiling.js';
import { usageError } from './errors.js';
import { ONLY_STEP, planLaunches, type Choice, type Step } from './launches.js';
import { pickVariant, type ChooseOptions, type Picked } from './pick-variant.js';
import { neededKeys } from './parts/needed.js';
import { firstPieces, lentShapes, stepsOf, type RunStep } from './parts/steps.js';
import { lentShape } from './parts/views.js';
import { checkShape } from './place.js';
import { pipelineOf, type Prepared } from './prepare.js';
import { storageOf } from './storage.js';

/** Recorded dispatches, and the temporary buffers that they read. */
export interface Encoded {
  /** Destroys the temporary buffers: call it once the work is submitted (it still completes) or given up. */
  release(): void;
  readonly stats: EncodeStats;
}

/** Of one step. */
export interface EncodedStep extends Encoded {
  /** Of kernels that list what must be done again, the list and what it counts: see Kernel.role. */
  readonly redo: GPUBuffer | undefined;
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
  /** Bands of query rows times windows of keys; 1 where everything could be bound at once. */
  readonly steps: number;
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
 *
 * Tensors past one binding, or in several buffers, are bound piece by piece: for programs compiled with `windows`.
 */
export function encode(
  target: GPUCommandEncoder | GPUComputePassEncoder,
  prepared: Prepared,
  bindings: LongBindings,
  options: ChooseOptions = {},
): Encoded {
  const arena = new Arena(prepared.device);
  try {
    const { steps, picked } = planEncode(prepared, bindings, options, arena);
    return encodeSteps(target, prepared, steps, picked, options, arena);
  } catch (error) {
    arena.release();
    throw error;
  }
}

/** What `encode` records: its steps, and the variant whose kernels they run. `arena` owns what is made for them. */
export function planEncode(
  prepared: Prepared,
  bindings: LongBindings,
  options: ChooseOptions,
  arena: Arena,
): { readonly steps: readonly RunStep[]; readonly picked: Picked } {
  const bound = bind(prepared.program, lentShapes(bindings), bindings);
  const { shape, queries, valueDim } = bound.binding;
  const types = storageOf(firstPieces(bindings));
  checkShape('out', [shape.batch, shape.heads, queries, valueDim], lentShape('out', bindings.out));
  const steps = stepsOf(prepared.device, bound, bindings, arena, options, () => neededKeys(bound));
  const [{ bound: part, bindings: tensors }] = steps;
  return { steps, picked: pickVariant(prepared, part, { ...types, tensors }, options) };
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
): EncodedStep {
  const arena = new Arena(prepared.device);
  try {
    const tables = tablesOf(bound, [plan.value.variant], arena);
    const types = storageOf(bindings);
    const work = assemble(prepared, bindings, bound, plan.value, tables, arena);
    play(target, prepared, tables, recordWork(prepared, plan.value, types, work));
    const redo = work?.resources.redo?.buffer;
    return { release: () => arena.release(), stats: statsOf([plan], types, arena), redo };
  } catch (error) {
    arena.release();
    throw error;
  }
}

/** All steps of a run, in order. `arena` owns what is made. */
export function encodeSteps(
  target: GPUCommandEncoder | GPUComputePassEncoder,
  prepared: Prepared,
  steps: readonly RunStep[],
  picked: Picked,
  options: ChooseOptions,
  arena: Arena,
): Encoded {
  const { recorded, tables, stats } = record(
    prepared,
    steps.map((s) => ({ ...s, picked })),
    options,
    arena,
  );
  play(target, prepared, tables, recorded.flat());
  return { release: () => arena.release(), stats: stats() };
}

/** A step, and what runs it. */
export interface PickedStep extends RunStep {
  readonly picked: Picked;
}

/** Steps that are planned and bound: their dispatches can be encoded at any time, as often as wanted. */
export interface RecordedSteps {
  /** By step. */
  readonly replay: readonly ((pass: GPUComputePassEncoder) => void)[];
  readonly stats: EncodeStats;
}

/** Steps of one run, which share their tables. `arena` owns what is made, and must live as long as they are replayed. */
export function recordSteps(
  prepared: Prepared,
  steps: readonly PickedStep[],
  options: ChooseOptions,
  arena: Arena,
): RecordedSteps {
  const { recorded, tables, stats } = record(prepared, steps, options, arena);
  checkCopies(tables);
  return { replay: recorded.map((own) => (pass) => dispatch(pass, own)), stats: stats() };
}

function record(
  prepared: Prepared,
  steps: readonly PickedStep[],
  options: ChooseOptions,
  arena: Arena,
): {
  readonly recorded: readonly (readonly Recorded[])[];
  readonly tables: Tables;
  readonly stats: () => EncodeStats;
} {
  const types = storageOf(steps[0].bindings);
  const variants = [...new Set(steps.map((s) => s.picked.variant))];
  const tables = tablesOf(steps[0].bound, variants, arena);
  const plans: Timed<PickedChoice>[] = [];
  const recorded = steps.map(({ bound, bindings, step, picked }) => {
    const plan = planPicked(picked, bound, options, step);
    plans.push(plan);
    const work = assemble(prepared, bindings, bound, plan.value, tables, arena);
    return recordWork(prepared, plan.value, types, work);
  });
  return { recorded, tables, stats: () => statsOf(plans, types, arena) };
}

function statsOf(plans: readonly Timed<PickedChoice>[], types: StorageTypes, arena: Arena): EncodeStats {
  const choices = plans.map((p) => p.value);
  const [{ variant, schedule, tuned }] = choices;
  const sum = (of: (choice: PickedChoice) => number): number => choices.reduce((n, c) => n + of(c), 0);
  return {
    family: variant.family,
    ...types,
    schedule: schedule.name,
    tiling: tilingLabel(variant),
    tuned,
    kernels: [...new Set(choices.flatMap((c) => c.launches.map((l) => l.kernel.name)))],
    workgroups: sum((c) => c.launches.reduce((n, l) => n + l.total, 0)),
    splits: choices.reduce((most, c) => Math.max(most, c.splits), 1),
    steps: plans.length,
    temporaryBuffers: arena.buffers,
    temporaryBytes: arena.bytes,
    planSteps: sum((c) => c.plans.reduce((n, p) => n + (p?.steps ?? 0), 0)),
    planMilliseconds: plans.reduce((n, p) => n + p.milliseconds, 0),
  };
}

/** The dispatches of one step; none where there is nothing to compute. */
function recordWork(
  prepared: Prepared,
  choice: Choice,
  types: StorageTypes,
  work: Work | undefined,
): readonly Recorded[] {
  if (!work) return [];
  return choice.launches.map((l, n): Recorded => {
    const made = pipelineOf(prepared, l.kernel, types);
    const group = bindGroup(prepared.device, l.kernel, made.layout, work, n);
    return { pipeline: made.pipeline, group, workgroups: l.workgroups };
  });
}

function play(
  target: GPUCommandEncoder | GPUComputePassEncoder,
  prepared: Prepared,
  tables: Tables,
  recorded: readonly Recorded[],
): void {
  const { copies } = tables.words;
  if ('dispatchWorkgroups' in target) {
    checkCopies(tables);
    dispatch(target, recorded);
    return;
  }
  const buffer = tables.made();
  for (const { from, to } of copies) {
    if (buffer && from.words > 0)
      target.copyBufferToBuffer(from.buffer, from.offset, buffer, 4 * to, 4 * from.words);
  }
  const pass = target.beginComputePass({ label: `attnc ${prepared.program.name}` });
  dispatch(pass, recorded);
  pass.end();
}

function checkCopies({ words: { copies } }: Tables): void {
  if (copies.length === 0) return;
  const help = 'pass the command encoder instead, or the table as an array';
  throw usageError('a table in a GPU buffer is copied, which a compute pass cannot do', help);
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
