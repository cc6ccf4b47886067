import { internalError } from '../errors.js';
import { keptPlaces, type KeptPlaces } from './kept-rows.js';
import { addSums, NO_ROWS, sumFromText, sumText, type RowSum } from './row-sum.js';
import type { BandResult, KeptRow, RowPlace, SinkSummary } from './rows.js';

/** What every sink counts: rows, their sum, and rows that are kept. */
export interface Tally {
  readonly places: KeptPlaces;
  add(rows: number, sum: RowSum, kept: readonly KeptRow[], lseSum?: RowSum): BandResult;
  /** Have all rows come? */
  isComplete(): boolean;
  /** Fails unless they have. */
  summary(file?: SinkSummary['file']): SinkSummary;
}

export interface TallyOptions {
  /** Rows of which out and lse are kept. */
  readonly keep?: readonly RowPlace[];
  /** Bands that an earlier run finished, from its journal. */
  readonly done?: readonly DoneBand[];
}

export interface Band {
  readonly batch: number;
  readonly head: number;
  /** Rows lo … hi − 1. */
  readonly lo: number;
  readonly hi: number;
}

export type DoneBand = Band & BandResult;

/** @param shape of out */
export function makeTally(shape: readonly number[], { keep = [], done = [] }: TallyOptions): Tally {
  let total: RowSum = NO_ROWS;
  let count = 0;
  const kept: KeptRow[] = [];
  const add: Tally['add'] = (rows, sum, ofBand, lseSum) => {
    total = addSums(total, sum);
    count += rows;
    kept.push(...ofBand);
    return { sum: sumText(sum), ...(lseSum && { lseSum: sumText(lseSum) }), kept: ofBand };
  };
  for (const d of done) {
    const sum = sumFromText(d.sum);
    if (!sum) throw internalError(`'${d.sum}' is no sum of rows`);
    add(d.hi - d.lo, sum, d.kept);
  }
  const all = shape[0] * shape[1] * shape[2];
  return {
    places: keptPlaces(keep, shape),
    add,
    isComplete: () => count === all,
    summary: (file) => {
      if (count !== all) throw internalError(`${count} of ${all} rows have a result`);
      // Bands may have come out of order where several were under way.
      const sorted = kept.slice().sort((x, y) => x.batch - y.batch || x.head - y.head || x.row - y.row);
      return { sum: sumText(total), rows: count, kept: sorted, file };
    },
  };
}

/** Of a band on the host, the rows to keep. */
export function keptOf(
  places: KeptPlaces,
  { batch, head, lo, hi }: Band,
  out: Uint8Array,
  rowBytes: number,
  lse: Float32Array,
): readonly KeptRow[] {
  return places.of(batch, head, lo, hi).map((row) => ({
    ...{ batch, head, row },
    out: out.slice((row - lo) * rowBytes, (row - lo + 1) * rowBytes),
    lse: lse[row - lo],
  }));
}
