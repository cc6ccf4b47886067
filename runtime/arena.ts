import { internalError, limitTooSmall, outOfMemory } from './errors.js';
import { USAGE } from './gpu-flags.js';

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

  /** A buffer filled before anything is queued, so that no write has to be ordered with the app's own. */
  upload(name: string, words: Uint32Array, usage: number = USAGE.storage): GPUBuffer {
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
