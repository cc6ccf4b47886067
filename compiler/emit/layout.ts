import type { Shader } from './shader.js';
import type { Target } from './target.js';

/**
 * How a tile kernel divides its work. Thread (x, y) of 16 × `across` owns rows y + across·r of the query tile: of the
 * scores the keys x + 16·c, c = 0 … 3, of the result the columns (vec4s) x + 16·n.
 */
export interface Layout {
  /** Query rows of a tile, and of those how many a thread owns. */
  readonly rows: number;
  readonly owned: number;
  readonly threads: number;
  readonly across: number;
  /** vec4s of a head, and chunks of 4 of them in which queries and keys are staged. */
  readonly width: number;
  readonly chunks: number;
  /** vec4s of a value row, and of these how many a thread owns. */
  readonly valueWidth: number;
  readonly columns: number;
  /** Rows' statistics are held in vec4s: this many. */
  readonly packs: number;
  /** vec4s between neighbouring chunks of 4 in the staged queries and keys: two more than needed, for the banks. */
  readonly queryStride: number;
  readonly keyStride: number;
  /** vec4s of `staged`: first queries, then keys; later weights, then values. */
  readonly keysAt: number;
  readonly valuesAt: number;
  readonly staged: number;
}

/** vec4s of the head dimension in a staged chunk. */
export const CHUNK = 4;

export function layoutOf(target: Target, rows: number, owned: number): Layout {
  const across = rows / owned;
  const keysAt = CHUNK * (rows + 2);
  const valuesAt = CHUNK * rows;
  return {
    rows,
    owned,
    threads: 16 * across,
    across,
    width: target.dim / 4,
    chunks: Math.ceil(target.dim / 16),
    valueWidth: target.valueDim / 4,
    columns: Math.ceil(target.valueDim / 64),
    packs: Math.ceil(owned / 4),
    queryStride: rows + 2,
    keyStride: 66,
    keysAt,
    valuesAt,
    staged: Math.max(keysAt + CHUNK * 66, valuesAt + 256),
  };
}

/** Row r's own statistic: `name[0].x` … */
export const statistic = (name: string, r: number): string => `${name}[${r >> 2}].${'xyzw'[r & 3]}`;

/** Row r of a thread, as a row of the tile. */
export const rowOf = (layout: Layout, r: number): string => (r === 0 ? 'y' : `y + ${layout.across * r}u`);

/**
 * Bounds of inner loops, as uniforms although they are known: so compilers keep the loops. Unrolled they make a kernel
 * so large that a CPU's driver takes half a minute to compile it; on GPUs they run as fast either way.
 */
export function loopBounds(
  shader: Shader,
  layout: Layout,
): { readonly four: string; readonly sixteen: string; readonly pairs: string } {
  const bound = (name: string, value: number): string => shader.uniform(name, 'u32', { kind: 'bits', value });
  return { four: bound('four', 4), sixteen: bound('sixteen', 16), pairs: bound('pairs', 4 * layout.owned) };
}
