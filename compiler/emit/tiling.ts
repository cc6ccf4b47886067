/** Sizes that a tile kernel is built to: a table, so that what a device likes best can be tried. */
export interface Tiling {
  /** Query rows of a tile, and of those how many a thread owns. */
  readonly rows: number;
  readonly owned: number;
  /** Threads that share a row. */
  readonly lanes: 8 | 16;
  /** vec4s of a head that are staged at once. */
  readonly chunk: 4 | 8;
  /** Stage the queries once, instead of once for each tile of keys. */
  readonly keepQueries: boolean;
  /** Fetch what is staged next into registers, while computing on what is staged. */
  readonly prefetch: boolean;
  /** Exchange within subgroups what the threads of a row must know of each other. */
  readonly subgroups: boolean;
}

/** Query rows of a tile in prefill and decoding kernels. */
export const PREFILL_ROWS = 64;
export const DECODE_ROWS = 16;

/**
 * Rows and keys of a thread: 4 × 4. 8 × 8 reads less from workgroup memory, but takes registers that are not there: on
 * one H200 it was slower, 13.6 ms for 12.3, and three times so with the queries staged once.
 */
const SHARE: Pick<Tiling, 'owned' | 'lanes'> = { owned: 4, lanes: 16 };

/** Within 16 KiB of workgroup memory. */
export function portableTiling(): Tiling {
  return { rows: PREFILL_ROWS, ...SHARE, chunk: 4, keepQueries: false, prefetch: false, subgroups: false };
}

/** The same, with what a row's threads must know of each other exchanged within subgroups. */
export function subgroupTiling(): Tiling {
  return {
    rows: PREFILL_ROWS,
    ...SHARE,
    chunk: 4,
    keepQueries: false,
    prefetch: false,
    subgroups: true,
  };
}

/** Decoding: short tiles, and as many threads as there can be. */
export const DECODE_TILING: Tiling = {
  rows: DECODE_ROWS,
  owned: 1,
  lanes: 16,
  chunk: 4,
  keepQueries: false,
  prefetch: false,
  subgroups: false,
};
