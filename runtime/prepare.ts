import {
  PROGRAM_VERSION,
  STORAGE_TYPES,
  type Binding,
  type Kernel,
  type Program,
  type StorageType,
  type StorageTypes,
  type Variant,
} from '../compiler/ir/program.js';
import { matrixProblem } from './adapters.js';
import { shaderText, writesOut } from '../compiler/ir/shader-text.js';
import { convertsExactly } from './direct-outputs.js';
import { AttncError, internalError, limitTooSmall, missingFeature, usageError, wrongType } from './errors.js';
import { STAGE_COMPUTE } from './gpu-flags.js';
import { guarded } from './scopes.js';
import { noVariant, takes, typesText } from './storage.js';
import { bytesPerElement } from './tensor.js';

/** A kernel compiled on a device. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** A program on a device: the variants that it can run, with their pipelines. */
export interface Prepared {
  readonly device: GPUDevice;
  readonly program: Program;
  readonly variants: readonly Variant[];
  /**
   * By kernel, then by storage types ("f16/f32"). Filled by `prepare` for every kernel and the types it was asked for,
   * by `run` for those that it needs.
   */
  readonly pipelines: Map<Kernel, Map<string, Pipeline>>;
}

/** Storage types to compile for: every pair of them. f32 alone if not given. */
export interface PrepareOptions {
  /** Of q, k and v. */
  readonly inputs?: readonly StorageType[] | undefined;
  /** Of out. */
  readonly outputs?: readonly StorageType[] | undefined;
}

/**
 * Checks what the device offers and compiles every kernel that it can run, for the storage types given. Compiled kernels
 * are kept for the device.
 */
export async function prepare(
  device: GPUDevice,
  program: Program,
  options: PrepareOptions = {},
): Promise<Prepared> {
  const prepared = choose(device, program);
  const { inputs = ['f32'], outputs = ['f32'] } = options;
  for (const type of [...inputs, ...outputs]) {
    if (!STORAGE_TYPES.includes(type)) throw wrongType('a storage type', STORAGE_TYPES, type);
  }
  const wanted = inputs.flatMap((input) => outputs.map((output) => ({ input, output })));
  const jobs = wanted.map((types) => {
    const variants = prepared.variants.filter((v) => takes(v, types));
    if (variants.length === 0) throw noVariant(program, undefined, types);
    return { types, kernels: variants.flatMap((v) => v.kernels) };
  });
  await Promise.all(jobs.map(({ types, kernels }) => compileKernels(prepared, kernels, types)));
  return prepared;
}

const typesKey = ({ input, output }: StorageTypes): string => `${input}/${output}`;

/** A kernel's pipeline for these storage types, if it was compiled for them. */
export function pipelineOf(prepared: Prepared, kernel: Kernel, types: StorageTypes): Pipeline {
  const made = prepared.pipelines.get(kernel)?.get(typesKey(types));
  if (made) return made;
  throw usageError(
    `the program is not prepared for ${typesText(types)}`,
    `pass { inputs: ['${types.input}'], outputs: ['${types.output}'] } to prepare`,
  );
}

/** The variants that the device can run; a typed error if there are none. Compiles nothing. */
export function choose(device: GPUDevice, program: Program): Prepared {
  if (program.format !== 'attnc-program' || program.version !== PROGRAM_VERSION) {
    throw new AttncError('usage', `this is not a program of version ${PROGRAM_VERSION}`, {
      help: 'compile the pattern again',
    });
  }
  const problems = program.variants.map((v) => lacking(device, v));
  const variants = program.variants
    .filter((_, n) => problems[n] === undefined)
    .map((v) => withKernelsFor(v, subgroupSize(device)));
  const first = problems.find((p) => p !== undefined);
  if (variants.length === 0) throw first ?? internalError(`program ${program.name} has no kernels`);
  return { device, program, variants, pipelines: new Map() };
}

/** The size of the device's smallest subgroups; 4 is the least that WebGPU allows. */
const subgroupSize = (device: GPUDevice): number =>
  (device.adapterInfo as GPUAdapterInfo | undefined)?.subgroupMinSize || 4;

/** The variant without kernels for subgroups of other sizes. */
function withKernelsFor(variant: Variant, size: number): Variant {
  const fits = ({ subgroups }: Kernel): boolean =>
    !subgroups || (subgroups.least <= size && size < subgroups.below);
  return variant.kernels.every(fits) ? variant : { ...variant, kernels: variant.kernels.filter(fits) };
}

/**
 * What to ask for when a device is made: the least that runs the program, on tensors of these shapes (by name) if they
 * are given, which are of these types.
 */
export function requirements(
  program: Program,
  shapes: Readonly<Record<string, readonly number[]>> = {},
  types: StorageTypes = { input: 'f32', output: 'f32' },
): { readonly features: readonly string[]; readonly limits: Readonly<Record<string, number>> } {
  const plain = program.variants.find((v) => v.features.length === 0) ?? program.variants[0];
  const elementBytes = (name: string): number =>
    name === 'lse' ? 4 : bytesPerElement[name === 'out' ? types.output : types.input];
  const bytes = Math.max(
    0,
    ...Object.entries(shapes).map(([name, s]) => elementBytes(name) * s.reduce((a, b) => a * b, 1)),
  );
  const limits: Record<string, number> = { ...plain?.limits };
  // Below WebGPU's defaults there is nothing to ask for.
  if (bytes > 128 * 2 ** 20) limits.maxStorageBufferBindingSize = bytes;
  if (bytes > 256 * 2 ** 20) limits.maxBufferSize = bytes;
  return { features: plain?.features ?? [], limits };
}

/** Why the device can't run a variant; undefined if it can. */
export function lacking(device: GPUDevice, variant: Variant): AttncError | undefined {
  for (const feature of variant.features) {
    if (!device.features.has(feature)) return missingFeature(feature, [...device.features]);
  }
  const limits = device.limits as unknown as Readonly<Record<string, number | undefined>>;
  for (const [name, needed] of Object.entries(variant.limits)) {
    const offered = limits[name] ?? 0;
    const enough = name.startsWith('min') ? offered <= needed : offered >= needed;
    if (!enough) return limitTooSmall(name, needed, offered);
  }
  const problem = variant.matrix && matrixProblem(device, variant.matrix);
  if (problem !== undefined) return missingFeature(`subgroup matrices: ${problem}`, [...device.features]);
  return undefined;
}

/** Compiles what is not compiled yet, side by side. */
export async function compileKernels(
  prepared: Prepared,
  kernels: readonly Kernel[],
  types: StorageTypes,
): Promise<void> {
  const { device, program, pipelines } = prepared;
  const key = typesKey(types);
  const missing = kernels.filter((k) => !pipelines.get(k)?.has(key));
  const direct = missing.some(writesOut) && (await convertsExactly(device, program, types.output));
  const texts = missing.map((k) => shaderText(program, k, types, direct));
  const made = await Promise.allSettled(missing.map((k, n) => cached(device, k, texts[n])));
  made.forEach((result, n) => {
    if (result.status === 'rejected') throw result.reason;
    const known = pipelines.get(missing[n]);
    if (known) known.set(key, result.value);
    else pipelines.set(missing[n], new Map([[key, result.value]]));
  });
}

const compiled = new WeakMap<GPUDevice, Map<string, Promise<Pipeline>>>();

function cached(device: GPUDevice, kernel: Kernel, code: string): Promise<Pipeline> {
  let known = compiled.get(device);
  if (!known) compiled.set(device, (known = new Map()));
  const key = JSON.stringify([kernel.entry, kernel.bindings, code]);
  const before = known.get(key);
  if (before) return before;
  const made = guarded(device, () => compileKernel(device, kernel, code));
  known.set(key, made);
  made.catch(() => known.delete(key));
  return made;
}

async function compileKernel(device: GPUDevice, kernel: Kernel, code: string): Promise<Pipeline> {
  const label = `attnc ${kernel.name}`;
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ label, code });
  const layout = device.createBindGroupLayout({ label, entries: kernel.bindings.map(layoutEntry) });
  const pipelineLayout = device.createPipelineLayout({ label, bindGroupLayouts: [layout] });
  const problem = device.popErrorScope();
  const pipeline = device
    .createComputePipelineAsync({
      label,
      layout: pipelineLayout,
      compute: { module, entryPoint: kernel.entry },
    })
    .catch((cause: unknown) => (cause instanceof Error ? cause : new Error(String(cause))));
  const error = await problem;
  const made = await pipeline;
  if (error === null && !(made instanceof Error)) return { pipeline: made, layout };
  const { messages } = await module.getCompilationInfo();
  const first = messages.find((m) => m.type === 'error');
  const why = first
    ? `line ${first.lineNum}, column ${first.linePos}: ${first.message}`
    : (error?.message ?? (made instanceof Error ? made.message : 'unknown'));
  throw internalError(`the kernel ${kernel.name} does not compile: ${why}`, error ?? made);
}

function layoutEntry(b: Binding): GPUBindGroupLayoutEntry {
  const types = { uniform: 'uniform', read: 'read-only-storage', read_write: 'storage' } as const;
  return { binding: b.binding, visibility: STAGE_COMPUTE, buffer: { type: types[b.access] } };
}
