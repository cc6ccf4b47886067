// docs/distributed.md is true: its commands print what it shows.

import { readFileSync } from 'node:fs';
import test from 'ava';
import { examplesOf, matches, runExamples } from './readme.js';

test.serial('every command does what is shown', async (t) => {
  const examples = examplesOf(readFileSync('docs/distributed.md', 'utf8'));
  t.true(examples.length >= 4);
  await runExamples(examples, ({ command, shown }, { status, output }) => {
    t.is(status, 0, `${command}\n${output}`);
    t.true(matches(output, shown), `${command}\nshown:\n${shown}\nprinted:\n${output}`);
  });
});
