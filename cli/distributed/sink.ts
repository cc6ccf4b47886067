import type { StorageType } from '../../compiler/ir/program.js';
import { gatherValues, type Ranks } from '../../runtime/distributed/index.js';
import { unfinishedRun } from '../../runtime/errors.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { fileSink, partOf } from '../../runtime/stream/node/file-sink.js';
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

/** All ranks call it. Rank 0 makes the file, in its full size; the others open it when it is there. */
export async function openSharedSink(ranks: Ranks, results: SharedResults): Promise<RowSink> {
  const { output, dtype, shape, keep } = results;
  if (output === undefined) return checksumSink(dtype, shape, { keep });
  let own: RowSink | undefined;
  if (ranks.rank === 0) {
    if (await isUnfinished(output)) throw unfinishedRun(partOf(output), [partOf(output), journalOf(output)]);
    own = await openFile(output, results, false, []);
  }
  await ranks.barrier();
  return own ?? openFile(output, results, true, []);
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
  sink: RowSink,
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
