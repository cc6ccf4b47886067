import type { Kernel } from '../compiler/ir/program.js';

/** When the keys of a pass are divided among workgroups (decoding kernels), in how many parts, and whose rows share one. */

/** What a pass has to do. */
export interface PassWork {
  readonly heads: number;
  readonly keyHeads: number;
  /** The most over the batch. */
  readonly queries: number;
  readonly keys: number;
  /** Query tiles of kernels that don't divide the keys: of all classes, heads and batches. */
  readonly workgroups: number;
  /** Key tiles that a query tile visits, on average. */
  readonly keyTiles: number;
}

/** Most queries for which the keys are divided among workgroups, and fewest keys for which that pays. */
export const DECODE_QUERIES = 64;
export const DECODE_KEYS = 2048;
/** More queries leave a device idle if they are fewer workgroups than this, and of so many key tiles each. */
const FEW_WORKGROUPS = 512;
const LONG_ROW = 64;

/** Should the keys be divided? For few queries, and where rows are few and long: global tokens, say. */
export function divisionPays({ queries, keys, workgroups, keyTiles }: PassWork): boolean {
  if (queries <= DECODE_QUERIES && keys >= DECODE_KEYS) return true;
  return workgroups < FEW_WORKGROUPS && keyTiles >= LONG_ROW;
}

/** Heads of a key head and queries whose rows one workgroup takes: see Kernel.pack. */
export interface Packing {
  /** Heads of a workgroup, and the blocks of so many heads that the heads of a key head make. */
  readonly heads: number;
  readonly blocks: number;
  /** Query coordinates of a tile. */
  readonly queries: number;
  /** Sets of rows. */
  readonly sets: number;
  /** Rows of `parts` that a workgroup writes. */
  readonly rows: number;
}

/** As many heads as share a key head, then as many queries as there are, in the fewest sets that hold them. */
export function packingFor(kernel: Pick<Kernel, 'rows' | 'pack'>, work: PassWork): Packing {
  const { pack } = kernel;
  const group = work.keyHeads === 0 ? 1 : work.heads / work.keyHeads;
  if (!pack) return { heads: 1, blocks: group, queries: kernel.rows, sets: 1, rows: kernel.rows };
  const together = pack.heads ? group : 1;
  let rows = pack.set;
  while (rows < kernel.rows && rows < together * work.queries) rows *= 2;
  const blocks = Math.ceil(together / rows);
  const heads = Math.ceil(together / blocks);
  return {
    heads,
    blocks: pack.heads ? blocks : group,
    queries: Math.max(1, Math.floor(rows / heads)),
    sets: rows / pack.set,
    rows,
  };
}

/**
 * Workgroups that fill a large device once, or nearly: more of them wait for the first to end, and leave more to be
 * merged. Three of them run at a time on each of an H200's 132 multiprocessors: decoding 131,072 keys took 0.161 ms with
 * 384, 0.204 with 512 (of which a quarter waits for the others), 0.170 with 768, 0.189 with 1024.
 */
const FILL = 384;
/** Most parts; key tiles that a part should hold at least. */
const MOST_SPLITS = 1024;
const TILES_A_SPLIT = 4;
/** Bytes that all parts may take. */
const MOST_BYTES = 2 ** 26;

/** @param workgroups of one part. @param bytes that one part's results take. */
export function splitsFor(workgroups: number, keyTiles: number, bytes: number): number {
  const wanted = Math.ceil(FILL / Math.max(1, workgroups));
  const worth = Math.floor(keyTiles / TILES_A_SPLIT);
  const fitting = Math.floor(MOST_BYTES / Math.max(1, bytes));
  return Math.max(1, Math.min(wanted, worth, fitting, MOST_SPLITS));
}
