// Which keys ranges of queries need, of random patterns, against the definition pair by pair.

import test from 'ava';
import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { randomInputs, randomPattern } from '../property/generate.js';
import { checkNeeds, type NeedCounts } from './check-needs.js';

/** `PROPERTY_RUNS` asks for more. */
const RUNS = Number(process.env.PROPERTY_RUNS ?? 2000) / 5;

/** @param budget steps after which a search is given up; 0 for the usual */
function tryAll(runs: number, seed: number, budget: number): NeedCounts & { patterns: number } {
  const counts: NeedCounts = { ranges: 0, given: 0, steps: 0 };
  let patterns = 0;
  fc.assert(
    fc.property(randomPattern(), (p) => {
      const { pattern, diagnostics } = checkSource(
        { file: 'random.attn', text: p.text },
        { pattern: 'random' },
      );
      if (hasErrors(diagnostics) || !pattern) return;
      const parameters = new Map(
        pattern.parameters.filter((q) => !q.fixed).map((q) => [q.name, q.value as number]),
      );
      const { batch, heads, queries, keys, grid } = p;
      const shape: BoundShape = {
        batch,
        heads,
        keyHeads: 1,
        dim: 16,
        queries,
        keys,
        grid,
        align: 'end',
        parameters,
      };
      const inputs = randomInputs(p);
      if (checkBinding(pattern, shape, inputs).length > 0) return;
      patterns++;
      checkNeeds(pattern, { shape, inputs }, p.seed, budget > 0 ? { budget } : {}, counts);
    }),
    { numRuns: runs, seed, includeErrorInReport: true } as fc.Parameters<[unknown]>,
  );
  return { ...counts, patterns };
}

test('needs of random patterns are exact', (t) => {
  const { patterns, ranges, steps, given } = tryAll(RUNS, 20261123, 0);
  t.log(`${patterns} patterns, ${ranges} ranges, ${Math.round(steps / ranges)} steps each`);
  t.true(patterns > RUNS * 0.8);
  t.is(given, 0);
});

test('searches that are given up count keys as needed that may not be, and leave none out', (t) => {
  const { ranges, given } = tryAll(RUNS / 4, 20261124, 40);
  t.log(`${given} of ${ranges} ranges given up`);
  t.true(given > ranges / 100);
});
