import type { InputDeclaration, Mix, ParameterDeclaration } from '../ir/edges.js';
import type { Expr, VariableName } from '../ir/expr.js';
import type { Pass, Schedule } from '../ir/schedule.js';
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
  /** Compute with the keys at hand, and add to what is in (out, lse): see Program.windows. */
  readonly windows: boolean;
}

/** Does the pass add to what is in (out, lse) already, rather than set it? */
export const mergesInto = ({ windows }: Target, { passes }: Schedule, pass: Pass): boolean =>
  windows || pass !== passes[0] || !pass.complete;

/** Do the kernels of the schedule's pass add the sink as they store, so that no kernel of its own has to? */
export const addsSink = ({ windows, mix }: Target, { passes }: Schedule): boolean =>
  mix.sink !== undefined && !windows && passes.length === 1 && passes[0].complete;

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
    case 'rows':
    case 'first':
      return `at.${variable}`;
    case 'window.lo':
    case 'window.hi':
      return keyWindow(shader, variable === 'window.lo' ? 'lo' : 'hi');
    case 'i.class':
      return 'at.residue';
    case 'j.class':
      return '0';
    case 'heads':
      return `i32(${shader.uniform('all_heads', 'u32', { kind: 'shape', name: 'all_heads' })})`;
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

/** First key at hand, or one past the last. */
export function keyWindow(shader: Shader, end: 'lo' | 'hi'): string {
  const name = `window_${end}` as const;
  return shader.uniform(name, 'i32', { kind: 'shape', name });
}

export function gridSize(shader: Shader, axis: number): string {
  return shader.uniform(`size_${axis}`, 'i32', { kind: 'grid', axis });
}
