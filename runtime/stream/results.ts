import type { StorageType } from '../../compiler/ir/program.js';
import { Arena } from '../arena.js';
import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import type { Band } from '../parts/bands.js';
import { untilLost } from '../scopes.js';
import { bytesPerElement } from '../tensor.js';
import { deviceSummer, type DeviceSummer } from './device-sum.js';
import type { Narrower } from './narrower.js';
import type { Delivery, PlannedStream } from './plan.js';
import type { RowSum } from './row-sum.js';
import type { RowSink } from './rows.js';

/** Buffers of a band that is under way. */
export interface BandSlot {
  readonly q: GPUBuffer;
  /** What kernels write. */
  readonly computed: GPUBuffer;
  /** The results; the same buffer where nothing has to be converted. */
  readonly out: GPUBuffer;
  readonly lse: GPUBuffer;
  /** Results on their way to the host; undefined where the sink takes them on the device. */
  readonly readback: GPUBuffer | undefined;
}

/** A delivery, and whether it is still to be made. */
export type Outgoing = Delivery & { readonly wanted: boolean };

/** All of them; a failure counts when it is waited for. */
function allOf(promises: readonly (Promise<unknown> | undefined)[]): Promise<unknown> {
  const all = Promise.all(promises);
  all.catch(() => undefined);
  return all;
}

/** Takes bands' results to a sink. */
export class Results {
  readonly #device: GPUDevice;
  readonly #sink: RowSink;
  readonly #narrower: Narrower | undefined;
  readonly #valueDim: number;
  #summer: DeviceSummer | undefined;
  /** Bytes of a row of out. */
  readonly #rowBytes: number;
  /**
   * For one band after the other, in turn. One is enough where the sink takes results on the device: `deliver` then
   * submits all that reads them before it returns.
   */
  readonly slots: readonly BandSlot[];
  /** Bytes of mapped buffers. */
  readonly hostBytes: number;
  downloaded = 0;

  /** @param queryBytes of a row of q */
  constructor(
    device: GPUDevice,
    arena: Arena,
    sink: RowSink,
    planned: PlannedStream,
    output: StorageType,
    queryBytes: number,
    narrower: Narrower | undefined,
  ) {
    const { bands, plan, bound } = planned;
    this.#device = device;
    this.#sink = sink;
    this.#narrower = narrower;
    this.#valueDim = bound.binding.valueDim;
    this.#rowBytes = bound.binding.valueDim * bytesPerElement[output];
    const rows = bands.reduce((n, b) => Math.max(n, b.rows * b.heads), 1);
    const count = sink.absorb ? 1 : Math.min(plan.bandSlots, bands.length);
    const readback = sink.absorb ? 0 : rows * (this.#rowBytes + 4);
    this.hostBytes = count * readback;
    this.slots = Array.from({ length: count }, () => {
      const out = arena.create('out', rows * this.#rowBytes, USAGE.storage | USAGE.copySrc);
      return {
        q: arena.create('q', rows * queryBytes, USAGE.storage | USAGE.copyDst),
        out,
        computed: narrower ? arena.create('sums', rows * this.#valueDim * 4, USAGE.storage) : out,
        lse: arena.create('lse', rows * 4, USAGE.storage | USAGE.copySrc),
        readback:
          readback > 0 ? arena.create('readback', readback, USAGE.mapRead | USAGE.copyDst) : undefined,
      };
    });
  }

  /** Takes a band's results out, after those of the bands before it. A sink that absorbs is called before this returns. */
  async deliver(
    band: Band,
    deliveries: readonly Outgoing[],
    slot: BandSlot,
    problems: readonly Promise<unknown>[],
    before: Promise<void>,
  ): Promise<void> {
    const device = this.#device;
    const outBytes = this.#rowBytes * band.rows;
    const check = allOf(problems);
    if (band.windows.length === 0) {
      const wanted = deliveries.filter((d) => d.wanted);
      if (this.#sink.absorb) {
        // Now, as sinks are called in the order of the bands.
        const written = allOf(wanted.map((d) => this.#deliverNothing(d)));
        await before;
        await written;
        return;
      }
      await before;
      for (const d of wanted) await this.#deliverNothing(d);
      return;
    }
    this.#narrow(band, slot);
    if (this.#sink.absorb) {
      const absorb = this.#sink.absorb.bind(this.#sink);
      const taken = allOf(
        deliveries.map((d, n) =>
          d.wanted
            ? absorb(
                device,
                ...([d.batch, d.head, d.lo, d.hi] as const),
                { buffer: slot.out, offset: n * outBytes },
                { buffer: slot.lse, offset: n * band.rows * 4 },
              )
            : undefined,
        ),
      );
      await check;
      await taken;
      await before;
      return;
    }
    const sums = deliveries.map((d, n) => this.#sum(d, slot, n * outBytes, n * band.rows * 4));
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
      this.downloaded += outBytes + 4 * band.rows;
      await this.#sink.write(batch, head, lo, hi, out, lse, await sums[n]);
    }
    readback.unmap();
  }

  /** A delivery's sum, made on the device: on the host it would take longer than the rest. */
  #sum(delivery: Outgoing, slot: BandSlot, out: number, lse: number): Promise<RowSum> | undefined {
    const { batch, head, lo, hi, wanted } = delivery;
    if (!wanted) return undefined;
    const place = { batch, head, lo, hi };
    this.#summer ??= deviceSummer(this.#device);
    const found = this.#summer.sum([
      { ...place, tensor: 'out', part: { buffer: slot.out, offset: out }, rowBytes: this.#rowBytes },
      { ...place, tensor: 'lse', part: { buffer: slot.lse, offset: lse }, rowBytes: 4 },
    ]);
    const sum = found.then((f) => f.sum);
    sum.catch(() => undefined);
    return sum;
  }

  release(): void {
    this.#summer?.close();
  }

  #narrow(band: Band, slot: BandSlot): void {
    if (!this.#narrower) return;
    const encoder = this.#device.createCommandEncoder({ label: 'attnc narrow' });
    this.#narrower.record(encoder, slot.computed, slot.out, band.rows * band.heads * this.#valueDim);
    this.#device.queue.submit([encoder.finish()]);
  }

  /** Rows that no sequence has: out = 0, lse = −∞. */
  async #deliverNothing({ batch, head, lo, hi }: Delivery): Promise<void> {
    const rows = hi - lo;
    const lse = new Float32Array(rows).fill(-Infinity);
    await this.#sink.write(batch, head, lo, hi, new Uint8Array(rows * this.#rowBytes), lse);
  }
}
