import { STORAGE_TYPES, type Program, type StorageType, type Variant } from '../compiler/ir/program.js';
import { Arena } from './arena.js';
import { bind, type Bound } from './bind.js';
import type { Bindings, HostTensors, Settings, TensorBinding } from './bindings.js';
import { tilingLabel } from './choose-tiling.js';
import { encodeBound, planPicked, type EncodeStats, type PickedChoice, type Timed } from './encode.js';
import { wrongType } from './errors.js';
import { MAP_MODE_READ, USAGE } from './gpu-flags.js';
import { pickVariant, type ChooseOptions, type Picked } from './pick-variant.js';
import { choose, compileKernels, type Prepared } from './prepare.js';
import { guarded, scoped, untilLost } from './scopes.js';
import { takes } from './storage.js';
import { narrowToF16, fitsF16 } from './narrow.js';
import { runLong, tooLong, type LongRun } from './run-long.js';
import type { StreamStats } from './stream/pipeline.js';
import { bytesOf, bytesPerElement, tensor, toFloat32, zeros, type Tensor, type TensorOf } from './tensor.js';

export interface RunOptions<Out extends StorageType = StorageType> extends ChooseOptions {
  /** Type of the result's `out`; f32 if not given. */
  readonly out?: Out | undefined;
}

export interface RunResult<Out extends StorageType = 'f32'> {
  /** [batch, heads, queries, valueDim]. Rows past a batch's length are 0. */
  readonly out: Extract<Tensor, { readonly dtype: Out }>;
  /** [batch, heads, queries]; −∞ where a query has no edge. */
  readonly lse: TensorOf<'f32'>;
  readonly stats: RunStats;
}

export interface RunStats extends EncodeStats {
  readonly uploadedBytes: number;
  /** From submission to the end of the readback. */
  readonly deviceMilliseconds: number;
}

/** q, k and v as they are uploaded. */
interface Uploads {
  readonly input: StorageType;
  readonly q: Floats;
  readonly k: Floats;
  readonly v: Floats;
}

type Floats = RunResult<StorageType>['out'];

/**
 * Uploads, runs and reads back. q, k and v of one type are uploaded as they are; of mixed types they are widened to
 * float32. Tensors past one binding are streamed through the device, by programs compiled with `windows`. Every buffer made is destroyed, also after a failure; failures are typed, the loss of the device and lack of
 * memory among them.
 */
export async function run<Out extends StorageType = 'f32'>(
  device: GPUDevice,
  program: Program | Prepared,
  tensors: HostTensors,
  options: RunOptions<Out> = {},
): Promise<RunResult<Out>> {
  const prepared = 'pipelines' in program ? program : choose(device, program);
  const output: StorageType = options.out ?? 'f32';
  if (!STORAGE_TYPES.includes(output)) throw wrongType('out', STORAGE_TYPES, output);
  const given = uploadsOf(tensors);
  const shapes = { q: tensors.q.shape, k: tensors.k.shape, v: tensors.v.shape };
  const bound = bind(prepared.program, shapes, tensors);
  const results = resultsOf(bound, output as Out);
  const long: LongRun = { q: given.q, k: given.k, v: given.v, lse: results.lse, out: results.out };
  if (tooLong(prepared.device, long, options)) {
    return streamed<Out>(await runLong(prepared, long, tensors, options), results);
  }
  const { picked, uploads } = chooseUploads(prepared, bound, given, output, options);
  const plan = planPicked(picked, bound, options);
  return guarded(prepared.device, async () => {
    const kernels = plan.value.launches.map((l) => l.kernel);
    await compileKernels(prepared, kernels, { input: uploads.input, output });
    return execute(prepared, bound, plan, tensors, uploads, results);
  });
}

interface Results<Out extends StorageType> {
  readonly out: RunResult<Out>['out'];
  readonly lse: TensorOf<'f32'>;
}

/** out = 0, lse = −∞. */
function resultsOf<Out extends StorageType>({ binding }: Bound, output: Out): Results<Out> {
  const { shape, queries, valueDim } = binding;
  const rows = [shape.batch, shape.heads, queries];
  const lse = new Float32Array(rows.reduce((a, b) => a * b, 1)).fill(-Infinity);
  return {
    out: zeros(output, [...rows, valueDim], 'out') as RunResult<Out>['out'],
    lse: tensor('f32', rows, lse, 'lse'),
  };
}

function streamed<Out extends StorageType>(
  { uploadedBytes, deviceBytes, milliseconds, ...rest }: StreamStats,
  { out, lse }: Results<Out>,
): RunResult<Out> {
  const stats = { ...rest, uploadedBytes, temporaryBuffers: 0, temporaryBytes: deviceBytes };
  return { out, lse, stats: { ...stats, deviceMilliseconds: milliseconds } };
}

function uploadsOf(tensors: HostTensors): Uploads {
  const floats = (['q', 'k', 'v'] as const).map((name): Floats => {
    const t = tensors[name];
    if (t.dtype === 'f32' || t.dtype === 'f16' || t.dtype === 'bf16') return t;
    throw wrongType(name, STORAGE_TYPES, t.dtype);
  });
  const [q, k, v] = floats.every((t) => t.dtype === floats[0].dtype) ? floats : floats.map(widened);
  return { input: q.dtype, q, k, v };
}

const widened = (t: Floats): TensorOf<'f32'> => tensor('f32', t.shape, toFloat32(t));

/**
 * The variant, and the tensors in the type that it takes. bf16 tensors that fit f16 take the subgroup or matrix kernels
 * for f16 where these have none for bf16; what no kernels take is widened, if that helps.
 */
function chooseUploads(
  prepared: Prepared,
  bound: Bound,
  given: Uploads,
  output: StorageType,
  options: ChooseOptions,
): { readonly picked: Picked; readonly uploads: Uploads } {
  const { q, k, v } = given;
  const take = (uploads: Uploads): { readonly picked: Picked; readonly uploads: Uploads } => ({
    picked: pickVariant(prepared, bound, { input: uploads.input, output }, options),
    uploads,
  });
  const some = (test: (w: Variant) => boolean): boolean =>
    prepared.variants.some(
      (w) =>
        test(w) &&
        (options.family ?? w.family) === w.family &&
        (options.tiling ?? tilingLabel(w)) === tilingLabel(w),
    );
  const takesF16Only = (w: Variant): boolean =>
    takes(w, { input: 'f16', output }) && !w.inputs.includes('bf16');
  if (q.dtype === 'bf16' && k.dtype === 'bf16' && v.dtype === 'bf16' && some(takesF16Only)) {
    const picked = pickVariant(prepared, bound, { input: 'f16', output }, options);
    if (takesF16Only(picked.variant) && [q, k, v].every(fitsF16)) {
      const uploads = { input: 'f16', q: narrowToF16(q), k: narrowToF16(k), v: narrowToF16(v) } as const;
      return { picked, uploads };
    }
  }
  const widen =
    !some((w) => takes(w, { input: given.input, output })) && some((w) => takes(w, { input: 'f32', output }));
  return take(widen ? { input: 'f32', q: widened(q), k: widened(k), v: widened(v) } : given);
}

async function execute<Out extends StorageType>(
  prepared: Prepared,
  bound: Bound,
  plan: Timed<PickedChoice>,
  settings: Settings,
  uploads: Uploads,
  { out, lse }: Results<Out>,
): Promise<RunResult<Out>> {
  const { device } = prepared;
  const arena = new Arena(device);
  const releases: (() => void)[] = [() => arena.release()];
  try {
    const { result, problem } = scoped(device, 'running the program', () => {
      const bindings: Bindings = {
        ...settings,
        q: upload(device, arena, 'q', uploads.q),
        k: upload(device, arena, 'k', uploads.k),
        v: upload(device, arena, 'v', uploads.v),
        out: empty(arena, 'out', (out as Floats).shape, (out as Floats).dtype),
        lse: empty(arena, 'lse', lse.shape, 'f32'),
      };
      const uploadedBytes = arena.bytes;
      const encoder = device.createCommandEncoder({ label: `attnc ${prepared.program.name}` });
      const encoded = encodeBound(encoder, prepared, bindings, bound, plan);
      releases.push(encoded.release);
      const reads = [
        readback(arena, encoder, bindings.out, bytesOf(out)),
        readback(arena, encoder, bindings.lse, bytesOf(lse)),
      ];
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
      into.set(new Uint8Array(buffer.getMappedRange(), 0, into.length));
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

function upload(device: GPUDevice, arena: Arena, name: string, t: Floats): TensorBinding {
  const bytes = bytesOf(t);
  const buffer = arena.create(name, bytes.length, USAGE.storage | USAGE.copyDst);
  // In pieces, so that what the driver stages stays small next to the tensor itself.
  const piece = 1 << 26;
  for (let at = 0; at < bytes.length; at += piece) {
    const part = bytes.subarray(at, Math.min(at + piece, bytes.length));
    device.queue.writeBuffer(buffer, at, part as Uint8Array<ArrayBuffer>);
  }
  return { buffer, shape: t.shape, dtype: t.dtype };
}

function empty(arena: Arena, name: string, shape: readonly number[], dtype: StorageType): TensorBinding {
  const bytes = bytesPerElement[dtype] * shape.reduce((a, b) => a * b, 1);
  return { buffer: arena.create(name, bytes, USAGE.storage | USAGE.copySrc), shape, dtype };
}

interface Readback {
  readonly buffer: GPUBuffer;
  readonly into: Uint8Array;
}

function readback(
  arena: Arena,
  encoder: GPUCommandEncoder,
  from: TensorBinding | undefined,
  into: Uint8Array,
): Readback {
  const buffer = arena.create('readback', into.length, USAGE.mapRead | USAGE.copyDst);
  if (from && into.length > 0) encoder.copyBufferToBuffer(from.buffer, 0, buffer, 0, into.length);
  return { buffer, into };
}

/** Rows past a batch's queries are not written by the kernels. */
function clearPastLengths(out: Floats, lse: TensorOf<'f32'>, bound: Bound): void {
  const { shape, queries, valueDim } = bound.binding;
  for (let b = 0; b < shape.batch; b++) {
    for (let h = 0; h < shape.heads && shape.queries[b] < queries; h++) {
      const first = (b * shape.heads + h) * queries;
      out.data.fill(0, (first + shape.queries[b]) * valueDim, (first + queries) * valueDim);
      lse.data.fill(-Infinity, first + shape.queries[b], first + queries);
    }
  }
}
