import type { TilePass } from '../ir/schedule.js';
import { keySpaceNames } from './spaces.js';
import { lines, wgsl } from './wgsl.js';

/** `key_position(at, segment, tile, r)`: the position of key r of a segment's tile, -1 where there is none. */
export function emitKeySwitch(pass: TilePass): string {
  const call = (n: number): string => `${keySpaceNames(n).position}(at, tile, r)`;
  const count = pass.segments.length;
  const body =
    count === 0
      ? 'return -1;'
      : count === 1
        ? `return ${call(0)};`
        : wgsl`
          switch segment {
            ${lines(count - 1, (n) => `case ${n}u: {\n  return ${call(n)};\n}`)}
            default: {
              return ${call(count - 1)};
            }
          }`;
  return wgsl`
    fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
      ${body}
    }`;
}
