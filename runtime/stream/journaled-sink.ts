import type { BandResult, RowSink } from './rows.js';

/** Where finished bands are noted; a file, in Node (node/journal-file.ts). */
export interface Journal {
  /** Adds the results of the next bands, in order; resolves when they survive a crash. */
  append(results: readonly BandResult[]): Promise<void>;
  /** The run is complete: there is nothing to resume any more, and nothing left open. */
  remove(): Promise<void>;
  close(): Promise<void>;
}

export interface CheckpointOptions {
  /** Milliseconds from one checkpoint to the next, at least. */
  readonly interval?: number;
}

const INTERVAL = 2000;

/**
 * A sink that notes finished bands in a journal. A band is noted only when what the sink wrote of it is safe, and when
 * all bands before it are: what the journal says is done is done. Bands are counted in the order of the calls.
 */
export function journaledSink(
  sink: RowSink,
  journal: Journal,
  { interval = INTERVAL }: CheckpointOptions = {},
): RowSink {
  /** Results by band, from `noted` on; those of bands under way are not there yet. */
  const results = new Map<number, BandResult>();
  let begun = 0;
  let noted = 0;
  let last = performance.now();
  let checkpoints: Promise<void> = Promise.resolve();

  const checkpoint = (): Promise<void> => {
    last = performance.now();
    checkpoints = checkpoints.then(async () => {
      const ready: BandResult[] = [];
      for (let r = results.get(noted); r; r = results.get(noted + ready.length)) ready.push(r);
      if (ready.length === 0) return;
      await sink.sync();
      await journal.append(ready);
      for (const n of ready.keys()) results.delete(noted + n);
      noted += ready.length;
    });
    return checkpoints;
  };
  const note = async (work: Promise<BandResult>): Promise<BandResult> => {
    const n = begun++;
    const result = await work;
    results.set(n, result);
    if (performance.now() - last >= interval) await checkpoint();
    return result;
  };
  const { absorb } = sink;
  return {
    write: (...band) => note(sink.write(...band)),
    ...(absorb ? { absorb: (...band: Parameters<typeof absorb>) => note(absorb(...band)) } : {}),
    sync: () => checkpoint(),
    finish: async () => {
      await checkpoint();
      const summary = await sink.finish();
      await journal.remove();
      return summary;
    },
    close: async () => {
      // After a failure less may be noted than was done: it is done again.
      await checkpoint().catch(() => undefined);
      await sink.close();
      await journal.close();
    },
  };
}
