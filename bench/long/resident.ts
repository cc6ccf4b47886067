import { Arena } from '../../runtime/arena.js';
import type { TensorPieces } from '../../runtime/bindings.js';
import { encodeSteps, planEncode, type Encoded, type EncodeStats } from '../../runtime/encode.js';
import { choose, compileKernels } from '../../runtime/prepare.js';
import { compare, rowReference, type RowIndex } from '../../runtime/reference/index.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { record, timeRuns, type Spread } from '../../runtime/timing/index.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import { fillTensor, fittingPiece, makeTensor, readTensor, settle } from './tensors.js';
import { compileSubject, DIM, DTYPE, SEED, type Subject } from './subjects.js';

/** A run whose tensors all lie on the device, past one binding where they are that long. */

export interface ResidentResult {
  readonly tokens: number;
  /** Milliseconds of the device, and how they were found. */
  readonly time: Spread;
  readonly clock: string;
  readonly tensorBytes: number;
  /** Buffers that each of them lies in. */
  readonly pieces: number;
  /** Besides q, k, v and out. */
  readonly otherBytes: number;
  /** Relative error of sampled rows against float64, and how many. */
  readonly error: number;
  readonly pass: boolean;
  readonly rows: number;
  readonly stats: Omit<EncodeStats, 'planMilliseconds'>;
}

export interface ResidentOptions {
  readonly bindingBytes: number | undefined;
  readonly warmUp: number;
  readonly settle: boolean;
  readonly runs?: number;
  readonly rows: number;
}

export async function runResident(
  device: GPUDevice,
  subject: Subject,
  tokens: number,
  options: ResidentOptions,
): Promise<ResidentResult> {
  const program = compileSubject(subject);
  const shape = [1, 1, tokens, DIM];
  const bytes = tokens * DIM * bytesPerElement[DTYPE];
  const arena = new Arena(device);
  try {
    const sources = (['q', 'k', 'v'] as const).map((name) => randomRows(name, DTYPE, shape, SEED));
    const most = await fittingPiece(device, bytes);
    const make = (name: string): Promise<TensorPieces> => makeTensor(device, arena, name, tokens, most);
    const [q, k, v, out] = [await make('q'), await make('k'), await make('v'), await make('out')];
    for (const [n, tensor] of [q, k, v].entries()) await fillTensor(device, sources[n], tensor);
    const prepared = choose(device, program);
    const how = { bindingBytes: options.bindingBytes };
    const { steps, picked } = planEncode(prepared, { q, k, v, out }, how, arena);
    await compileKernels(prepared, picked.variant.kernels, { input: DTYPE, output: DTYPE });
    let encoded: Encoded | undefined;
    const own = new Arena(device);
    const recording = record((pass) => (encoded = encodeSteps(pass, prepared, steps, picked, how, own)));
    const timing = await timeRuns(device, [recording], options);
    const places = spread(tokens, options.rows);
    const got = await readTensor(device, own, out, places);
    const [rq, rk, rv] = sources;
    const expected = await rowReference(program.pattern, { q: rq, k: rk, v: rv }, places);
    const report = compare({ out: got }, expected, { input: DTYPE, output: DTYPE });
    const { planMilliseconds: _, ...stats } = encoded?.stats as EncodeStats;
    encoded?.release();
    return {
      tokens,
      time: timing.time,
      clock: timing.clock,
      tensorBytes: 4 * bytes,
      pieces: q.pieces.length,
      // The lse of a band lies in the first arena, beside the tensors.
      otherBytes: stats.temporaryBytes + arena.bytes - 4 * bytes,
      error: report.whole.error,
      pass: report.pass,
      rows: places.length,
      stats,
    };
  } finally {
    arena.release();
    await settle(device);
  }
}

/** Rows all over the sequence, its ends among them, at odd distances. */
export function spread(tokens: number, count: number): readonly RowIndex[] {
  const rows = new Set<number>([0, tokens - 1]);
  for (let n = 1; rows.size < Math.min(count, tokens); n++) {
    rows.add(Math.floor((n * 0.6180339887498949 * tokens) % tokens));
  }
  return [...rows].sort((a, b) => a - b).map((row) => ({ batch: 0, head: 0, row }));
}
