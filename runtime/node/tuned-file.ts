// Tuned choices in a file, by default one of the user's cache.

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { brokenFile, fileAccess } from '../errors.js';
import { NOTHING_TUNED, tunedProblem, type TunedChoices } from '../tuned.js';
import { cacheFolders } from './cache-folder.js';

/** The file that ATTNC_TUNED names, or else `tuned.json` in the user's cache folder. */
export function tunedFile(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env.ATTNC_TUNED || join(cacheFolders()[0], 'tuned.json');
}

/**
 * What `attnc tune` kept, for `ChooseOptions.tuned`. No file, no choices; a broken file is told of (by default as a
 * Node warning) and has none either.
 */
export async function loadTuned(
  file: string = tunedFile(),
  onProblem: (message: string) => void = (message) => process.emitWarning(message, 'AttncTunedWarning'),
): Promise<TunedChoices> {
  const ignored = (why: string): TunedChoices => {
    onProblem(`${brokenFile(file, why).message}; it is ignored`);
    return NOTHING_TUNED;
  };
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? NOTHING_TUNED : ignored(`it cannot be read (${codeOf(error)})`);
  }
  try {
    const read: unknown = JSON.parse(text);
    const why = tunedProblem(read);
    return why === undefined ? (read as TunedChoices) : ignored(why);
  } catch {
    return ignored('it is no JSON');
  }
}

/** Whole or not at all: whoever reads at the same time finds the old file or the new one. */
export async function saveTuned(tuned: TunedChoices, file: string = tunedFile()): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(temporary, `${JSON.stringify(tuned, undefined, 2)}\n`);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileAccess(file, `tuned choices cannot be written (${codeOf(error)})`, error);
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);
