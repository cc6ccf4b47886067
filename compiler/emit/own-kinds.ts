import type { TilePass } from '../ir/schedule.js';
import type { MatrixLayout } from './matrix-layout.js';
import type { Shader } from './shader.js';
import { gridTileLets, QUERY_SPACE, sizeText } from './spaces.js';
import type { Target } from './target.js';
import { emitKindOf } from './visit.js';
import { lines, wgsl } from './wgsl.js';

/**
 * What of a workgroup's keys are for the rows of one of its subgroups: `own_kind`, the question of `tile_kind` asked of
 * fewer rows and fewer keys, so that large tiles compute no more than small ones.
 */

/** Can kernels ask? Not where tables decide, nor of keys by aligned tiles of a grid. */
export const refines = (pass: TilePass): boolean =>
  pass.plan === 'kernel' && pass.segments.length > 0 && pass.segments.every((s) => s.space.kind !== 'grid');

/** `rows_box(at, first_row)` and `own_kind(at, box, segment, first)`, of a chunk of keys from coordinate `first` on. */
export function emitOwnKinds(
  shader: Shader,
  target: Target,
  pass: TilePass,
  layout: MatrixLayout,
): readonly string[] {
  const last = pass.segments.length - 1;
  const call = (n: number): string => `return own_kind_${n}(at, box, first);`;
  return [
    emitRowsBox(shader, target, pass, layout),
    ...pass.segments.map((s, n) => emitKindOf(shader, target, s, n, 'own_kind', layout.chunk)),
    wgsl`
    // Which pairs of some rows and the keys from a coordinate on are edges?
    fn own_kind(at: Place, box: Box, segment: u32, first: i32) -> u32 {
      ${
        last <= 0
          ? call(0)
          : wgsl`
            switch segment {
              ${lines(last, (n) => `case ${n}u: {\n  ${call(n)}\n}`)}
              default: {
                ${call(last)}
              }
            }`
      }
    }`,
  ];
}

function emitRowsBox(
  shader: Shader,
  target: Target,
  pass: TilePass,
  { rows, ownRows }: MatrixLayout,
): string {
  const space = pass.queries;
  const header = `// First and last ${space.kind === 'grid' ? 'coordinates' : 'positions'} of ${ownRows} rows of a query tile.`;
  if (space.kind !== 'grid') {
    return wgsl`
      ${header}
      fn rows_box(at: Place, first_row: i32) -> Box {
        let end = ${QUERY_SPACE.size}(at) - 1;
        let first = min(i32(at.tile) * ${rows} + first_row, end);
        return Box(${QUERY_SPACE.at}(at, first), ${QUERY_SPACE.at}(at, min(first + ${ownRows - 1}, end)));
      }`;
  }
  // Rows are numbered row-major over the tile: along an axis they have one place, some, or all.
  const ends = space.tile.flatMap((extent, n) => {
    const inner = space.tile.slice(n + 1).reduce((a, b) => a * b, 1);
    const count = Math.min(extent, Math.max(1, Math.floor(ownRows / inner)));
    const at = count === extent ? '' : ` + first_row / ${inner} % ${extent}`;
    const first = `tile_${n} * ${extent}${at}`;
    return [first, `min(${first} + ${count}, ${sizeText(space.sizes[n], shader, target)}) - 1`];
  });
  return wgsl`
    ${header}
    fn rows_box(at: Place, first_row: i32) -> Box {
      let tile = i32(at.tile);
      ${gridTileLets(space, shader, target)}
      return Box(${ends.join(', ')});
    }`;
}
