import type { Expr } from '../ir/expr.js';
import { passMentions } from '../ir/plan.js';
import type { TilePass } from '../ir/schedule.js';
import { strideField, type PlacedTensor } from './place.js';
import type { Shader } from './shader.js';
import { variablesOf } from './expression.js';
import { wgsl } from './wgsl.js';

/** Rows of several heads in one workgroup: see Kernel.pack. */

/** May heads share workgroups? Only if the tiles to visit and the spaces' positions are the same for all of them. */
export function headsAlike(pass: TilePass): boolean {
  const more = pass.segments.flatMap((s): readonly Expr[] =>
    (s.intervals ?? []).flatMap((x) => [...x.lo, ...x.hi]),
  );
  const classes = pass.queries.kind === 'line' ? [pass.queries.classes] : [];
  return !passMentions(pass, 'head') && !variablesOf([...more, ...classes]).has('head');
}

/** Number of query coordinates of a tile, in WGSL. */
export const packedQueries = (shader: Shader): string =>
  `i32(${shader.uniform('pack_queries', 'u32', { kind: 'pack', part: 'queries' })})`;

/** Number of sets of rows of a workgroup, in WGSL. */
export const packedSets = (shader: Shader): string =>
  shader.uniform('pack_sets', 'u32', { kind: 'pack', part: 'sets' });

/** `find_row(at, r)`: row r of a workgroup, heads fastest. */
export function emitFindRow(shader: Shader, tensors: readonly PlacedTensor[]): string {
  const heads = shader.uniform('pack_heads', 'u32', { kind: 'pack', part: 'heads' });
  const shape = (name: 'heads' | 'key_heads' | 'first_head'): string =>
    shader.uniform(name, 'u32', { kind: 'shape', name });
  return wgsl`
    // A row of a workgroup: the place of its head, and its position; -1 if there is none.
    struct Row {
      place: Place,
      i: i32,
    }
    fn find_row(at: Place, r: u32) -> Row {
      var row = Row(at, -1);
      let further = r % ${heads};
      let query = i32(r / ${heads});
      let sharers = ${shape('heads')} / ${shape('key_heads')};
      // The last block of a key head may have fewer heads.
      if (query < ${packedQueries(shader)} && (u32(at.head) - ${shape('first_head')}) % sharers + further < sharers) {
        row.place.head += i32(further);
        ${tensors.map((t) => `row.place.${t}_start += further * ${strideField(shader, t, 'head')};`)}
        row.i = query_position(at, i32(at.tile), query);
      }
      return row;
    }`;
}
