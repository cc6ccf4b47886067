import type { KernelRange, Schedule } from '../compiler/ir/schedule.js';
import { setShape } from '../compiler/ir/shape.js';
import { compileTape } from '../compiler/ir/tape.js';
import type { Bound } from './bind.js';
import { requireHost } from './bind.js';
import { AttncError } from './errors.js';
import { inputsOf } from './input-uses.js';

/** Whether the integers that kernels compute for themselves stay in 32 bits at bound lengths and parameters. */

const LEAST = -(2 ** 31);
const MOST = 2 ** 31 - 1;

export interface TooWide {
  readonly range: KernelRange;
  readonly lo: number;
  readonly hi: number;
}

/** The first range of the schedule that leaves 32 bits, if any does. */
export function tooWide(schedule: Schedule, bound: Bound): TooWide | undefined {
  if (schedule.ranges.length === 0) return undefined;
  const { shape } = bound.binding;
  const roots = schedule.ranges.flatMap((r) => [r.lo, r.hi]);
  requireHost(bound.inputs, inputsOf(roots), 'the tiles to visit depend on it');
  const tape = compileTape(roots, { precision: 'f32' });
  for (let batch = 0; batch < shape.batch; batch++) {
    for (let head = 0; head < shape.heads; head++) {
      setShape(tape, shape, batch, head);
      tape.run(bound.inputs.host);
      for (const [n, range] of schedule.ranges.entries()) {
        const [lo, hi] = [tape.result(2 * n), tape.result(2 * n + 1)];
        if (!(lo >= LEAST && hi <= MOST)) return { range, lo, hi };
      }
    }
  }
  return undefined;
}

export function kernelRangeError({ range, lo, hi }: TooWide): AttncError {
  const value = lo < LEAST ? lo : hi;
  return new AttncError(
    'value-out-of-range',
    `the kernels need the number ${value} to find the keys of ${range.what}, which is past 32 bits`,
    { help: 'use smaller parameters; a window as long as the sequence sees all of it', details: { lo, hi } },
  );
}
