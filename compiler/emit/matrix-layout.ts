import type { Target } from './target.js';

/** How a matrix kernel divides its work: which part of the tile each subgroup and lane has, and what lies where. */

/**
 * A configuration of subgroup matrices: f16 operands, f32 sums; the product of an m × k and a k × n matrix. Scores are
 * products of m × k and k × SCORE_COLUMNS, which the device must have too.
 */
export interface MatrixUnit {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Size of the device's subgroups. */
  readonly lanes: number;
}

/**
 * Columns of a matrix of scores. Rows of 8 f32, one after the other, fill the banks of workgroup memory when a subgroup
 * stores two rows of four at a time: rows of 16, padded or not, meet in some of them.
 */
export const SCORE_COLUMNS = 8;

export interface MatrixTiling {
  /** Subgroups of a workgroup, and row blocks (of m query rows) of a subgroup. */
  readonly subgroups: number;
  readonly blocks: number;
  /** Keys that are staged at once: a divisor of 64, a multiple of n and k. */
  readonly keys: number;
  /** Of those, keys that are scored at once: it bounds the registers. */
  readonly chunk: number;
  /** Fetch the next keys and values into registers while computing on the present ones. */
  readonly prefetch: boolean;
  /**
   * Subgroups exchange scores and weights between their own lanes without a workgroup barrier. Right only where a
   * subgroup runs in lockstep and its accesses to workgroup memory stay in program order.
   */
  readonly lone: boolean;
  /**
   * What weights are relative to is estimated from a row's first scores and then stays, so that results in registers
   * are never rescaled. Rows for which that turns out too high or too low are computed again, rescaling as they go.
   * For patterns whose scores are plain dot products; others rescale, whatever this says.
   */
  readonly steady: boolean;
  /**
   * A steady kernel itself does a tile once more whose estimates turn out to be off, relative to what it has found by
   * then; only what that doesn't help is left to the kernel that rescales. Costs short rows 3 %, long ones
   * nothing that can be told.
   */
  readonly retries: boolean;
}

/**
 * Where results that hold NaN or infinity are computed again with care, which looks for what is not finite: by the kernel
 * itself, in the same loop (`here`), or by a kernel after it, in whose list it puts its tile (`later`). Of a steady tiling
 * that kernel also takes what has weights that f16 does not hold well: it rescales.
 */
export type Care = 'here' | 'later';

export interface MatrixLayout extends MatrixUnit, MatrixTiling {
  readonly care: Care;
  /** It computes again what the kernel before it has listed. */
  readonly again: boolean;
  readonly rows: number;
  /** Query rows of a subgroup. */
  readonly ownRows: number;
  readonly threads: number;
  /** Matrices along the head dimension of q and k, along the keys (as products and as scores), along that of v. */
  readonly dimSteps: number;
  readonly keySteps: number;
  readonly scoreTiles: number;
  readonly valueColumns: number;
  /** 16-byte pieces of a staged row of k and v, and of a row of the tensors. */
  readonly keyPieces: number;
  readonly valuePieces: number;
  readonly keyWidth: number;
  readonly valueWidth: number;
  /** Distances between rows, in 16-byte pieces: one more than needed, for the banks. */
  readonly keyStride: number;
  readonly valueStride: number;
  readonly weightStride: number;
  readonly resultStride: number;
  /** Pieces of the staged keys and values, and of the scratch space of a subgroup. */
  readonly valuesAt: number;
  readonly staged: number;
  readonly scratch: number;
  /** Of a subgroup's blocks: pieces of scratch space that each has for itself, or 0 if they take turns. */
  readonly blockScratch: number;
  /** Lanes that share a row, and matrices of scores of which each has a row of 8. */
  readonly sharers: number;
  readonly pairs: number;
  /** Parts of a tile of 64 keys. */
  readonly parts: number;
}

/** @param again for the kernel that computes again what the tiling's own lists */
export function matrixLayout(
  target: Target,
  unit: MatrixUnit,
  tiling: MatrixTiling,
  again = false,
): MatrixLayout {
  const { m, n, k, lanes } = unit;
  const { subgroups, blocks, keys, chunk } = tiling;
  const dimSteps = Math.ceil(target.dim / k);
  const valueColumns = Math.ceil(target.valueDim / n);
  const keyPieces = (dimSteps * k) / 8;
  const valuePieces = (valueColumns * n) / 8;
  const sharers = lanes / m;
  const resultStride = chunk / 4 + 1;
  const valuesAt = keys * (keyPieces + 1);
  const steady = tiling.steady && target.score === undefined;
  const blockScratch = steady && !again ? Math.max((m * chunk) / 4, m * (chunk / 8 + 1)) : 0;
  return {
    ...unit,
    ...tiling,
    steady: steady && !again,
    retries: tiling.retries && steady && !again,
    care: steady && !again ? 'later' : 'here',
    again,
    rows: subgroups * blocks * m,
    ownRows: blocks * m,
    threads: subgroups * lanes,
    dimSteps,
    keySteps: chunk / k,
    scoreTiles: chunk / SCORE_COLUMNS,
    valueColumns,
    keyPieces,
    valuePieces,
    keyWidth: target.dim / 8,
    valueWidth: target.valueDim / 8,
    keyStride: keyPieces + 1,
    valueStride: valuePieces + 1,
    weightStride: chunk / 8 + 1,
    resultStride,
    valuesAt,
    // A subgroup's queries pass through it too.
    staged: Math.max(valuesAt + keys * (valuePieces + 1), blocks * m * (keyPieces + 1)),
    // Room for scores, weights and results in turn.
    scratch: Math.max(m * resultStride, blocks * blockScratch),
    blockScratch,
    sharers,
    pairs: chunk / SCORE_COLUMNS / sharers,
    parts: 64 / keys,
  };
}

/** Some of the staged keys, which are scored at once. */
export interface Chunk {
  /** In names, so that those of several chunks differ. */
  readonly tag: string;
  /** WGSL of the first key's number, and of where keys and values begin. */
  readonly firstKey: string;
  readonly keysAt: string;
  readonly valuesAt: string;
}

/** The chunk of a loop over all of them. */
export const LOOP_CHUNK: Chunk = {
  tag: '',
  firstKey: 'first_key',
  keysAt: 'keys_at',
  valuesAt: 'values_at',
};

/** Chunk number c. Where it lies is a constant, so that the places of matrices are known to be inside. */
export const chunkOf = ({ chunk, keyStride, valueStride }: MatrixLayout, c: number): Chunk => ({
  tag: `_${c}`,
  firstKey: `${c * chunk}u`,
  keysAt: `${c * chunk * keyStride}u`,
  valuesAt: `VALUES_AT + ${c * chunk * valueStride}u`,
});

/** Bytes of workgroup memory. */
export function matrixBytes(layout: MatrixLayout): number {
  return 16 * (layout.staged + layout.subgroups * layout.scratch) + 36 * layout.keys + 16;
}

export const resultType = ({ m, n }: MatrixUnit): string => `subgroup_matrix_result<f32, ${n}, ${m}>`;

/** What stands between lanes of a subgroup writing to scratch space and others reading it. */
export function syncOf(layout: MatrixLayout): { readonly sync: string } {
  return { sync: layout.lone ? '' : 'workgroupBarrier();' };
}
