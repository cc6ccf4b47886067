import { rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MAP_MODE_READ, USAGE } from '../../runtime/gpu-flags.js';
import { Arena } from '../../runtime/arena.js';
import { npyHead } from '../../runtime/files/npy.js';
import { readAt, writeAt } from '../../runtime/stream/node/pieces.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { Uploader } from '../../runtime/stream/uploader.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import { DIM, DTYPE, SEED } from './subjects.js';

/** Files of q, k and v, and what the disk that they lie on and the bus do when they do nothing else. */

export interface Inputs {
  readonly folder: string;
  readonly tokens: number;
  readonly paths: Readonly<Record<'q' | 'k' | 'v', string>>;
  readonly disk: DiskRate;
  readonly bus: BusRates;
}

export interface DiskRate {
  /** All of q, k and v read while a file as large as out is written, until that is safe. */
  readonly bytes: number;
  readonly seconds: number;
  /** Nothing of the files lay in the machine's memory, here and when they were streamed. */
  readonly cold: boolean;
}

/** Bytes a second. */
export interface BusRates {
  readonly up: number;
  readonly down: number;
}

/** What a stream reads and uploads at a time, and how many of them. */
const CHUNK = 2 ** 25;
const CHUNKS = 4;
const ROW = DIM * bytesPerElement[DTYPE];

export const shapeOf = (tokens: number): readonly number[] => [1, 1, tokens, DIM];

/** @param cold leave nothing of the files in memory */
export async function makeInputs(
  device: GPUDevice,
  folder: string,
  tokens: number,
  cold: boolean,
  say: (line: string) => void,
): Promise<Inputs> {
  const paths = { q: join(folder, 'q.npy'), k: join(folder, 'k.npy'), v: join(folder, 'v.npy') };
  try {
    say('writing q, k and v');
    for (const name of ['q', 'k', 'v'] as const) await writeTensor(device, name, tokens, paths[name]);
    say('what bus and disk do alone');
    const bus = await busRates(device, tokens * ROW);
    const rate = () => diskRate(Object.values(paths), tokens, join(folder, 'probe'), cold);
    // The better of two: the first may wait for what was written before, or for memory.
    const disk = [await rate(), await rate()].reduce((a, b) => (b.seconds < a.seconds ? b : a));
    say(`disk ${(disk.bytes / disk.seconds / 1e9).toFixed(2)} GB/s${disk.cold ? '' : ', cached'}`);
    return { folder, tokens, paths, disk, bus };
  } catch (error) {
    removeInputs({ paths });
    throw error;
  }
}

export function removeInputs({ paths }: Pick<Inputs, 'paths'>): void {
  for (const path of Object.values(paths)) rmSync(path, { force: true });
}

/** Takes what was read and written before out of the machine's memory: as root, on Linux. False where it can't. */
export function forgetFiles(): boolean {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '1');
    return true;
  } catch {
    return false;
  }
}

/** Rows of the generator into a .npy file; the device makes them. */
async function writeTensor(device: GPUDevice, name: string, tokens: number, path: string): Promise<void> {
  const shape = shapeOf(tokens);
  const source = randomRows(name, DTYPE, shape, SEED);
  const rows = CHUNK / ROW;
  const arena = new Arena(device);
  const file = await open(path, 'w');
  try {
    const head = npyHead(DTYPE, shape);
    await writeAt(file, head, 0);
    const made = arena.create('made', CHUNK, USAGE.storage | USAGE.copySrc);
    const back = arena.create('back', CHUNK, USAGE.mapRead | USAGE.copyDst);
    for (let lo = 0; lo < tokens; lo += rows) {
      const bytes = (Math.min(tokens, lo + rows) - lo) * ROW;
      await source.fill?.(device, made, 0, 0, 0, lo, lo + bytes / ROW);
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(made, 0, back, 0, bytes);
      device.queue.submit([encoder.finish()]);
      await back.mapAsync(MAP_MODE_READ);
      await writeAt(file, new Uint8Array(back.getMappedRange(), 0, bytes), head.length + lo * ROW);
      back.unmap();
    }
    await file.datasync();
  } finally {
    await file.close();
    arena.release();
    await source.close();
  }
}

/** The same bytes as a stream moves, by the same calls, with nothing between them. */
async function diskRate(
  paths: readonly string[],
  tokens: number,
  probe: string,
  wanted: boolean,
): Promise<DiskRate> {
  const size = tokens * ROW;
  const chunks = Array.from({ length: CHUNKS }, () => new Uint8Array(Math.min(CHUNK, size)));
  const cold = wanted && forgetFiles();
  const files = await Promise.all(paths.map((path) => open(path, 'r')));
  const out = await open(probe, 'w');
  try {
    const pieces = files.flatMap((file) =>
      Array.from({ length: Math.ceil(size / CHUNK) }, (_, n) => ({ file, at: n * CHUNK })),
    );
    const zeros = new Uint8Array(Math.min(CHUNK, size));
    await out.truncate(size);
    const start = performance.now();
    const reader = async (into: Uint8Array): Promise<void> => {
      for (let next = pieces.shift(); next; next = pieces.shift()) {
        const length = Math.min(CHUNK, size - next.at);
        if (!(await readAt(next.file, into.subarray(0, length), next.at))) throw new Error('a file is short');
      }
    };
    const writer = async (): Promise<void> => {
      for (let at = 0; at < size; at += CHUNK) {
        await writeAt(out, zeros.subarray(0, Math.min(CHUNK, size - at)), at);
      }
      await out.datasync();
    };
    await Promise.all([...chunks.map(reader), writer()]);
    return { bytes: (paths.length + 1) * size, seconds: (performance.now() - start) / 1000, cold };
  } finally {
    for (const file of [...files, out]) await file.close();
    rmSync(probe, { force: true });
  }
}

/** Of uploads and downloads alone, through the same mapped buffers that a stream uses. */
async function busRates(device: GPUDevice, bytes: number): Promise<BusRates> {
  const arena = new Arena(device);
  const chunk = Math.min(CHUNK, Math.floor(bytes / ROW) * ROW);
  const uploader = new Uploader(device, chunk, CHUNKS);
  const rows = chunk / ROW;
  try {
    const buffer = arena.create('bus', chunk, USAGE.storage | USAGE.copyDst | USAGE.copySrc);
    const count = Math.max(1, Math.floor(Math.min(bytes, 2 ** 32) / chunk));
    const source = {
      ...randomRows('q', DTYPE, [1, 1, rows * count, DIM], SEED),
      fill: undefined,
      read: async (): Promise<void> => undefined,
    };
    const rate = async (times: number, move: () => Promise<void>): Promise<number> => {
      const start = performance.now();
      await move();
      await device.queue.onSubmittedWorkDone();
      return (times * chunk) / ((performance.now() - start) / 1000);
    };
    // All under way at once, as many as there are chunks: as a stream has them.
    const upload = (times: number) => async (): Promise<void> => {
      const target = { batch: 0, head: 0, buffer, offset: 0 };
      const each = (n: number) => uploader.upload(source, { ...target, lo: n * rows, hi: (n + 1) * rows });
      await Promise.all(Array.from({ length: times }, (_, n) => each(n)));
    };
    await rate(Math.min(CHUNKS, count), upload(Math.min(CHUNKS, count)));
    const up = await rate(count, upload(count));
    const backs = [0, 1, 2].map(() => arena.create('back', chunk, USAGE.mapRead | USAGE.copyDst));
    const download = (times: number) => async (): Promise<void> => {
      let left = times;
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
    };
    await rate(backs.length, download(backs.length));
    const down = await rate(count, download(count));
    return { up, down };
  } finally {
    uploader.release();
    arena.release();
  }
}
