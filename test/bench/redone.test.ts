// What `attnc bench` says of work that was done again.

import test from 'ava';
import { redoneText } from '../../cli/bench/report.js';

test('what was done again, by which kernel, of how much', (t) => {
  const text = (retried: number, rescaled: number): string =>
    redoneText({ workgroups: 1234, retried, rescaled });
  const why = ': weights were out of the range foreseen, or results not finite';
  t.is(text(0, 0), 'none of 1,234 workgroups');
  t.is(text(1000, 0), `of 1,234 workgroups 1,000 by the same kernel${why}`);
  t.is(text(0, 4), `of 1,234 workgroups 4 by one that rescales${why}`);
  t.is(
    text(1000, 4),
    `of 1,234 workgroups 1,000 by the same kernel, 4 (those or others) by one that rescales${why}`,
  );
});
