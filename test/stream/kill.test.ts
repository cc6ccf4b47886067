// A run that is killed at any time, again and again, leaves what the next one needs; the file in the end is the same.

import { spawn } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { writeTensors } from '../../runtime/files/node.js';
import { isUnfinished } from '../../runtime/stream/node/resume.js';
import { withFolder } from './folder.js';
import { DTYPE, SHAPE } from './killed-run.js';
import { results, tensorsOf } from './results.js';

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
    t.deepEqual((await readdir(folder)).sort(), ['a.safetensors', 'expected.safetensors']);
  });
});
