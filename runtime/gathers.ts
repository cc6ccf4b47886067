import type { GatherPlan } from '../compiler/ir/gather-plan.js';
import type { Kernel } from '../compiler/ir/program.js';

/** What gathers dispatch, and what they need besides tensors. */

/** Parts and long rows are three words each. */
const ENTRY = 3;

/** Workgroups of a gather kernel, or of the one that merges the parts of long rows. */
export function gatherWorkgroups(kernel: Kernel, plan: GatherPlan): number {
  if (kernel.role === 'gather_merge') return (plan.repeats * plan.longRows.length) / ENTRY;
  return Math.ceil((plan.repeats * (plan.parts.length / ENTRY + plan.rows)) / kernel.rows);
}

/** Bytes of the results of all parts of long rows: for each the sums of values, and statistics. */
export function gatherBytes(plan: GatherPlan, valueDim: number): number {
  return 4 * (valueDim + 4) * ((plan.repeats * plan.parts.length) / ENTRY);
}

/** The plan's parts as kernels ask for them (see GatherPlan): counts, and where lists start among the words. */
export function gatherWords(
  plan: GatherPlan,
  set: (part: string, value: number) => void,
  put: (data: Uint32Array) => number,
): void {
  set('repeats', plan.repeats);
  set('part_count', plan.parts.length / ENTRY);
  set('row_count', plan.rows);
  set('long_count', plan.longRows.length / ENTRY);
  set('is_ordered', plan.order ? 1 : 0);
  set('order', plan.order ? put(plan.order) : 0);
  set('row_parts', put(plan.parts));
  set('long_rows', put(plan.longRows));
}
