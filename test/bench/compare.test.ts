/** The comparison as a whole, small and on a software device; and what becomes of those who die, hang or are wrong. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { runApart, runTasks } from '../../bench/children.js';
import { sampledRows, writeJobs, writeTables, type Job } from '../../bench/jobs.js';
import { messageOf } from '../../bench/messages.js';
import { computeOracle, writeOracle } from '../../bench/oracle.js';
import type { Results } from '../../bench/results.js';
import { ROWS, smallRow } from '../../bench/rows.js';
import { DEVICE, scratch } from '../cli/harness.js';

const script = (name: string): string => fileURLToPath(new URL(`../../bench/${name}.js`, import.meta.url));

/** Does what its tasks are called. */
const CHILD = `
const tell = (m) => console.log(JSON.stringify(m));
console.log('something else that a library prints');
tell({ kind: 'facts', facts: { who: 'child' } });
for (const task of process.argv.slice(1)) {
  tell({ kind: 'start', task });
  if (task.startsWith('die')) { console.error('a last word'); process.exit(3); }
  if (task.startsWith('crash')) process.kill(process.pid, 'SIGSEGV');
  if (task.startsWith('hang')) { setInterval(() => 0, 1000); await new Promise(() => 0); }
  if (task.startsWith('fail')) tell({ kind: 'failed', task, why: 'could not' });
  else tell({ kind: 'result', task, result: { task } });
}`;

const child = (patience: number, seconds = 60) => ({
  command: process.execPath,
  args: ['--input-type=module', '-e', CHILD, '--'],
  patience,
  name: 'child',
  deadline: performance.now() + 1000 * seconds,
});

test.serial('a process that dies costs the task that it died of', async (t) => {
  const said: string[] = [];
  const tasks = ['one', 'die', 'two', 'crash', 'fail', 'three'];
  const { results, failures, facts } = await runTasks(child(20), tasks, (line) => said.push(line));
  t.deepEqual([...results.keys()], ['one', 'two', 'three']);
  t.deepEqual(facts, { who: 'child' });
  t.is(failures.get('die'), 'the process ended (status 3): a last word');
  t.regex(failures.get('crash') ?? '', /the process ended \(SIGSEGV\)/);
  t.is(failures.get('fail'), 'could not');
  t.true(said.length >= tasks.length);
});

test.serial('a process that hangs is given up', async (t) => {
  const { results, failures } = await runTasks(child(3), ['hang', 'after'], () => undefined);
  t.deepEqual([...results.keys()], ['after']);
  t.regex(failures.get('hang') ?? '', /given up after 3 s/);
});

test.serial('at the deadline everything left is told as left out', async (t) => {
  const { results, failures } = await runTasks(child(60, 4), ['first', 'hang', 'after'], () => undefined);
  t.deepEqual([...results.keys()], ['first']);
  for (const task of ['hang', 'after']) t.regex(failures.get(task) ?? '', /out of time/);
});

test.serial('tasks apart, several at a time', async (t) => {
  const { results, failures } = await runApart(child(20), ['a', 'die', 'b', 'c'], 2, () => undefined);
  t.deepEqual([...results.keys()].sort(), ['a', 'b', 'c']);
  t.deepEqual([...failures.keys()], ['die']);
});

test.serial('a command that is not there', async (t) => {
  const { failures } = await runTasks({ ...child(5), command: 'no-such-command' }, ['x'], () => undefined);
  t.regex(failures.get('x') ?? '', /cannot be started/);
});

test.serial('rows that differ from the oracle have no time', async (t) => {
  const folder = scratch(t)('.');
  const row = smallRow(ROWS.find((r) => r.id === 'window')!);
  const job: Job = {
    row,
    tables: writeTables(folder, row),
    rows: sampledRows(row.shape.queries),
    robustness: [false],
    flex: undefined,
  };
  writeJobs(folder, { jobs: [job], device: DEVICE, warmUp: 0, patience: 1, blocks: [] });
  const oracle = computeOracle(folder, job, 60_000);
  t.is(oracle.picked.length, row.shape.heads * row.shape.queries);
  t.deepEqual(oracle.picked.slice(0, 2), [0, oracle.picked.length - 1]);
  const run = () => {
    const { stdout, stderr } = spawnSync(process.execPath, [script('attnc-side'), folder, 'window/off'], {
      encoding: 'utf8',
    });
    return { last: messageOf(stdout.trim().split('\n').at(-1) ?? ''), stderr };
  };
  writeOracle(folder, 'window', oracle);
  const good = run();
  t.is(good.last?.kind, 'result', good.stderr);
  writeOracle(folder, 'window', { ...oracle, out: oracle.out.map((x, n) => (n === 5 ? x + 0.5 : x)) });
  const bad = run();
  t.is(bad.last?.kind, 'failed', bad.stderr);
  if (bad.last?.kind === 'failed') t.regex(bad.last.why, /out differs from the oracle/);
});

test.serial('small comparison: JSON and Markdown', (t) => {
  const path = scratch(t);
  const args = `--small --device ${DEVICE} --rows window,graph-uniform --without torch,onnx --warm-up 0 --patience 1`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script('compare'), ...args.split(' '), '--out', path('out')],
    { encoding: 'utf8' },
  );
  t.is(status, 0, stderr);
  const results = JSON.parse(readFileSync(path('out/comparison.json'), 'utf8')) as Results;
  t.is(readFileSync(path('out/comparison.md'), 'utf8'), stdout);
  t.true(results.small);
  t.like(results, { format: 'attnc-comparison', version: 1 });
  t.true(results.ceilings.copy > 0);
  const [window, graph] = results.rows;
  t.is(window.row.id, 'window');
  t.true('milliseconds' in window.off && window.off.milliseconds.median > 0);
  t.true(window.on !== undefined && 'milliseconds' in window.on);
  t.deepEqual(window.peers.flex, { why: 'left out' });
  t.is(window.goals[0].must, 'unknown');
  t.is(window.checks?.error, true);
  // The bound needs no peer: rows of k and v once an edge.
  t.true(graph.peers.bound !== undefined && 'milliseconds' in graph.peers.bound);
  t.is(graph.goals[0].must, 'missed');
  t.regex(stdout, /its times mean nothing/);
});

test('docs/performance.md shows the newest results', (t) => {
  // Filled in by dist/bench/table.js from a run on a card.
  if (!existsSync('bench/results.json')) {
    t.log('skipped: there are no results yet');
    t.pass();
    return;
  }
  const { status, stderr } = spawnSync(process.execPath, [script('table'), '--check'], { encoding: 'utf8' });
  t.is(status, 0, stderr);
});

test('the page is filled in between its marks, and says where it is stale', (t) => {
  const path = scratch(t);
  const page = 'before\n\n<!-- comparison -->\n\nold\n\n<!-- end of comparison -->\n\nafter\n';
  writeFileSync(path('page.md'), page);
  const results: Results = {
    format: 'attnc-comparison',
    version: 1,
    date: '2026-11-24T10:00:00.000Z',
    versions: {},
    card: 'a card',
    ceilings: { copy: 1e12, f32: 1e12, matrixShape: 'none' },
    small: false,
    rows: [],
  };
  writeFileSync(path('new.json'), JSON.stringify(results));
  const table = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [script('table'), '--page', path('page.md'), '--results', path('kept.json'), ...args],
      { encoding: 'utf8' },
    );
  t.is(table('--check').status, 1);
  t.is(table(path('new.json')).status, 0);
  const filled = readFileSync(path('page.md'), 'utf8');
  t.regex(
    filled,
    /^before\n\n<!-- comparison -->\n\n2026-11-24, a card.*\n\n<!-- end of comparison -->\n\nafter\n$/s,
  );
  t.false(filled.includes('old'));
  t.is(table('--check').status, 0);
  writeFileSync(path('page.md'), filled.replace('a card', 'another card'));
  t.is(table('--check').status, 1);
  writeFileSync(path('new.json'), JSON.stringify({ ...results, small: true }));
  const small = table(path('new.json'));
  t.is(small.status, 1);
  t.regex(small.stderr, /small/);
});
