import { clipRun, countKeys, unionOfRuns, type KeyRun } from './key-runs.js';
import type { KeyNeeds } from './needs.js';
import type { BoundShape } from './shape.js';

/** Key rows that queries need from one shard. */
export interface SourceNeeds {
  /** Number of the shard. */
  readonly source: number;
  readonly runs: readonly KeyRun[];
  /** How many rows that is. */
  readonly rows: number;
}

export interface NeedsBySource {
  /** Every shard that something is needed of, in order. */
  readonly sources: readonly SourceNeeds[];
  /** False if rows are counted that may not be needed. */
  readonly exact: boolean;
}

/**
 * The rows of a key head that queries at positions queryLo … queryHi − 1 need, shard by shard: what ranks ask of each
 * other. All query heads that read the key head count. Ranks that call it with the same arguments get the same answer,
 * so that a sender knows what a receiver expects.
 * @param cuts ascending: shard s holds keys cuts[s] … cuts[s + 1] − 1
 */
export function needsBySource(
  needs: KeyNeeds,
  shape: BoundShape,
  batch: number,
  keyHead: number,
  queryLo: number,
  queryHi: number,
  cuts: readonly number[],
): NeedsBySource {
  const shared = shape.heads / shape.keyHeads;
  const first = keyHead * shared;
  const classes = new Map(
    Array.from({ length: shared }, (_, n) => [needs.classOf(batch, first + n), first + n]),
  );
  const found = [...classes.values()].map((head) =>
    needs.exact(batch, head, queryLo, queryHi, cuts[0], cuts[cuts.length - 1]),
  );
  const runs = found.length === 1 ? found[0].runs : unionOfRuns(found.flatMap((f) => f.runs));
  const sources = splitRuns(runs, cuts).flatMap((own, source): SourceNeeds[] =>
    own.length === 0 ? [] : [{ source, runs: own, rows: countKeys(own) }],
  );
  return { sources, exact: found.every((f) => f.exact) };
}

/** The parts of ascending runs in each shard, ascending. */
export function splitRuns(runs: readonly KeyRun[], cuts: readonly number[]): readonly (readonly KeyRun[])[] {
  const shards = Array.from({ length: cuts.length - 1 }, (): KeyRun[] => []);
  for (const run of runs) {
    for (let s = shardOf(run.lo, cuts); s < shards.length && cuts[s] <= run.hi; s++) {
      const part = clipRun(run, cuts[s], cuts[s + 1] - 1);
      if (part) shards[s].push(part);
    }
  }
  return shards.map((s) => s.sort((a, b) => a.lo - b.lo));
}

/** The shard that a key at or after the first cut is in. */
function shardOf(key: number, cuts: readonly number[]): number {
  let lo = 0;
  let hi = cuts.length - 1;
  while (hi - lo > 1) {
    const middle = (lo + hi) >> 1;
    if (cuts[middle] <= key) lo = middle;
    else hi = middle;
  }
  return lo;
}
