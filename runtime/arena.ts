import { internalError, limitTooSmall, outOfMemory } from './errors.js';
import { USAGE } from './gpu-flags.js';

/** Bytes that are written by the queue: small beside the memory that it has ready for that. */
const MOST_WRITTEN = 2 ** 16;

/** Buffers that one call makes and must destroy: counted, labelled, released together. */
export class Arena {
  readonly #device: GPUDevice;
  readonly #buffers: GPUBuffer[] = [];
  #bytes = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get buffers(): number {
    return this.#buffers.length;
  }

  create(name: string, bytes: number, usage: number, mappedAtCreation = false): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const most = this.#device.limits.maxBufferSize;
    if (size > most)
      throw limitTooSmall(
        'maxBufferSize',
        size,
        most,
        `it holds ${name}; ask for more when the device is made`,
      );
    const label = `attnc ${name}`;
    let buffer: GPUBuffer;
    try {
      buffer = this.#device.createBuffer({ label, size, usage, mappedAtCreation });
    } catch (cause) {
      // The one exception that createBuffer throws: memory for the mapping could not be had.
      if (cause instanceof RangeError) throw outOfMemory(name, size, cause);
      throw internalError(`the buffer for ${name} could not be made`, cause);
    }
    this.#buffers.push(buffer);
    this.#bytes += size;
    return buffer;
  }

  /**
   * A buffer that holds the words for whatever is submitted from now on. Few are written by the queue: making and freeing
   * the mapped memory that filling a buffer where it is made needs takes drivers a millisecond or more.
   */
  upload(name: string, words: Uint32Array, usage: number = USAGE.storage): GPUBuffer {
    if (words.byteLength > 0 && words.byteLength <= MOST_WRITTEN) {
      const buffer = this.create(name, words.byteLength, usage | USAGE.copyDst);
      this.#device.queue.writeBuffer(buffer, 0, words as Uint32Array<ArrayBuffer>);
      return buffer;
    }
    const buffer = this.create(name, words.byteLength, usage, true);
    new Uint32Array(buffer.getMappedRange()).set(words);
    buffer.unmap();
    return buffer;
  }

  /** Destroys everything made. May be called twice. Work already submitted still completes. */
  release(): void {
    for (const buffer of this.#buffers.splice(0)) buffer.destroy();
  }
}
