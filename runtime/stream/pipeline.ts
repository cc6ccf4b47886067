import type { Program, StorageType } from '../../compiler/ir/program.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { Arena } from '../arena.js';
import { bind, type Bound } from '../bind.js';
import type { Settings, TensorBinding } from '../bindings.js';
import { encodeSteps, type EncodeStats } from '../encode.js';
import { usageError } from '../errors.js';
import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import { pickVariant, type ChooseOptions, type Picked } from '../launches.js';
import { planBands, type Band } from '../parts/bands.js';
import { neededKeys } from '../parts/needed.js';
import { bindPart, keyHeadsOf } from '../parts/part.js';
import { choose, compileKernels, type Prepared } from '../prepare.js';
import { guarded, scoped, untilLost } from '../scopes.js';
import { bytesPerElement } from '../tensor.js';
import { planBudget, type StreamPlan } from './budget.js';
import { KeyCache, type ResidentKeys } from './key-cache.js';
import { rowBytesOf, type RowSink, type RowSource } from './rows.js';
import { Uploader } from './uploader.js';

/**
 * Streamed runs: rows flow from sources through the device into a sink, band by band. While one band is computed, the
 * next one is read and uploaded and the one before goes out.
 */

export interface StreamSources {
  readonly q: RowSource;
  readonly k: RowSource;
  readonly v: RowSource;
}

export interface StreamOptions extends ChooseOptions {
  /** Type of the results; f32 if not given. */
  readonly out?: StorageType | undefined;
  /** Most bytes of buffers on the device; 4 GiB if not given. */
  readonly deviceBytes?: number | undefined;
  /** Most bytes for rows that are under way on the host; 1 GiB if not given. */
  readonly hostBytes?: number | undefined;
  /** Deliveries to the sink that an earlier run has made, and this one leaves out. */
  readonly done?: number | undefined;
  /** Called when a band has been delivered. */
  readonly onBand?: ((progress: StreamProgress) => void) | undefined;
}

export interface StreamProgress {
  /** Rows (of a head) delivered, of how many. */
  readonly rows: number;
  readonly total: number;
}

export interface StreamStats extends Omit<EncodeStats, 'temporaryBuffers' | 'temporaryBytes'> {
  readonly bands: number;
  readonly uploadedBytes: number;
  readonly downloadedBytes: number;
  /** Keys and values that stayed on the device for a later window. */
  readonly keptBytes: number;
  /** Buffers on the device and, mapped, on the host: the most at any time. */
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly milliseconds: number;
}

/** A streamed run that is planned: what `runStream` does, as data. */
export interface PlannedStream {
  readonly bound: Bound;
  readonly plan: StreamPlan;
  readonly bands: readonly Band[];
  /** What the sink is given, in this order. */
  readonly deliveries: readonly Delivery[];
}

export interface Delivery {
  readonly batch: number;
  readonly head: number;
  readonly lo: number;
  readonly hi: number;
}

const deliveriesOf = (band: Band): readonly Delivery[] =>
  Array.from({ length: band.heads }, (_, n) => ({
    batch: band.batch,
    head: band.head + n,
    lo: band.row,
    hi: band.row + band.rows,
  }));

export function planStream(
  program: Program,
  sources: StreamSources,
  settings: Settings,
  limits: { readonly maxStorageBufferBindingSize: number; readonly maxBufferSize: number },
  options: StreamOptions = {},
): PlannedStream {
  const { q, k, v } = sources;
  if (q.dtype !== k.dtype || q.dtype !== v.dtype) {
    throw usageError(`q is ${q.dtype}, k ${k.dtype} and v ${v.dtype}`, 'give them one type');
  }
  const bound = bind(program, { q: q.shape, k: k.shape, v: v.shape }, settings);
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const plan = planBudget(
    bound,
    { input: q.dtype, output: options.out ?? 'f32' },
    {
      deviceBytes: options.deviceBytes ?? 2 ** 32,
      hostBytes: options.hostBytes ?? 2 ** 30,
      bindingBytes: Math.min(most, options.bindingBytes ?? Infinity),
    },
  );
  const { shape } = bound.binding;
  const bands = planBands(shape, (b) => baseOf(shape, b), neededKeys(bound), plan.limits);
  return { bound, plan, bands, deliveries: bands.flatMap(deliveriesOf) };
}

/**
 * Runs a planned stream. What the sink was given before a failure stays with it: `done` deliveries of the same plan are
 * left out by a later run. Sources and sink are not closed.
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
  const run = new StreamRun(prepared, planned, sources, sink, options);
  return guarded(device, () => run.run());
}

interface BandSlot {
  readonly q: GPUBuffer;
  readonly out: GPUBuffer;
  readonly lse: GPUBuffer;
  /** Results on their way to the host; undefined where the sink takes them on the device. */
  readonly readback: GPUBuffer | undefined;
}

class StreamRun {
  readonly #prepared: Prepared;
  readonly #planned: PlannedStream;
  readonly #sources: StreamSources;
  readonly #sink: RowSink;
  readonly #options: StreamOptions;
  readonly #output: StorageType;
  readonly #arena: Arena;
  #stats: EncodeStats | undefined;
  #steps = 0;
  #workgroups = 0;
  #planSteps = 0;
  #planMilliseconds = 0;
  #temporary = 0;
  #downloaded = 0;
  #delivered = 0;
  #rows = 0;

  constructor(
    prepared: Prepared,
    planned: PlannedStream,
    sources: StreamSources,
    sink: RowSink,
    options: StreamOptions,
  ) {
    this.#prepared = prepared;
    this.#planned = planned;
    this.#sources = sources;
    this.#sink = sink;
    this.#options = options;
    this.#output = options.out ?? 'f32';
    this.#arena = new Arena(prepared.device);
  }

  async run(): Promise<StreamStats> {
    const { bands, plan, deliveries } = this.#planned;
    const { device } = this.#prepared;
    const start = performance.now();
    const total = deliveries.reduce((n, d) => n + d.hi - d.lo, 0);
    const uploader = new Uploader(device, plan.chunkBytes, plan.chunks);
    try {
      const keyRows = bands.reduce((n, b) => b.windows.reduce((m, w) => Math.max(m, w.hi - w.lo), n), 1);
      const keys = new KeyCache(device, this.#arena, uploader, this.#sources, keyRows, plan.keySlots);
      const free = this.#makeSlots(Math.min(plan.bandSlots, bands.length));
      const picked = await this.#pick(bands);
      const skipped = this.#options.done ?? 0;
      let next = 0;
      // Results go out one after the other, whatever is ready first.
      let outgoing: Promise<void> = Promise.resolve();
      let failure: { readonly error: unknown } | undefined;
      const waiting: Promise<void>[] = [];
      for (const band of bands) {
        const mine = deliveriesOf(band).map((d, n) => ({ ...d, wanted: next + n >= skipped }));
        next += mine.length;
        if (mine.every((d) => !d.wanted)) {
          this.#rows += band.rows * band.heads;
          continue;
        }
        while (free.length === 0 && !failure) await Promise.race(waiting);
        if (failure) break;
        const slot = free.pop() as BandSlot;
        let problems: readonly Promise<unknown>[];
        try {
          problems = await this.#compute(band, slot, keys, uploader, picked);
        } catch (error) {
          failure = { error };
          break;
        }
        const done = this.#deliver(band, mine, slot, problems, outgoing, total).then(
          () => void free.push(slot),
          (error: unknown) => void (failure ??= { error }),
        );
        outgoing = done;
        const settled: Promise<void> = done.then(() => void waiting.splice(waiting.indexOf(settled), 1));
        waiting.push(settled);
      }
      await Promise.all(waiting);
      if (failure) throw failure.error;
      const device64 = this.#arena.bytes + this.#temporary;
      const readbacks = this.#hostBytes();
      return {
        ...this.#summary(picked),
        bands: bands.length,
        uploadedBytes: uploader.uploaded,
        downloadedBytes: this.#downloaded,
        keptBytes: keys.copied,
        deviceBytes: device64,
        hostBytes: uploader.bytes + readbacks,
        milliseconds: performance.now() - start,
      };
    } finally {
      uploader.release();
      this.#arena.release();
    }
  }

  #summary(picked: Picked): Omit<EncodeStats, 'temporaryBuffers' | 'temporaryBytes'> {
    const base = this.#stats ?? {
      family: picked.variant.family,
      input: this.#sources.q.dtype,
      output: this.#output,
      schedule: this.#prepared.program.schedules[picked.variant.schedule].name,
      tiling: picked.variant.tiling ?? '',
      tuned: picked.tuned,
      kernels: [],
      splits: 1,
    };
    const { family, input, output, schedule, tiling, tuned, kernels, splits } = base;
    return {
      ...{ family, input, output, schedule, tiling, tuned, kernels, splits },
      workgroups: this.#workgroups,
      steps: this.#steps,
      planSteps: this.#planSteps,
      planMilliseconds: this.#planMilliseconds,
    };
  }

  /** Rows of all heads of the largest band. */
  #mostRows(): number {
    return this.#planned.bands.reduce((n, b) => Math.max(n, b.rows * b.heads), 1);
  }

  #resultBytes(): number {
    return this.#planned.bound.binding.valueDim * bytesPerElement[this.#output];
  }

  #hostBytes(): number {
    const { bands, plan } = this.#planned;
    if (this.#sink.absorb) return 0;
    return Math.min(plan.bandSlots, bands.length) * this.#mostRows() * (this.#resultBytes() + 4);
  }

  #makeSlots(count: number): BandSlot[] {
    const rows = this.#mostRows();
    const bytes = this.#resultBytes();
    const make = (name: string, size: number, usage: number): GPUBuffer =>
      this.#arena.create(name, size, usage);
    return Array.from({ length: count }, () => ({
      q: make('q', rows * rowBytesOf(this.#sources.q), USAGE.storage | USAGE.copyDst),
      out: make('out', rows * bytes, USAGE.storage | USAGE.copySrc),
      lse: make('lse', rows * 4, USAGE.storage | USAGE.copySrc),
      readback: this.#sink.absorb
        ? undefined
        : make('readback', rows * (bytes + 4), USAGE.mapRead | USAGE.copyDst),
    }));
  }

  /** One variant for all bands, by the first that computes anything. */
  async #pick(bands: readonly Band[]): Promise<Picked> {
    const { bound } = this.#planned;
    const first = bands.find((b) => b.windows.length > 0);
    const part = first ? bindPart(bound, first, first.windows[0]) : bound;
    const types = { input: this.#sources.q.dtype, output: this.#output };
    const picked = pickVariant(this.#prepared, part, types, this.#options);
    await compileKernels(this.#prepared, picked.variant.kernels, types);
    return picked;
  }

  /** Brings what the band needs and submits its computation; the promises tell how that went. */
  async #compute(
    band: Band,
    slot: BandSlot,
    keys: KeyCache,
    uploader: Uploader,
    picked: Picked,
  ): Promise<readonly Promise<unknown>[]> {
    if (band.windows.length === 0) return [];
    const { bound } = this.#planned;
    const { q } = this.#sources;
    const keyHead = keyHeadsOf(bound.binding.shape, band).first;
    const queries = Promise.all(
      deliveriesOf(band).map((d, n) =>
        uploader.upload(q, { ...d, buffer: slot.q, offset: n * band.rows * rowBytesOf(q) }),
      ),
    );
    queries.catch(() => undefined);
    const problems: Promise<unknown>[] = [];
    for (const [n, window] of band.windows.entries()) {
      const resident = await keys.window(band.batch, keyHead, window);
      await queries;
      const step = { first: n === 0, last: n === band.windows.length - 1 };
      problems.push(this.#submit(band, slot, resident, bindPart(bound, band, window), step, picked));
      // A band of many windows must not run ahead of the device without end.
      if (n % 2 === 1)
        await untilLost(this.#prepared.device, this.#prepared.device.queue.onSubmittedWorkDone());
    }
    return problems;
  }

  #submit(
    band: Band,
    slot: BandSlot,
    keys: ResidentKeys,
    bound: Bound,
    step: { readonly first: boolean; readonly last: boolean },
    picked: Picked,
  ): Promise<unknown> {
    const { device } = this.#prepared;
    const { dim } = bound.binding.shape;
    const lines = [1, band.heads, band.rows] as const;
    const bindings = {
      q: { buffer: slot.q, dtype: this.#sources.q.dtype, shape: [...lines, dim] },
      out: { buffer: slot.out, dtype: this.#output, shape: [...lines, bound.binding.valueDim] },
      lse: { buffer: slot.lse, shape: lines },
      ...keys,
    } satisfies Record<string, TensorBinding>;
    const { problem } = scoped(device, 'computing a band', () => {
      const encoder = device.createCommandEncoder({ label: 'attnc band' });
      const arena = new Arena(device);
      const encoded = encodeSteps(
        encoder,
        this.#prepared,
        [{ bound, bindings, step }],
        picked,
        this.#options,
        arena,
      );
      device.queue.submit([encoder.finish()]);
      encoded.release();
      this.#count(encoded.stats);
    });
    return problem.then((error) => {
      if (error) throw error;
    });
  }

  #count(stats: EncodeStats): void {
    this.#stats ??= stats;
    this.#steps += 1;
    this.#workgroups += stats.workgroups;
    this.#planSteps += stats.planSteps;
    this.#planMilliseconds += stats.planMilliseconds;
    this.#temporary = Math.max(this.#temporary, stats.temporaryBytes);
  }

  /** Takes a band's results out, after those of the bands before it. */
  async #deliver(
    band: Band,
    deliveries: readonly (Delivery & { readonly wanted: boolean })[],
    slot: BandSlot,
    problems: readonly Promise<unknown>[],
    before: Promise<void>,
    total: number,
  ): Promise<void> {
    const { device } = this.#prepared;
    const outBytes = this.#resultBytes() * band.rows;
    const check = Promise.all(problems);
    check.catch(() => undefined);
    const report = (): void => {
      this.#delivered += deliveries.length;
      this.#rows += band.rows * band.heads;
      this.#options.onBand?.({ rows: this.#rows, total });
    };
    if (band.windows.length === 0) {
      await before;
      for (const d of deliveries) if (d.wanted) await this.#deliverNothing(d);
      report();
      return;
    }
    if (this.#sink.absorb) {
      const absorb = this.#sink.absorb.bind(this.#sink);
      const taken = deliveries.map((d, n) =>
        d.wanted
          ? absorb(
              device,
              ...([d.batch, d.head, d.lo, d.hi] as const),
              { buffer: slot.out, offset: n * outBytes },
              { buffer: slot.lse, offset: n * band.rows * 4 },
            )
          : undefined,
      );
      await check;
      await Promise.all(taken);
      await before;
      report();
      return;
    }
    const readback = slot.readback as GPUBuffer;
    const all = outBytes * band.heads;
    const encoder = device.createCommandEncoder({ label: 'attnc results' });
    encoder.copyBufferToBuffer(slot.out, 0, readback, 0, all);
    encoder.copyBufferToBuffer(slot.lse, 0, readback, all, 4 * band.rows * band.heads);
    device.queue.submit([encoder.finish()]);
    const mapped = readback.mapAsync(MAP_MODE_READ);
    mapped.catch(() => undefined);
    await check;
    await untilLost(device, mapped);
    await before;
    const bytes = readback.getMappedRange();
    for (const [n, { batch, head, lo, hi, wanted }] of deliveries.entries()) {
      if (!wanted) continue;
      const out = new Uint8Array(bytes, n * outBytes, outBytes);
      const lse = new Float32Array(bytes, all + n * band.rows * 4, band.rows);
      this.#downloaded += outBytes + 4 * band.rows;
      await this.#sink.write(batch, head, lo, hi, out, lse);
    }
    readback.unmap();
    report();
  }

  /** Rows that no sequence has: out = 0, lse = −∞. */
  async #deliverNothing({ batch, head, lo, hi }: Delivery): Promise<void> {
    const rows = hi - lo;
    const lse = new Float32Array(rows).fill(-Infinity);
    await this.#sink.write(batch, head, lo, hi, new Uint8Array(rows * this.#resultBytes()), lse);
  }
}
