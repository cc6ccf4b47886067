import type { StorageType, StorageTypes } from '../../compiler/ir/program.js';
import type { Reference } from './reference.js';

/** A result against the oracle, by the measures and tolerances of docs: whole tensor, worst row, lse. */

/** Of q, k and v. */
export type Precision = StorageType;

export interface Tolerance {
  /** Relative, of `out`. */
  readonly out: number;
  /** Absolute, of `lse`. */
  readonly lse: number;
}

/** By the inputs' type, for float32 results; accumulation is float32. */
export const TOLERANCES: Readonly<Record<Precision, Tolerance>> = {
  f32: { out: 1e-5, lse: 1e-5 },
  f16: { out: 2e-3, lse: 1e-3 },
  bf16: { out: 1e-2, lse: 1e-3 },
};

/** The coarser of the two types decides about `out` (its own rounding is 2^-11 or 2^-8); `lse` is float32. */
export function toleranceOf({ input, output }: StorageTypes): Tolerance {
  return {
    out: Math.max(TOLERANCES[input].out, TOLERANCES[output].out),
    lse: TOLERANCES[input].lse,
  };
}

/** Half of f16's smallest number, which any value may be off by; and what may become infinite in it. */
const HALF_STEP: Readonly<Record<StorageType, number>> = { f32: 0, f16: 2 ** -25, bf16: 0 };
const LARGEST: Readonly<Record<StorageType, number>> = { f32: Infinity, f16: 65504, bf16: Infinity };

/** What float32 leaves of a large exponent, for each unit of the row's largest |score|. */
export const SCORE_TERM = 1e-6;

/**
 * Rows of a smaller norm count as 0: float32 has no numbers for the weights that make them (a sink far above all scores).
 */
const LEAST_NORM = 1e-30;

/** What is compared, in the oracle's order of rows. */
export interface Actual {
  readonly out: ArrayLike<number>;
  /** Not compared if not given. */
  readonly lse?: ArrayLike<number> | undefined;
}

/** One measure: its value, what it may be, and where. */
export interface Measure {
  readonly error: number;
  readonly tolerance: number;
  /** Number of the row in the oracle's order; undefined for the whole tensor. */
  readonly row: number | undefined;
}

export interface Comparison {
  readonly pass: boolean;
  /** ‖actual − expected‖ / ‖expected‖ over all finite values. */
  readonly whole: Measure;
  /** The same of the row that is worst compared with its own tolerance; absolute where the row's norm is 0. */
  readonly worstRow: Measure;
  /** |actual − expected|, where it is worst compared with the tolerance. */
  readonly lse: Measure | undefined;
  /** Places where one is finite and the other isn't, or an lse of −∞ isn't met. */
  readonly misplaced: number;
  readonly firstMisplaced: { readonly what: 'out' | 'lse'; readonly row: number } | undefined;
  readonly rows: number;
}

/** @param types of q, k and v alone (`out` is then f32), or of both */
export function compare(
  actual: Actual,
  expected: Reference,
  types: Precision | StorageTypes = 'f32',
): Comparison {
  const { input, output } = typeof types === 'string' ? { input: types, output: 'f32' as const } : types;
  const tolerance = toleranceOf({ input, output });
  const largest = LARGEST[output] * (1 - tolerance.out);
  /** Relative to the norm of so many values; what has no norm is compared absolutely. */
  const floor = (values: number, norm: number): number =>
    (HALF_STEP[output] * Math.sqrt(values)) / (norm < LEAST_NORM ** 2 ? 1 : Math.sqrt(norm));
  const dim = expected.valueDim;
  const rows = expected.lse.length;
  if (actual.out.length !== rows * dim || (actual.lse && actual.lse.length !== rows)) {
    throw new RangeError(`${actual.out.length} values for ${rows} rows of ${dim}`);
  }
  let wholeError = 0;
  let wholeNorm = 0;
  let mostScore = 0;
  let misplaced = 0;
  let firstMisplaced: Comparison['firstMisplaced'];
  let worstRow: Measure = { error: 0, tolerance: tolerance.out, row: undefined };
  let lse: Measure = { error: 0, tolerance: tolerance.lse, row: undefined };
  const miss = (what: 'out' | 'lse', row: number): void => {
    misplaced++;
    firstMisplaced ??= { what, row };
  };

  for (let row = 0; row < rows; row++) {
    const extra = SCORE_TERM * expected.maxScore[row];
    mostScore = Math.max(mostScore, expected.maxScore[row]);
    let error = 0;
    let norm = 0;
    for (let at = row * dim; at < (row + 1) * dim; at++) {
      const e = expected.out[at];
      const a = actual.out[at];
      if (Number.isFinite(e) && Number.isFinite(a)) {
        error += (a - e) ** 2;
        norm += e ** 2;
      } else if (Number.isFinite(e) ? !expected.tainted[row] && Math.abs(e) < largest : Number.isFinite(a)) {
        miss('out', row);
      }
    }
    wholeError += error;
    wholeNorm += norm;
    const measure = {
      error: norm < LEAST_NORM ** 2 ? Math.sqrt(error) : Math.sqrt(error / norm),
      tolerance: tolerance.out + extra + floor(dim, norm),
      row,
    };
    if (isWorse(measure, worstRow)) worstRow = measure;
    if (!actual.lse) continue;
    const e = expected.lse[row];
    const a = actual.lse[row];
    if (Number.isFinite(e) && Number.isFinite(a)) {
      const own = { error: Math.abs(a - e), tolerance: tolerance.lse + extra, row };
      if (isWorse(own, lse)) lse = own;
    } else if (e === -Infinity ? a !== e : Number.isFinite(e) ? !expected.tainted[row] : Number.isFinite(a)) {
      miss('lse', row);
    }
  }
  const whole = {
    error: wholeNorm < LEAST_NORM ** 2 ? Math.sqrt(wholeError) : Math.sqrt(wholeError / wholeNorm),
    tolerance: tolerance.out + SCORE_TERM * mostScore + floor(rows * dim, wholeNorm),
    row: undefined,
  };
  const measures = actual.lse ? [whole, worstRow, lse] : [whole, worstRow];
  return {
    pass: misplaced === 0 && measures.every((m) => m.error <= m.tolerance),
    whole,
    worstRow,
    lse: actual.lse && lse,
    misplaced,
    firstMisplaced,
    rows,
  };
}

function isWorse(a: Measure, b: Measure): boolean {
  return b.row === undefined || a.error / a.tolerance > b.error / b.tolerance;
}

/** Rows of a dense [batch, heads, rows, dim] (or [batch, heads, rows]) array, in the oracle's order. */
export function pickRows(
  values: Float32Array,
  rows: readonly { readonly batch: number; readonly head: number; readonly row: number }[],
  sizes: { readonly heads: number; readonly queries: number; readonly dim: number },
): Float32Array {
  const out = new Float32Array(rows.length * sizes.dim);
  rows.forEach((r, n) => {
    const at = ((r.batch * sizes.heads + r.head) * sizes.queries + r.row) * sizes.dim;
    out.set(values.subarray(at, at + sizes.dim), n * sizes.dim);
  });
  return out;
}
