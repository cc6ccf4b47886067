import type { StorageType } from '../../compiler/ir/program.js';
import { fromBytes, toFloat32 } from '../tensor.js';
import type { KeptRow, RowPlace, SinkSummary } from './rows.js';

/** JSON has no infinities: they are texts, as `NaN` is. */
export type JsonNumber = number | 'NaN' | 'Infinity' | '-Infinity';

export interface SummaryJson {
  readonly sum: string;
  readonly rows: number;
  readonly kept: readonly (RowPlace & { readonly out: readonly JsonNumber[]; readonly lse: JsonNumber })[];
  readonly file?: { readonly path: string; readonly bytes: number };
}

/** @param dtype of out */
export function summaryJson({ sum, rows, kept, file }: SinkSummary, dtype: StorageType): SummaryJson {
  return {
    sum,
    rows,
    kept: kept.map(({ batch, head, row, out, lse }) => ({
      ...{ batch, head, row },
      out: Array.from(elementsOf(out, dtype), jsonNumber),
      lse: jsonNumber(Math.fround(lse)),
    })),
    ...(file ? { file } : {}),
  };
}

/** Kept rows side by side, as `compare` takes them: out row by row, and their lse. */
export function keptResults(
  kept: readonly KeptRow[],
  dtype: StorageType,
): { readonly out: Float32Array; readonly lse: Float32Array } {
  const rows = kept.map(({ out }) => elementsOf(out, dtype));
  const out = new Float32Array(rows.reduce((total, r) => total + r.length, 0));
  rows.reduce((at, r) => (out.set(r, at), at + r.length), 0);
  return { out, lse: Float32Array.from(kept, ({ lse }) => lse) };
}

const elementsOf = (out: Uint8Array, dtype: StorageType): Float32Array =>
  toFloat32(fromBytes(dtype, [out.byteLength / (dtype === 'f32' ? 4 : 2)], out));

const jsonNumber = (x: number): JsonNumber => (Number.isFinite(x) ? x : (String(x) as JsonNumber));
