import { REDO, type Kernel, type Variant } from '../compiler/ir/program.js';
import type { Arena } from './arena.js';
import type { Bound } from './bind.js';
import type { Bindings, TensorBinding } from './bindings.js';
import { USAGE } from './gpu-flags.js';
import type { Choice, Launch } from './launches.js';
import {
  bindingOf,
  checkOverlap,
  checkShape,
  placeTensor,
  type Placement,
  type TensorName,
} from './place.js';
import type { Prepared } from './prepare.js';
import { granuleOf } from './storage.js';
import { uniformWords, type UniformValues } from './uniforms.js';
import { planWords, tablesRead, tableWords, type TableWords } from './words.js';

/** Buffers and bind groups of what is launched. */

/** The tables of a run that the kernels of these variants read, once for all its steps. */
export interface Tables {
  readonly words: TableWords;
  /** Made when a kernel first reads them. */
  buffer(): GPUBuffer;
  /** The buffer, if it was made. */
  made(): GPUBuffer | undefined;
}

export function tablesOf(bound: Bound, variants: readonly Variant[], arena: Arena): Tables {
  const words = tableWords(bound.inputs, tablesRead(variants));
  const usage = USAGE.storage | (words.copies.length > 0 ? USAGE.copyDst : 0);
  let made: GPUBuffer | undefined;
  return { words, buffer: () => (made ??= arena.upload('tables', words.words, usage)), made: () => made };
}

/** What the kernels of one step bind. */
export interface Work {
  readonly resources: Readonly<Record<string, GPUBufferBinding>>;
  readonly uniforms: GPUBuffer;
  /** Bytes between the blocks of two kernels. */
  readonly uniformStep: number;
}

/** Checks the tensors and makes every buffer that the kernels need; undefined where there is nothing to compute. */
export function assemble(
  prepared: Prepared,
  bindings: Bindings,
  bound: Bound,
  choice: Choice,
  tables: Tables,
  arena: Arena,
): Work | undefined {
  const { device } = prepared;
  const { shape, queries, valueDim } = bound.binding;
  checkShape('out', [shape.batch, shape.heads, queries, valueDim], bindings.out.shape);
  if (bindings.lse) checkShape('lse', [shape.batch, shape.heads, queries], bindings.lse.shape);
  const rows = shape.batch * shape.heads * queries;
  const lse = bindings.lse ?? scratchLse(arena, [shape.batch, shape.heads, queries]);
  const tensors: Record<TensorName, TensorBinding> = { ...bindings, lse };
  const kernels = choice.launches.map((l) => l.kernel);
  const placed = {} as Record<TensorName, Placement>;
  for (const name of ['q', 'k', 'v', 'out', 'lse'] as const) {
    placed[name] = placeTensor(device, name, tensors[name], granuleOf(kernels, name));
  }
  checkOverlap(placed);
  if (rows === 0) return undefined;

  const planned = planWords(shape, choice.plans, choice.gathers);
  const values: UniformValues = {
    shape,
    divisions: choice.divisions,
    placed,
    tables: tables.words,
    plan: planned,
    freshPass: choice.freshPass,
  };
  const step = device.limits.minUniformBufferOffsetAlignment;
  const blocks = choice.launches.map((l) => uniformWords(l.kernel, values));
  const uniformStep = Math.max(step, ...blocks.map((b) => Math.ceil(b.byteLength / step) * step));
  const uniforms = new Uint32Array((uniformStep / 4) * blocks.length);
  blocks.forEach((block, n) => uniforms.set(block, (n * uniformStep) / 4));

  // A binding cannot be empty: without keys, k and v are a few zeros that no kernel reads.
  const nothing = shape.keys.every((n) => n === 0) ? arena.create('nothing', 16, USAGE.storage) : undefined;
  const bufferOf = (p: Placement): GPUBufferBinding =>
    p.size === 0 && nothing ? { buffer: nothing } : { buffer: p.buffer, offset: p.offset, size: p.size };
  return {
    uniforms: arena.upload('uniforms', uniforms, USAGE.uniform),
    uniformStep,
    resources: {
      q: bufferOf(placed.q),
      k: bufferOf(placed.k),
      v: bufferOf(placed.v),
      out: bufferOf(placed.out),
      lse: bufferOf(placed.lse),
      ...(reads(choice.launches, 'tables') && {
        tables: { buffer: tables.buffer() },
      }),
      ...(reads(choice.launches, 'plan') && { plan: { buffer: arena.upload('plan', planned.words) } }),
      ...(reads(choice.launches, 'parts') && { parts: { buffer: partsBuffer(arena, choice) } }),
      ...(reads(choice.launches, 'redo') && { redo: { buffer: redoBuffer(arena, choice) } }),
    },
  };
}

export function bindGroup(
  device: GPUDevice,
  kernel: Kernel,
  layout: GPUBindGroupLayout,
  work: Work,
  n: number,
): GPUBindGroup {
  const entries = kernel.bindings.map((b): GPUBindGroupEntry => {
    if (b.name === 'shape') {
      const size = Math.max(16, Math.ceil(kernel.uniforms.length / 4) * 16);
      return { binding: b.binding, resource: { buffer: work.uniforms, offset: n * work.uniformStep, size } };
    }
    return { binding: b.binding, resource: work.resources[b.name] };
  });
  return device.createBindGroup({ label: `attnc ${kernel.name}`, layout, entries });
}

function reads(launches: readonly Launch[], name: 'tables' | 'plan' | 'parts' | 'redo'): boolean {
  return launches.some((l) => bindingOf(l.kernel.bindings, name) !== undefined);
}

function scratchLse(arena: Arena, shape: readonly number[]): TensorBinding {
  const bytes = 4 * shape.reduce((a, b) => a * b, 1);
  return { buffer: arena.create('lse', bytes, USAGE.storage), shape };
}

/** Partial results of decoding and of long rows of gathers, of one pass at a time: for each part and row the sums of values, and statistics. */
function partsBuffer(arena: Arena, choice: Choice): GPUBuffer {
  const bytes = Math.max(16, ...choice.divisions.map((d) => d?.bytes ?? 0), choice.gatherBytes);
  return arena.create('parts', bytes, USAGE.storage);
}

/** Which workgroups' work another kernel must do again, of one kernel at a time: see Kernel.role. */
function redoBuffer(arena: Arena, choice: Choice): GPUBuffer {
  const most = Math.max(...choice.launches.map((l) => (bindingOf(l.kernel.bindings, 'redo') ? l.total : 0)));
  return arena.create('redo', 4 * (REDO.list + most), USAGE.storage | USAGE.copySrc);
}
