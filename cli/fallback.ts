import type { BoundInputs } from '../compiler/ir/inputs.js';
import { TILE, type Schedule, type Segment } from '../compiler/ir/schedule.js';
import type { BoundShape } from '../compiler/ir/shape.js';
import { denseBudget } from '../runtime/errors.js';
import { countTilePass, isUnbounded, type PassCounts } from './count-pass.js';

/** Rules for which the analysis gave up: nothing bounds their keys, and most tiles there are must be tested. */
export interface Fallback {
  readonly pass: number;
  readonly labels: readonly string[];
  readonly sources: readonly string[];
  /** Pairs tested one by one. */
  readonly pairs: number;
  /** Of all pairs. */
  readonly share: number;
}

/** Pairs that a kernel may test one by one without `--allow-dense`. */
export const DENSE_BUDGET = 2 ** 33;

/** Of all key tiles, the share that must be tested for a rule to count as fallen back. */
const MOST = 0.5;

export function fallbackOf(
  segment: Segment,
  counts: { readonly full: number; readonly partial: number },
  pass: number,
  shape: BoundShape,
): Fallback | undefined {
  const pairs = Math.round(counts.partial) * TILE * TILE;
  const all = allPairs(shape);
  if (!isUnbounded(segment) || counts.partial <= counts.full || pairs < MOST * all) return undefined;
  const { labels, sources } = segment;
  return { pass, labels, sources, pairs, share: Math.min(1, pairs / Math.max(1, all)) };
}

export function fallbacksOf(
  schedule: Schedule,
  counts: readonly (PassCounts | undefined)[],
  shape: BoundShape,
): readonly Fallback[] {
  return schedule.passes.flatMap((pass, n) => {
    const c = counts[n];
    if (pass.kind !== 'tiles' || c === undefined) return [];
    return pass.segments.flatMap((s, m) => fallbackOf(s, c.segments[m], n, shape) ?? []);
  });
}

/** Fails where running the schedule would test more pairs one by one than the budget. */
export function checkDense(schedule: Schedule, shape: BoundShape, inputs: BoundInputs): void {
  if (allPairs(shape) <= DENSE_BUDGET) return;
  const counts = schedule.passes.map((pass) =>
    pass.kind === 'tiles' && pass.segments.some(isUnbounded)
      ? countTilePass(pass, shape, inputs, { most: 8, pairs: 0 })
      : undefined,
  );
  for (const found of fallbacksOf(schedule, counts, shape)) {
    if (found.pairs > DENSE_BUDGET) throw denseBudget(found.sources.join('; '), found.pairs, DENSE_BUDGET);
  }
}

/** queries × keys, over batches and heads. */
export function allPairs(shape: BoundShape): number {
  return shape.heads * shape.queries.reduce((sum, q, b) => sum + q * shape.keys[b], 0);
}
