import { Arena } from '../arena.js';
import { internalError } from '../errors.js';
import { MAP_MODE_WRITE, USAGE } from '../gpu-flags.js';
import { untilLost } from '../scopes.js';
import type { RowSource } from './rows.js';
import { rowBytesOf } from './rows.js';

/** Where rows are put: rows lo … hi − 1 of a head, from byte `offset` of a buffer on. */
export interface UploadTarget {
  readonly batch: number;
  readonly head: number;
  readonly lo: number;
  readonly hi: number;
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/**
 * Brings rows onto the device through a ring of mapped chunks, so that reading the next ones, copying and computing go
 * on side by side, in memory that does not grow.
 */
export class Uploader {
  readonly #device: GPUDevice;
  readonly #arena: Arena;
  readonly #free: GPUBuffer[] = [];
  readonly #waiting: ((chunk: GPUBuffer) => void)[] = [];
  readonly #chunkBytes: number;
  readonly #chunks: number;
  #failure: unknown;
  /** Bytes that were read and uploaded; those that the device made itself don't count. */
  uploaded = 0;

  constructor(device: GPUDevice, chunkBytes: number, chunks: number) {
    this.#device = device;
    this.#arena = new Arena(device);
    this.#chunkBytes = chunkBytes;
    this.#chunks = chunks;
    for (let n = 0; n < chunks; n++) {
      this.#free.push(this.#arena.create('upload', chunkBytes, USAGE.mapWrite | USAGE.copySrc, true));
    }
  }

  get bytes(): number {
    return this.#arena.bytes;
  }

  /** When it resolves, what brings the rows has been submitted: what is submitted later finds them. */
  async upload(source: RowSource, target: UploadTarget): Promise<void> {
    const { batch, head, lo, hi, buffer, offset } = target;
    if (lo >= hi) return;
    if (source.fill) return source.fill(this.#device, buffer, offset, batch, head, lo, hi);
    const rowBytes = rowBytesOf(source);
    const rows = Math.floor(this.#chunkBytes / rowBytes);
    const jobs: Promise<void>[] = [];
    for (let row = lo; row < hi && this.#failure === undefined; row += rows) {
      const chunk = await this.#take();
      const end = Math.min(hi, row + rows);
      const job = this.#send(chunk, source, {
        ...target,
        lo: row,
        hi: end,
        offset: offset + (row - lo) * rowBytes,
      });
      // Its failure is told below; until then it must not count as unhandled.
      job.catch((error: unknown) => (this.#failure ??= error));
      jobs.push(job);
    }
    await Promise.all(jobs);
  }

  async #send(chunk: GPUBuffer, source: RowSource, target: UploadTarget): Promise<void> {
    const { batch, head, lo, hi, buffer, offset } = target;
    const bytes = (hi - lo) * rowBytesOf(source);
    await source.read(batch, head, lo, hi, new Uint8Array(chunk.getMappedRange(), 0, bytes));
    chunk.unmap();
    const encoder = this.#device.createCommandEncoder({ label: 'attnc upload' });
    encoder.copyBufferToBuffer(chunk, 0, buffer, offset, bytes);
    this.#device.queue.submit([encoder.finish()]);
    this.uploaded += bytes;
    // The chunk comes back when the copy has been made.
    void untilLost(this.#device, chunk.mapAsync(MAP_MODE_WRITE)).then(
      () => this.#give(chunk),
      () => undefined,
    );
  }

  #take(): Promise<GPUBuffer> {
    if (this.#chunks === 0) throw internalError('rows from the host in a run that was planned without them');
    const chunk = this.#free.pop();
    if (chunk) return Promise.resolve(chunk);
    return untilLost(this.#device, new Promise((resolve) => this.#waiting.push(resolve)));
  }

  #give(chunk: GPUBuffer): void {
    const next = this.#waiting.shift();
    if (next) next(chunk);
    else this.#free.push(chunk);
  }

  release(): void {
    this.#arena.release();
  }
}
