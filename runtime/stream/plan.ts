import type { Program, StorageType } from '../../compiler/ir/program.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { bind, type Bound } from '../bind.js';
import type { Settings } from '../bindings.js';
import { limitTooSmall, usageError } from '../errors.js';
import type { ChooseOptions } from '../pick-variant.js';
import { planBands, type Band } from '../parts/bands.js';
import { neededKeys } from '../parts/needed.js';
import { MOST_ROUNDINGS } from './narrower.js';
import { planBudget, type StreamPlan } from './budget.js';
import type { RowSource } from './rows.js';
import { fewestSlots } from './window-slots.js';

/** Planning a streamed run: its bands, their windows of keys, and in which order results go out. */

export interface StreamSources {
  readonly q: RowSource;
  readonly k: RowSource;
  readonly v: RowSource;
}

/** Bytes of buffers on the device, if not given. */
export const DEVICE_BYTES = 2 ** 32;

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

/** A streamed run that is planned: what `runStream` does, as data. */
export interface PlannedStream {
  readonly bound: Bound;
  readonly plan: StreamPlan;
  readonly bands: readonly Band[];
  /** What kernels write: f32 where many windows add up, else the type of the results. */
  readonly computed: StorageType;
  /** What the sink is given, in this order. */
  readonly deliveries: readonly Delivery[];
}

export interface Delivery {
  readonly batch: number;
  readonly head: number;
  readonly lo: number;
  readonly hi: number;
}

export const deliveriesOf = (band: Band): readonly Delivery[] =>
  Array.from({ length: band.heads }, (_, n) => ({
    batch: band.batch,
    head: band.head + n,
    lo: band.row,
    hi: band.row + band.rows,
  }));

/** Tables are bound whole, in one buffer. */
function checkTables({ inputs }: Bound, most: number): void {
  let words = 0;
  for (const input of inputs.host.values()) {
    words +=
      input.kind === 'table'
        ? input.data.length
        : input.rowPtr.length + input.colIdx.length + (input.weight?.length ?? 0);
  }
  for (const input of inputs.device.values()) words += input.words;
  if (4 * words > most) {
    throw limitTooSmall('maxStorageBufferBindingSize', 4 * words, most, 'tables and graphs are bound whole');
  }
}

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
  const budget = {
    deviceBytes: options.deviceBytes ?? DEVICE_BYTES,
    hostBytes: options.hostBytes ?? 2 ** 30,
    bindingBytes: Math.min(most, options.bindingBytes ?? Infinity),
  };
  checkTables(bound, budget.bindingBytes);
  const { shape } = bound.binding;
  const needed = neededKeys(bound);
  const planFor = (computed: StorageType): PlannedStream => {
    const plan = planBudget(bound, { input: q.dtype, computed, output: options.out ?? 'f32' }, budget);
    const bands = planBands(shape, (b) => baseOf(shape, b), needed, plan.limits);
    // Keys that the device makes up may take the place of those in use: the queue keeps the order. Those that come from
    // the host are on their way meanwhile.
    const least = k.fill && v.fill ? 1 : 2;
    const keySlots = fewestSlots(shape, bands, { least, most: plan.keySlots });
    const chunks = q.fill && k.fill && v.fill ? 0 : plan.chunks;
    return {
      ...{ bound, bands, computed, deliveries: bands.flatMap(deliveriesOf) },
      plan: { ...plan, keySlots, chunks },
    };
  };
  const planned = planFor(options.out ?? 'f32');
  const many = planned.computed !== 'f32' && planned.bands.some((b) => b.windows.length > MOST_ROUNDINGS);
  return many ? planFor('f32') : planned;
}
