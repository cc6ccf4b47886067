import { baseOf } from '../../compiler/ir/shape.js';
import type { KeyWindow } from '../../compiler/ir/shape.js';
import { MAP_MODE_READ, USAGE } from '../../runtime/gpu-flags.js';
import type { OpenedDevice } from '../../runtime/node/index.js';
import type { Band } from '../../runtime/parts/bands.js';
import { neededKeys } from '../../runtime/parts/needed.js';
import { choose, type Prepared } from '../../runtime/prepare.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import type { StreamEstimate } from '../../runtime/stream/estimate.js';
import { runStream } from '../../runtime/stream/pipeline.js';
import {
  deliveriesOf,
  type PlannedStream,
  type StreamOptions,
  type StreamSources,
} from '../../runtime/stream/plan.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { Uploader } from '../../runtime/stream/uploader.js';
import type { Session } from '../session.js';
import type { Work } from '../work.js';

/** How long a streamed run should take, from a short part of it and from what the device was seen to move. */

export interface Expectation {
  readonly measured: {
    /** Rows (of all heads of a band) that were computed, from which row on. */
    readonly rows: number;
    readonly row: number;
    /** Keys in the windows of these rows, and those of them that were at hand. */
    readonly keysOfRows: number;
    readonly keys: number;
    readonly milliseconds: number;
    /** Bytes a second. */
    readonly uploadRate: number;
    readonly downloadRate: number;
  };
  /** Seconds: the longest of the three, which overlap. */
  readonly seconds: number;
  readonly computing: number;
  readonly uploading: number;
  readonly downloading: number;
  /** Queries of the sequence, not of each head. */
  readonly tokensPerSecond: number;
}

/** Milliseconds that a part should take to be believed; rows and keys to begin with, and most keys. */
const ENOUGH = 400;
const FIRST = { rows: 256, keys: 2 ** 12 } as const;
const MOST_KEYS = 2 ** 20;
/** Bytes that are moved to see how fast that goes. */
const MOVED = 2 ** 26;

export async function expectTime(
  session: Session,
  work: Work,
  { device }: Pick<OpenedDevice, 'device'>,
  sources: StreamSources,
  planned: PlannedStream,
  estimate: StreamEstimate,
  options: StreamOptions,
): Promise<Expectation | undefined> {
  const bands = planned.bands.filter((b) => b.windows.length > 0);
  if (bands.length === 0) return undefined;
  session.progress.step('measuring', work.program.name);
  const prepared = choose(device, work.program);
  const middle = bands[Math.floor(bands.length / 2)];
  const part = await timePart(prepared, planned, sources, middle, options);
  const uploadRate = await uploadsOf(device, planned);
  const downloadRate = await downloadsOf(device);
  const { queries, shape } = planned.bound.binding;
  const rows = bands.reduce((n, b) => n + b.rows * b.heads, 0);
  const computing = ((part.milliseconds / 1000) * (rows / part.rows) * part.keysOfRows) / part.keys;
  const uploading = estimate.uploadedBytes / uploadRate;
  const downloading = estimate.downloadedBytes / downloadRate;
  const seconds = Math.max(computing, uploading, downloading);
  return {
    measured: { ...part, uploadRate, downloadRate },
    ...{ seconds, computing, uploading, downloading },
    tokensPerSecond: (shape.batch * queries) / Math.max(seconds, 1e-9),
  };
}

/** Ever more rows of a band, on more of their keys, until that takes long enough. */
async function timePart(
  prepared: Prepared,
  planned: PlannedStream,
  sources: StreamSources,
  band: Band,
  options: StreamOptions,
): Promise<Omit<Expectation['measured'], 'uploadRate' | 'downloadRate'>> {
  const { bound, plan } = planned;
  const needed = neededKeys(bound);
  const outShape = [...sources.q.shape.slice(0, 3), sources.v.shape[3]];
  const sink = checksumSink(options.out ?? 'f32', outShape);
  const time = async (part: Band): Promise<number> => {
    const short = { ...planned, bands: [part], deliveries: deliveriesOf(part) };
    return (await runStream(prepared.device, prepared, short, sources, sink, options)).milliseconds;
  };
  try {
    for (let n = 0; ; n++) {
      const rows = Math.min(FIRST.rows * 4 ** n, band.rows);
      const most = Math.min(FIRST.keys * 4 ** n, MOST_KEYS);
      const base = baseOf(bound.binding.shape, band.batch);
      const queries = [base + band.row, base + band.row + rows] as const;
      const heads = [band.head, band.head + band.heads] as const;
      const all = needed(band.batch, heads, queries, plan.limits.gap);
      const windows = cut(all, plan.limits.keyRows, most);
      if (windows.length === 0) windows.push({ lo: 0, hi: 1 });
      const part = { ...band, rows, windows };
      // Kernels are compiled the first time that they run, or no sooner than a driver wants to.
      const milliseconds = Math.min(await time(part), await time(part));
      const [keysOfRows, keys] = [Math.max(1, keysIn(all)), keysIn(windows)];
      const whole = rows === band.rows && (keys >= keysOfRows || most === MOST_KEYS);
      if (milliseconds < ENOUGH && !whole) continue;
      return { rows: rows * band.heads, row: band.row, keysOfRows, keys, milliseconds };
    }
  } finally {
    await sink.close();
  }
}

const keysIn = (windows: readonly KeyWindow[]): number => windows.reduce((n, w) => n + w.hi - w.lo, 0);

/** The first `most` keys of the intervals, in windows of at most `rows`. */
function cut(intervals: readonly KeyWindow[], rows: number, most: number): KeyWindow[] {
  const windows: KeyWindow[] = [];
  let left = most;
  for (const { lo, hi } of intervals) {
    for (let from = lo; from < hi && left > 0;) {
      const to = Math.min(hi, from + rows, from + left);
      windows.push({ lo: from, hi: to });
      left -= to - from;
      from = to;
    }
  }
  return windows;
}

/** Bytes a second through the ring of chunks that streams use, from memory. */
async function uploadsOf(device: GPUDevice, { plan }: PlannedStream): Promise<number> {
  const rows = MOVED / 1024;
  const source: RowSource = {
    dtype: 'f32',
    shape: [1, 1, rows, 256],
    identity: { kind: 'memory', sum: '' },
    read: async (_batch, _head, _lo, _hi, into) => void into.fill(1),
    check: async () => undefined,
    close: async () => undefined,
  };
  const uploader = new Uploader(
    device,
    Math.max(1024, plan.chunkBytes - (plan.chunkBytes % 1024)),
    plan.chunks,
  );
  const size = Math.min(MOVED, device.limits.maxBufferSize);
  const buffer = device.createBuffer({ size, usage: USAGE.storage | USAGE.copyDst });
  const target = { batch: 0, head: 0, lo: 0, hi: size / 1024, buffer, offset: 0 };
  try {
    await uploader.upload(source, { ...target, hi: 1 });
    await device.queue.onSubmittedWorkDone();
    const start = performance.now();
    await uploader.upload(source, target);
    await device.queue.onSubmittedWorkDone();
    return (1000 * size) / (performance.now() - start);
  } finally {
    uploader.release();
    buffer.destroy();
  }
}

async function downloadsOf(device: GPUDevice): Promise<number> {
  const size = Math.min(MOVED, device.limits.maxBufferSize);
  const from = device.createBuffer({ size, usage: USAGE.storage | USAGE.copySrc });
  const to = device.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyDst });
  const once = async (): Promise<number> => {
    const start = performance.now();
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, size);
    device.queue.submit([encoder.finish()]);
    await to.mapAsync(MAP_MODE_READ);
    new Uint8Array(to.getMappedRange()).slice();
    const seconds = (performance.now() - start) / 1000;
    to.unmap();
    return size / seconds;
  };
  try {
    // The first time memory is only now taken.
    await once();
    return await once();
  } finally {
    from.destroy();
    to.destroy();
  }
}
