import { stat } from 'node:fs/promises';
import type { StorageType } from '../../compiler/ir/program.js';
import { AttncError, cannotResume, isAttncError, unfinishedRun } from '../../runtime/errors.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { partOf } from '../../runtime/stream/node/file-sink.js';
import { lockOf } from '../../runtime/stream/node/journal-file.js';
import { lockRun } from '../../runtime/stream/node/run-lock.js';
import { journalOf, resumableChecksum, resumableFile } from '../../runtime/stream/node/resume.js';
import type { Delivery } from '../../runtime/stream/plan.js';
import type { RowPlace, RowSink } from '../../runtime/stream/rows.js';
import type { StreamedOptions } from './options.js';

/** Where the results of a streamed run go, and what is kept of a run that does not come to its end. */

export interface OpenedSink {
  readonly sink: RowSink;
  /** Deliveries that an earlier run has made. */
  readonly first: number;
  /** What says how far the run is; undefined where nothing is kept of a run that stops. */
  readonly journal: string | undefined;
}

export interface SinkNeeds {
  readonly identity: unknown;
  readonly deliveries: readonly Delivery[];
  readonly dtype: StorageType;
  readonly shape: readonly number[];
  readonly keep: readonly RowPlace[];
  /** Name of the pattern, for the file. */
  readonly pattern: string;
}

export async function openSink(options: StreamedOptions, needs: SinkNeeds): Promise<OpenedSink> {
  const { output, journal: asked } = options;
  const { dtype, shape, keep, deliveries: bands, identity, pattern } = needs;
  const journal = output === undefined ? asked : journalOf(output);
  if (journal === undefined) return { sink: checksumSink(dtype, shape, { keep }), first: 0, journal };
  const resume = options.resume === true;
  if (!resume) await checkNothingThere(journal, output);
  const all = { identity, bands, dtype, shape, keep, resume };
  try {
    const opened =
      output === undefined
        ? await resumableChecksum(journal, all)
        : await resumableFile(output, { ...all, metadata: { pattern } });
    return { ...opened, journal };
  } catch (error) {
    throw explained(error);
  }
}

/** What an earlier run has finished may have taken days: it is not written over. */
async function checkNothingThere(journal: string, output: string | undefined): Promise<void> {
  const files = output === undefined ? [journal] : [journal, partOf(output)];
  for (const file of files) {
    const found = await stat(file).catch(() => undefined);
    if (!found) continue;
    // Whoever is at it right now is not told to be removed.
    await (await lockRun(lockOf(journal), output ?? journal)).release();
    throw unfinishedRun(file, output === undefined ? [file] : files);
  }
}

/** The bands follow from what the memory is: that is what to say. */
function explained(error: unknown): unknown {
  if (!isAttncError(error, 'cannot-resume')) return error;
  const { differing } = error.details as { readonly differing?: readonly string[] };
  if (differing === undefined || differing.length === 0 || !differing.every((d) => d.startsWith('bands.'))) {
    return error;
  }
  const counts = differing.find((d) => d.startsWith('bands.count'));
  const how =
    counts === undefined
      ? 'it is cut into other bands'
      : counts.replace('bands.count', 'the number of bands');
  const { file } = error.details as { readonly file: string };
  const made = cannotResume(file, how, error.details);
  return new AttncError('cannot-resume', made.problem, {
    help: 'give --memory, --host-memory and --binding as the first run had them, or remove what it left (.part, .journal) to begin anew',
    details: error.details,
    cause: error,
  });
}
