import type { Program, StorageType, StorageTypes } from '../../compiler/ir/program.js';
import { Arena } from '../arena.js';
import type { Bound } from '../bind.js';
import type { TensorBinding } from '../bindings.js';
import { encodeSteps, type EncodeStats } from '../encode.js';
import { usageError } from '../errors.js';
import { type Step } from '../launches.js';
import { pickVariant, type Picked } from '../pick-variant.js';
import type { Band } from '../parts/bands.js';
import { bindPart, keyHeadsOf } from '../parts/part.js';
import { choose, compileKernels, type Prepared } from '../prepare.js';
import { guarded, scoped, untilLost } from '../scopes.js';
import { KeyCache, type ResidentKeys } from './key-cache.js';
import { createNarrower, type Narrower } from './narrower.js';
import {
  DEVICE_BYTES,
  deliveriesOf,
  type PlannedStream,
  type StreamOptions,
  type StreamSources,
} from './plan.js';
import { Results, type BandSlot } from './results.js';
import { rowBytesOf, type RowSink } from './rows.js';
import { Uploader } from './uploader.js';

/**
 * Streamed runs: rows flow from sources through the device into a sink, band by band. While one band is computed, the
 * next one is read and uploaded and the one before goes out.
 */

export interface StreamStats extends Omit<EncodeStats, 'temporaryBuffers' | 'temporaryBytes'> {
  readonly bands: number;
  readonly uploadedBytes: number;
  readonly downloadedBytes: number;
  /** Keys and values that stayed on the device for a later window. */
  readonly keptBytes: number;
  /** Buffers on the device, and those of them that are mapped into the host's memory. */
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly milliseconds: number;
}

/**
 * Runs a planned stream. What the sink was given before a failure stays with it: a later run of the same plan leaves
 * out the deliveries that are `done`. Sources and sink are not closed.
 */
export async function runStream(
  device: GPUDevice,
  program: Program | Prepared,
  planned: PlannedStream,
  sources: StreamSources,
  sink: RowSink,
  options: StreamOptions = {},
): Promise<StreamStats> {
  const prepared = 'pipelines' in program ? program : choose(device, program);
  if (!prepared.program.windows) {
    throw usageError('the program is not for runs in parts', 'compile with { windows: true }');
  }
  return guarded(device, () => streamBands(prepared, planned, sources, sink, options));
}

async function streamBands(
  prepared: Prepared,
  planned: PlannedStream,
  sources: StreamSources,
  sink: RowSink,
  options: StreamOptions,
): Promise<StreamStats> {
  const { bands, plan, deliveries } = planned;
  const { device } = prepared;
  const start = performance.now();
  const arena = new Arena(device);
  const uploader = new Uploader(device, plan.chunkBytes, plan.chunks);
  let narrower: Narrower | undefined;
  let results: Results | undefined;
  try {
    const keyRows = bands.reduce((n, b) => b.windows.reduce((m, w) => Math.max(m, w.hi - w.lo), n), 1);
    const keys = new KeyCache(device, arena, uploader, sources, keyRows, plan.keySlots);
    const output = options.out ?? 'f32';
    narrower =
      planned.computed === output ? undefined : await createNarrower(device, prepared.program, output);
    results = new Results(device, arena, sink, planned, output, rowBytesOf(sources.q), narrower);
    const compute = await computerOf(prepared, planned, sources, options, uploader, keys);
    const { slots } = results;
    const most = (): number =>
      sink.absorb ? bandsAhead(options.deviceBytes ?? DEVICE_BYTES, compute.temporaryBytes()) : slots.length;
    const total = deliveries.reduce((n, d) => n + d.hi - d.lo, 0);
    const under = new Set<Promise<void>>();
    let [rows, number, begun] = [0, 0, 0];
    // Results go out one after the other, whatever is ready first.
    let before: Promise<void> = Promise.resolve();
    let failure: { readonly error: unknown } | undefined;
    const failed = (error: unknown): void => void (failure ??= { error });
    for (const band of bands) {
      const outgoing = deliveriesOf(band).map((d, n) => ({
        ...d,
        wanted: number + n >= (options.done ?? 0),
      }));
      number += outgoing.length;
      if (outgoing.every((d) => !d.wanted)) {
        rows += band.rows * band.heads;
        continue;
      }
      while (under.size >= most() && !failure) await Promise.race(under);
      if (failure) break;
      const slot = slots[begun++ % slots.length];
      const problems = await compute.band(band, slot).catch(failed);
      if (!problems) break;
      const delivered = results.deliver(band, outgoing, slot, problems, before).then(() => {
        rows += band.rows * band.heads;
        options.onBand?.({ rows, total });
      }, failed);
      before = delivered;
      under.add(delivered);
      void delivered.then(() => under.delete(delivered));
    }
    await Promise.all(under);
    if (failure) throw failure.error;
    return {
      ...compute.stats(),
      output,
      bands: bands.length,
      uploadedBytes: uploader.uploaded,
      downloadedBytes: results.downloaded,
      keptBytes: keys.copied,
      deviceBytes: arena.bytes + compute.temporaryBytes(),
      hostBytes: uploader.bytes + results.hostBytes,
      milliseconds: performance.now() - start,
    };
  } finally {
    uploader.release();
    narrower?.release();
    results?.release();
    arena.release();
  }
}

/**
 * Bands that are under way at once where none waits for the host: so many that the device has work while the host is
 * held up, for a tenth of a second, unless what each of them takes besides the kept buffers is much.
 */
function bandsAhead(deviceBytes: number, temporaryBytes: number): number {
  const fitting = Math.floor(deviceBytes / AHEAD.part / Math.max(1, temporaryBytes));
  return Math.max(AHEAD.least, Math.min(AHEAD.most, fitting));
}

const AHEAD = { least: 3, most: 16, part: 16 } as const;

interface Computer {
  /** Brings what the band needs and submits its computation; the promises tell how that went. */
  band(band: Band, slot: BandSlot): Promise<readonly Promise<void>[]>;
  stats(): Omit<EncodeStats, 'temporaryBuffers' | 'temporaryBytes'>;
  /** The most that a step took besides the buffers that are kept. */
  temporaryBytes(): number;
}

async function computerOf(
  prepared: Prepared,
  { bound, bands, computed }: PlannedStream,
  { q }: StreamSources,
  options: StreamOptions,
  uploader: Uploader,
  keys: KeyCache,
): Promise<Computer> {
  const { device } = prepared;
  const types = { input: q.dtype, output: computed };
  const picked = pickForBands(prepared, { bound, bands, computed }, q.dtype, options);
  await compileKernels(prepared, picked.variant.kernels, types);
  let sum: EncodeStats | undefined;

  const submit = (
    part: Bound,
    slot: BandSlot,
    resident: ResidentKeys,
    band: Band,
    step: Step,
  ): Promise<void> => {
    const lines = [1, band.heads, band.rows] as const;
    const bindings = {
      q: { buffer: slot.q, dtype: types.input, shape: [...lines, part.binding.shape.dim] },
      out: { buffer: slot.computed, dtype: types.output, shape: [...lines, part.binding.valueDim] },
      lse: { buffer: slot.lse, shape: lines },
      ...resident,
    } satisfies Record<string, TensorBinding>;
    const { problem } = scoped(device, 'computing a band', () => {
      const encoder = device.createCommandEncoder({ label: 'attnc band' });
      const steps = [{ bound: part, bindings, step }];
      const encoded = encodeSteps(encoder, prepared, steps, picked, options, new Arena(device));
      device.queue.submit([encoder.finish()]);
      encoded.release();
      sum = sum ? added(sum, encoded.stats) : encoded.stats;
    });
    return problem.then((error) => {
      if (error) throw error;
    });
  };

  return {
    temporaryBytes: () => sum?.temporaryBytes ?? 0,
    stats: () => sum ?? nothingDone(prepared, picked, types),
    band: async (band, slot) => {
      if (band.windows.length === 0) return [];
      const keyHead = keyHeadsOf(bound.binding.shape, band).first;
      const queries = Promise.all(
        deliveriesOf(band).map((d, n) =>
          uploader.upload(q, { ...d, buffer: slot.q, offset: n * band.rows * rowBytesOf(q) }),
        ),
      );
      queries.catch(() => undefined);
      const problems: Promise<void>[] = [];
      for (const [n, window] of band.windows.entries()) {
        const resident = await keys.window(band.batch, keyHead, window);
        await queries;
        const step = { first: n === 0, last: n === band.windows.length - 1 };
        const problem = submit(bindPart(bound, band, window), slot, resident, band, step);
        problem.catch(() => undefined);
        problems.push(problem);
        // A band of many windows must not run ahead of the device without end.
        if (n % 2 === 1) await untilLost(device, device.queue.onSubmittedWorkDone());
      }
      return problems;
    },
  };
}

/**
 * One variant for all bands, by the one with the farthest rows: where its numbers fit in 32 bits, all do.
 * @param input type of q, k and v
 */
export function pickForBands(
  prepared: Prepared,
  { bound, bands, computed }: Pick<PlannedStream, 'bound' | 'bands' | 'computed'>,
  input: StorageType,
  options: StreamOptions,
): Picked {
  const last = bands.reduce<Band | undefined>(
    (a, b) => (b.windows.length > 0 && (!a || b.row + b.rows > a.row + a.rows) ? b : a),
    undefined,
  );
  const part = last ? bindPart(bound, last, last.windows[0]) : bound;
  return pickVariant(prepared, part, { input, output: computed }, options);
}

const added = (sum: EncodeStats, more: EncodeStats): EncodeStats => ({
  ...sum,
  kernels: [...new Set([...sum.kernels, ...more.kernels])],
  workgroups: sum.workgroups + more.workgroups,
  splits: Math.max(sum.splits, more.splits),
  steps: sum.steps + more.steps,
  temporaryBytes: Math.max(sum.temporaryBytes, more.temporaryBytes),
  planSteps: sum.planSteps + more.planSteps,
  planMilliseconds: sum.planMilliseconds + more.planMilliseconds,
});

/** Of a run that has no rows, or whose rows are done already. */
const nothingDone = (
  { program }: Prepared,
  { variant, tuned }: Picked,
  types: StorageTypes,
): EncodeStats => ({
  family: variant.family,
  ...types,
  schedule: program.schedules[variant.schedule].name,
  tiling: variant.tiling ?? '',
  tuned,
  kernels: [],
  workgroups: 0,
  splits: 1,
  steps: 0,
  temporaryBuffers: 0,
  temporaryBytes: 0,
  planSteps: 0,
  planMilliseconds: 0,
});
