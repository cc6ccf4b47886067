import { checkSource } from '../../compiler/check/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { randomInputs, type RandomPattern } from './generate.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { rowFinder } from '../../compiler/ir/plan.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import { baseOf } from '../../compiler/ir/shape.js';
const p = JSON.parse(process.argv[2]) as RandomPattern;
const c = checkSource({ file: 'r', text: p.text }, { pattern: 'random' });
const pattern = c.pattern!;
const parameters = new Map(
  pattern.parameters.filter((q) => !q.fixed).map((q) => [q.name, q.value as number]),
);
const shape = {
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
const inputs = randomInputs(p);
console.log(p.text);
for (const subject of [pattern, { ...pattern, edges: runPasses(pattern.edges, PASSES, true) }])
  for (const s of candidateSchedules(subject)) {
    for (const rows of [16, 64]) {
      try {
        console.log(
          s.name,
          s.passes
            .map((q) =>
              q.kind === 'tiles'
                ? q.plan + ' ' + q.queries.name + '[' + q.segments.map((y) => y.space.name).join() + ']'
                : 'gather',
            )
            .join(' + '),
          firstDifference(
            scheduledMultiplicity(s, shape, inputs, rows),
            trueMultiplicity(pattern, shape, inputs),
            shape,
          ),
        );
      } catch (e) {
        console.log(s.name, e);
      }
    }
  }
const find = rowFinder(pattern, shape, inputs),
  m = evaluator(pattern, shape, inputs);
for (let b = 0; b < shape.batch; b++)
  for (let h = 0; h < shape.heads; h++)
    for (let t = 0; t < shape.queries[b]; t++) {
      const i = t + baseOf(shape, b);
      const f = new Set(find(b, h, i));
      m.row(b, h, i);
      for (let j = 0; j < shape.keys[b]; j++) if (m.at(j) && !f.has(j)) console.log('row misses', i, j);
    }
