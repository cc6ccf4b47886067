/** Which rows each rank holds. */

/** Shards begin at multiples of the query tile, where there are enough rows for that. */
const TILE = 64;
/** Rows that a shard may be larger or smaller than the others, as a part of it. */
const UNEVEN = 4;

/**
 * Contiguous shards of even lengths, as ascending cuts: rank r holds rows cuts[r] … cuts[r + 1] − 1. The same on all
 * ranks. Some are empty where there are fewer rows than ranks.
 */
export function shardCuts(rows: number, ranks: number): readonly number[] {
  const even = rows / ranks;
  const unit = Math.min(TILE, 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, even / UNEVEN)))));
  return Array.from({ length: ranks + 1 }, (_, r) =>
    r === ranks ? rows : Math.min(rows, Math.round((even * r) / unit) * unit),
  );
}

/** Ranks other than `rank`, the nearest first: of windows these are the only ones that matter. */
export function byDistance(rank: number, ranks: number): readonly number[] {
  const others = Array.from({ length: ranks }, (_, r) => r).filter((r) => r !== rank);
  return others.sort((a, b) => Math.abs(a - rank) - Math.abs(b - rank) || a - b);
}
