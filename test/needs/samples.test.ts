// Which keys ranges of queries need, of every sample, against the definition pair by pair.

import test from 'ava';
import { bindProblem, lowerSample, settingsFor, sizesFor, unequalLengths } from '../differential/problems.js';
import { FULL } from '../differential/settings.js';
import { SAMPLES } from '../shapes.js';
import { checkNeeds, type NeedCounts } from './check-needs.js';

/** Every pair of a shape is looked at. */
const MOST_KEYS = FULL ? 1000 : 200;

for (const sample of SAMPLES) {
  test(`needs of ${sample.pattern}`, (t) => {
    const counts: NeedCounts = { ranges: 0, given: 0, steps: 0 };
    sample.settings.forEach((setting, s) => {
      const pattern = lowerSample(sample, setting.set);
      sizesFor(sample, setting).forEach(([queries, keys], n) => {
        if (keys > MOST_KEYS || (!FULL && n % 3 !== s % 3 && n > 0)) return;
        const batch = n % 2 === 0 ? 1 : 2;
        const heads = Math.max(sample.heads, n % 3 === 0 ? 2 : 1);
        const lengths = batch === 2 ? unequalLengths(sample, setting, [queries, keys]) : undefined;
        const shape = { batch, heads, queries, keys, ...(lengths ? { lengths } : {}) };
        const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, setting.set, shape, n + 1));
        t.notThrows(
          () => checkNeeds(pattern, problem, n + 1, {}, counts),
          `${JSON.stringify(setting.set)} ${queries}×${keys}`,
        );
      });
    });
    t.is(counts.given, 0, 'every range is searched to the end');
    t.log(`${counts.ranges} ranges, ${Math.round(counts.steps / counts.ranges)} steps each`);
  });
}

// With next to no budget for the search, documents are joined: by the values of all queries and keys.
for (const name of ['documents', 'documents_causal', 'documents_batch_causal', 'shared_prefix_causal']) {
  test(`needs of ${name}, joined`, (t) => {
    const sample = SAMPLES.find((s) => s.pattern === name);
    if (!sample) return t.fail();
    const counts: NeedCounts = { ranges: 0, given: 0, steps: 0 };
    for (const [queries, keys] of [
      [129, 129],
      [17, 129],
    ]) {
      const pattern = lowerSample(sample, {});
      const shape = { batch: 2, heads: 1, queries, keys };
      const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, {}, shape, 3));
      checkNeeds(pattern, problem, 5, { budget: 200 }, counts);
    }
    t.is(counts.given, 0);
  });
}
