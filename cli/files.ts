import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { Source } from '../grammar/ast.js';
import { brokenFile, usageError } from '../runtime/errors.js';
import { readFileText } from '../runtime/files/node.js';
import type { Session } from './session.js';

/** What messages call standard input. */
export const STDIN = '<stdin>';

/** A text file, or standard input for `-`. */
export async function readSource(session: Session, file: string): Promise<Source> {
  if (file !== '-') {
    if (file === '') throw usageError('the name of a file is empty');
    return { file: normalize(file), text: await readFileText(file) };
  }
  const bytes = await session.io.stdin();
  try {
    return { file: STDIN, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (cause) {
    throw brokenFile(STDIN, 'it is not UTF-8 text', { cause });
  }
}

/** Imported files lie relative to the file that imports them; standard input imports from the working directory. */
export function resolveImport(path: string, from: string): Source | undefined {
  const file = from === STDIN ? normalize(path) : join(dirname(from), path);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
    return { file, text };
  } catch {
    return undefined;
  }
}

/** A name for files made from a pattern or kernel: nothing that a file system minds. */
export const fileName = (name: string): string => name.replace(/[^\w.-]+/g, '-');
