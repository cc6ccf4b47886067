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

/** Do the expressions mention grid coordinates, and few enough of them for a vec4? */
export const usesPlaces = (target: Target, roots: readonly Expr[]): boolean =>
  target.axes <= 4 && [...variablesOf(roots)].some((name) => /^[ij]\.\d+$/.test(name));

/** Is there room in a place to say that there is no key? Then `w` is negative. */
export const marksPlaces = (target: Target): boolean => target.axes < 4;

/** `grid_place(position)`: all coordinates, for kernels that find them once for each row and key. */
export function emitGridPlace(shader: Shader, target: Target): string {
  const all = Array.from({ length: 4 }, (_, n) =>
    n < target.axes ? coordinate(shader, target.axes, n, 'position') : n === 3 ? 'min(position, 0)' : '0',
  );
  return wgsl`
    // The grid coordinates of a position${marksPlaces(target) ? '; w is -1 where there is none' : ''}.
    fn grid_place(position: i32) -> vec4<i32> {
      return vec4<i32>(${all.join(', ')});
    }`;
}

/** `let i_0 = …` out of `i_place` and `j_place`, as `grid_place` gives them. */
export const placeLets = (roots: readonly Expr[]): readonly string[] =>
  [...variablesOf(roots)]
    .filter((name) => /^[ij]\.\d+$/.test(name))
    .sort()
    .map((name) => `let ${name.replace('.', '_')} = ${name[0]}_place.${'xyzw'[Number(name.slice(2))]};`);

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
