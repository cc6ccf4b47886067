import { stat } from 'node:fs/promises';
import { checksumSink } from '../checksum-sink.js';
import { hashText } from '../journal.js';
import { journaledSink, type CheckpointOptions } from '../journaled-sink.js';
import type { RowPlace, RowSink } from '../rows.js';
import type { Band } from '../tally.js';
import { fileSink, partOf } from './file-sink.js';
import { journalFile } from './journal-file.js';

/** Runs that can be killed and go on where they stopped. */

export interface ResumableOptions extends CheckpointOptions {
  /** Usually a RunIdentity; what the sink writes is compared besides. */
  readonly identity: unknown;
  /** All bands in the order in which they are written. */
  readonly bands: readonly Band[];
  /** Of out. */
  readonly dtype: string;
  /** Of out: [batch, heads, rows, valueDim]. */
  readonly shape: readonly number[];
  /** Rows of which out and lse are kept in the summary. */
  readonly keep?: readonly RowPlace[];
  readonly resume: boolean;
}

export interface ResumableRun {
  readonly sink: RowSink;
  /** The first band to do; as many as there are bands where only `finish` is left. */
  readonly first: number;
}

export const journalOf = (path: string): string => `${partOf(path)}.journal`;

/** Is there a run of this result that was begun and not finished? */
export async function isUnfinished(path: string): Promise<boolean> {
  const found = await stat(journalOf(path)).catch(() => undefined);
  return found?.isFile() ?? false;
}

/** A result in a file: .safetensors or .npy. Its journal is FILE.part.journal. */
export async function resumableFile(
  path: string,
  options: ResumableOptions & { readonly metadata?: Readonly<Record<string, string>> },
): Promise<ResumableRun> {
  const { bands, dtype, shape, keep, resume, metadata } = options;
  const output = { kind: 'file', dtype, shape, metadata, keep: await hashOf(keep) };
  const identity = { run: options.identity, output };
  const journal = await journalFile(journalOf(path), { identity, bands, resume, file: path });
  try {
    const sink = await fileSink(path, dtype, shape, { keep, done: journal.done, metadata, resume });
    return { sink: journaledSink(sink, journal, options), first: journal.done.length };
  } catch (error) {
    await journal.close();
    // Nothing was begun that could be resumed.
    if (!resume) await journal.remove().catch(() => undefined);
    throw error;
  }
}

/** A result of which only a sum and the rows to keep are wanted. @param path of its journal */
export async function resumableChecksum(path: string, options: ResumableOptions): Promise<ResumableRun> {
  const { bands, dtype, shape, keep, resume } = options;
  const output = { kind: 'checksum', dtype, shape, keep: await hashOf(keep) };
  const identity = { run: options.identity, output };
  const journal = await journalFile(path, { identity, bands, resume, file: path });
  const sink = checksumSink(dtype, shape, { keep, done: journal.done });
  return { sink: journaledSink(sink, journal, options), first: journal.done.length };
}

const hashOf = (keep: readonly RowPlace[] = []): Promise<string> =>
  hashText(JSON.stringify(keep.map(({ batch, head, row }) => [batch, head, row])));
