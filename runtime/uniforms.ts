import type { Kernel, UniformField, UniformSource } from '../compiler/ir/program.js';
import type { BoundShape } from '../compiler/ir/shape.js';
import type { Division } from './launches.js';
import { internalError, lengthOutOfRange } from './errors.js';
import { bindingOf, type Placement, type TensorName } from './place.js';
import type { Words } from './words.js';

/** Everything that a kernel's uniform block can ask for. */
export interface UniformValues {
  readonly shape: BoundShape;
  /** By pass. */
  readonly divisions: readonly (Pick<Division, 'splits' | 'packing'> | undefined)[];
  readonly placed: Readonly<Record<TensorName, Placement>>;
  readonly tables: Words;
  readonly plan: Words;
  /** The pass before which (out, lse) hold nothing. */
  readonly freshPass: number | undefined;
}

/** The block `shape` of a kernel, one word a field, padded to 16 bytes. */
export function uniformWords(kernel: Kernel, values: UniformValues): Uint32Array {
  const words = new ArrayBuffer(Math.max(16, Math.ceil(kernel.uniforms.length / 4) * 16));
  const view = new DataView(words);
  kernel.uniforms.forEach((field, n) => {
    const value = valueOfField(kernel, field, values);
    if (field.type === 'f32') view.setFloat32(4 * n, value, true);
    else if (field.type === 'i32') view.setInt32(4 * n, within(field, value, -(2 ** 31), 2 ** 31 - 1), true);
    else view.setUint32(4 * n, within(field, value, 0, 2 ** 32 - 1), true);
  });
  return new Uint32Array(words);
}

const modulo32 = (x: number): number => ((x % 2 ** 32) + 2 ** 32) % 2 ** 32;

function within(field: UniformField, value: number, least: number, most: number): number {
  if (!(value >= least && value <= most)) throw lengthOutOfRange(field.name, value, least, most);
  return value;
}

function valueOfField(kernel: Kernel, field: UniformField, values: UniformValues): number {
  const source = field.source;
  const { shape } = values;
  switch (source.kind) {
    case 'shape':
      return shapeValue(source, kernel, values);
    case 'stride': {
      const components = bindingOf(kernel.bindings, source.tensor)?.components ?? 1;
      const place = values.placed[source.tensor];
      if (source.axis !== 'offset') return place.strides[source.axis] / components;
      // Kernels add the row's number in the run, modulo 2^32, so that what comes out is where it lies in the binding.
      return modulo32((place.start - place.row * place.strides.row) / components);
    }
    case 'parameter':
      return found(shape.parameters.get(source.name), kernel, field);
    case 'grid':
      return found(shape.grid[source.axis], kernel, field);
    case 'table':
      return found(values.tables.parts.get(`${source.name}/${source.part}`), kernel, field);
    case 'plan': {
      const parts = values.plan.parts;
      return found(parts.get(source.part) ?? parts.get(`${kernel.pass ?? 0}/${source.part}`), kernel, field);
    }
    case 'pack':
      return found(divisionOf(kernel, values)?.packing[source.part], kernel, field);
    case 'bits':
      return source.value;
  }
}

const divisionOf = (kernel: Kernel, values: UniformValues): UniformValues['divisions'][number] =>
  values.divisions[kernel.pass ?? 0];

function shapeValue(
  source: UniformSource & { kind: 'shape' },
  kernel: Kernel,
  values: UniformValues,
): number {
  const { shape } = values;
  switch (source.name) {
    case 'batch':
      return shape.batch;
    case 'heads':
      return shape.heads;
    case 'key_heads':
      return shape.keyHeads;
    case 'rows':
      return Math.max(0, ...shape.queries);
    case 'first_batch':
      return shape.part?.batch ?? 0;
    case 'first_head':
      return shape.part?.head ?? 0;
    case 'all_heads':
      return shape.part?.heads ?? shape.heads;
    case 'fresh':
      return kernel.pass !== undefined && kernel.pass === values.freshPass ? 1 : 0;
    case 'window_lo':
      return shape.window?.lo ?? 0;
    case 'window_hi':
      return shape.window?.hi ?? Math.max(0, ...shape.keys);
    case 'splits':
      return divisionOf(kernel, values)?.splits ?? 1;
  }
}

function found(value: number | undefined, kernel: Kernel, field: UniformField): number {
  if (value === undefined) {
    throw internalError(`kernel ${kernel.name} asks for ${JSON.stringify(field.source)}, which is not there`);
  }
  return value;
}
