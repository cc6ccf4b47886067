import { bytesOf, type Tensor, type TensorOf } from '../tensor.js';
import { sumBand, sumText, addSums, NO_ROWS, type RowSum } from './row-sum.js';
import { checkRange, checkRows, rowBytesOf, type RowSink } from './rows.js';

/** Takes results into tensors in the host's memory: out [batch, heads, rows, valueDim], lse [batch, heads, rows]. */
export function tensorSink(out: Tensor, lse: TensorOf<'f32'>): RowSink {
  const rows = checkRows('out', out.dtype, out.shape);
  const rowBytes = rowBytesOf(rows);
  const bytes = bytesOf(out);
  const [, heads, count] = rows.shape;
  let total: RowSum = NO_ROWS;
  let written = 0;
  return {
    write: async (batch, head, lo, hi, band, statistics, sum) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: band.byteLength, row: rowBytes });
      const at = (batch * heads + head) * count + lo;
      bytes.set(band, at * rowBytes);
      lse.data.set(statistics, at);
      written += hi - lo;
      const own = sum ?? sumBand(batch, head, lo, band, rowBytes, statistics);
      total = addSums(total, own);
      return { sum: sumText(own), kept: [] };
    },
    sync: async () => undefined,
    finish: async () => ({ sum: sumText(total), rows: written, kept: [], file: undefined }),
    close: async () => undefined,
  };
}
