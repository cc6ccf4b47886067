import { createWriteStream, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { MAP_MODE_READ, USAGE } from '../../runtime/gpu-flags.js';
import { Arena } from '../../runtime/arena.js';
import { npyHead } from '../../runtime/files/npy.js';
import { compare, rowReference } from '../../runtime/reference/index.js';
import { fileRows } from '../../runtime/stream/node/file-rows.js';
import { fileSink } from '../../runtime/stream/node/file-sink.js';
import { runStream, type StreamStats } from '../../runtime/stream/pipeline.js';
import { planStream } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { keptResults } from '../../runtime/stream/summary.js';
import { Uploader } from '../../runtime/stream/uploader.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import { spread } from './resident.js';
import { compileSubject, DIM, DTYPE, SEED, type Subject } from './subjects.js';

/** A run from files into a file, beside what disk and bus can do in the same minute. */

/** Bytes a second. */
export interface Rates {
  readonly read: number;
  readonly write: number;
  readonly up: number;
  readonly down: number;
}

export interface FilesResult {
  readonly tokens: number;
  readonly seconds: number;
  readonly rates: Rates;
  /** Seconds that the slower of disk and bus takes for what has to pass them. */
  readonly bound: number;
  /** Most memory that the process held while it ran, and before. */
  readonly peakBytes: number;
  readonly beforeBytes: number;
  readonly hostBytes: number;
  readonly rows: number;
  readonly error: number;
  readonly pass: boolean;
  readonly stats: StreamStats;
}

export interface FilesOptions {
  readonly folder: string;
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly bindingBytes: number | undefined;
  readonly rows: number;
  readonly say: (line: string) => void;
}

const CHUNK = 2 ** 25;

export async function runFiles(
  device: GPUDevice,
  subject: Subject,
  tokens: number,
  options: FilesOptions,
): Promise<FilesResult> {
  const { folder, say } = options;
  const program = compileSubject(subject);
  const shape = [1, 1, tokens, DIM];
  const bytes = tokens * DIM * bytesPerElement[DTYPE];
  const paths = { q: join(folder, 'q.npy'), k: join(folder, 'k.npy'), v: join(folder, 'v.npy') };
  const result = join(folder, 'out.npy');
  const files = [...Object.values(paths), result, `${result}.part`];
  try {
    say('writing q, k and v');
    const begun = performance.now();
    for (const name of ['q', 'k', 'v'] as const) await writeTensor(device, name, shape, paths[name]);
    const write = (3 * bytes) / ((performance.now() - begun) / 1000);
    say('rates of disk and bus');
    const read = await readRate(paths.q);
    const { up, down } = await busRates(device, bytes);
    const rates = { read, write, up, down };

    const sources = { q: await fileRows(paths.q), k: await fileRows(paths.k), v: await fileRows(paths.v) };
    const places = spread(tokens, options.rows);
    const sink = await fileSink(result, DTYPE, shape, { keep: places });
    const { deviceBytes, hostBytes, bindingBytes } = options;
    const stream = { out: DTYPE, deviceBytes, hostBytes, bindingBytes } as const;
    try {
      say('streaming');
      const planned = planStream(program, sources, {}, device.limits, stream);
      const beforeBytes = process.memoryUsage().rss;
      let peakBytes = beforeBytes;
      const watch = setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage().rss)), 20);
      const start = performance.now();
      const stats = await runStream(device, program, planned, sources, sink, stream);
      const { kept } = await sink.finish();
      const seconds = (performance.now() - start) / 1000;
      clearInterval(watch);
      const random = (name: 'q' | 'k' | 'v') => randomRows(name, DTYPE, shape, SEED);
      const truth = { q: random('q'), k: random('k'), v: random('v') };
      const expected = await rowReference(program.pattern, truth, places);
      const report = compare(keptResults(kept, DTYPE), expected, { input: DTYPE, output: DTYPE });
      const { uploadedBytes, downloadedBytes } = stats;
      // Disk and bus work side by side; what the disk reads and writes passes it one after the other.
      const disk = uploadedBytes / read + statSync(result).size / write;
      const bus = Math.max(uploadedBytes / up, downloadedBytes / down);
      return {
        ...{ tokens, seconds, rates, bound: Math.max(disk, bus), peakBytes, beforeBytes, hostBytes },
        ...{ rows: kept.length, error: report.whole.error, pass: report.pass, stats },
      };
    } finally {
      await sink.close();
      for (const source of Object.values(sources)) await source.close();
    }
  } finally {
    for (const file of files) rmSync(file, { force: true });
  }
}

/** Rows of the generator into a .npy file; the device makes them. */
async function writeTensor(
  device: GPUDevice,
  name: string,
  shape: readonly number[],
  path: string,
): Promise<void> {
  const source = randomRows(name, DTYPE, shape, SEED);
  const rowBytes = DIM * bytesPerElement[DTYPE];
  const rows = CHUNK / rowBytes;
  const arena = new Arena(device);
  const file = createWriteStream(path);
  try {
    file.write(npyHead(DTYPE, shape));
    const made = arena.create('made', CHUNK, USAGE.storage | USAGE.copySrc);
    const back = arena.create('back', CHUNK, USAGE.mapRead | USAGE.copyDst);
    for (let lo = 0; lo < shape[2]; lo += rows) {
      const hi = Math.min(shape[2], lo + rows);
      await source.fill?.(device, made, 0, 0, 0, lo, hi);
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(made, 0, back, 0, (hi - lo) * rowBytes);
      device.queue.submit([encoder.finish()]);
      await back.mapAsync(MAP_MODE_READ);
      const piece = new Uint8Array(back.getMappedRange(), 0, (hi - lo) * rowBytes).slice();
      back.unmap();
      if (!file.write(piece)) await once(file, 'drain');
    }
    file.end();
    await finished(file);
    const handle = await open(path, 'r+');
    await handle.datasync();
    await handle.close();
  } finally {
    arena.release();
  }
}

/** Of a file read in order, in chunks, two at a time. */
async function readRate(path: string): Promise<number> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const buffers = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
    const start = performance.now();
    let next = 0;
    const worker = async (into: Uint8Array): Promise<void> => {
      while (next < size) {
        const at = next;
        next += CHUNK;
        await file.read(into, 0, Math.min(CHUNK, size - at), at);
      }
    };
    await Promise.all(buffers.map(worker));
    return size / ((performance.now() - start) / 1000);
  } finally {
    await file.close();
  }
}

/** Of uploads and downloads alone, through the same mapped buffers that a stream uses. */
async function busRates(device: GPUDevice, bytes: number): Promise<Pick<Rates, 'up' | 'down'>> {
  const arena = new Arena(device);
  const chunk = Math.min(CHUNK, Math.floor(bytes / 128) * 128);
  const uploader = new Uploader(device, chunk, 4);
  try {
    const buffer = arena.create('bus', chunk, USAGE.storage | USAGE.copyDst | USAGE.copySrc);
    const rows = Math.max(1, Math.floor(Math.min(bytes, 2 ** 31) / chunk));
    const source = {
      ...randomRows('q', DTYPE, [1, 1, chunk / 128, DIM], SEED),
      fill: undefined,
      read: async (): Promise<void> => undefined,
    };
    const target = { batch: 0, head: 0, lo: 0, hi: chunk / 128, buffer, offset: 0 };
    const timed = async (count: number): Promise<number> => {
      const start = performance.now();
      for (let n = 0; n < count; n++) await uploader.upload(source, target);
      await device.queue.onSubmittedWorkDone();
      return (count * chunk) / ((performance.now() - start) / 1000);
    };
    await timed(Math.min(4, rows));
    const up = await timed(rows);
    const backs = [0, 1, 2].map(() => arena.create('back', chunk, USAGE.mapRead | USAGE.copyDst));
    const start = performance.now();
    let left = rows;
    await Promise.all(
      backs.map(async (back) => {
        while (left-- > 0) {
          const encoder = device.createCommandEncoder();
          encoder.copyBufferToBuffer(buffer, 0, back, 0, chunk);
          device.queue.submit([encoder.finish()]);
          await back.mapAsync(MAP_MODE_READ);
          back.unmap();
        }
      }),
    );
    const down = (rows * chunk) / ((performance.now() - start) / 1000);
    return { up, down };
  } finally {
    uploader.release();
    arena.release();
  }
}
