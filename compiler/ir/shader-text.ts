import type { Kernel, Program, StorageTypes } from './program.js';

const USES_INPUT = /\b(Quad|read_quad)\b/;
const USES_OCTETS = /\b(Oct|read_low|read_high)\b/;
const USES_OUTPUT = /\b(OutQuad|read_out|write_out)\b/;

/** Whether what the storage type of out is matters to the kernel. */
export const writesOut = (kernel: Pick<Kernel, 'wgsl'>): boolean => USES_OUTPUT.test(kernel.wgsl);

/**
 * The whole text that a device compiles: directives, the preludes that the kernel uses, the kernel. Only the preludes
 * differ between storage types, so a kernel that touches neither q, k, v nor out has one text for all of them.
 * @param direct whether the device's own conversions do for `out`: Preludes.directOutputs
 */
export function shaderText(
  program: Pick<Program, 'preludes'>,
  kernel: Pick<Kernel, 'directives' | 'wgsl'>,
  { input, output }: StorageTypes,
  direct = false,
): string {
  const { inputs, octets, outputs, directOutputs } = program.preludes;
  const written = (direct ? directOutputs?.[output] : undefined) ?? outputs[output];
  const parts = [
    kernel.directives,
    USES_INPUT.test(kernel.wgsl) ? inputs[input] : '',
    USES_OCTETS.test(kernel.wgsl) ? octets[input] : '',
    writesOut(kernel) ? written : '',
    kernel.wgsl,
  ];
  return `${parts
    .map((part) => part.trimEnd())
    .filter((part) => part !== '')
    .join('\n\n')}\n`;
}
