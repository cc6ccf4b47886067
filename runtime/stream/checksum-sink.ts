import { deviceSummer, type DeviceSummer } from './device-sum.js';
import { sumBand } from './row-sum.js';
import { checkRange, checkRows, rowBytesOf, type RowSink } from './rows.js';
import { keptOf, makeTally, type TallyOptions } from './tally.js';

/**
 * A sink that remembers a sum (row-sum.ts) instead of the results, and some rows to compare. On the device where the
 * pipeline lets it: then only the kept rows are downloaded.
 * @param shape of out: [batch, heads, rows, valueDim]
 */
export function checksumSink(dtype: string, shape: readonly number[], options: TallyOptions = {}): RowSink {
  const rows = checkRows('out', dtype, shape);
  const rowBytes = rowBytesOf(rows);
  const tally = makeTally(shape, options);
  const summers = new Map<GPUDevice, DeviceSummer>();
  return {
    write: async (batch, head, lo, hi, out, lse, sum) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: out.byteLength, row: rowBytes });
      const kept = keptOf(tally.places, { batch, head, lo, hi }, out, rowBytes, lse);
      return tally.add(hi - lo, sum ?? sumBand(batch, head, lo, out, rowBytes, lse), kept);
    },
    absorb: async (device, batch, head, lo, hi, out, lse) => {
      checkRange(rows.shape, batch, head, lo, hi);
      let summer = summers.get(device);
      if (!summer) summers.set(device, (summer = deviceSummer(device)));
      const wanted = tally.places.of(batch, head, lo, hi);
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
      const kept = wanted.map((row, n) => ({
        ...{ batch, head, row },
        out: found.kept[2 * n],
        lse: new Float32Array(found.kept[2 * n + 1].buffer)[0],
      }));
      return tally.add(hi - lo, found.sum, kept);
    },
    sync: async () => undefined,
    finish: async () => tally.summary(),
    close: async () => {
      for (const summer of summers.values()) summer.close();
      summers.clear();
    },
  };
}
