import test from 'ava';
import fc from 'fast-check';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { rowFinder } from '../../compiler/ir/plan.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import { baseOf, type BoundShape } from '../../compiler/ir/shape.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { fitsShape, isOnGrid } from '../differential/problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { randomInputs, randomPattern, type RandomPattern } from './generate.js';
import { lower, shapeOf } from './lowered.js';

/** Runs for each property; `PROPERTY_RUNS` asks for more. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 2000);

test('schedules of random patterns hold exactly the pairs of evaluate', (t) => {
  let tried = 0;
  let schedules = 0;
  fc.assert(
    fc.property(randomPattern(), (p) => {
      const pattern = lower(p);
      if (!pattern) return;
      const shape = shapeOf(p, pattern);
      const inputs = randomInputs(p);
      if (checkBinding(pattern, shape, inputs).length > 0) return;
      tried++;
      const expected = trueMultiplicity(pattern, shape, inputs);
      const optimised: Pattern = { ...pattern, edges: runPasses(pattern.edges, PASSES, true) };
      for (const [passes, subject] of [
        ['with passes', optimised],
        ['without passes', pattern],
      ] as const) {
        for (const schedule of candidateSchedules(subject)) {
          // A schedule whose condition fails at this shape isn't used there.
          if (!fitsShape(schedule, p)) continue;
          schedules++;
          const rows = isOnGrid(schedule) || p.seed % 2 === 0 ? 64 : 16;
          const wrong = firstDifference(
            scheduledMultiplicity(schedule, shape, inputs, rows),
            expected,
            shape,
          );
          if (wrong) throw new Error(`${schedule.name} ${passes}: ${wrong}`);
        }
        if (passes === 'with passes' && p.seed % 3 > 0) break;
      }
      rowsMatch(pattern, shape, inputs, p.seed);
    }),
    { numRuns: RUNS, seed: 20261122, includeErrorInReport: true } as fc.Parameters<[RandomPattern]>,
  );
  t.log(`${tried} patterns, ${schedules} schedules`);
  t.true(tried > RUNS * 0.8);
});

/** The oracle's rows, found through bounds, hold every key that has an edge. */
function rowsMatch(
  pattern: Pattern,
  shape: BoundShape,
  inputs: ReturnType<typeof randomInputs>,
  seed: number,
): void {
  const find = rowFinder(pattern, shape, inputs);
  const m = evaluator(pattern, shape, inputs);
  const batch = seed % shape.batch;
  const head = seed % shape.heads;
  const i = baseOf(shape, batch) + (seed % shape.queries[batch]);
  const found = new Set(find(batch, head, i));
  m.row(batch, head, i);
  for (let j = 0; j < shape.keys[batch]; j++) {
    if (m.at(j) > 0 && !found.has(j)) throw new Error(`the row of i = ${i} misses j = ${j}`);
  }
}
