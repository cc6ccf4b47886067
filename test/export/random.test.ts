// Random patterns, exported for FlexAttention: every pair is an edge as often as the definition says.

import fc from 'fast-check';
import test from 'ava';
import { exportFlex } from '../../compiler/export/index.js';
import { checkSource } from '../../compiler/check/index.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import { randomInputs, randomPattern, type RandomPattern } from '../property/generate.js';
import type { Tables } from '../shapes.js';
import { allPairs, checkModules, defaultsOf, noPython, type ModuleCase } from './python.js';

const PATTERNS = 120;
/** Pairs of a pattern, of all batches and heads. */
const MOST_PAIRS = 20_000;

function tablesOf(inputs: BoundInputs): Tables {
  return Object.fromEntries(
    [...inputs].flatMap(([name, x]) => {
      const one = (key: string, data: ArrayLike<number>, shape: readonly number[]) =>
        [key, { shape, data: Array.from(data) }] as const;
      if (x.kind === 'table') return [one(name, x.data, x.sizes)];
      return [
        one(`${name}.row_ptr`, x.rowPtr, [x.rowPtr.length]),
        one(`${name}.col_idx`, x.colIdx, [x.colIdx.length]),
      ];
    }),
  );
}

function caseOf(p: RandomPattern): readonly ModuleCase[] {
  const { pattern } = checkSource({ file: 'random.attn', text: p.text }, { pattern: 'random' });
  // Some of what is made up is wrong, or never holds.
  if (pattern === undefined) return [];
  const { text } = exportFlex(pattern);
  if (text === undefined) return [];
  const [queries, keys] = [Math.max(...p.queries), Math.max(...p.keys)];
  const parameters = defaultsOf(pattern);
  const inputs = randomInputs(p);
  const shape = {
    batch: p.batch,
    heads: p.heads,
    queries,
    keys,
    ...(new Set([...p.keys]).size > 1 ? { lengths: { queries: p.queries, keys: p.keys } } : {}),
  };
  const bound = {
    ...{ batch: p.batch, heads: p.heads, keyHeads: p.heads, dim: 16, grid: p.grid, align: pattern.align },
    ...{ queries: p.queries, keys: p.keys, parameters: new Map(Object.entries(parameters)) },
  };
  const problem = { shape: bound, inputs };
  const tables = tablesOf(inputs);
  return [allPairs({ name: p.text, module: text, pattern, shape, tables, parameters, problem })];
}

const why = noPython();
(why === null ? test : test.skip)(
  `all pairs of random patterns are as defined${why === null ? '' : ` (${why})`}`,
  (t) => {
    t.timeout(300_000);
    const found = fc
      .sample(randomPattern(), { numRuns: 3 * PATTERNS, seed: 11 })
      .filter((p) => p.batch * p.heads * Math.max(...p.queries) * Math.max(...p.keys) <= MOST_PAIRS)
      .flatMap(caseOf)
      .slice(0, PATTERNS);
    t.is(found.length, PATTERNS);
    t.deepEqual(checkModules(found), []);
  },
);
