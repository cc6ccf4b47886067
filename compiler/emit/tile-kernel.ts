import type { TilePass } from '../ir/schedule.js';
import { eachRow, emitAttend, emitBegin, emitProducts, emitState } from './attend.js';
import { boxSegments, emitKeySpaces } from './boxes.js';
import { layoutOf, rowLanes, workgroupBytes, type Layout } from './layout.js';
import { emitPlace, mainStart } from './place.js';
import { emitScores } from './scores.js';
import { createShader, type Shader } from './shader.js';
import { emitLoads } from './stage.js';
import { emitSoftmax } from './softmax.js';
import { emitSpace, keySpaceNames, QUERY_SPACE } from './spaces.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import type { Tiling } from './tiling.js';
import { emitVisit } from './visit.js';
import { comment, lines, wgsl } from './wgsl.js';

/** Flash attention over the tiles of a pass, as one kernel or, for decoding, with the keys split. */

export interface TileKernelOptions {
  readonly name: string;
  readonly tiling: Tiling;
  /** Merge with what (out, lse) hold. */
  readonly merge: boolean;
  readonly sink: boolean;
  /** Write partial results of a part of the keys instead. */
  readonly split: boolean;
}

export function emitTileKernel(
  target: Target,
  pass: TilePass,
  options: TileKernelOptions,
): {
  readonly text: string;
  readonly shader: Shader;
  readonly threads: number;
  /** Bytes of workgroup memory. */
  readonly bytes: number;
} {
  const shader = createShader(target);
  const layout = layoutOf(target, options.tiling);
  const { rows } = layout;
  const lanes = rowLanes(layout).argument;
  const tensors = options.split ? (['q', 'k', 'v'] as const) : (['q', 'k', 'v', 'out', 'lse'] as const);
  const place = emitPlace(shader, target, {
    by: 'tiles',
    rows,
    split: options.split,
    boxes: boxSegments(pass),
    tensors,
  });
  const visit = emitVisit(shader, target, pass, options.split, rows);
  const { head, start } = mainStart(layout.threads, layout.subgroups);
  const hasTile =
    pass.queries.kind === 'grid'
      ? ''
      : wgsl`
        // Classes and heads may have fewer tiles than the most.
        if (i32(at.tile) * ${rows} >= ${QUERY_SPACE.size}(at)) {
          return;
        }`;
  const main = wgsl`
    ${head}
      ${start}
      ${hasTile}
      ${emitBegin(layout)}
      ${visit.begin}
      for (var next = ${visit.next}; next.kind != NO_PAIR; next = ${visit.next}) {
        attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS${lanes && `, ${lanes}`});
      }
      ${options.split ? 'store_parts(at, number' : 'store_rows(at'}${lanes && `, ${lanes}`});
    }`;
  const store = options.split
    ? [emitStoreParts(shader, layout)]
    : [
        ...(options.merge ? [emitReadBefore(shader)] : []),
        emitStoreRows(options.merge, layout),
        ...emitStore(shader, target, {
          merge: options.merge,
          sink: options.sink,
          columns: layout.columns,
          step: layout.lanes,
        }),
      ];
  const body = [
    SPECIAL_VALUES,
    ...emitState(layout),
    ...place,
    main,
    ...visit.functions,
    ...emitSpace(shader, target, pass.queries, QUERY_SPACE, rows),
    ...emitKeySpaces(shader, target, pass),
    emitPlaceKeys(pass),
    emitAttend(shader, layout),
    ...emitLoads(shader, layout),
    ...emitProducts(shader, layout),
    ...emitScores(shader, target, pass.segments, layout),
    ...emitSoftmax(shader, layout),
    ...store,
  ];
  return {
    text: shader.finish(comment(headerOf(pass, options)), body),
    shader,
    threads: layout.threads,
    bytes: workgroupBytes(layout),
  };
}

function headerOf(pass: TilePass, options: TileKernelOptions): string {
  const segments = pass.segments.map((s) => `  keys by ${s.space.name}: ${s.sources.join('; ')}`);
  return [
    `${options.name}: attention over tiles of ${options.tiling.rows} queries and 64 keys${options.split ? ', the keys in parts' : ''}.`,
    `Queries by ${pass.queries.name}.`,
    ...segments,
  ].join('\n');
}

function emitPlaceKeys(pass: TilePass): string {
  const call = (n: number): string => `${keySpaceNames(n).position}(at, tile, r)`;
  const count = pass.segments.length;
  const position = count === 0 ? '-1' : count === 1 ? call(0) : undefined;
  const place =
    position ??
    wgsl`
      switch segment {
        ${lines(count - 1, (n) => `case ${n}u: {\n  j = ${call(n)};\n}`)}
        default: {
          j = ${call(count - 1)};
        }
      }`;
  return wgsl`
    // Finds the positions of a tile's keys.
    fn place_keys(at: Place, segment: u32, tile: i32) {
      if (lane < 64u) {
        let r = i32(lane);
        ${position === undefined ? `var j = -1;\n${place}` : `let j = ${position};`}
        key_positions[lane] = j;
      }
    }`;
}

function emitStoreRows(merge: boolean, layout: Layout): string {
  const { parameter, argument } = rowLanes(layout);
  const before = eachRow(layout, (r, row) => {
    return wgsl`
      let i_${r} = query_positions[${row}];
      var before_${r} = NEGATIVE_INFINITY_BITS;
      if (i_${r} >= 0) {
        before_${r} = lse_before(at, i_${r});
      }`;
  });
  const stores = eachRow(layout, (r, row, highest, total, sums) => {
    const i = merge ? `i_${r}` : `query_positions[${row}]`;
    const args = [highest, total, `is_poisoned(${row})`, ...(merge ? [`before_${r}`] : []), 'x', ...sums];
    return wgsl`
      if (${i} >= 0) {
        store_row(at, ${i}, ${args.join(', ')});
      }`;
  });
  return wgsl`
    // Divides by the sums of weights and writes the tile's rows.
    fn store_rows(at: Place${parameter && `, ${parameter}`}) {
      ${merge ? ['workgroupBarrier();', '// Read by all threads of a row before one of them writes.', ...before] : ''}
      reduce_totals(${argument});
      ${stores}
    }`;
}

function emitStoreParts(shader: Shader, layout: Layout): string {
  const { rows, lanes } = layout;
  const { parameter, argument } = rowLanes(layout);
  const parts = shader.bind('parts', 'read_write');
  const width = layout.valueWidth + 1;
  const stores = eachRow(layout, (r, row, highest, total, sums) => {
    const writes = sums.map((s, n) => {
      const column = n === 0 ? 'x' : `x + ${lanes * n}u`;
      const write = `${parts}[part_${r} + ${column}] = ${s};`;
      return lanes * (n + 1) <= layout.valueWidth
        ? write
        : wgsl`
          if (${column} < ${layout.valueWidth}u) {
            ${write}
          }`;
    });
    return wgsl`
      let part_${r} = (number * ${rows}u + ${row}) * ${width}u;
      ${writes}
      if (x == 0u) {
        let poison = select(0.0, 1.0, is_poisoned(${row}));
        ${parts}[part_${r} + ${layout.valueWidth}u] = vec4<f32>(${highest}, ${total}, poison, 0.0);
      }`;
  });
  return wgsl`
    // Writes what this part of the keys gives: of each row the sums, then the highest score, the total and poison.
    fn store_parts(at: Place, number: u32${parameter && `, ${parameter}`}) {
      reduce_totals(${argument});
      ${stores}
    }`;
}
