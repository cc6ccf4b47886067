import { REDO, type Kernel, type Program, type StorageType } from '../../compiler/ir/program.js';
import type { Pass, Schedule } from '../../compiler/ir/schedule.js';
import { bind, type Bound } from '../../runtime/bind.js';
import type { Bindings, HostTensors, Settings } from '../../runtime/bindings.js';
import {
  encodeBound,
  planPicked,
  type EncodedStep,
  type EncodeStats,
  type PickedChoice,
  type Timed,
} from '../../runtime/encode.js';
import type { Launch } from '../../runtime/launches.js';
import { pickVariant, type ChooseOptions } from '../../runtime/pick-variant.js';
import { choose, compileKernels, type Prepared } from '../../runtime/prepare.js';
import type { RowIndex } from '../../runtime/reference/index.js';
import { guarded } from '../../runtime/scopes.js';
import {
  record,
  timeRuns,
  type Recording,
  type Timing,
  type TimingOptions,
} from '../../runtime/timing/index.js';
import type { Tensor } from '../../runtime/tensor.js';
import { createSets, readRows, readWords, storageType, type Rows } from './buffers.js';

/** One program on one device: right on the rows looked at, then timed. */

export interface Subject {
  readonly program: Program;
  /** q, k and v in the type in which they are stored. */
  readonly tensors: HostTensors;
  /** Type of out. */
  readonly output: StorageType;
  readonly choose: ChooseOptions;
}

export interface MeasureOptions {
  /** Rows that `check` is given. */
  readonly rows: readonly RowIndex[];
  /** Throws if they are wrong: then nothing is timed, or what was timed is not told. Called before and after. */
  readonly check: (rows: Rows) => void;
  readonly timing?: TimingOptions;
  /** Sets of buffers; as many as go past any cache if not given. */
  readonly sets?: number | undefined;
  readonly step?: (what: string) => void;
}

export interface Measured {
  readonly timing: Timing;
  readonly stats: EncodeStats;
  readonly schedule: Schedule;
  readonly bound: Bound;
  /** Query rows that visit tiles of keys by themselves in the kernels of each pass; undefined of gathers. */
  readonly tileRows: readonly (number | undefined)[];
  /** Milliseconds in which the device's driver compiled the kernels. */
  readonly compileMilliseconds: number;
  readonly buffers: { readonly sets: number; readonly bytesASet: number };
  /** Of kernels that estimate what weights are relative to. */
  readonly redone: Redone | undefined;
}

/** Of a run, what was done again because an estimate was off, or because a result was NaN or infinite. */
export interface Redone {
  /** Workgroups in all. */
  readonly workgroups: number;
  /** Those that went through their keys once more by themselves. */
  readonly retried: number;
  /** Those, whether they had or not, whose work another kernel did again, which rescales. */
  readonly rescaled: number;
}

/** A program that is ready to run: bound, planned, its kernels compiled (they are kept with the device). */
interface Ready {
  readonly prepared: Prepared;
  readonly bound: Bound;
  readonly plan: Timed<PickedChoice>;
  readonly compileMilliseconds: number;
}

/** What comes before any tensor. May be called ahead, for many programs at once, so that `measure` finds kernels ready. */
export async function makeReady(
  device: GPUDevice,
  subject: Omit<Subject, 'tensors'> & { readonly tensors: Shapes },
): Promise<Ready> {
  const { program, tensors, output } = subject;
  const prepared = choose(device, program);
  const shapes = { q: tensors.q.shape, k: tensors.k.shape, v: tensors.v.shape };
  const bound = bind(program, shapes, tensors);
  const types = { input: storageType('q', tensors.q), output };
  const picked = pickVariant(prepared, bound, types, subject.choose);
  const plan = planPicked(picked, bound, subject.choose);
  const start = performance.now();
  const kernels = plan.value.launches.map((l) => l.kernel);
  await compileKernels(prepared, kernels, types);
  return { prepared, bound, plan, compileMilliseconds: performance.now() - start };
}

type Shapes = Settings & Readonly<Record<'q' | 'k' | 'v', Pick<Tensor, 'dtype' | 'shape'>>>;

export async function measure(
  device: GPUDevice,
  subject: Subject,
  options: MeasureOptions,
): Promise<Measured> {
  const { tensors, output } = subject;
  options.step?.('planning and compiling kernels');
  const { prepared, bound, plan, compileMilliseconds } = await makeReady(device, subject);
  options.step?.('uploading');
  const { shape, queries, valueDim } = bound.binding;
  const outShape = [shape.batch, shape.heads, queries, valueDim];
  const made = await createSets(device, tensors, output, outShape, options.sets);
  const releases: (() => void)[] = [made.release];
  try {
    // Planned once, recorded once for each set: what is timed is the device's work alone.
    let first: EncodedStep | undefined;
    const recordings = made.sets.map((set: Bindings): Recording =>
      record((pass) => {
        const encoded = encodeBound(pass, prepared, set, bound, plan);
        releases.push(encoded.release);
        first ??= encoded;
      }),
    );
    const { stats, redo } = first as EncodedStep;
    options.step?.('running');
    await runOnce(device, recordings[0]);
    const redone = redo && (await redoneIn(device, redo, plan.value.launches));
    options.check(await readRows(device, made.sets[0], options.rows));
    options.step?.('timing');
    const timing = await timeRuns(device, recordings, options.timing);
    // The other sets hold the same numbers, so their results are as good a witness.
    options.check(await readRows(device, made.sets[made.sets.length - 1], options.rows));
    return {
      timing,
      stats,
      schedule: plan.value.schedule,
      bound,
      tileRows: plan.value.plans.map(
        (p, n) =>
          p &&
          rowsApart(
            plan.value.launches.find((l) => l.kernel.pass === n && TILED.includes(l.kernel.role))?.kernel,
            plan.value.schedule.passes[n],
          ),
      ),
      compileMilliseconds,
      buffers: { sets: made.sets.length, bytesASet: made.bytesASet },
      redone,
    };
  } finally {
    for (const release of releases) release();
  }
}

/** What one run has counted. */
async function redoneIn(device: GPUDevice, redo: GPUBuffer, launches: readonly Launch[]): Promise<Redone> {
  const words = await readWords(device, redo, REDO.list);
  const [retried, rescaled] = [words[REDO.retried], words[REDO.redone]];
  const estimate = ({ kernel }: Launch): boolean =>
    TILED.includes(kernel.role) && kernel.bindings.some((b) => b.name === 'redo');
  const workgroups = launches.filter(estimate).reduce((sum, l) => sum + l.total, 0);
  return { workgroups, retried, rescaled };
}

const TILED: readonly string[] = ['tiles', 'decode'];

/** Of a kernel, the query rows that visit tiles of keys by themselves. Tiles of a grid are counted whole. */
const rowsApart = (kernel: Kernel | undefined, pass: Pass): number | undefined =>
  pass.kind === 'tiles' && pass.queries.kind !== 'grid' ? (kernel?.apart ?? kernel?.rows) : kernel?.rows;

function runOnce(device: GPUDevice, recording: Recording): Promise<undefined> {
  return guarded(device, () => {
    const encoder = device.createCommandEncoder({ label: 'attnc first run' });
    const pass = encoder.beginComputePass();
    recording.replay(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    return device.queue.onSubmittedWorkDone();
  });
}
