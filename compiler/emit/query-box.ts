import type { VariableName } from '../ir/expr.js';
import type { TilePass } from '../ir/schedule.js';
import type { Printer } from './expression.js';
import type { Shader } from './shader.js';
import { gridTileLets, QUERY_SPACE, sizeText } from './spaces.js';
import { printerFor, type Target } from './target.js';
import { wgsl } from './wgsl.js';

/** The box of a query tile, `query_box(at)`: what the tiles that it visits are found from. */

/** Fields of struct `Box`, with the variables that they stand for. */
function boxFields(pass: TilePass): ReadonlyMap<VariableName, string> {
  const fields = new Map<VariableName, string>();
  if (pass.queries.kind === 'grid') {
    pass.queries.tile.forEach((_, n) => {
      fields.set(`i.${n}.lo`, `lo_${n}`);
      fields.set(`i.${n}.hi`, `hi_${n}`);
    });
  } else {
    fields.set('i.lo', 'lo');
    fields.set('i.hi', 'hi');
  }
  return fields;
}

export function emitQueryBox(shader: Shader, target: Target, pass: TilePass, rows: number | string): string {
  const struct = wgsl`
    // First and last ${pass.queries.kind === 'grid' ? 'coordinates' : 'positions'} of a query tile.
    struct Box {
      ${[...boxFields(pass).values()].map((f) => `${f}: i32,`)}
    }`;
  const space = pass.queries;
  if (space.kind === 'grid') {
    const ends = space.tile.flatMap((extent, n) => [
      `tile_${n} * ${extent}`,
      `min(tile_${n} * ${extent} + ${extent}, ${sizeText(space.sizes[n], shader, target)}) - 1`,
    ]);
    return wgsl`
      ${struct}
      fn query_box(at: Place) -> Box {
        let tile = i32(at.tile);
        ${gridTileLets(space, shader, target)}
        return Box(${ends.join(', ')});
      }`;
  }
  return wgsl`
    ${struct}
    fn query_box(at: Place) -> Box {
      let first = i32(at.tile) * ${rows};
      let last = min(first + ${typeof rows === 'number' ? rows - 1 : `${rows} - 1`}, ${QUERY_SPACE.size}(at) - 1);
      return Box(${QUERY_SPACE.at}(at, first), ${QUERY_SPACE.at}(at, last));
    }`;
}

/** A printer for functions that have `at: Place` and `box: Box`, and `j_lo` … of a key tile. */
export function boxPrinter(shader: Shader, target: Target): Printer {
  return printerFor(shader, target, (name) => {
    const own = /^i\.(?:(\d+)\.)?(lo|hi)$/.exec(name);
    if (own) return own[1] === undefined ? `box.${own[2]}` : `box.${own[2]}_${own[1]}`;
    return /^j\.(\d+\.)?(lo|hi)$/.test(name) ? name.replaceAll('.', '_') : undefined;
  });
}
