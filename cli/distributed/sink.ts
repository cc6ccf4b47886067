import type { StorageType } from '../../compiler/ir/program.js';
import { gatherValues, type Ranks } from '../../runtime/distributed/index.js';
import { unfinishedRun } from '../../runtime/errors.js';
import { named } from '../../runtime/files/node.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { fileSink, partOf } from '../../runtime/stream/node/file-sink.js';
import { lockOf } from '../../runtime/stream/node/journal-file.js';
import { lockRun, type RunLock } from '../../runtime/stream/node/run-lock.js';
import { isUnfinished, journalOf } from '../../runtime/stream/node/resume.js';
import type { RowPlace, RowSink, SinkSummary } from '../../runtime/stream/rows.js';
import type { DoneBand } from '../../runtime/stream/tally.js';

/** Where the results of several ranks go: one file that all write to, or a sum. */

export interface SharedResults {
  readonly output: string | undefined;
  readonly dtype: StorageType;
  /** Of out. */
  readonly shape: readonly number[];
  readonly keep: readonly RowPlace[];
  /** Name of the pattern, for the file. */
  readonly pattern: string;
}

export interface SharedSink {
  readonly sink: RowSink;
  /** Rank 0's: no other run writes the file. */
  readonly lock: RunLock | undefined;
}

/** All ranks call it. Rank 0 makes the file, in its full size; the others open it when it is there. */
export async function openSharedSink(ranks: Ranks, results: SharedResults): Promise<SharedSink> {
  const { output, dtype, shape, keep } = results;
  if (output === undefined) return { sink: checksumSink(dtype, shape, { keep }), lock: undefined };
  const begun = ranks.rank === 0 ? await beginShared(output, results) : undefined;
  await ranks.barrier();
  return begun ?? { sink: await openFile(output, results, true, []), lock: undefined };
}

async function beginShared(output: string, results: SharedResults): Promise<SharedSink> {
  const [part, journal] = [partOf(output), journalOf(output)];
  const lock = await named(output, () => lockRun(lockOf(journal), output));
  try {
    if (await isUnfinished(output)) throw unfinishedRun(part, [part, journal]);
    return { sink: await openFile(output, results, false, []), lock };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

const openFile = (
  path: string,
  { dtype, shape, keep, pattern }: SharedResults,
  resume: boolean,
  done: readonly DoneBand[],
): Promise<RowSink> => fileSink(path, dtype, shape, { keep, done, metadata: { pattern }, resume });

/**
 * All ranks call it when they have written their rows. The summary is of all of them, on rank 0; the others get
 * undefined.
 */
export async function finishShared(
  ranks: Ranks,
  { sink, lock }: SharedSink,
  bands: readonly DoneBand[],
  results: SharedResults,
): Promise<SinkSummary | undefined> {
  await sink.sync();
  await sink.close();
  // Having told of its rows, a rank has written them.
  const all = (await gatherValues(ranks, bands.map(toJson))).flat().map(fromJson);
  let summary: SinkSummary | undefined;
  if (ranks.rank === 0) {
    const { output, dtype, shape, keep } = results;
    const whole =
      output === undefined
        ? checksumSink(dtype, shape, { keep, done: all })
        : // What the others wrote is read again, some of it, and compared with what they said.
          await openFile(output, results, true, all);
    summary = await whole.finish();
    await whole.close();
    await lock?.release();
  }
  await ranks.barrier();
  return summary;
}

/** JSON has neither infinities nor bytes. */
const toJson = ({ kept, ...band }: DoneBand) => ({
  ...band,
  kept: kept.map((row) => ({ ...row, lse: String(row.lse), out: Buffer.from(row.out).toString('base64') })),
});

const fromJson = ({ kept, ...band }: ReturnType<typeof toJson>): DoneBand => ({
  ...band,
  kept: kept.map((row) => ({
    ...row,
    lse: Number(row.lse),
    out: new Uint8Array(Buffer.from(row.out, 'base64')),
  })),
});
