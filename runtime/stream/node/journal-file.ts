import { open as openFile, readFile, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { cannotResume, isAttncError } from '../../errors.js';
import { named } from '../../files/node.js';
import { bandLine, journalHead, readJournal } from '../journal.js';
import type { Journal } from '../journaled-sink.js';
import type { Band, DoneBand } from '../tally.js';
import { keepingDone } from './keeping-done.js';
import { writeAt } from './pieces.js';
import { lockRun, type RunLock } from './run-lock.js';
import { syncFolder } from './sync-folder.js';

export interface JournalOptions {
  /** What the run is about: plain data, of which all must be the same when it is resumed (RunIdentity and more). */
  readonly identity: unknown;
  /** All bands, in order. */
  readonly bands: readonly Band[];
  /** Go on with what the journal says is done; else it is begun anew. */
  readonly resume: boolean;
  /** What messages call the run: the result's file. */
  readonly file: string;
}

export interface JournalFile extends Journal {
  /** Bands that are finished: the first ones. Band `done.length` is the next. */
  readonly done: readonly DoneBand[];
}

export const lockOf = (journal: string): string => `${journal}.lock`;

/**
 * Opens or begins the journal at `path`: lines are added and synced, a torn last one is cut off. Until it is closed or
 * removed no other run opens it.
 */
export async function journalFile(path: string, options: JournalOptions): Promise<JournalFile> {
  const lock = await named(path, () => lockRun(lockOf(path), options.file));
  try {
    return await openJournal(path, options, lock);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function openJournal(path: string, options: JournalOptions, lock: RunLock): Promise<JournalFile> {
  const { identity, bands, resume } = options;
  const head = await journalHead(identity, bands);
  const old = resume ? await bytesOf(path, options.file) : undefined;
  const { done, length } = old ? readJournal(old, path, options.file, head, bands) : { done: [], length: 0 };
  return named(path, async () => {
    const file = await openFile(path, old ? 'r+' : 'w');
    let end = length;
    let count = done.length;
    const add = async (text: string): Promise<void> => {
      const bytes = new TextEncoder().encode(text);
      // At a known place: what a failed write left there is written over by the next.
      await keepingDone(path, async () => {
        await writeAt(file, bytes, end);
        await file.datasync();
      });
      end += bytes.length;
    };
    try {
      await file.truncate(end);
      if (!old) {
        await add(`${JSON.stringify(head)}\n`);
        await syncFolder(dirname(path));
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    let open = true;
    const closeFile = async (): Promise<void> => {
      if (open) await file.close();
      open = false;
    };
    return {
      done,
      append: async (results) => {
        await add(results.map((r, n) => bandLine(count + n, r)).join(''));
        count += results.length;
      },
      remove: async () => {
        await closeFile();
        await named(path, () => unlink(path));
        await lock.release();
      },
      close: async () => {
        await closeFile();
        await lock.release();
      },
    };
  });
}

async function bytesOf(path: string, file: string): Promise<Uint8Array> {
  try {
    return await named(path, () => readFile(path));
  } catch (error) {
    if (isAttncError(error, 'file-access') && error.cause instanceof Error && 'code' in error.cause) {
      if (error.cause.code === 'ENOENT') throw cannotResume(file, `there is no journal ${path}`);
    }
    throw error;
  }
}
