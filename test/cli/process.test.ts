/** The command as a process: what only a shell sees. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { COMMAND, scratch, spawned } from './harness.js';

const node = process.execPath;

test.serial('result on standard output, diagnostics on standard error, exit status', async (t) => {
  const good = await spawned(node, [COMMAND, 'check', '-'], 'pattern p { i -> j when j <= i }');
  t.deepEqual(good, { status: 0, stdout: '<stdin>: ok (p)\n', stderr: '' });
  const bad = await spawned(node, [COMMAND, 'compile', '-'], 'pattern p { i -> j when j <= k }');
  t.deepEqual([bad.status, bad.stdout], [1, '']);
  t.regex(bad.stderr, /^error\[ATTN\d+\]/);
  const usage = await spawned(node, [COMMAND, 'explain']);
  t.deepEqual([usage.status, usage.stdout], [2, '']);
});

test.serial('a large result arrives whole through a pipe', async (t) => {
  const args = ['draw', 'samples/longnet.attn', '--pattern', 'longnet', '--length', '2000', '--json'];
  const { status, stdout } = await spawned(node, [COMMAND, ...args]);
  t.is(status, 0);
  t.true(stdout.length > 400_000);
  t.notThrows(() => JSON.parse(stdout));
});

const shell = process.platform === 'win32' ? test.skip : test.serial;

shell('a reader that leaves early is no error', async (t) => {
  const script =
    '"$0" "$1" draw samples/longnet.attn --pattern longnet --length 2000 --json | head -c 10; echo "${PIPESTATUS[0]}"';
  const { stdout, stderr } = await spawned('bash', ['-c', script, node, COMMAND]);
  t.is(stdout, '{"title":"0\n');
  t.is(stderr, '');
});

shell('an output that cannot be written is said, with status 1', async (t) => {
  if (process.platform !== 'linux') return t.pass();
  const script = '"$0" "$1" check samples/dense.attn > /dev/full';
  const { status, stderr } = await spawned('bash', ['-c', script, node, COMMAND]);
  t.is(status, 1);
  t.regex(stderr, /^attnc: cannot write the output: .*no space/i);
});

shell('the file begins as a script, and a compiled program passes through a pipe', async (t) => {
  t.regex(readFileSync(COMMAND, 'utf8'), /^#!\/usr\/bin\/env node\n/);
  const file = scratch(t);
  const script =
    '"$0" "$1" compile samples/butterfly.attn | tee "$2" | "$0" "$1" explain - --length 128 --heads 1';
  const { status, stdout } = await spawned('bash', ['-c', script, node, COMMAND, file('p.json')]);
  t.is(status, 0);
  // 128 tokens: each sees itself and one for each of 7 bits.
  t.regex(stdout, /edges +1,024, 1,024 distinct pairs/);
});
