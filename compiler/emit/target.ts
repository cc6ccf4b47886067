import type { InputDeclaration, Mix, ParameterDeclaration } from '../ir/edges.js';
import type { Expr, VariableName } from '../ir/expr.js';
import type { Printer } from './expression.js';
import type { Shader } from './shader.js';
import { floatLiteral } from './wgsl.js';

/** What a schedule is printed for: everything of the pattern that shapes a kernel besides the schedule. */
export interface Target {
  /** Head sizes of q and k, and of v: multiples of 8 from 8 to 256. */
  readonly dim: number;
  readonly valueDim: number;
  readonly inputs: readonly InputDeclaration[];
  readonly parameters: readonly ParameterDeclaration[];
  /** Undefined for dot · scale. */
  readonly score: Expr | undefined;
  readonly mix: Mix;
  /** Number of axes of the token grid; 0 without one. */
  readonly axes: number;
  readonly align: 'start' | 'end';
}

/**
 * A printer of expressions inside a function that has `at: Place`; `local` gives the variables that the function itself
 * has besides (by default those of the pair: i, j, i_0, j_1, …).
 */
export function printerFor(
  shader: Shader,
  target: Target,
  local: (variable: VariableName) => string | undefined = pairName,
): Printer {
  return {
    shader,
    inputs: target.inputs,
    parameters: target.parameters,
    name: (variable) => local(variable) ?? placeName(shader, target, variable),
  };
}

/** i, j, i.0 → `i_0`. */
export function pairName(variable: VariableName): string | undefined {
  return /^[ij](\.\d+)?$/.test(variable) ? variable.replace('.', '_') : undefined;
}

function placeName(shader: Shader, target: Target, variable: VariableName): string {
  const size = /^size\.(\d+)$/.exec(variable);
  if (size) return gridSize(shader, Number(size[1]));
  switch (variable) {
    case 'batch':
    case 'head':
    case 'queries':
    case 'keys':
    case 'base':
      return `at.${variable}`;
    case 'i.class':
      return 'at.residue';
    case 'j.class':
      return '0';
    case 'heads':
      return `i32(${shader.uniform('heads', 'u32', { kind: 'shape', name: 'heads' })})`;
    case 'dim':
      return String(target.dim);
    case 'scale':
      return floatLiteral(1 / Math.sqrt(target.dim));
    case 'dot':
    case 'member':
    case 'v':
      return variable;
    default:
      throw new Error(`variable ${variable} has no meaning here`);
  }
}

export function gridSize(shader: Shader, axis: number): string {
  return shader.uniform(`size_${axis}`, 'i32', { kind: 'grid', axis });
}
