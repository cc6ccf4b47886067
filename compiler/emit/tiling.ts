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
  /** Exchange within subgroups what the threads of a row must know of each other. */
  readonly subgroups: boolean;
}

/** Query rows of a tile in prefill and decoding kernels. */
export const PREFILL_ROWS = 64;
export const DECODE_ROWS = 16;

/**
 * Rows and keys of a thread. Each vec4 that is read from workgroup memory serves as many products as there are on the
 * other side: 8 × 8 reads 16 of them for 256 multiply-adds, 4 × 4 reads 8 for 64. Scores and results of a thread are held
 * in registers, owned · (64 + valueDim) / lanes numbers: wide values leave room for fewer rows.
 */
function share(valueDim: number): Pick<Tiling, 'owned' | 'lanes'> {
  if (valueDim <= 64) return { owned: 8, lanes: 8 };
  return valueDim <= 128 ? { owned: 8, lanes: 16 } : { owned: 4, lanes: 16 };
}

/** Within 16 KiB of workgroup memory. */
export function portableTiling(valueDim: number): Tiling {
  return { rows: PREFILL_ROWS, ...share(valueDim), chunk: 4, keepQueries: false, subgroups: false };
}

/** Within 32 KiB, where the queries of head sizes to 64 fit beside the keys. */
export function subgroupTiling(dim: number, valueDim: number): Tiling {
  return {
    rows: PREFILL_ROWS,
    ...share(valueDim),
    chunk: dim % 32 === 0 ? 8 : 4,
    keepQueries: dim <= 64,
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
  subgroups: false,
};
