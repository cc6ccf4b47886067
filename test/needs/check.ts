import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import { unionOfRuns, type KeyRun } from '../../compiler/ir/key-runs.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { bindProblem, lowerSample, settingsFor } from '../differential/problems.js';
import { randomInputs, randomPattern } from '../property/generate.js';
import { randomNumbers } from '../sample-tables.js';
import { LENGTHS, SAMPLES } from '../shapes.js';
import { checkNeeds, keysOf, type NeedCounts } from './check-needs.js';
import { checkSimplify } from './check-simplify.js';

/**
 * The check of needs in small, run in a process of its own over a compiler that may have been mutated: exits with 1 at
 * the first range of queries whose keys are not what the definition says, or that takes far more steps than it should.
 */
const MOST_STEPS = 120;

function samples(): void {
  const counts: NeedCounts = { ranges: 0, given: 0, steps: 0 };
  for (const sample of SAMPLES) {
    for (const [n, setting] of sample.settings.entries()) {
      const isGrid = setting.lengths !== LENGTHS;
      const keys = isGrid ? (setting.lengths.find((x) => x > 60) ?? setting.lengths[0]) : 129;
      const pattern = lowerSample(sample, setting.set);
      const shape = {
        batch: 1,
        heads: Math.max(2, sample.heads),
        queries: n % 2 === 0 ? keys : Math.ceil(keys / 2),
        keys,
      };
      const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, setting.set, shape));
      // Documents are searched, then joined.
      checkNeeds(pattern, problem, 3, {}, counts);
      if (sample.file.includes('documents')) checkNeeds(pattern, problem, 3, { budget: 200 });
    }
  }
  const steps = counts.steps / counts.ranges;
  if (counts.given > 0 || steps > MOST_STEPS)
    throw new Error(`${steps} steps a range, ${counts.given} given up`);
}

function randomOnes(runs: number): void {
  const counts: NeedCounts = { ranges: 0, given: 0, steps: 0 };
  for (const p of fc.sample(randomPattern(), { numRuns: runs, seed: 12 })) {
    const { pattern, diagnostics } = checkSource(
      { file: 'random.attn', text: p.text },
      { pattern: 'random' },
    );
    if (hasErrors(diagnostics) || !pattern) continue;
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
    if (checkBinding(pattern, shape, inputs).length > 0) continue;
    checkNeeds(pattern, { shape, inputs }, p.seed, {}, counts);
    checkNeeds(pattern, { shape, inputs }, p.seed, { budget: 40 });
  }
  if (counts.given > 0) throw new Error(`${counts.given} given up`);
}

function unions(): void {
  const random = randomNumbers(2);
  const below = (n: number): number => Math.floor(random() * n);
  for (let n = 0; n < 1000; n++) {
    const runs = Array.from({ length: 1 + below(7) }, (): KeyRun => {
      const step = 1 + below(n % 2 === 0 ? 6 : 13);
      const lo = below(60);
      const count = below(20);
      return { lo, hi: lo + count * step, step: count === 0 ? 1 : step };
    });
    const expected = [...new Set(runs.flatMap((r) => keysOf([r])))].sort((a, b) => a - b);
    const union = keysOf(unionOfRuns(runs));
    if (union.join() !== expected.join())
      throw new Error(`the union of ${JSON.stringify(runs)} is ${union.join()}`);
  }
}

try {
  unions();
  checkSimplify(2000);
  samples();
  randomOnes(Number(process.argv[2] ?? 120));
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exit(1);
}
