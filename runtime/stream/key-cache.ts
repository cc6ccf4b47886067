import type { StorageType } from '../../compiler/ir/program.js';
import type { KeyWindow } from '../../compiler/ir/shape.js';
import type { Arena } from '../arena.js';
import type { TensorBinding } from '../bindings.js';
import { USAGE } from '../gpu-flags.js';
import { rowBytesOf, type RowSource } from './rows.js';
import type { Uploader } from './uploader.js';
import { emptySlot, placeWindow, type WindowPlace, type WindowSlot } from './window-slots.js';

/** Keys and values of a window on the device. */
export interface ResidentKeys {
  readonly k: TensorBinding;
  readonly v: TensorBinding;
}

interface Slot extends WindowSlot {
  readonly k: GPUBuffer;
  readonly v: GPUBuffer;
}

/**
 * Windows of keys and values that stay on the device until the room is needed: a window that was there before is not
 * uploaded again, and rows that another one holds are copied on the device.
 *
 * Buffers are written while earlier bands still compute on them: the queue keeps the order.
 */
export class KeyCache {
  readonly #device: GPUDevice;
  readonly #slots: Slot[] = [];
  readonly #sources: { readonly k: RowSource; readonly v: RowSource };
  readonly #uploader: Uploader;
  #clock = 0;
  /** Bytes copied from one window to another. */
  copied = 0;

  constructor(
    device: GPUDevice,
    arena: Arena,
    uploader: Uploader,
    sources: { readonly k: RowSource; readonly v: RowSource },
    rows: number,
    slots: number,
  ) {
    this.#device = device;
    this.#sources = sources;
    this.#uploader = uploader;
    const usage = USAGE.storage | USAGE.copyDst | USAGE.copySrc;
    for (let n = 0; n < slots; n++) {
      this.#slots.push({
        k: arena.create('k', rows * rowBytesOf(sources.k), usage),
        v: arena.create('v', rows * rowBytesOf(sources.v), usage),
        ...emptySlot(),
      });
    }
  }

  /** When it resolves, what brings the keys has been submitted. */
  async window(batch: number, head: number, window: KeyWindow): Promise<ResidentKeys> {
    const { slot, load } = placeWindow(this.#slots, batch, head, window);
    if (load) await this.#load(slot, load, batch, head, window);
    slot.used = ++this.#clock;
    const view = (buffer: GPUBuffer, { dtype, shape }: RowSource): TensorBinding => ({
      buffer,
      dtype: dtype as StorageType,
      shape: [1, 1, slot.hi - slot.lo, shape[3]],
      row: slot.lo,
    });
    return { k: view(slot.k, this.#sources.k), v: view(slot.v, this.#sources.v) };
  }

  async #load(
    slot: Slot,
    { from, kept, missing }: NonNullable<WindowPlace<Slot>['load']>,
    batch: number,
    head: number,
    { lo, hi }: KeyWindow,
  ): Promise<void> {
    // Nothing is in it until it is whole.
    slot.batch = -1;
    if (from && kept.lo < kept.hi) this.#copy(from, slot, lo, kept);
    await Promise.all(
      missing.flatMap((p) =>
        (['k', 'v'] as const).map((name) => {
          const source = this.#sources[name];
          const offset = (p.lo - lo) * rowBytesOf(source);
          return this.#uploader.upload(source, { batch, head, ...p, buffer: slot[name], offset });
        }),
      ),
    );
    Object.assign(slot, { batch, head, lo, hi });
  }

  #copy(from: Slot, to: Slot, lo: number, kept: KeyWindow): void {
    const encoder = this.#device.createCommandEncoder({ label: 'attnc keep keys' });
    for (const name of ['k', 'v'] as const) {
      const row = rowBytesOf(this.#sources[name]);
      const bytes = (kept.hi - kept.lo) * row;
      encoder.copyBufferToBuffer(
        from[name],
        (kept.lo - from.lo) * row,
        to[name],
        (kept.lo - lo) * row,
        bytes,
      );
      this.copied += bytes;
    }
    this.#device.queue.submit([encoder.finish()]);
  }
}
