// One run at a time: whose a lock is, and when it is nobody's any more.

import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { isAttncError } from '../../runtime/errors.js';
import { lockRun } from '../../runtime/stream/node/run-lock.js';
import { withFolder } from './folder.js';

const PATIENCE = { beat: 40, silence: 240 };

test('a lock is held until it is released', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'a.lock');
    const first = await lockRun(path, 'a.npy', PATIENCE);
    const error = await t.throwsAsync(lockRun(path, 'a.npy', PATIENCE));
    t.true(isAttncError(error, 'unfinished-run'));
    await first.release();
    t.deepEqual(await readdir(folder), []);
    const second = await lockRun(path, 'a.npy', PATIENCE);
    await first.release();
    t.deepEqual(await readdir(folder), ['a.lock'], 'who has released it leaves it alone');
    await second.release();
  });
});

test('of a process that is gone, or was given its number since, it is nobody’s', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'a.lock');
    const held = await lockRun(path, 'a.npy', PATIENCE);
    const owner = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    await held.release();
    const others = [
      { ...owner, pid: 2 ** 22 + 1 },
      ...(owner.began === '' ? [] : [{ ...owner, began: '1' }]),
    ];
    for (const other of others) {
      await writeFile(path, JSON.stringify(other));
      const lock = await lockRun(path, 'a.npy', PATIENCE);
      t.is((JSON.parse(await readFile(path, 'utf8')) as { pid: number }).pid, process.pid);
      await lock.release();
      t.deepEqual(await readdir(folder), []);
    }
  });
});

test('elsewhere a process is there as long as it touches its lock', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'a.lock');
    for (const text of [JSON.stringify({ pid: 1, host: 'other', place: 'other', began: '5' }), '']) {
      await writeFile(path, text);
      let now = 1_000_000;
      const touching = setInterval(() => void utimes(path, now, ++now), 20);
      const error = await t.throwsAsync(lockRun(path, 'a.npy', PATIENCE));
      clearInterval(touching);
      t.regex(
        error?.message ?? '',
        text === '' ? /\(of another process\)/ : /another run is writing it \(process 1 on other\)/,
      );
      const lock = await lockRun(path, 'a.npy', PATIENCE);
      await lock.release();
    }
    t.deepEqual(await readdir(folder), []);
  });
});

test('of several that find it left behind only one has it', async (t) => {
  const left = [
    { pid: 2 ** 22 + 1, host: 'other', place: 'other', began: '5' },
    // Of a place where processes can be looked at: all see at once that it is gone.
    { pid: 2 ** 22 + 1, host: hostname(), place: await ownPlace(), began: '5' },
  ];
  for (let round = 0; round < 24; round++) {
    await withFolder(async (folder) => {
      const path = join(folder, 'a.lock');
      await writeFile(path, JSON.stringify(left[round < 4 ? 0 : 1]));
      const all = Array.from({ length: 8 }, () => lockRun(path, 'a.npy', PATIENCE));
      const tries = await Promise.allSettled(all);
      const locks = tries.flatMap((x) => (x.status === 'fulfilled' ? [x.value] : []));
      t.is(locks.length, 1, JSON.stringify(tries));
      const refused = tries.flatMap((x) => (x.status === 'rejected' ? [x.reason as { code?: string }] : []));
      t.true(refused.every((e) => e.code === 'ATTN5007'));
      await locks[0].release();
      t.deepEqual(await readdir(folder), []);
    });
  }
});

test('a gate that a killed run left closed is opened', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'a.lock');
    await writeFile(path, JSON.stringify({ pid: 2 ** 22 + 1, host: 'other', place: 'other', began: '5' }));
    await writeFile(`${path}.gate`, '');
    const lock = await lockRun(path, 'a.npy', PATIENCE);
    await lock.release();
    t.deepEqual(await readdir(folder), []);
  });
});

/** The place that a lock of this process names. */
async function ownPlace(): Promise<string> {
  let place = '';
  await withFolder(async (folder) => {
    const lock = await lockRun(join(folder, 'a.lock'), 'a.npy', PATIENCE);
    place = (JSON.parse(await readFile(join(folder, 'a.lock'), 'utf8')) as { place: string }).place;
    await lock.release();
  });
  return place;
}
