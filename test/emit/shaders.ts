// What a device compiles of a program: every kernel for every pair of storage types that its variant takes.

import {
  STORAGE_TYPES,
  type Kernel,
  type Program,
  type StorageType,
  type StorageTypes,
  type Variant,
} from '../../compiler/ir/program.js';
import { shaderText } from '../../compiler/ir/shader-text.js';

export interface ShaderOf {
  readonly kernel: Kernel;
  /** The first one that has it. */
  readonly variant: Variant;
  /** "f16/f32": of q, k and v, and of out. */
  readonly types: string;
  readonly code: string;
  /** What its variant asks of a device. */
  readonly limits: Readonly<Record<string, number>>;
}

/** Storage types make a part of the text that knows of nothing else: one pair of them will do, in turn. */
export const typesInTurn =
  (turn: number) =>
  ({ input, output }: StorageTypes, { inputs }: Variant): boolean => {
    const own = (n: number): StorageType => STORAGE_TYPES[n % STORAGE_TYPES.length];
    const [ownInput, ownOutput] = [own(turn), own(turn + Math.floor(turn / STORAGE_TYPES.length))];
    return output === ownOutput && (inputs.length === 1 || input === ownInput);
  };

/** Each text once. */
export function shadersOf(
  program: Program,
  wanted: (types: StorageTypes, variant: Variant) => boolean = () => true,
): readonly ShaderOf[] {
  const found = new Map<string, ShaderOf>();
  for (const variant of program.variants) {
    for (const kernel of variant.kernels) {
      for (const input of variant.inputs) {
        for (const output of variant.outputs) {
          if (!wanted({ input, output }, variant)) continue;
          const code = shaderText(program, kernel, { input, output });
          const types = `${input}/${output}`;
          if (!found.has(code)) found.set(code, { kernel, variant, types, code, limits: variant.limits });
        }
      }
    }
  }
  return [...found.values()];
}

const SIZES: Readonly<Record<string, number>> = {
  'vec4<f32>': 16,
  'vec4<u32>': 16,
  'vec4<i32>': 16,
  'vec2<f32>': 8,
  i32: 4,
  u32: 4,
  f32: 4,
  'atomic<u32>': 4,
};

function sizeOf(type: string): number {
  const array = /^array<(.*), (\d+)>$/.exec(type);
  if (array) return sizeOf(array[1]) * Number(array[2]);
  const size = SIZES[type];
  if (size === undefined) throw new Error(`unknown type ${type}`);
  return size;
}

/** Bytes of workgroup memory that the declarations take. */
export function workgroupBytes(wgsl: string): number {
  let bytes = 0;
  for (const [, type] of wgsl.matchAll(/^var<workgroup> \w+: (.*);$/gm)) {
    bytes += Math.ceil(sizeOf(type) / 16) * 16;
  }
  return bytes;
}
