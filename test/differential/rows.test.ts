// The oracle finds the keys of a row through bounds. Here every key is looked at as well, at up to a million of them.

import test from 'ava';
import { evaluator } from '../../compiler/ir/evaluate.js';
import { rowFinder } from '../../compiler/ir/plan.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { randomNumbers } from '../sample-tables.js';
import { SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import { bindProblem, lowerSample, settingsFor } from './problems.js';
import { FULL } from './settings.js';

const TOKENS = 1_000_000;
/** Graphs are made edge by edge. */
const NODES = 200_000;
const ROWS = FULL ? 12 : 4;

/** Parameters that tables are made for, which have to be named; all others keep their large defaults. */
const SETS: Readonly<Record<string, SampleSetting['set']>> = {
  graph_blocks: { block: 64 },
  relative_bias: { m: 128 },
  speculative: { nodes: 64 },
};

/** Whole rows or frames, as the default parameters have them. */
const GRIDS: Readonly<Record<string, number>> = {
  neighbourhood_2d: 256 * 3906,
  neighbourhood_3d: 32 * 32 * 976,
};

function keysOf(sample: SampleCase): number {
  if (sample.file.includes('graph')) return NODES;
  return GRIDS[sample.pattern] ?? TOKENS;
}

for (const sample of SAMPLES) {
  test(`rows of ${sample.pattern} found through bounds are whole`, (t) => {
    const set = SETS[sample.pattern] ?? {};
    const pattern = lowerSample(sample, set);
    const keys = keysOf(sample);
    const shape = { batch: 1, heads: Math.max(2, sample.heads), queries: keys, keys };
    const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, set, shape));
    const find = rowFinder(pattern, problem.shape, problem.inputs);
    const m = evaluator(pattern, problem.shape, problem.inputs);
    const random = randomNumbers(keys);
    const base = baseOf(problem.shape, 0);
    let edges = 0;
    let candidates = 0;
    for (let n = 0; n < ROWS; n++) {
      const row = n === 0 ? 0 : n === 1 ? keys - 1 : Math.floor(random() * keys);
      const head = n % shape.heads;
      const found = find(0, head, base + row);
      m.row(0, head, base + row);
      let at = 0;
      let missed = -1;
      for (let j = 0; j < keys && missed < 0; j++) {
        const isFound = found[at] === j;
        if (isFound) at++;
        if (m.at(j) === 0) continue;
        edges++;
        if (!isFound) missed = j;
      }
      t.is(missed, -1, `head ${head}, row ${row}: a key that was not found`);
      t.is(at, found.length, `head ${head}, row ${row}: keys are in order, each once, inside the sequence`);
      candidates += found.length;
    }
    t.log(`${ROWS} rows of ${keys} keys, ${edges} edges, ${candidates} candidates`);
  });
}
