import type { StorageType } from '../../compiler/ir/program.js';
import { bytesPerElement } from '../tensor.js';
import type { PlannedStream } from './plan.js';
import { rowBytesOf, type RowSource } from './rows.js';
import { placeWindows } from './window-slots.js';

/** What a planned stream will take and move, from the plan alone. */
export interface StreamEstimate {
  readonly bands: number;
  /** Rows of a band, of one head: the fewest and the most. */
  readonly rows: { readonly least: number; readonly most: number };
  /** Windows of all bands, and of the band that has the most. */
  readonly steps: number;
  readonly mostWindows: number;
  /** Keys of the largest window. */
  readonly keyRows: number;
  /** Buffers, without tables and plans. */
  readonly deviceBytes: number;
  readonly hostBytes: number;
  /** Where q, k and v come from the host, and results go there. */
  readonly uploadedBytes: number;
  readonly downloadedBytes: number;
  readonly keptBytes: number;
}

type Rows = Pick<RowSource, 'dtype' | 'shape'>;

/** @param output type of the results */
export function estimateStream(
  { bound, bands, plan, computed }: PlannedStream,
  sources: { readonly q: Rows; readonly k: Rows; readonly v: Rows },
  output: StorageType,
): StreamEstimate {
  const { valueDim, shape } = bound.binding;
  const queryBytes = rowBytesOf(sources.q);
  const keyBytes = rowBytesOf(sources.k) + rowBytesOf(sources.v);
  const resultBytes = valueDim * bytesPerElement[output] + 4;
  let [least, most, heads, steps, mostWindows, keyRows] = [Infinity, 0, 0, 0, 0, 1];
  let [uploadedBytes, downloadedBytes, keptBytes] = [0, 0, 0];
  for (const band of bands) {
    least = Math.min(least, band.rows);
    most = Math.max(most, band.rows);
    heads = Math.max(heads, band.rows * band.heads);
    steps += band.windows.length;
    mostWindows = Math.max(mostWindows, band.windows.length);
    if (band.windows.length === 0) continue;
    uploadedBytes += band.rows * band.heads * queryBytes;
    downloadedBytes += band.rows * band.heads * resultBytes;
    for (const { lo, hi } of band.windows) keyRows = Math.max(keyRows, hi - lo);
  }
  placeWindows(shape, bands, plan.keySlots, ({ missing, kept }) => {
    uploadedBytes += keyBytes * missing.reduce((n, w) => n + w.hi - w.lo, 0);
    keptBytes += keyBytes * Math.max(0, kept.hi - kept.lo);
  });
  const bandSlots = Math.min(plan.bandSlots, bands.length);
  const rowsHeld = Math.max(1, heads);
  const readback = rounded(rowsHeld * resultBytes);
  const sums = computed === output ? 0 : rounded(rowsHeld * valueDim * 4);
  const queries = rounded(rowsHeld * queryBytes) + rounded(rowsHeld * (resultBytes - 4));
  return {
    bands: bands.length,
    rows: { least: bands.length === 0 ? 0 : least, most },
    steps,
    mostWindows,
    keyRows,
    deviceBytes:
      bandSlots * (queries + sums + rounded(rowsHeld * 4) + readback) +
      plan.keySlots * (rounded(keyRows * rowBytesOf(sources.k)) + rounded(keyRows * rowBytesOf(sources.v))),
    hostBytes: plan.chunks * rounded(plan.chunkBytes) + bandSlots * rowsHeld * resultBytes,
    uploadedBytes,
    downloadedBytes,
    keptBytes,
  };
}

/** Buffers come in steps of 16 bytes. */
const rounded = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);
