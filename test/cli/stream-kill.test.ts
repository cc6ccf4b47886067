/** Streamed runs that are killed or stopped at any band go on where they were, to the same bytes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { COMMAND, DEVICE, scratch } from './harness.js';

const ARGS = [
  ...['run', 'samples/sliding.attn', '--pattern', 'sliding', '--set', 'window=12', '--random'],
  ...['--heads', '2', '--head-size', '16', '--binding', '64K', '--memory', '512K', '--host-memory', '256K'],
  ...['--device', DEVICE],
];

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [COMMAND, ...args], { env: { ...process.env, NO_COLOR: '1' } });
  const [out, err]: Buffer[][] = [[], []];
  child.stdout.on('data', (part: Buffer) => out.push(part));
  child.stderr.on('data', (part: Buffer) => err.push(part));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      const [stdout, stderr] = [out, err].map((parts) => Buffer.concat(parts).toString());
      resolve({ status, signal, stdout, stderr });
    });
  });
  return { child, ended };
}

const notedIn = (journal: string): number =>
  existsSync(journal) ? Math.max(0, readFileSync(journal, 'utf8').split('\n').length - 2) : 0;

/** Starts it, and sends the signal once more bands are noted than were; undefined if it ended before. */
async function interrupted(
  args: readonly string[],
  journal: string,
  before: number,
  signal: NodeJS.Signals,
): Promise<Ended | undefined> {
  const { child, ended } = start(args);
  let over = false;
  void ended.then(() => (over = true));
  while (!over && notedIn(journal) <= before) await sleep(20);
  // At any moment of what comes then.
  await sleep(Math.random() * 300);
  child.kill(signal);
  const end = await ended;
  return end.status === 0 ? undefined : end;
}

test.serial('killed, stopped by Ctrl-C, and resumed: the same file to the byte', async (t) => {
  const file = scratch(t);
  const out = file('out.safetensors');
  const journal = `${out}.part.journal`;
  // Finished bands are noted every two seconds: the run has to be longer than that, whatever the machine.
  for (let length = 60_000; ; length *= 4) {
    const args = [...ARGS, '--length', String(length), '--seed', '5'];
    const killed = await interrupted([...args, '-o', out], journal, 0, 'SIGKILL');
    if (killed === undefined) continue;
    t.is(killed.signal, 'SIGKILL');
    const first = notedIn(journal);
    t.true(first > 0 && existsSync(`${out}.part`) && !existsSync(out));

    const resume = [...args, '-o', out, '--resume'];
    const stopped = await interrupted(resume, journal, first, 'SIGINT');
    if (stopped !== undefined) {
      t.is(stopped.status, 130, stopped.stderr);
      t.regex(
        stopped.stderr,
        /attnc: stopping …\nattnc: stopped; what is finished is kept: go on with --resume\n$/,
      );
      t.true(notedIn(journal) > first);
    }
    const second = notedIn(journal);
    if (!existsSync(out)) {
      const end = await start([...resume, '--json']).ended;
      t.is(end.status, 0, end.stderr);
      const report = JSON.parse(end.stdout) as { resumedAt: number; parts: number; rowsBefore: number };
      t.is(report.resumedAt, second);
      t.true(report.rowsBefore > 0 && report.resumedAt < report.parts);
    }
    t.false(existsSync(journal) || existsSync(`${out}.part`));
    const whole = await start([...args, '-o', file('whole.safetensors')]).ended;
    t.is(whole.status, 0, whole.stderr);
    t.true(readFileSync(out).equals(readFileSync(file('whole.safetensors'))));
    t.log(`${length} rows, went on at ${first} and ${second}`);
    return;
  }
});

test.serial('a run without a file goes on by its journal, to the same sum', async (t) => {
  const file = scratch(t);
  const journal = file('sum.journal');
  for (let length = 60_000; ; length *= 4) {
    const args = [...ARGS, '--length', String(length), '--checksum', '--sample', '12', '--json'];
    const killed = await interrupted([...args, '--journal', journal], journal, 0, 'SIGKILL');
    if (killed === undefined) continue;
    const resumed = await start([...args, '--journal', journal, '--resume']).ended;
    t.is(resumed.status, 0, resumed.stderr);
    const whole = await start(args).ended;
    const [a, b] = [resumed, whole].map(
      (r) =>
        JSON.parse(r.stdout) as { sum: string; resumedAt: number; sample: { pass: boolean; rows: number } },
    );
    t.true(a.resumedAt > 0 && b.resumedAt === 0);
    t.is(a.sum, b.sum);
    // Rows that were kept before the kill are compared too.
    t.deepEqual([a.sample.pass, a.sample.rows], [true, 12]);
    t.false(existsSync(journal));
    return;
  }
});
