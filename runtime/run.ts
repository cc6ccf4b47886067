import type { Program } from '../compiler/ir/program.js';
import { Arena } from './arena.js';
import { bind, type Bound } from './bind.js';
import type { Bindings, HostTensors, TensorBinding } from './bindings.js';
import { encodeBound, timed, type EncodeStats, type Timed } from './encode.js';
import { wrongType } from './errors.js';
import { MAP_MODE_READ, USAGE } from './gpu-flags.js';
import { chooseVariant, planLaunches, type Choice, type ChooseOptions } from './launches.js';
import { choose, compileKernels, type Prepared } from './prepare.js';
import { guarded, scoped, untilLost } from './scopes.js';
import { tensor, toFloat32, zeros, type Tensor, type TensorOf } from './tensor.js';

export interface RunResult {
  /** [batch, heads, queries, valueDim]. Rows past a batch's length are 0. */
  readonly out: TensorOf<'f32'>;
  /** [batch, heads, queries]; −∞ where a query has no edge. */
  readonly lse: TensorOf<'f32'>;
  readonly stats: RunStats;
}

export interface RunStats extends EncodeStats {
  readonly uploadedBytes: number;
  /** From submission to the end of the readback. */
  readonly deviceMilliseconds: number;
}

/**
 * Uploads, runs and reads back. f16 and bf16 tensors are widened to float32. Every buffer made is destroyed, also
 * after a failure; failures are typed, the loss of the device and lack of memory among them.
 */
export async function run(
  device: GPUDevice,
  program: Program | Prepared,
  tensors: HostTensors,
  options: ChooseOptions = {},
): Promise<RunResult> {
  const prepared = 'pipelines' in program ? program : choose(device, program);
  for (const name of ['q', 'k', 'v'] as const) {
    const { dtype } = tensors[name];
    if (dtype !== 'f32' && dtype !== 'f16' && dtype !== 'bf16')
      throw wrongType(name, ['f32', 'f16', 'bf16'], dtype);
  }
  const shapes = { q: tensors.q.shape, k: tensors.k.shape, v: tensors.v.shape };
  const bound = bind(prepared.program, shapes, tensors);
  const variant = chooseVariant(prepared, bound, options);
  const plan = timed(() => planLaunches(variant, bound, options));
  return guarded(prepared.device, async () => {
    await compileKernels(
      prepared,
      plan.value.launches.map((l) => l.kernel),
    );
    return execute(prepared, bound, plan, tensors);
  });
}

async function execute(
  prepared: Prepared,
  bound: Bound,
  plan: Timed<Choice>,
  tensors: HostTensors,
): Promise<RunResult> {
  const { device } = prepared;
  const { shape, queries, valueDim } = bound.binding;
  const outShape = [shape.batch, shape.heads, queries, valueDim];
  const lseShape = outShape.slice(0, 3);
  const out = zeros('f32', outShape, 'out');
  const lse = tensor(
    'f32',
    lseShape,
    new Float32Array(shape.batch * shape.heads * queries).fill(-Infinity),
    'lse',
  );
  const arena = new Arena(device);
  const releases: (() => void)[] = [() => arena.release()];
  try {
    const { result, problem } = scoped(device, 'running the program', () => {
      const bindings: Bindings = {
        ...tensors,
        q: upload(device, arena, 'q', tensors.q),
        k: upload(device, arena, 'k', tensors.k),
        v: upload(device, arena, 'v', tensors.v),
        out: empty(arena, 'out', outShape),
        lse: empty(arena, 'lse', lseShape),
      };
      const uploadedBytes = arena.bytes;
      const encoder = device.createCommandEncoder({ label: `attnc ${prepared.program.name}` });
      const encoded = encodeBound(encoder, prepared, bindings, bound, plan);
      releases.push(encoded.release);
      const reads = [out, lse].map((t, n) =>
        readback(arena, encoder, n === 0 ? bindings.out : bindings.lse, t),
      );
      device.queue.submit([encoder.finish()]);
      return { encoded, reads, uploadedBytes };
    });
    const start = performance.now();
    // Mapping begins before the scopes are known to be clean; if they aren't, its failure is told by them.
    const mapped = result.reads.map((r) => r.buffer.mapAsync(MAP_MODE_READ));
    for (const m of mapped) m.catch(() => undefined);
    const error = await untilLost(device, problem);
    if (error) throw error;
    await untilLost(device, Promise.all(mapped));
    for (const { buffer, into } of result.reads) {
      into.data.set(new Float32Array(buffer.getMappedRange(), 0, into.data.length));
      buffer.unmap();
    }
    clearPastLengths(out, lse, bound);
    const stats = {
      ...result.encoded.stats,
      uploadedBytes: result.uploadedBytes,
      deviceMilliseconds: performance.now() - start,
    };
    return { out, lse, stats };
  } finally {
    for (const release of releases) release();
  }
}

function upload(device: GPUDevice, arena: Arena, name: string, t: Tensor): TensorBinding {
  const data = toFloat32(t);
  const buffer = arena.create(name, data.byteLength, USAGE.storage | USAGE.copyDst);
  // In pieces, so that what the driver stages stays small next to the tensor itself.
  const piece = 1 << 24;
  for (let at = 0; at < data.length; at += piece) {
    const part = data.subarray(at, Math.min(at + piece, data.length));
    device.queue.writeBuffer(buffer, 4 * at, part as Float32Array<ArrayBuffer>);
  }
  return { buffer, shape: t.shape };
}

function empty(arena: Arena, name: string, shape: readonly number[]): TensorBinding {
  const bytes = 4 * shape.reduce((a, b) => a * b, 1);
  return { buffer: arena.create(name, bytes, USAGE.storage | USAGE.copySrc), shape };
}

interface Readback {
  readonly buffer: GPUBuffer;
  readonly into: TensorOf<'f32'>;
}

function readback(
  arena: Arena,
  encoder: GPUCommandEncoder,
  from: TensorBinding | undefined,
  into: TensorOf<'f32'>,
): Readback {
  const bytes = into.data.byteLength;
  const buffer = arena.create('readback', bytes, USAGE.mapRead | USAGE.copyDst);
  if (from && bytes > 0) encoder.copyBufferToBuffer(from.buffer, 0, buffer, 0, bytes);
  return { buffer, into };
}

/** Rows past a batch's queries are not written by the kernels. */
function clearPastLengths(out: TensorOf<'f32'>, lse: TensorOf<'f32'>, bound: Bound): void {
  const { shape, queries, valueDim } = bound.binding;
  for (let b = 0; b < shape.batch; b++) {
    for (let h = 0; h < shape.heads && shape.queries[b] < queries; h++) {
      const first = (b * shape.heads + h) * queries;
      out.data.fill(0, (first + shape.queries[b]) * valueDim, (first + queries) * valueDim);
      lse.data.fill(-Infinity, first + shape.queries[b], first + queries);
    }
  }
}
