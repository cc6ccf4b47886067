// Which reads of tables masks are told of, found once for each row and key.

import test, { type ExecutionContext } from 'ava';
import { compile } from '../../compiler/compile.js';
import { sideReads, type SideReads } from '../../compiler/emit/side-facts.js';
import { walk } from '../../compiler/ir/expr.js';

function readsOf(t: ExecutionContext, inputs: string, rule: string): { reads: SideReads; left: number } {
  const { program } = compile(`pattern p() {\n${inputs}\ni -> j when ${rule}\n}`, { dim: 16 });
  if (!program) throw t.fail(rule);
  const pass = program.schedules[0].passes[0];
  if (pass.kind !== 'tiles') throw t.fail('no tiles');
  const reads = sideReads(pass.segments.map((s) => s.keep));
  let left = 0;
  walk(reads.rules, (e) => (left += Number(e.op === 'table')));
  return { reads, left };
}

const DOC = 'input doc: int[tokens]';

test('a table of each side', (t) => {
  const { reads, left } = readsOf(t, DOC, 'doc[i] == doc[j] and j <= i');
  t.is(reads.i.length, 1);
  t.is(reads.j.length, 1);
  t.is(left, 0);
});

test('a read that occurs twice is one', (t) => {
  const { reads, left } = readsOf(t, DOC, 'doc[j] > 3 and doc[i] > doc[j]');
  t.is(reads.j.length, 1);
  t.is(left, 0);
});

test('a read of both sides stays as it is', (t) => {
  const { reads, left } = readsOf(t, DOC, 'doc[(i + j) % 7] == 1');
  t.deepEqual([reads.i.length, reads.j.length, left], [0, 0, 1]);
});

test('of a read inside of another one, neither is told', (t) => {
  const { reads, left } = readsOf(t, DOC, 'doc[doc[j]] == doc[i]');
  t.deepEqual([reads.i.length, reads.j.length, left], [1, 0, 2]);
});

test('an index of a million paths through few nodes takes no time', (t) => {
  const lets = Array.from({ length: 30 }, (_, n) => `let x${n + 1} = (x${n} * x${n} + 1) % 1000`);
  const inputs = ['input doc: int[tokens]', 'let x0 = j % 7', ...lets].join('\n');
  const start = performance.now();
  const { reads } = readsOf(t, inputs, 'doc[x30] == doc[i] and doc[x30] < 5');
  t.deepEqual([reads.i.length, reads.j.length], [1, 1]);
  t.true(performance.now() - start < 20_000);
});

test('four for each side, no more', (t) => {
  const { reads, left } = readsOf(
    t,
    DOC,
    'doc[j] + doc[j + 1] + doc[j + 2] + doc[j + 3] + doc[j + 4] == doc[i]',
  );
  t.deepEqual([reads.i.length, reads.j.length, left], [1, 4, 1]);
});
