import type { Program } from '../compiler/ir/program.js';
import type { BoundInputs } from '../compiler/ir/inputs.js';
import type { Schedule } from '../compiler/ir/schedule.js';
import type { BoundShape } from '../compiler/ir/shape.js';
import { costOf } from '../compiler/ir/statistics.js';
import { valueOf } from '../runtime/bind-shape.js';

/** The schedule that the runtime takes at these lengths: of those that fit, the cheapest. */
export function scheduleFor(program: Program, shape: BoundShape, inputs: BoundInputs): Schedule {
  const batches = Array.from({ length: Math.max(1, shape.batch) }, (_, b) => b);
  const fits = program.schedules.filter((s) => batches.every((b) => valueOf(s.when, shape, b) !== 0));
  if (fits.length === 1) return fits[0];
  const costs = fits.map((s) => costOf(s, shape, inputs));
  return fits[costs.indexOf(Math.min(...costs))];
}
