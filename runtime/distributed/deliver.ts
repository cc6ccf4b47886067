import type { Program, StorageType } from '../../compiler/ir/program.js';
import { Arena } from '../arena.js';
import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import { scoped, untilLost } from '../scopes.js';
import { createNarrower } from '../stream/narrower.js';
import type { RowSink } from '../stream/rows.js';
import type { DoneBand } from '../stream/tally.js';
import { bytesPerElement } from '../tensor.js';
import type { QueryPiece } from './shard.js';

/** Rows of a rank's results, on their way to a sink. */
export interface Delivery {
  readonly output: StorageType;
  /** What kernels wrote. */
  readonly computed: StorageType;
  readonly valueDim: number;
  /** Query rows in use, by batch: rows past them have out = 0 and lse = −∞. */
  readonly queries: readonly number[];
  /** Most bytes of results on the host. */
  readonly hostBytes: number;
}

/** Gives a sink all rows of the pieces; what it said of each band comes back. */
export async function deliver(
  device: GPUDevice,
  program: Program,
  pieces: readonly QueryPiece[],
  sink: RowSink,
  delivery: Delivery,
): Promise<readonly DoneBand[]> {
  const { output, computed, valueDim, queries, hostBytes } = delivery;
  const arena = new Arena(device);
  const rowBytes = valueDim * bytesPerElement[output];
  const done: DoneBand[] = [];
  const most = Math.max(1, Math.floor(hostBytes / 2 / (rowBytes + 4)));
  const narrower = computed === output ? undefined : await createNarrower(device, program, output);
  try {
    const sizes = pieces.map((p) => p.group.heads * (p.rows.hi - p.rows.lo));
    const all = Math.max(1, ...sizes);
    const narrowed = narrower && arena.create('out', all * rowBytes, USAGE.storage | USAGE.copySrc);
    const chunk = Math.min(most, Math.max(1, ...pieces.map((p) => p.rows.hi - p.rows.lo)));
    const readback = sink.absorb
      ? undefined
      : arena.create('readback', chunk * (rowBytes + 4), USAGE.mapRead | USAGE.copyDst);
    for (const [n, piece] of pieces.entries()) {
      const { batch, group, rows } = piece;
      const out = narrowed ?? piece.out.buffer;
      if (narrower && narrowed) {
        const encoder = device.createCommandEncoder({ label: 'attnc narrow' });
        narrower.record(encoder, piece.out.buffer, narrowed, sizes[n] * valueDim);
        device.queue.submit([encoder.finish()]);
      }
      const used = Math.max(rows.lo, Math.min(rows.hi, queries[batch]));
      for (let h = 0; h < group.heads; h++) {
        const head = group.head + h;
        const first = h * (rows.hi - rows.lo) - rows.lo;
        const outAt = (row: number): number => (first + row) * rowBytes;
        const lseAt = (row: number): number => (first + row) * 4;
        const keep = (lo: number, hi: number, result: Awaited<ReturnType<RowSink['write']>>): void =>
          void done.push({ batch, head, lo, hi, ...result });
        if (sink.absorb && rows.lo < used) {
          const result = sink.absorb(
            device,
            ...([batch, head, rows.lo, used] as const),
            { buffer: out, offset: outAt(rows.lo) },
            { buffer: piece.lse.buffer, offset: lseAt(rows.lo) },
          );
          keep(rows.lo, used, await result);
        }
        for (let lo = rows.lo; readback && lo < used; lo += chunk) {
          const hi = Math.min(used, lo + chunk);
          const [outBytes, lseBytes] = [(hi - lo) * rowBytes, (hi - lo) * 4];
          const { problem } = scoped(device, 'reading results', () => {
            const encoder = device.createCommandEncoder({ label: 'attnc results' });
            encoder.copyBufferToBuffer(out, outAt(lo), readback, 0, outBytes);
            encoder.copyBufferToBuffer(piece.lse.buffer, lseAt(lo), readback, outBytes, lseBytes);
            device.queue.submit([encoder.finish()]);
          });
          const mapped = untilLost(device, readback.mapAsync(MAP_MODE_READ));
          mapped.catch(() => undefined);
          const error = await problem;
          if (error) throw error;
          await mapped;
          const bytes = readback.getMappedRange(0, outBytes + lseBytes);
          const result = sink.write(
            ...([batch, head, lo, hi] as const),
            new Uint8Array(bytes, 0, outBytes),
            new Float32Array(bytes, outBytes, hi - lo),
          );
          keep(lo, hi, await result);
          readback.unmap();
        }
        for (let lo = used; lo < rows.hi; lo += most) {
          const hi = Math.min(rows.hi, lo + most);
          const nothing = new Float32Array(hi - lo).fill(-Infinity);
          keep(lo, hi, await sink.write(batch, head, lo, hi, new Uint8Array((hi - lo) * rowBytes), nothing));
        }
      }
    }
    return done;
  } finally {
    narrower?.release();
    arena.release();
  }
}
