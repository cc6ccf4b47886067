import type { Kernel, Program, StorageTypes } from './program.js';

const USES_INPUT = /\b(Quad|read_quad)\b/;
const USES_OCTETS = /\b(Oct|read_low|read_high)\b/;
const USES_OUTPUT = /\b(OutQuad|read_out|write_out)\b/;

/**
 * The whole text that a device compiles: directives, the preludes that the kernel uses, the kernel. Only the preludes
 * differ between storage types, so a kernel that touches neither q, k, v nor out has one text for all of them.
 */
export function shaderText(
  program: Pick<Program, 'preludes'>,
  kernel: Pick<Kernel, 'directives' | 'wgsl'>,
  { input, output }: StorageTypes,
): string {
  const parts = [
    kernel.directives,
    USES_INPUT.test(kernel.wgsl) ? program.preludes.inputs[input] : '',
    USES_OCTETS.test(kernel.wgsl) ? program.preludes.octets[input] : '',
    USES_OUTPUT.test(kernel.wgsl) ? program.preludes.outputs[output] : '',
    kernel.wgsl,
  ];
  return `${parts
    .map((part) => part.trimEnd())
    .filter((part) => part !== '')
    .join('\n\n')}\n`;
}
