// What `attnc tune` says of a candidate, and of a clock that did not rise.

import test from 'ava';
import { clockText, triedText, type Tried } from '../../cli/bench/tune-report.js';

const tried = (clockShare: number | undefined): Tried => ({
  schedule: 'rows',
  family: 'subgroup',
  tiling: 'rows',
  time: { median: 1.2345, p10: 1, p90: 2 } as Tried['time'],
  clock: 'timestamps',
  clockShare,
  problem: undefined,
});

test('a candidate that was timed at a low clock is told of', (t) => {
  for (const share of [undefined, 0.8, 1])
    t.is(triedText(tried(share)), '1.234 ms (80 % between 1.000 ms and 2.000 ms)');
  t.regex(triedText(tried(0.61)), /^1\.234 ms \(.*\), the clock at 61\.0 % of its highest$/);
  t.is(triedText({ ...tried(0.3), time: undefined, problem: 'too large' }), 'no time: too large');
  t.is(clockText([tried(undefined), tried(1)]), undefined);
  t.regex(clockText([tried(0.3), tried(1), tried(0.7)])!, /^low while 2 of 3 were timed: tune again /);
});
