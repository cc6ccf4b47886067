// What a device compiles of a program: every kernel for every pair of storage types that its variant takes.

import type { Kernel, Program } from '../../compiler/ir/program.js';
import { shaderText } from '../../compiler/ir/shader-text.js';

export interface ShaderOf {
  readonly kernel: Kernel;
  /** "f16/f32": of q, k and v, and of out. */
  readonly types: string;
  readonly code: string;
  /** What its variant asks of a device. */
  readonly limits: Readonly<Record<string, number>>;
}

/** Each text once. */
export function shadersOf(program: Program): readonly ShaderOf[] {
  const found = new Map<string, ShaderOf>();
  for (const variant of program.variants) {
    for (const kernel of variant.kernels) {
      for (const input of variant.inputs) {
        for (const output of variant.outputs) {
          const code = shaderText(program, kernel, { input, output });
          if (!found.has(code))
            found.set(code, { kernel, types: `${input}/${output}`, code, limits: variant.limits });
        }
      }
    }
  }
  return [...found.values()];
}
