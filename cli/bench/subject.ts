import type { StorageType, StorageTypes } from '../../compiler/ir/program.js';
import type { HostTensors } from '../../runtime/bindings.js';
import { usageError, wrongShape } from '../../runtime/errors.js';
import {
  sampledReference,
  sampleRows,
  type Reference,
  type RowIndex,
} from '../../runtime/reference/index.js';
import { checkDense } from '../fallback.js';
import { randomNumbers } from '../random.js';
import { scheduleFor } from '../schedule.js';
import type { Session } from '../session.js';
import { tensorsOf, type Work } from '../work.js';
import { storageType } from './buffers.js';

/** What is measured, and what its results are held against. */

interface Options {
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly allowDense?: boolean;
}

/** Fails where there is nothing to measure, or where running it would test too many pairs one by one. */
export function checkMeasurable(work: Work, options: Options): void {
  const { shape } = work.bound.binding;
  if (totalRows(work) === 0)
    throw wrongShape('q', ['batch', 'heads', 'queries > 0', 'head size'], work.task.shapes.q);
  if (options.allowDense) return;
  const inputs = work.bound.inputs.host;
  checkDense(scheduleFor(work.program, shape, inputs), shape, inputs);
}

export function totalRows({ bound }: Work): number {
  const { heads, queries } = bound.binding.shape;
  return heads * queries.reduce((a, b) => a + b, 0);
}

/** q, k and v in the one type in which they are stored, and the types of the kernels. */
export function storedTensors(
  work: Work,
  options: Options,
): { readonly tensors: HostTensors; readonly types: StorageTypes } {
  const tensors = tensorsOf(work, options.dtype ?? 'f32');
  const input = storageType('q', tensors.q);
  for (const name of ['k', 'v'] as const) {
    if (tensors[name].dtype === input) continue;
    throw usageError(`'q' is ${input}, but '${name}' is ${tensors[name].dtype}`, 'give them one type');
  }
  return { tensors, types: { input, output: options.outDtype ?? input } };
}

/** Rows looked at, and for how long (milliseconds) the oracle may compute more than the fewest. */
const SAMPLE = { most: 256, least: 16, patience: 3000 } as const;

export function sampleOracle(
  session: Session,
  work: Work,
  tensors: HostTensors,
): { readonly rows: readonly RowIndex[]; readonly expected: Reference } {
  const rows = sampleRows(work.bound.binding.shape, SAMPLE.most, randomNumbers(work.task.seed));
  const expected = sampledReference(work.program.pattern, tensors, rows, {
    ...SAMPLE,
    step: (done) => session.progress.step('computing the oracle', `row ${done} of ${rows.length}`),
  });
  return { rows: expected.rows ?? [], expected };
}
