import { open, readFile, readlink, unlink, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { runUnderWay } from '../../errors.js';

/**
 * One run at a time for one result: a file says whose it is. A killed run leaves it behind, so it is taken over where
 * its process is gone. Of processes that can't be looked at (on another host, in another container) what counts is
 * whether the file is touched: its owner does so all the time.
 */
export interface RunLock {
  release(): Promise<void>;
}

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Host, its start and its numbering of processes: where this is the same, `pid` says who it is. */
  readonly place: string;
  /** When the process began, in its system's words; '' where it has none. */
  readonly began: string;
}

/** Milliseconds between touches, and for how long nothing may be touched by an owner that is there. */
export interface Patience {
  readonly beat: number;
  readonly silence: number;
}

const PATIENCE: Patience = { beat: 1000, silence: 6000 };

/** Fails where another run has it. @param file the result's, for messages */
export async function lockRun(path: string, file: string, patience = PATIENCE): Promise<RunLock> {
  const own = JSON.stringify(await ownerOf(process.pid));
  while (!(await create(path, own))) {
    const found = await textOf(path);
    if (found === undefined) continue;
    const owner = parse(found);
    if (await isThere(path, found, owner, patience)) throw runUnderWay(file, whoIs(owner), path);
    await takeAway(path, found, patience);
  }
  const beating = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, patience.beat).unref();
  let held = true;
  return {
    release: async () => {
      if (!held) return;
      held = false;
      clearInterval(beating);
      // Whoever took it for left behind has it now.
      if ((await textOf(path)) === own) await unlink(path).catch(() => undefined);
    },
  };
}

const whoIs = (owner: Owner | undefined): string =>
  owner ? `process ${owner.pid} on ${owner.host}` : 'of another process';

async function create(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** undefined if there is no such file. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** undefined where it isn't written yet, or something else. */
function parse(text: string): Owner | undefined {
  try {
    const { pid, host, place, began } = JSON.parse(text) as Partial<Owner>;
    if (typeof pid !== 'number' || typeof host !== 'string') return undefined;
    return { pid, host, place: String(place), began: String(began) };
  } catch {
    return undefined;
  }
}

async function isThere(
  path: string,
  text: string,
  owner: Owner | undefined,
  { beat, silence }: Patience,
): Promise<boolean> {
  if (owner && owner.place === (await placeOf())) return isRunning(owner);
  const touched = await touchedAt(path);
  for (let waited = 0; waited < silence; waited += beat / 2) {
    await wait(beat / 2);
    const now = await touchedAt(path);
    if (now === undefined) return false;
    if (now !== touched || (await textOf(path)) !== text) return true;
  }
  return false;
}

async function touchedAt(path: string): Promise<bigint | undefined> {
  try {
    // Opened, not only looked up: over a network what is known of a file may be old.
    const file = await open(path, 'r');
    try {
      return (await file.stat({ bigint: true })).mtimeNs;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function isRunning({ pid, began }: Owner): Promise<boolean> {
  const now = await beganAt(pid);
  if (began !== '') return now === began;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/**
 * Removes what was left behind, and nothing else. Of several that try one passes the gate at a time; so nobody takes
 * what another one has put there since. (Locks are put there by creating them, for which no gate is needed.)
 */
async function takeAway(path: string, text: string, patience: Patience): Promise<void> {
  const gate = `${path}.gate`;
  if (!(await create(gate, ''))) return waitForGate(gate, patience);
  try {
    if ((await textOf(path)) === text) await removed(path);
  } finally {
    await unlink(gate).catch(() => undefined);
  }
}

/** An owner that was only slow may have removed it meanwhile. */
async function removed(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Until it is open, or whoever passed it must be gone. */
async function waitForGate(gate: string, { beat, silence }: Patience): Promise<void> {
  const closed = await touchedAt(gate);
  if (closed === undefined) return;
  const step = Math.min(20, beat);
  for (let waited = 0; waited < silence; waited += step) {
    await wait(step);
    if ((await touchedAt(gate)) !== closed) return;
  }
  await unlink(gate).catch(() => undefined);
}

async function ownerOf(pid: number): Promise<Owner> {
  return { pid, host: hostname(), place: await placeOf(), began: (await beganAt(pid)) ?? '' };
}

async function placeOf(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const numbering = await readlink('/proc/self/ns/pid').catch(() => '');
  return [hostname(), boot.trim(), numbering].join(' ');
}

/** Ticks since the system began, on Linux; undefined of processes that have ended. */
async function beganAt(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // After the program's name, which may have any sign in it: the state is field 3, the beginning field 22.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields && !['Z', 'X'].includes(fields[0]) ? fields[19] : undefined;
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
