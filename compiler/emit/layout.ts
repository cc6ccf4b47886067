import type { Shader } from './shader.js';
import type { Target } from './target.js';
import type { Tiling } from './tiling.js';

/**
 * How a tile kernel divides its work. Thread (x, y) of `lanes` × `across` owns rows y + across·r of the query tile: of the
 * scores the keys x + lanes·c, c = 0 … held − 1, of the result the columns (vec4s) x + lanes·n.
 */
export interface Layout extends Tiling {
  readonly threads: number;
  readonly across: number;
  /** Keys of a tile that a thread has for each of its rows, and vec4s that hold their scores. */
  readonly held: number;
  readonly quads: number;
  /** vec4s of a head, and chunks of them in which keys (and queries) are staged. */
  readonly width: number;
  readonly chunks: number;
  /** vec4s of a value row, of these how many a thread owns, and parts of 16 vec4s in which they are staged. */
  readonly valueWidth: number;
  readonly columns: number;
  readonly blocks: number;
  /** Rows' statistics are held in vec4s: this many. */
  readonly packs: number;
  /** vec4s between neighbours of a chunk in the staged queries and keys: more than needed, for the banks. */
  readonly queryStride: number;
  readonly keyStride: number;
  /** vec4s of `staged`: queries, then keys; in the place of the keys (and of queries that are not kept) weights and values. */
  readonly keysAt: number;
  readonly weightsAt: number;
  readonly valuesAt: number;
  readonly staged: number;
}

export function layoutOf(target: Target, tiling: Tiling): Layout {
  const { rows, owned, lanes, chunk, keepQueries } = tiling;
  const across = rows / owned;
  const width = target.dim / 4;
  const valueWidth = target.valueDim / 4;
  const chunks = Math.ceil(width / chunk);
  // Eight threads that write at once (a chunk of one row or of two) then reach different banks.
  const padding = chunk === 4 ? 2 : 1;
  const queryStride = rows + padding;
  const keyStride = 64 + padding;
  const keysAt = (keepQueries ? chunks : 1) * chunk * queryStride;
  const weightsAt = keepQueries ? keysAt : 0;
  const valuesAt = weightsAt + 4 * rows;
  return {
    ...tiling,
    threads: lanes * across,
    across,
    held: 64 / lanes,
    quads: 16 / lanes,
    width,
    chunks,
    valueWidth,
    columns: Math.ceil(valueWidth / lanes),
    blocks: Math.ceil(valueWidth / 16),
    packs: Math.ceil(owned / 4),
    queryStride,
    keyStride,
    keysAt,
    weightsAt,
    valuesAt,
    staged: Math.max(keysAt + chunk * keyStride, valuesAt + 256),
  };
}

/** Bytes of workgroup memory: what is staged, what is reduced, positions and flags. */
export const workgroupBytes = ({ staged, packs, threads, rows }: Layout): number =>
  16 * (staged + packs * threads) + 4 * (rows + 64) + 128;

/** Row r's own statistic: `name[0].x` … */
export const statistic = (name: string, r: number): string => `${name}[${r >> 2}].${'xyzw'[r & 3]}`;

/** Row r of a thread, as a row of the tile. */
export const rowOf = (layout: Layout, r: number): string => (r === 0 ? 'y' : `y + ${layout.across * r}u`);

/** The scores of row r that the thread has, as an index of `scores`. */
export const scoresOf = ({ quads }: Layout, r: number, quad: number): string => `scores[${r * quads + quad}]`;

/** Parameter and argument that tell functions how many threads of a row are in one subgroup; after others. */
export const rowLanes = ({ subgroups }: Layout): { readonly parameter: string; readonly argument: string } =>
  subgroups ? { parameter: 'row_lanes: u32', argument: 'row_lanes' } : { parameter: '', argument: '' };

/**
 * Bounds of inner loops, as uniforms although they are known: so compilers keep the loops. Unrolled they make a kernel
 * so large that a CPU's driver takes half a minute to compile it; on GPUs they run as fast either way.
 */
export function loopBounds(
  shader: Shader,
  layout: Layout,
): {
  readonly four: string;
  readonly chunk: string;
  readonly lanes: string;
  readonly pairs: string;
} {
  const bound = (name: string, value: number): string => shader.uniform(name, 'u32', { kind: 'bits', value });
  return {
    four: bound('four', 4),
    chunk: bound('chunk_width', layout.chunk),
    lanes: bound('row_threads', layout.lanes),
    pairs: bound('pairs', layout.held * layout.owned),
  };
}
