// Programs of given patterns, one variant for each way to schedule them.

import { emitVariants, PRELUDES } from '../../compiler/emit/index.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { PROGRAM_VERSION, type Program } from '../../compiler/ir/program.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';

export function programFor(pattern: Pattern, dim = 16, valueDim = dim): Program {
  const schedules = candidateSchedules(pattern);
  return {
    format: 'attnc-program',
    version: PROGRAM_VERSION,
    name: pattern.name,
    doc: undefined,
    dim,
    valueDim,
    parameters: pattern.parameters,
    inputs: pattern.inputs,
    pattern,
    score: pattern.score,
    mix: pattern.mix,
    schedules,
    variants: emitVariants(schedules, { dim, valueDim, pattern }, 'auto'),
    preludes: PRELUDES,
    windows: false,
    maxLength: 2 ** 20,
  };
}
