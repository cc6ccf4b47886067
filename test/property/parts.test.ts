import test from 'ava';
import fc from 'fast-check';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { keyNeeds } from '../../compiler/ir/needs.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { fitsShape, isOnGrid } from '../differential/problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { randomInputs, randomPattern } from './generate.js';
import { lower, shapeOf } from './lowered.js';

// Parts of runs: a schedule for some rows and some keys holds exactly the pairs of these, numbered as in the whole run.

const RUNS = Number(process.env.PROPERTY_RUNS ?? 1000);

/** Where a part begins and ends, as shares of what there is. */
const share = fc.tuple(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 0, max: 1, noNaN: true }),
);

function between(total: number, [a, b]: readonly [number, number]): readonly [lo: number, hi: number] {
  const [x, y] = [Math.floor(a * total), Math.floor(b * total)];
  return x < y ? [x, y] : [y, Math.min(total, x + 1)];
}

test('schedules of parts of random patterns hold exactly the pairs of evaluate', (t) => {
  let tried = 0;
  let pairs = 0;
  fc.assert(
    fc.property(randomPattern(), share, share, share, (p, heads, rows, window) => {
      const pattern = lower(p);
      if (!pattern) return;
      const whole = shapeOf(p, pattern);
      const inputs = randomInputs(p);
      if (checkBinding(pattern, whole, inputs).length > 0) return;
      tried++;
      const [head, end] = between(whole.heads, heads);
      const [row, last] = between(Math.max(0, ...whole.queries), rows);
      const [lo, hi] = between(Math.max(0, ...whole.keys), window);
      const shape: BoundShape = {
        ...whole,
        heads: end - head,
        queries: whole.queries.map((n) => Math.max(0, Math.min(n, last) - row)),
        part: { batch: 0, head, row, heads: whole.heads, queries: whole.queries },
        window: { lo, hi },
      };
      const expected = trueMultiplicity(pattern, shape, inputs);
      expected.forEach((matrix, n) => {
        const keys = shape.keys[Math.floor(n / shape.heads)];
        for (let at = 0; at < matrix.length; at++) {
          if (at % keys < lo || at % keys >= hi) matrix[at] = 0;
          else if (matrix[at] > 0) pairs++;
        }
      });
      const optimised = { ...pattern, edges: runPasses(pattern.edges, PASSES, false) };
      for (const schedule of candidateSchedules(optimised, true)) {
        if (!fitsShape(schedule, { ...p, queries: shape.queries as number[] })) continue;
        const tile = isOnGrid(schedule) || p.seed % 2 === 0 ? 64 : 16;
        const wrong = firstDifference(scheduledMultiplicity(schedule, shape, inputs, tile), expected, shape);
        if (wrong) throw new Error(`${schedule.name}: ${wrong}`);
      }
      // What an analysis of the whole run says that the part needs holds every key of it.
      const needs = keyNeeds(pattern, whole, inputs);
      const everything = trueMultiplicity(pattern, { ...shape, window: undefined }, inputs);
      everything.forEach((matrix, n) => {
        const batch = Math.floor(n / shape.heads);
        const own = head + (n % shape.heads);
        const first = baseOf(shape, batch);
        const found = needs.intervals(batch, own, own + 1, first, first + shape.queries[batch], 4);
        const keys = shape.keys[batch];
        for (let at = 0; at < matrix.length; at++) {
          const j = at % keys;
          if (matrix[at] > 0 && !found.some((f) => f.lo <= j && j < f.hi))
            throw new Error(`key ${j} is missed`);
        }
      });
    }),
    { numRuns: RUNS },
  );
  t.log(`${tried} parts, ${pairs} pairs`);
  t.true(tried > RUNS / 2 && pairs > RUNS);
});
