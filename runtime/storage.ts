import {
  STORAGE_TYPES,
  type Family,
  type Kernel,
  type Program,
  type StorageType,
  type StorageTypes,
  type Variant,
} from '../compiler/ir/program.js';
import type { Bindings, TensorBinding } from './bindings.js';
import { AttncError, wrongType } from './errors.js';
import { bindingOf, elementBytes, stridesOf, type TensorName } from './place.js';

/** Which storage types tensors have, and which variants take them. */

/** q, k and v have one type and out has its own; lse is f32. */
export function storageOf(bindings: Bindings): StorageTypes {
  const typeOf = (name: TensorName): StorageType => {
    const dtype: string = bindings[name]?.dtype ?? 'f32';
    const known: readonly string[] = name === 'lse' ? ['f32'] : STORAGE_TYPES;
    if (!known.includes(dtype)) throw wrongType(name, known, dtype);
    return dtype as StorageType;
  };
  const input = typeOf('q');
  for (const name of ['k', 'v'] as const) {
    const other = typeOf(name);
    if (other === input) continue;
    throw new AttncError('wrong-type', `'q' is ${input}, but '${name}' is ${other}`, {
      help: 'q, k and v must have one type: convert what differs',
      details: { name, expected: [input], actual: other },
    });
  }
  typeOf('lse');
  return { input, output: typeOf('out') };
}

/** "q, k and v in f16 and out in f32" */
export const typesText = ({ input, output }: StorageTypes): string =>
  `q, k and v in ${input} and out in ${output}`;

export const takes = (variant: Variant, { input, output }: StorageTypes): boolean =>
  variant.inputs.includes(input) && variant.outputs.includes(output);

/** Among variants of one schedule: the fastest first. */
const PREFERENCE: readonly Family[] = ['matrix', 'subgroup', 'portable'];

export const byPreference = (a: Variant, b: Variant): number =>
  PREFERENCE.indexOf(a.family) - PREFERENCE.indexOf(b.family);

export function noVariant(program: Program, family: Family | undefined, types: StorageTypes): AttncError {
  const whose = family === undefined ? 'no kernels' : `no kernels of family ${family}`;
  return new AttncError('wrong-type', `the program has ${whose} for ${typesText(types)} on this device`, {
    help: 'convert the tensors, or compile for more families',
    details: { ...types, variants: program.variants.map((v) => [v.family, v.inputs, v.outputs]) },
  });
}

type Placed = Partial<Readonly<Record<TensorName, TensorBinding>>>;

/** Numbers that some kernel reads or writes of a tensor at once; offsets and strides must be multiples of it. */
export function granuleOf(kernels: readonly Kernel[], name: TensorName): number {
  return Math.max(1, ...kernels.map((k) => bindingOf(k.bindings, name)?.components ?? 1));
}

/**
 * Of the variants those that can read the tensors where they lie. If there are none, those that ask for the least:
 * placing the tensors will say what is wrong.
 */
export function fittingGranules(variants: readonly Variant[], tensors: Placed): readonly Variant[] {
  const fits = (v: Variant): boolean =>
    (['q', 'k', 'v', 'out'] as const).every((name) => {
      const tensor = tensors[name];
      if (!tensor) return true;
      const granule = granuleOf(v.kernels, name);
      const numbers = [
        (tensor.offset ?? 0) / elementBytes(tensor),
        ...Object.values(stridesOf(name, tensor)),
      ];
      return numbers.every((n) => n % granule === 0);
    });
  const fitting = variants.filter(fits);
  if (fitting.length > 0) return fitting;
  const most = (v: Variant): number =>
    Math.max(...(['q', 'k', 'v', 'out'] as const).map((name) => granuleOf(v.kernels, name)));
  const least = Math.min(...variants.map(most));
  return variants.filter((v) => most(v) === least);
}
