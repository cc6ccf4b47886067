import test from 'ava';
import { checkBounds } from './check-bounds.js';

const RUNS = Number(process.env.PROPERTY_RUNS ?? 2000) / 4;

for (const target of ['i', 'j'] as const) {
  test(`bounds solved for ${target} hold every edge`, (t) => {
    const bounded = checkBounds(target, RUNS);
    t.log(`${bounded} rules bounded`);
    t.true(bounded > RUNS / 4);
  });
}
