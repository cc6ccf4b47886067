// The tree of each sample, interpreted by code that shares nothing with the IR, defines the same pairs.

import test from 'ava';
import { baseOf } from '../../compiler/ir/shape.js';
import { compilePattern } from '../interpreter/interpret.js';
import { loadFiles } from '../interpreter/load.js';
import { SAMPLES } from '../shapes.js';
import { MANY_PAIRS, pointsOf, shapeOf } from './points.js';
import { bindProblem, lowerSample, settingsFor } from './problems.js';
import { firstDifference, trueMultiplicity } from './schedule-edges.js';
import { FULL } from './settings.js';

for (const sample of SAMPLES) {
  test(`the interpreter agrees on ${sample.pattern}`, (t) => {
    const files = loadFiles(sample.file);
    const done = new Set<string>();
    let pairs = 0;
    let edges = 0;
    for (const { shape, point } of pointsOf(sample).map((p) => shapeOf(sample, p))) {
      const { setting } = point;
      const large = shape.heads * shape.queries * shape.keys > MANY_PAIRS;
      const key = JSON.stringify([setting.set, shape]);
      if (done.has(key) || (!FULL && large && setting !== sample.settings[0])) continue;
      done.add(key);
      const pattern = lowerSample(sample, setting.set);
      const settings = settingsFor(sample, pattern, setting.set, shape);
      const problem = bindProblem(pattern, shape, settings);
      const lengths = problem.shape.queries.map((queries, b) => ({ queries, keys: problem.shape.keys[b] }));
      const tables = sample.tables(shape, 1, setting.set);
      const interpreted = compilePattern(files, sample.pattern, {
        set: setting.set,
        tables,
        shape: { ...shape, dim: 16, lengths },
      });
      const expected = trueMultiplicity(pattern, problem.shape, problem.inputs);
      const actual = expected.map((matrix, n) => {
        const [batch, head] = [Math.floor(n / shape.heads), n % shape.heads];
        const keys = problem.shape.keys[batch];
        const base = baseOf(problem.shape, batch);
        return matrix.map((_, at) =>
          interpreted.multiplicity(batch, head, Math.floor(at / keys) + base, at % keys),
        );
      });
      t.is(firstDifference(actual, expected, problem.shape), undefined, key);
      for (const matrix of expected) {
        pairs += matrix.length;
        for (const m of matrix) edges += m;
      }
    }
    t.log(`${pairs} pairs, ${edges} edges`);
    t.true(edges > 0);
  });
}
