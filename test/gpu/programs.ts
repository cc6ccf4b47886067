import type { Pattern } from '../../compiler/ir/edges.js';
import type { Program } from '../../compiler/ir/program.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { programOf } from '../../compiler/compile.js';

/** A program that carries every candidate schedule, and not only the ones that the cost model finds worth keeping. */
export function everySchedule(checked: Pattern, dim: number, valueDim: number): Program {
  const pattern = { ...checked, edges: runPasses(checked.edges, PASSES, true) };
  return programOf(checked, pattern, candidateSchedules(pattern), { dim, valueDim });
}

/** The same with the edges as written: what the reference compiler makes. */
export function withoutPasses(checked: Pattern, dim: number, valueDim: number): Program {
  return programOf(checked, checked, candidateSchedules(checked), { dim, valueDim });
}
