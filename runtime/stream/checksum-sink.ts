import { deviceSummer, type DeviceSummer } from './device-sum.js';
import { keptPlaces } from './kept-rows.js';
import { addSums, NO_ROWS, sumBand, sumFromText, sumText, type RowSum } from './row-sum.js';
import {
  checkRange,
  checkRows,
  rowBytesOf,
  type BandResult,
  type KeptRow,
  type RowPlace,
  type RowSink,
  type SinkSummary,
} from './rows.js';
import { internalError } from '../errors.js';

export interface ChecksumOptions {
  /** Rows of which out and lse are kept. */
  readonly keep?: readonly RowPlace[];
  /** Bands that a run before this one did, from its journal. */
  readonly done?: readonly (BandResult & { readonly rows: number })[];
}

/**
 * A sink that remembers a sum (row-sum.ts) instead of the results, and some rows to compare. On the device where the
 * pipeline lets it: then only the kept rows are downloaded.
 * @param shape of out: [batch, heads, rows, valueDim]
 */
export function checksumSink(
  dtype: string,
  shape: readonly number[],
  options: ChecksumOptions = {},
): RowSink {
  const rows = checkRows('out', dtype, shape);
  const rowBytes = rowBytesOf(rows);
  const places = keptPlaces(options.keep ?? [], shape);
  const summers = new Map<GPUDevice, DeviceSummer>();
  const kept: KeptRow[] = [];
  let total: RowSum = NO_ROWS;
  let count = 0;
  const add = (sum: RowSum, ofBand: readonly KeptRow[], band: number): void => {
    total = addSums(total, sum);
    kept.push(...ofBand);
    count += band;
  };
  for (const { sum, kept: ofBand, rows: band } of options.done ?? []) {
    const known = sumFromText(sum);
    if (!known) throw internalError(`'${sum}' is no sum of rows`);
    add(known, ofBand, band);
  }

  return {
    write: async (batch, head, lo, hi, out, lse, sum) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: out.byteLength, row: rowBytes });
      const own = sum ?? sumBand(batch, head, lo, out, rowBytes, lse);
      const ofBand = places.of(batch, head, lo, hi).map((row) => ({
        ...{ batch, head, row },
        out: out.slice((row - lo) * rowBytes, (row - lo + 1) * rowBytes),
        lse: lse[row - lo],
      }));
      add(own, ofBand, hi - lo);
      return { sum: sumText(own), kept: ofBand };
    },
    absorb: async (device, batch, head, lo, hi, out, lse) => {
      checkRange(rows.shape, batch, head, lo, hi);
      let summer = summers.get(device);
      if (!summer) summers.set(device, (summer = deviceSummer(device)));
      const wanted = places.of(batch, head, lo, hi);
      const band = { batch, head, lo, hi };
      const found = await summer.sum(
        [
          { ...band, tensor: 'out', part: out, rowBytes },
          { ...band, tensor: 'lse', part: lse, rowBytes: 4 },
        ],
        wanted.flatMap((row) => [
          { buffer: out.buffer, offset: out.offset + (row - lo) * rowBytes, size: rowBytes },
          { buffer: lse.buffer, offset: lse.offset + (row - lo) * 4, size: 4 },
        ]),
      );
      const ofBand = wanted.map((row, n) => ({
        ...{ batch, head, row },
        out: found.kept[2 * n],
        lse: new Float32Array(found.kept[2 * n + 1].buffer)[0],
      }));
      add(found.sum, ofBand, hi - lo);
      return { sum: sumText(found.sum), kept: ofBand };
    },
    sync: async () => undefined,
    finish: async () => {
      const all = shape[0] * shape[1] * shape[2];
      if (count !== all) throw internalError(`${count} of ${all} rows were summed`);
      // Bands may have come out of order where several were under way.
      kept.sort((x, y) => x.batch - y.batch || x.head - y.head || x.row - y.row);
      return { sum: sumText(total), rows: count, kept, file: undefined } satisfies SinkSummary;
    },
    close: async () => {
      for (const summer of summers.values()) summer.close();
      summers.clear();
    },
  };
}
