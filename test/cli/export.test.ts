/** export: a module on standard output or in a file, and what can't be exported said with its place. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { attnc, isTidy, scratch } from './harness.js';

const longformer = 'samples/longformer.attn';

test('export: the module on standard output, settings in it, and a note which of several patterns it was', async (t) => {
  const { status, stdout, stderr } = await attnc(`export ${longformer} --to flex --set window=128`);
  t.is(status, 0);
  t.regex(stdout, /^"""longformer: attention for PyTorch's FlexAttention/);
  t.true(stdout.includes('PARAMETERS = {"window": 128, "globals": 64}'));
  t.regex(stderr, /exported 'longformer' of longformer, global_sliding/);
  const named = await attnc(`export ${longformer} --to flex --pattern global_sliding`);
  t.deepEqual([named.status, named.stderr], [0, '']);
  t.true(named.stdout.includes('INPUTS = {"g": {"type": "bool", "axes": ["keys"]}}'));
});

test('export -o: to a file; from standard input and from a compiled program alike', async (t) => {
  const file = scratch(t)('window.py');
  const text = 'pattern window(reach: int = 4) { i -> j when 0 <= i - j < reach }';
  const written = await attnc(['export', '-', '--to', 'flex', '-o', file], { stdin: text });
  t.deepEqual([written.status, written.stdout, written.stderr], [0, `${file}\n`, '']);
  const program = await attnc('compile -', { stdin: text });
  const again = await attnc('export - --to flex', { stdin: program.stdout });
  t.deepEqual([again.status, again.stdout], [0, readFileSync(file, 'utf8')]);
  const set = await attnc('export - --to flex --set reach=5', { stdin: program.stdout });
  t.is(set.status, 2);
  t.regex(set.stderr, /is the compiled pattern 'window' with its settings/);
});

const DRAWN = 'pattern p {\n  rule: i -> j when 0 in sample(1, 4, 7, head, i, j) and j <= i\n}\n';

test('export: what FlexAttention has no way to compute is an error with a code, a place and a reason', async (t) => {
  const { status, stdout, stderr } = await attnc('export - --to flex', { stdin: DRAWN });
  t.deepEqual([status, stdout], [1, '']);
  t.is(
    stderr,
    [
      "error[ATTN3001]: FlexAttention can't draw `0 in sample(1, 4, 7, head, i, j)`: what it depends on changes with both the query and the key",
      ' --> <stdin>:2:3',
      '  |',
      '2 |   rule: i -> j when 0 in sample(1, 4, 7, head, i, j) and j <= i',
      '  |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^',
      '  = help: drawing takes a loop, which FlexAttention has not; samples whose seed and keys depend on one side only are drawn beforehand',
      '',
    ].join('\n'),
  );
  const inScore = DRAWN.replace('0 in sample(1, 4, 7, head, i, j) and ', '').replace(
    '\n}',
    '\n  score = if(1 in sample(2, 9, i, j), dot(q, k), 0.0)\n}',
  );
  const score = await attnc('export - --to flex --diagnostics json', { stdin: inScore });
  t.is(score.status, 1);
  t.is((JSON.parse(score.stderr) as { code: string }[])[0].code, 'ATTN3001');
});

test('export: wrong usage and wrong patterns', async (t) => {
  for (const [args, status, says] of [
    [`export ${longformer}`, 2, /--to/],
    [`export ${longformer} --to jax`, 2, /flex/],
    ['export nofile.attn --to flex', 1, /no such file/],
    [`export ${longformer} --to flex --pattern nothing`, 1, /ATTN2044/],
    [`export ${longformer} --to flex --set windo=3`, 1, /ATTN2042/],
    ['export samples/errors/types.attn --to flex', 1, /ATTN2021/],
  ] as const) {
    const { status: found, stdout, stderr } = await attnc(args);
    t.is(found, status, args);
    t.is(stdout, '', args);
    t.regex(stderr, says, args);
    t.true(isTidy(stderr), args);
  }
});
