import type { StorageType } from '../compiler/ir/program.js';
import type { HostTensors } from './bindings.js';
import { limitTooSmall } from './errors.js';
import type { ChooseOptions } from './pick-variant.js';
import type { Prepared } from './prepare.js';
import { bytesOf, type Tensor, type TensorOf } from './tensor.js';
import { runStream, type StreamStats } from './stream/pipeline.js';
import { planStream } from './stream/plan.js';
import { tensorRows } from './stream/tensor-rows.js';
import { tensorSink } from './stream/tensor-sink.js';

/** `run` on tensors that cannot be bound at once: they are streamed through the device. */

/** What `run` works on: host tensors of one type, and where results go. */
export interface LongRun {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly out: Tensor;
  readonly lse: TensorOf<'f32'>;
}

/** A tensor, its bytes, and the limit that they are past. */
interface Excess {
  readonly name: string;
  readonly bytes: number;
  readonly limit: 'maxStorageBufferBindingSize' | 'maxBufferSize';
  readonly most: number;
}

/** The largest of the tensors, if the device cannot bind it whole. */
export function tooLong(
  { limits }: GPUDevice,
  tensors: LongRun,
  { bindingBytes = Infinity }: ChooseOptions,
): Excess | undefined {
  const sizes = Object.entries(tensors).map(([name, t]: [string, Tensor]) => ({
    name,
    bytes: bytesOf(t).length,
  }));
  const largest = sizes.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  const bindable = Math.min(limits.maxStorageBufferBindingSize, bindingBytes);
  if (largest.bytes > bindable) return { ...largest, limit: 'maxStorageBufferBindingSize', most: bindable };
  const most = limits.maxBufferSize;
  return largest.bytes > most ? { ...largest, limit: 'maxBufferSize', most } : undefined;
}

export async function runLong(
  prepared: Prepared,
  tensors: LongRun,
  settings: HostTensors,
  options: ChooseOptions,
): Promise<StreamStats> {
  const { device, program } = prepared;
  const long = tooLong(device, tensors, options);
  if (long && !program.windows) {
    const help = `'${long.name}' is bound as one; compile with { windows: true } to run in parts, or ask for more when the device is made`;
    throw limitTooSmall(long.limit, long.bytes, long.most, help);
  }
  const sources = {
    q: tensorRows(tensors.q, 'q'),
    k: tensorRows(tensors.k, 'k'),
    v: tensorRows(tensors.v, 'v'),
  };
  const stream = { ...options, out: tensors.out.dtype as StorageType };
  const planned = planStream(program, sources, settings, device.limits, stream);
  return runStream(device, prepared, planned, sources, tensorSink(tensors.out, tensors.lse), stream);
}
