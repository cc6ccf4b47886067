import type { Axis, InputDeclaration, Pattern } from '../compiler/ir/edges.js';
import type { BoundGraph, BoundInputs, BoundTable } from '../compiler/ir/inputs.js';
import { bindGraph, type GraphParts, type Part } from './bind-graph.js';
import { valueOf, type ShapeBinding } from './bind-shape.js';
import { isTableBinding, type HostInput, type Inputs } from './bindings.js';
import { missingInput, nonFinite, unknownInput, usageError, wrongShape, wrongType } from './errors.js';
import { USAGE } from './gpu-flags.js';
import { conditionInputs, graphExtent } from './input-uses.js';
import { elementCount, elementIndex, toFloat32, toInt32, type Tensor } from './tensor.js';

/** A table that stays on the device; the encoder copies it in. */
export interface DeviceTable {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly sizes: readonly number[];
  /** 4-byte words. */
  readonly words: number;
}

export interface InputBinding {
  /** What the host can read; tables on the device are not among them. */
  readonly host: BoundInputs;
  readonly device: ReadonlyMap<string, DeviceTable>;
}

const GRAPH_PARTS = ['row_ptr', 'col_idx', 'row', 'col', 'batch', 'head', 'weight'] as const;

/** Tables and graphs by name: shapes, types and values checked, graphs normalised. */
export function bindInputs(pattern: Pattern, binding: ShapeBinding, given: Inputs = {}): InputBinding {
  const known = pattern.inputs.flatMap((d) =>
    d.type === 'edges' ? GRAPH_PARTS.map((part) => `${d.name}.${part}`) : [d.name],
  );
  for (const name of Object.keys(given)) if (!known.includes(name)) throw unknownInput(name, known);

  const host = new Map<string, BoundTable | BoundGraph>();
  const device = new Map<string, DeviceTable>();
  const strict = conditionInputs(pattern);
  for (const declared of pattern.inputs) {
    const name = declared.name;
    if (declared.type === 'edges') {
      host.set(
        name,
        bindGraph(declared, graphParts(declared, given), graphExtent(pattern, declared, binding.shape)),
      );
      continue;
    }
    const sizes = declared.axes.map((axis) => axisSize(axis, binding));
    const value = given[name];
    if (value === undefined) throw missingInput(name, declarationText(declared), Object.keys(given));
    if (isTableBinding(value)) device.set(name, deviceTable(name, value.buffer, value.offset ?? 0, sizes));
    else host.set(name, hostTable(declared, value, sizes, strict.has(name)));
  }
  return { host, device };
}

/** `float[heads, 9]`, as in the pattern. */
export function declarationText(declared: InputDeclaration): string {
  const axes = declared.axes.map((a) => (a.kind === 'size' ? 'size' : a.kind)).join(', ');
  return axes === '' ? declared.type : `${declared.type}[${axes}]`;
}

function axisSize(axis: Axis, binding: ShapeBinding): number {
  switch (axis.kind) {
    case 'keys':
      return binding.keys;
    case 'queries':
      return binding.queries;
    case 'heads':
      return binding.shape.heads;
    case 'batch':
      return binding.shape.batch;
    case 'size':
      return Math.max(0, valueOf(axis.size, binding.shape));
  }
}

function deviceTable(name: string, buffer: GPUBuffer, offset: number, sizes: readonly number[]): DeviceTable {
  const words = elementCount(sizes) ?? 0;
  if (!Number.isInteger(offset) || offset < 0 || offset % 4 !== 0) {
    throw usageError(`the offset of '${name}' is ${offset} bytes`, 'it must be a multiple of 4');
  }
  if (offset + 4 * words > buffer.size) {
    throw wrongShape(name, sizes, [Math.floor((buffer.size - offset) / 4)], `its buffer is too small`);
  }
  if ((buffer.usage & USAGE.copySrc) === 0) {
    throw usageError(`the buffer of '${name}' cannot be copied from`, 'make it with GPUBufferUsage.COPY_SRC');
  }
  return { buffer, offset, sizes, words };
}

function hostTable(
  declared: InputDeclaration,
  value: HostInput,
  sizes: readonly number[],
  strict: boolean,
): BoundTable {
  const name = declared.name;
  const t = asTensor(name, value, sizes);
  if (t.shape.length !== sizes.length || t.shape.some((n, axis) => n !== sizes[axis])) {
    throw wrongShape(name, sizes, t.shape, `it is ${declarationText(declared)}`);
  }
  switch (declared.type) {
    case 'int':
      return { kind: 'table', type: 'int', sizes, data: toInt32(t, name) };
    case 'bool':
      if (t.dtype !== 'bool' && t.dtype !== 'i32' && t.dtype !== 'i64') {
        throw wrongType(name, ['bool', 'i32', 'i64'], t.dtype);
      }
      return { kind: 'table', type: 'bool', sizes, data: toInt32(t, name).map((x) => (x === 0 ? 0 : 1)) };
    default: {
      const data = toFloat32(t);
      // −∞ is what additive masks are made of: fine in a score, without meaning in a comparison.
      const bad = data.findIndex((x) => !Number.isFinite(x) && (strict || x !== -Infinity));
      if (bad >= 0) throw nonFinite(name, elementIndex(sizes, bad), data[bad]);
      return { kind: 'table', type: 'float', sizes, data };
    }
  }
}

/** Plain arrays as tensors of the shape given. */
function asTensor(name: string, value: HostInput, shape: readonly number[] | undefined): Tensor {
  const of = (length: number): readonly number[] => {
    if (shape === undefined) return [length];
    if (elementCount(shape) !== length) throw wrongShape(name, shape, [length]);
    return shape;
  };
  if (value instanceof Int32Array) return { dtype: 'i32', shape: of(value.length), data: value };
  if (value instanceof Float32Array) return { dtype: 'f32', shape: of(value.length), data: value };
  if (value instanceof Uint8Array) return { dtype: 'bool', shape: of(value.length), data: value };
  if (value instanceof BigInt64Array) return { dtype: 'i64', shape: of(value.length), data: value };
  if (isNumbers(value)) {
    const whole = value.every((x) => x === (x | 0));
    return whole
      ? { dtype: 'i32', shape: of(value.length), data: Int32Array.from(value) }
      : { dtype: 'f32', shape: of(value.length), data: Float32Array.from(value) };
  }
  if (typeof value !== 'object' || value === null || !('dtype' in value)) {
    throw wrongType(name, ['a tensor', 'a typed array'], typeof value);
  }
  return value;
}

function isNumbers(value: HostInput): value is readonly number[] {
  return Array.isArray(value);
}

function graphParts(declared: InputDeclaration, given: Inputs): GraphParts {
  const host = (part: (typeof GRAPH_PARTS)[number]): Tensor | undefined => {
    const name = `${declared.name}.${part}`;
    const value = given[name];
    if (value === undefined) return undefined;
    if (isTableBinding(value)) {
      throw usageError(
        `'${name}' is in a GPU buffer`,
        'tiles of a graph are planned on the host: pass an array',
      );
    }
    return asTensor(name, value, undefined);
  };
  const ints = (part: (typeof GRAPH_PARTS)[number]): { [key: string]: Part } => {
    const t = host(part);
    const key = part === 'row_ptr' ? 'rowPtr' : part === 'col_idx' ? 'colIdx' : part;
    return t ? { [key]: { data: toInt32(t, `${declared.name}.${part}`), shape: t.shape } } : {};
  };
  const weight = host('weight');
  return {
    ...ints('row_ptr'),
    ...ints('col_idx'),
    ...ints('row'),
    ...ints('col'),
    ...ints('batch'),
    ...ints('head'),
    ...(weight ? { weight: toFloat32(weight) } : {}),
  };
}
