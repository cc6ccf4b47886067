import type { Pattern } from '../ir/edges.js';
import { costOf } from '../ir/statistics.js';
import type { Schedule } from '../ir/schedule.js';
import { isConst } from '../ir/build.js';
import { buildSchedule } from './build-schedule.js';
import { divideGraphs } from './divide-graphs.js';
import { modelInputs, modelShape } from './model-shape.js';
import { shapeTerm, type Strategy } from './spaces.js';
import { groupsOf } from './terms.js';

export { modelInputs, modelShape };

/**
 * The schedules that a program carries: the cheapest one for the model shape, before it the cheapest that only some
 * shapes allow (grids), and after it, where it gathers an explicit graph, the one for graphs with dense boxes, which are
 * not known yet. The runtime takes the cheapest that its shape and its inputs allow.
 * @param windows for runs in parts: keys that are not at hand do not count (Program.windows)
 */
export function schedulesOf(pattern: Pattern, windows = false): readonly Schedule[] {
  const all = candidateSchedules(pattern, windows);
  const divided = all.filter((s) => s.name === 'divided');
  const candidates = all.filter((s) => s.name !== 'divided');
  if (candidates.length === 1) return candidates;
  const shape = modelShape(pattern);
  const inputs = modelInputs(pattern, shape);
  const costs = new Map(candidates.map((s) => [s, costOf(s, shape, inputs)]));
  const cheapest = (from: readonly Schedule[]): Schedule[] =>
    from.length === 0 ? [] : [from.reduce((a, b) => ((costs.get(b) ?? 0) < (costs.get(a) ?? 0) ? b : a))];
  const everywhere = cheapest(candidates.filter((s) => isConst(s.when, 1)));
  const special = cheapest(candidates.filter((s) => !isConst(s.when, 1)));
  const worthwhile = special.filter((s) => (costs.get(s) ?? 0) < (costs.get(everywhere[0]) ?? 0));
  const gathers = everywhere.some((s) => s.passes.some((p) => p.kind === 'gather'));
  return [...worthwhile, ...everywhere, ...(gathers ? divided : [])];
}

/** Every distinct schedule of a pattern, `rows` first: tests run them all. */
export function candidateSchedules(pattern: Pattern, windows = false): readonly Schedule[] {
  const axes = pattern.grid?.length ?? 0;
  const terms = groupsOf(pattern.edges).flatMap((group, n) => group.map((t) => shapeTerm(t, n, axes)));
  const strategies: Strategy[] = ['rows', 'own', 'refined'];
  if (terms.some((t) => t.usesGrid)) strategies.push('grid', 'boxes');
  const divided = divideGraphs(terms, pattern.inputs);
  if (divided) strategies.push('divided');
  const distinct = new Map<string, Schedule>();
  for (const strategy of strategies) {
    const own = strategy === 'divided' ? (divided ?? []) : terms;
    const schedule = buildSchedule(own, strategy, axes, windows);
    const key = schedule.passes
      .map((p) =>
        p.kind === 'gather'
          ? `gather ${p.labels.join()}${p.neighbours.kind === 'graph' ? ` by ${p.neighbours.input}` : ''}`
          : `${p.queries.name}: ${p.segments.map((s) => `${s.space.name} ${s.labels.join()}`).join(' | ')}`,
      )
      .join('\n');
    if (!distinct.has(key)) distinct.set(key, schedule);
  }
  return [...distinct.values()];
}
