import type { Program, StorageTypes } from '../../compiler/ir/program.js';
import type { Arena } from '../arena.js';
import { valueOf } from '../bind-shape.js';
import type { Bound } from '../bind.js';
import type { TensorBinding } from '../bindings.js';
import { recordSteps, type EncodeStats, type PickedStep } from '../encode.js';
import { pickVariant, type ChooseOptions, type Picked } from '../pick-variant.js';
import { bindPart, type RunPart } from '../parts/part.js';
import { compileKernels, type Prepared } from '../prepare.js';
import { scoped, untilLost } from '../scopes.js';
import type { Timestamps } from '../timing/timestamps.js';
import type { RowRange } from './layout.js';
import { rowsOfPiece, type QueryPiece } from './shard.js';
import type { RankStep } from './steps.js';

/** A step of a rank, and where its keys lie. */
export interface StepWork {
  readonly piece: QueryPiece;
  readonly step: RankStep;
  readonly keys: Readonly<Record<'k' | 'v', TensorBinding>>;
}

/** The steps of a rank, planned and bound. */
export interface Computer {
  /** Begins anew, with a pass of `timestamps` for each step, if there are any. */
  start(timestamps: Timestamps | undefined): Submitter;
  /** Of all steps; undefined if there are none. */
  readonly stats: EncodeStats | undefined;
}

export interface Submitter {
  /** Submits a step by its number. When it resolves, the device is not more than a few steps behind. */
  submit(step: number): Promise<void>;
  /** When it resolves, all steps are done. */
  finish(): Promise<void>;
}

/** Submissions that the host may be ahead of the device. */
const AHEAD = 3;

/** @param arena of what steps read besides the tensors, as long as they are computed */
export async function createComputer(
  prepared: Prepared,
  bound: Bound,
  picked: Picked,
  types: StorageTypes,
  options: ChooseOptions,
  steps: readonly StepWork[],
  arena: Arena,
): Promise<Computer> {
  const { device } = prepared;
  const bind = ({ piece, step: { rows, window, step }, keys }: StepWork): PickedStep => {
    const part = bindPart(bound, partOf(piece, rows), window);
    const view = (name: 'q' | 'out' | 'lse'): TensorBinding =>
      rowsOfPiece(name, piece[name], piece.rows, rows);
    const bindings = { q: view('q'), out: view('out'), lse: view('lse'), ...keys };
    const chosen = fits(picked, part) ? picked : pickVariant(prepared, part, types, options);
    return { bound: part, bindings, step, picked: chosen };
  };
  const all = steps.map(bind);
  const kernels = new Set([picked, ...all.map((s) => s.picked)].flatMap((p) => p.variant.kernels));
  await compileKernels(prepared, [...kernels], types);
  const { result: recorded, problem } = scoped(device, 'preparing the parts', () =>
    all.length === 0 ? undefined : recordSteps(prepared, all, options, arena),
  );
  const failed = await problem;
  if (failed) throw failed;

  const start = (timestamps: Timestamps | undefined): Submitter => {
    const problems: Promise<void>[] = [];
    const behind: Promise<unknown>[] = [];
    let count = 0;
    return {
      submit: async (number) => {
        const { problem: found } = scoped(device, 'computing a part', () => {
          const encoder = device.createCommandEncoder({ label: 'attnc part' });
          const pass = encoder.beginComputePass(timestamps?.passOf(count++) ?? { label: 'attnc part' });
          recorded?.replay[number](pass);
          pass.end();
          device.queue.submit([encoder.finish()]);
        });
        const told = found.then((error) => {
          if (error) throw error;
        });
        told.catch(() => undefined);
        problems.push(told);
        behind.push(untilLost(device, device.queue.onSubmittedWorkDone()));
        if (behind.length > AHEAD) await behind.shift();
      },
      finish: async () => {
        await Promise.all(problems.splice(0));
        await Promise.all(behind.splice(0));
        await untilLost(device, device.queue.onSubmittedWorkDone());
      },
    };
  };
  return { start, stats: recorded?.stats };
}

export const partOf = (
  { batch, group: { head, heads } }: Pick<QueryPiece, 'batch' | 'group'>,
  rows: RowRange,
): RunPart => ({ batch, batches: 1, head, heads, row: rows.lo, rows: rows.hi - rows.lo });

/** Schedules over grids are for parts that have all rows. */
const fits = ({ variant }: Picked, { program, binding }: Bound): boolean =>
  valueOf(program.schedules[variant.schedule].when, binding.shape, 0) !== 0;

/** Is there something to do once all keys have been seen? */
export const hasSink = (program: Program): boolean =>
  program.variants.some((v) => v.kernels.some((k) => k.role === 'sink'));
