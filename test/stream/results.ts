// Made-up results of a run, for tests of sinks: any band of them at any time.

import { randomRows } from '../../runtime/stream/random-rows.js';
import type { StorageType } from '../../compiler/ir/program.js';
import type { BandResult, RowSink } from '../../runtime/stream/rows.js';
import type { Band } from '../../runtime/stream/tally.js';
import { fromBytes, tensor, type Tensor } from '../../runtime/tensor.js';

export type Shape = readonly [batch: number, heads: number, rows: number, dim: number];

export interface Results {
  readonly dtype: StorageType;
  readonly shape: Shape;
  out(band: Band): Promise<Uint8Array>;
  lse(band: Band): Promise<Float32Array>;
}

/** With an lse of −∞ here and there. */
export function results(dtype: StorageType, shape: Shape, seed = 1): Results {
  const out = randomRows('out', dtype, shape, seed);
  const lse = randomRows('lse', 'f32', [shape[0], shape[1], shape[2], 1], seed);
  const rowBytes = shape[3] * (dtype === 'f32' ? 4 : 2);
  return {
    dtype,
    shape,
    out: async ({ batch, head, lo, hi }) => {
      const bytes = new Uint8Array((hi - lo) * rowBytes);
      await out.read(batch, head, lo, hi, bytes);
      return bytes;
    },
    lse: async ({ batch, head, lo, hi }) => {
      const values = new Float32Array(hi - lo);
      await lse.read(batch, head, lo, hi, new Uint8Array(values.buffer));
      return values.map((x, n) => ((lo + n) % 13 === 5 ? -Infinity : x));
    },
  };
}

/** Bands of at most `size` rows, in order. */
export function bandsOf([batches, heads, rows]: Shape, size: number): Band[] {
  const all: Band[] = [];
  for (let batch = 0; batch < batches; batch++)
    for (let head = 0; head < heads; head++)
      for (let lo = 0; lo < rows; lo += size) all.push({ batch, head, lo, hi: Math.min(lo + size, rows) });
  return all;
}

export async function writeBand(sink: RowSink, of: Results, band: Band): Promise<BandResult> {
  const { batch, head, lo, hi } = band;
  return sink.write(batch, head, lo, hi, await of.out(band), await of.lse(band));
}

/** The whole of them. */
export async function tensorsOf(of: Results): Promise<Map<string, Tensor>> {
  const [batches, heads, rows, dim] = of.shape;
  const outs: Uint8Array[] = [];
  const lses: number[] = [];
  for (const band of bandsOf(of.shape, rows)) {
    outs.push(await of.out(band));
    lses.push(...(await of.lse(band)));
  }
  return new Map<string, Tensor>([
    ['out', fromBytes(of.dtype, [batches, heads, rows, dim], new Uint8Array(Buffer.concat(outs)))],
    ['lse', tensor('f32', [batches, heads, rows], Float32Array.from(lses))],
  ]);
}
