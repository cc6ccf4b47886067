import type { Space, TilePass } from '../ir/schedule.js';
import { cellLets } from './boxes.js';
import { keySpaceNames } from './spaces.js';
import { lines, wgsl } from './wgsl.js';

/** Positions of a tile's keys, for kernels whose threads need them one by one. */

/** Are the space's positions evenly spaced? Then a tile needs no divisions and no branches for each of its keys. */
const isAffine = (space: Space): boolean =>
  space.kind === 'line' && /^(rows|lattice|interval)/.test(space.name);

/** A function's body with one case for each segment. */
function overSegments(pass: TilePass, one: (n: number) => string): string {
  const last = pass.segments.length - 1;
  if (last < 0) return 'return -1;';
  if (last === 0) return one(0);
  return wgsl`
    switch segment {
      ${lines(last, (n) => `case ${n}u: {\n${one(n)}\n}`)}
      default: {
        ${one(last)}
      }
    }`;
}

/** `key_position(at, segment, tile, r)`: the position of key r of a segment's tile, -1 where there is none. */
export function emitKeySwitch(pass: TilePass): string {
  return wgsl`
    fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
      ${overSegments(pass, (n) => `return ${keySpaceNames(n).position}(at, tile, r);`)}
    }`;
}

/** `key_place(at, segment, tile, r)`: the grid coordinates of key r of a segment's tile; see `marksPlaces`. */
export function emitKeyPlaces(pass: TilePass): string {
  const one = (n: number): string => {
    const { space } = pass.segments[n];
    const { position } = keySpaceNames(n);
    if (space.kind !== 'box') return `return grid_place(${position}(at, tile, r));`;
    const none = `select(-1, 0, v < ${keySpaceNames(n).size}(at))`;
    const places = lines(4, (axis) => (axis < space.sizes.length ? `x_${axis}` : axis === 3 ? none : '0'));
    return wgsl`
      let v = tile * 64 + r;
      ${cellLets(space, n)}
      return vec4<i32>(${places.join(', ')});`;
  };
  return wgsl`
    fn key_place(at: Place, segment: u32, tile: i32, r: i32) -> vec4<i32> {
      ${overSegments(pass, one)}
    }`;
}

/** `key_parts(at, segment, tile)`: how many parts of so many keys a tile has; past the last cell of a box there are none. */
export function emitKeyParts(pass: TilePass, keys: number): string {
  const one = (n: number): string =>
    pass.segments[n].space.kind === 'box'
      ? `return min((u32(${keySpaceNames(n).size}(at) - tile * 64) + ${keys - 1}u) / ${keys}u, ${64 / keys}u);`
      : `return ${64 / keys}u;`;
  return wgsl`
    fn key_parts(at: Place, segment: u32, tile: i32) -> u32 {
      ${overSegments(pass, one)}
    }`;
}

/** Are all the pass's keys evenly spaced? Then `key_line` serves. */
export const hasKeyLines = (pass: TilePass): boolean =>
  pass.segments.length > 0 && pass.segments.every((s) => isAffine(s.space));

/** `key_line(at, segment, tile)`: three numbers that give the positions of all of a tile's keys. */
export function emitKeyLines(pass: TilePass): string {
  const one = (n: number): string => {
    const { at, size } = keySpaceNames(n);
    return wgsl`
      let a = ${at}(at, first);
      return vec3<i32>(a, ${at}(at, first + 1) - a, ${size}(at) - first);`;
  };
  return wgsl`
    // From a tile's first key on: its position, the step to the next, and how many keys there are.
    fn key_line(at: Place, segment: u32, tile: i32) -> vec3<i32> {
      let first = tile * 64;
      ${overSegments(pass, one)}
    }`;
}
