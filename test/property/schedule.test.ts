import test from 'ava';
import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { rowFinder } from '../../compiler/ir/plan.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { fitsShape, isOnGrid } from '../differential/problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { randomInputs, randomPattern, type RandomPattern } from './generate.js';

/** Runs for each property; `PROPERTY_RUNS` asks for more. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 2000);

function shapeOf(p: RandomPattern, pattern: Pattern): BoundShape {
  const parameters = new Map<string, number>();
  for (const q of pattern.parameters) {
    if (!q.fixed && typeof q.value === 'number') parameters.set(q.name, q.value);
  }
  return {
    batch: p.batch,
    heads: p.heads,
    keyHeads: 1,
    dim: 16,
    queries: p.queries,
    keys: p.keys,
    grid: p.grid,
    align: pattern.align,
    parameters,
  };
}

/** The pattern of a random text, or undefined where the checker refuses it (a rule that is constant, say). */
function lower(p: RandomPattern): Pattern | undefined {
  const checked = checkSource({ file: 'random.attn', text: p.text }, { pattern: 'random' });
  if (!hasErrors(checked.diagnostics)) return checked.pattern;
  // Only what a random text may well get wrong; anything else is a bug of the generator or of the checker.
  const known = ['never', 'range', 'index', 'outside', 'empty', 'backward', '32 bits'];
  const odd = checked.diagnostics.filter(
    (d) => d.severity === 'error' && !known.some((word) => d.message.toLowerCase().includes(word)),
  );
  if (odd.length > 0) throw new Error(`${odd.map((d) => `${d.code} ${d.message}`).join('\n')}\n${p.text}`);
  return undefined;
}

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
