import { foldWords } from './row-hash.js';
import { checkRange, checkRows, rowBytesOf, type RowSource } from './rows.js';
import { bytesOf, type Tensor } from '../tensor.js';

/** Rows of a tensor in the host's memory, [batch, heads, rows, dim]. `name` is for messages. */
export function tensorRows(tensor: Tensor, name = 'tensor'): RowSource {
  const rows = checkRows(name, tensor.dtype, tensor.shape);
  const rowBytes = rowBytesOf(rows);
  const bytes = bytesOf(tensor);
  const [, heads, count] = rows.shape;
  return {
    ...rows,
    get identity() {
      return { kind: 'memory', sum: sumOf(bytes) } as const;
    },
    read: async (batch, head, lo, hi, into) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: into.byteLength, row: rowBytes });
      const at = ((batch * heads + head) * count + lo) * rowBytes;
      into.set(bytes.subarray(at, at + into.byteLength));
    },
    check: async () => undefined,
    close: async () => undefined,
  };
}

function sumOf(bytes: Uint8Array): string {
  const [a, b] = [foldWords(1), foldWords(2)].map((start) =>
    bytes.reduce((h, byte) => Math.imul(h ^ byte, 0x01000193) ^ (h >>> 15), start),
  );
  return [a, b].map((x) => (x >>> 0).toString(16).padStart(8, '0')).join('');
}
