// A run that is killed at any time, again and again, leaves what the next one needs; the file in the end is the same.

import { spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import { writeTensors } from '../../runtime/files/node.js';
import { isUnfinished, resumableFile } from '../../runtime/stream/node/resume.js';
import { withFolder } from './folder.js';
import { DTYPE, SHAPE } from './killed-run.js';
import { bandsOf, results, tensorsOf, writeBand } from './results.js';

const script = join(dirname(fileURLToPath(import.meta.url)), 'killed-run.js');

/** Runs it, and kills it so many milliseconds after it began to work; returns its first band, and whether it ended. */
async function run(path: string, mode: string, patience: number): Promise<{ first: number; ended: boolean }> {
  const child = spawn(process.execPath, [script, path, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const first = await new Promise<number>((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
      if (text.includes('\n')) resolve(Number(text));
    });
    child.on('exit', () => reject(new Error(`it ended before it began, with ${text}`)));
  });
  const ended = await Promise.race([exit.then(() => true), setTimeout(patience, false)]);
  if (!ended) child.kill('SIGKILL');
  const status = await exit;
  if (ended && status !== 0) throw new Error(`it ended with ${status}`);
  return { first, ended };
}

test.serial('only one run at a time writes a result', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    const options = { identity: { program: 'p' }, bands: bandsOf(SHAPE, 100), dtype: DTYPE, shape: SHAPE };
    const child = spawn(process.execPath, [script, path, 'begin'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exit = new Promise((resolve) => child.on('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    for (const resume of [true, false]) {
      const error = await t.throwsAsync(resumableFile(path, { ...options, resume }), {
        instanceOf: AttncError,
      });
      t.is(error?.kind, 'unfinished-run');
      const said = `a\\.safetensors: another run is writing it \\(process ${child.pid} on .*; if it is gone, remove`;
      t.regex(error?.message ?? '', new RegExp(said));
    }
    child.kill('SIGKILL');
    await exit;
    // Its lock is still there, but nobody's.
    t.true((await readdir(folder)).includes('a.safetensors.part.journal.lock'));
    const begun = performance.now();
    const { sink, first } = await resumableFile(path, { ...options, resume: true });
    t.true(performance.now() - begun < 3000, 'nothing to wait for: its process can be looked for');
    const own = await t.throwsAsync(resumableFile(path, { ...options, resume: true }));
    t.regex(own?.message ?? '', new RegExp(`process ${process.pid} on`));
    const of = results(DTYPE, SHAPE);
    for (const band of options.bands.slice(first)) await writeBand(sink, of, band);
    await sink.finish();
    t.deepEqual(await readdir(folder), ['a.safetensors']);
  });
});

test.serial('killed and resumed, again and again, the file is the same to the byte', async (t) => {
  await withFolder(async (folder) => {
    const expected = join(folder, 'expected.safetensors');
    await writeTensors(expected, await tensorsOf(results(DTYPE, SHAPE)));
    const path = join(folder, 'a.safetensors');
    let last = await run(path, 'begin', 80);
    t.is(last.first, 0);
    const firsts: number[] = [];
    // Each run does at least something before it is killed, so they come to an end.
    // Killed on its way out it has ended too.
    for (let n = 0; !last.ended && (await isUnfinished(path)) && n < 60; n++) {
      last = await run(path, 'resume', 60 + 7 * n);
      t.true(last.first >= (firsts.at(-1) ?? 0), 'nothing that was noted is lost');
      firsts.push(last.first);
    }
    t.false(await isUnfinished(path));
    t.true(firsts.length >= 2 && firsts.some((f) => f > 0 && f < 60), `it went on at ${firsts.join()}`);
    t.log(`it went on at ${firsts.join(', ')} of 60`);
    t.true((await readFile(path)).equals(await readFile(expected)));
    // Killed after all else was done, it leaves its lock, which is nobody's.
    const left = (await readdir(folder)).filter((name) => !name.endsWith('.journal.lock'));
    t.deepEqual(left.sort(), ['a.safetensors', 'expected.safetensors']);
  });
});
