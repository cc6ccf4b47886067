import type { Program, StorageTypes } from '../../compiler/ir/program.js';
import { valueOf } from '../bind-shape.js';
import { Arena } from '../arena.js';
import type { Bound } from '../bind.js';
import type { TensorBinding } from '../bindings.js';
import { encodeSteps, type EncodeStats } from '../encode.js';
import { pickVariant, type ChooseOptions, type Picked } from '../launches.js';
import { bindPart } from '../parts/part.js';
import { compileKernels, type Prepared } from '../prepare.js';
import { scoped, untilLost } from '../scopes.js';
import type { Timestamps } from '../timing/timestamps.js';
import type { RowRange } from './layout.js';
import { rowsOfPiece, type QueryPiece } from './shard.js';
import type { RankStep } from './steps.js';

/** Submits the steps of a rank, one after the other, and times them. */
export interface Computer {
  /** When it resolves, the device is not more than a few steps behind. @param keys k and v of the step's window */
  submit(piece: QueryPiece, step: RankStep, keys: Readonly<Record<'k' | 'v', TensorBinding>>): Promise<void>;
  /** When it resolves, all steps are done. */
  finish(): Promise<void>;
  /** Of all steps since the computer was made; undefined if there were none. */
  stats(): EncodeStats | undefined;
}

/** Submissions that the host may be ahead of the device. */
const AHEAD = 3;

export function createComputer(
  prepared: Prepared,
  bound: Bound,
  picked: Picked,
  types: StorageTypes,
  options: ChooseOptions,
  timestamps: Timestamps | undefined,
): Computer {
  const { device } = prepared;
  let sum: EncodeStats | undefined;
  let count = 0;
  const problems: Promise<void>[] = [];
  const behind: Promise<unknown>[] = [];
  return {
    submit: async (piece, { rows, window, step }, { k, v }) => {
      const part = bindPart(bound, partOf(piece, rows), window);
      const chosen = fits(picked, part) ? picked : pickVariant(prepared, part, types, options);
      if (chosen !== picked) await compileKernels(prepared, chosen.variant.kernels, types);
      const view = (name: 'q' | 'out' | 'lse'): TensorBinding =>
        rowsOfPiece(name, piece[name], piece.rows, rows);
      const bindings = { q: view('q'), out: view('out'), lse: view('lse'), k, v };
      const { problem } = scoped(device, 'computing a part', () => {
        const encoder = device.createCommandEncoder({ label: 'attnc part' });
        const pass = encoder.beginComputePass(timestamps?.passOf(count++) ?? { label: 'attnc part' });
        const steps = [{ bound: part, bindings, step }];
        const encoded = encodeSteps(pass, prepared, steps, chosen, options, new Arena(device));
        pass.end();
        device.queue.submit([encoder.finish()]);
        encoded.release();
        sum = sum ? added(sum, encoded.stats) : encoded.stats;
      });
      const told = problem.then((error) => {
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
    stats: () => sum,
  };
}

export const partOf = (
  { batch, group: { head, heads } }: Pick<QueryPiece, 'batch' | 'group'>,
  rows: RowRange,
) => ({
  ...{ batch, head, heads },
  batches: 1,
  row: rows.lo,
  rows: rows.hi - rows.lo,
});

/** Schedules over grids are for parts that have all rows. */
const fits = ({ variant }: Picked, { program, binding }: Bound): boolean =>
  valueOf(program.schedules[variant.schedule].when, binding.shape, 0) !== 0;

/** Is there something to do once all keys have been seen? */
export const hasSink = (program: Program): boolean =>
  program.variants.some((v) => v.kernels.some((k) => k.role === 'sink'));

const added = (sum: EncodeStats, more: EncodeStats): EncodeStats => ({
  ...sum,
  kernels: [...new Set([...sum.kernels, ...more.kernels])],
  workgroups: sum.workgroups + more.workgroups,
  splits: Math.max(sum.splits, more.splits),
  steps: sum.steps + more.steps,
  temporaryBytes: Math.max(sum.temporaryBytes, more.temporaryBytes),
  planSteps: sum.planSteps + more.planSteps,
  planMilliseconds: sum.planMilliseconds + more.planMilliseconds,
});
