import type { Expr } from '../ir/expr.js';
import { variablesOf } from './expression.js';
import type { Shader } from './shader.js';
import { gridSize, type Target } from './target.js';
import { wgsl } from './wgsl.js';

/** Grid coordinates of positions. */

/** `let i_0 = …` for the grid coordinates that expressions mention, where `i` and `j` are at hand. */
export function coordinateLets(shader: Shader, target: Target, roots: readonly Expr[]): readonly string[] {
  return [...variablesOf(roots)]
    .filter((name) => /^[ij]\.\d+$/.test(name))
    .sort()
    .map((name) => {
      const [side, axis] = name.split('.');
      return `let ${side}_${axis} = ${coordinate(shader, target.axes, Number(axis), side)};`;
    });
}

function coordinate(shader: Shader, axes: number, axis: number, position: string): string {
  const name = shader.helper(`grid_coordinate_${axis}`, () => {
    const later = Array.from({ length: axes - axis - 1 }, (_, n) => gridSize(shader, axis + 1 + n));
    const stride = later.join(' * ');
    const divided =
      later.length === 0 ? 'position' : `position / ${later.length > 1 ? `(${stride})` : stride}`;
    return wgsl`
      fn grid_coordinate_${axis}(position: i32) -> i32 {
        return ${axis === 0 ? divided : `${divided} % ${gridSize(shader, axis)}`};
      }`;
  });
  return `${name}(${position})`;
}
