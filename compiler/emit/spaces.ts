import { TILE, type GridSpace, type LineSpace, type ListSpace, type QuerySpace } from '../ir/schedule.js';
import type { Expr } from '../ir/expr.js';
import { printAll, printReturn } from './expression.js';
import type { Shader } from './shader.js';
import { printerFor, type Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/**
 * Index spaces in WGSL. For the query side `query_position(at, tile, r)`, for segment S of the keys
 * `key_position_S(at, tile, r)`: the position of coordinate r of a tile, −1 where there is none.
 */

/** Prefix of a space's functions: `query` or `key_0`, … */
export interface SpaceNames {
  readonly size: string;
  readonly position: string;
  readonly at: string;
}

export const QUERY_SPACE: SpaceNames = {
  size: 'query_size',
  position: 'query_position',
  at: 'query_at',
};

export const keySpaceNames = (segment: number): SpaceNames => ({
  size: `key_size_${segment}`,
  position: `key_position_${segment}`,
  at: `key_at_${segment}`,
});

export function emitSpace(
  shader: Shader,
  target: Target,
  space: QuerySpace,
  names: SpaceNames,
  tile: number | string,
): readonly string[] {
  switch (space.kind) {
    case 'line':
      return emitLine(shader, target, space, names, tile);
    case 'list':
      return emitList(shader, space, names, tile);
    case 'grid':
      return [emitGrid(shader, target, space, names)];
  }
}

/** Functions `size` and `at` (position of a coordinate), and `position` made of them. */
function emitLine(
  shader: Shader,
  target: Target,
  space: LineSpace,
  names: SpaceNames,
  tile: number | string,
): readonly string[] {
  const printer = printerFor(shader, target, (name) => (name === 'v' ? 'v' : undefined));
  const size = wgsl`
    fn ${names.size}(at: Place) -> i32 {
      ${printReturn(space.size, printer)}
    }`;
  const at = wgsl`
    fn ${names.at}(at: Place, v: i32) -> i32 {
      ${printReturn(space.position, printer)}
    }`;
  return [
    wgsl`
    ${comment(`Index space ${space.name}: number of coordinates, and the position of coordinate v.`)}
    ${size}
    ${at}`,
    positionFunction(names, tile),
  ];
}

function emitList(
  shader: Shader,
  space: ListSpace,
  names: SpaceNames,
  tile: number | string,
): readonly string[] {
  const plan = shader.bind('plan');
  const part = (p: 'offsets' | 'values'): string =>
    shader.uniform(`list_${space.list}_${p}`, 'u32', { kind: 'plan', part: `list.${space.list}.${p}` });
  return [
    planEntry(shader),
    wgsl`
    // Positions that the host listed: how many, and number v of them.
    fn ${names.size}(at: Place) -> i32 {
      let entry = ${part('offsets')} + plan_entry(at);
      return i32(${plan}[entry + 1u] - ${plan}[entry]);
    }
    fn ${names.at}(at: Place, v: i32) -> i32 {
      let first = ${plan}[${part('offsets')} + plan_entry(at)];
      return i32(${plan}[${part('values')} + first + u32(v)]);
    }`,
    positionFunction(names, tile),
  ];
}

/** `plan_entry`: the entry of a list, or the first of a plan row, that belongs to a batch and head. */
export function planEntry(shader: Shader): string {
  shader.helper('plan_entry', () => {
    const flag = (part: 'by_batch' | 'by_head'): string =>
      shader.uniform(part, 'u32', { kind: 'plan', part });
    const shape = (name: 'heads' | 'first_batch' | 'first_head'): string =>
      shader.uniform(name, 'u32', { kind: 'shape', name });
    return wgsl`
      // Number of the batch and head among those for which the plan differs.
      fn plan_entry(at: Place) -> u32 {
        let batch = (u32(at.batch) - ${shape('first_batch')}) * ${flag('by_batch')};
        let head = (u32(at.head) - ${shape('first_head')}) * ${flag('by_head')};
        return batch * select(1u, ${shape('heads')}, ${flag('by_head')} != 0u) + head;
      }`;
  });
  return '';
}

function positionFunction(names: SpaceNames, tile: number | string): string {
  return wgsl`
    // Position of coordinate r of a tile; -1 where there is none.
    fn ${names.position}(at: Place, tile: i32, r: i32) -> i32 {
      let v = tile * ${tile} + r;
      if (v >= ${names.size}(at)) {
        return -1;
      }
      return ${names.at}(at, v);
    }`;
}

/** WGSL of a grid's size along an axis, inside a function with `at`. */
export function sizeText(e: Expr, shader: Shader, target: Target): string {
  return printAll([e], printerFor(shader, target)).values[0];
}

/** Number of tiles along an axis. */
export function tilesAlong(space: GridSpace, axis: number, shader: Shader, target: Target): string {
  const extent = space.tile[axis];
  const size = sizeText(space.sizes[axis], shader, target);
  return extent === 1 ? size : `((${size} + ${extent - 1}) / ${extent})`;
}

/** Statements that give `tile_0`, `tile_1`, …: a tile's place among the grid's tiles, from its number `tile`. */
export function gridTileLets(space: GridSpace, shader: Shader, target: Target): readonly string[] {
  const last = space.tile.length - 1;
  const out: string[] = [];
  let rest = 'tile';
  for (let n = last; n > 0; n--) {
    const count = tilesAlong(space, n, shader, target);
    out.push(`let tile_${n} = ${rest} % ${count};`);
    if (n > 1) out.push(`let rest_${n} = ${rest} / ${count};`);
    else out.push(`let tile_0 = ${rest} / ${count};`);
    rest = `rest_${n}`;
  }
  return last === 0 ? ['let tile_0 = tile;'] : out;
}

/** Position of the cell at `x_0`, `x_1`, …, inside a function with `at`. */
export function flattened(sizes: readonly Expr[], shader: Shader, target: Target): string {
  return sizes.reduce(
    (p, s, n) => (n === 0 ? 'x_0' : `${n === 1 ? p : `(${p})`} * ${sizeText(s, shader, target)} + x_${n}`),
    '',
  );
}

function emitGrid(shader: Shader, target: Target, space: GridSpace, names: SpaceNames): string {
  const axes = space.tile.length;
  const sizes = space.sizes.map((s) => sizeText(s, shader, target));
  const cell = lines(axes, (n) => {
    const inner = space.tile.slice(n + 1).reduce((a, b) => a * b, 1);
    const divided = inner === 1 ? 'r' : `r / ${inner}`;
    const own = n === 0 ? `(${divided})` : `(${divided}) % ${space.tile[n]}`;
    return `let x_${n} = tile_${n} * ${space.tile[n]} + ${inner === 1 && n === 0 ? 'r' : own};`;
  });
  const outside = lines(axes, (n) => `x_${n} >= ${sizes[n]}`).join(' || ');
  return wgsl`
    ${comment(`Index space ${space.name}: position of cell r of a tile; -1 where there is none.`)}
    fn ${names.position}(at: Place, tile: i32, r: i32) -> i32 {
      ${gridTileLets(space, shader, target)}
      ${cell}
      if (${outside}) {
        return -1;
      }
      return ${flattened(space.sizes, shader, target)};
    }`;
}

/** Number of tiles of a space that has one axis. */
export const KEY_TILE = TILE;
