import type { GatherPass } from '../ir/schedule.js';
import {
  emitPairs,
  emitRows,
  storeGathered,
  type GatherKernel,
  type GatherKernelOptions,
} from './gather-rows.js';
import { emitSubgroupGather } from './gather-subgroup.js';
import { mainStart, rowStart } from './place.js';
import { createShader } from './shader.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/**
 * Rows over their own lists of keys, for graphs too sparse for tiles. Within plain WebGPU 16 lanes share a row: each
 * scores a neighbour of its own, then all add up the values of the 16, a few columns each.
 */

const THREADS = 64;
const LANES = 16;
/** Slots of a workgroup. */
export const PORTABLE_GATHER_ROWS = THREADS / LANES;
const ROWS = PORTABLE_GATHER_ROWS;
/** Rows of values on their way at once. */
const UNROLL = 4;

export function emitGatherKernel(
  target: Target,
  pass: GatherPass,
  options: GatherKernelOptions,
): GatherKernel {
  return options.subgroups === true
    ? emitSubgroupGather(target, pass, options)
    : emitPortableGather(target, pass, options);
}

function emitPortableGather(target: Target, pass: GatherPass, options: GatherKernelOptions): GatherKernel {
  const shader = createShader(target);
  const { merge } = options;
  const width = target.dim / 4;
  const valueWidth = target.valueDim / 4;
  const columns = Math.ceil(valueWidth / LANES);
  const offsets = Array.from({ length: columns }, (_, c) => LANES * c);
  const [q, k, v] = [shader.bind('q'), shader.bind('k'), shader.bind('v')];
  const rows = emitRows(shader, target, pass);

  const loadValues = (u: number): string => wgsl`
    let j_${u} = neighbour_rows[${LANES}u * y + n + ${u}u];
    let value_${u} = ${rowStart(shader, 'v', `u32(max(j_${u}, 0))`)};
    ${lines(columns, (c) => `let v_${u}_${c} = read_quad(${v}[value_${u} + column_${c}]);`)}`;
  const addValues = (u: number): string => wgsl`
    if (j_${u} >= 0) {
      let weight = weights[${LANES}u * y + n + ${u}u];
      total += weight;
      bad_value |= ${lines(columns, (c) => `is_bad(v_${u}_${c})`).join(' || ')};
      ${lines(columns, (c) => `sums_${c} += v_${u}_${c} * weight;`)}
    }`;
  const main = wgsl`
    ${mainStart(THREADS).head}
      let x = thread % ${LANES}u;
      let y = thread / ${LANES}u;
      let row = begin_row((group.x + group.y * groups.x) * ${ROWS}u + y);
      let at = row.at;
      let i = row.i;
      ${merge ? 'var before = NEGATIVE_INFINITY_BITS;' : ''}
      if (x == 0u) {
        counts[y] = row.list.count;
        atomicStore(&bad_queries[y], 0u);
        atomicStore(&bad_rows[y], 0u);
      }
      workgroupBarrier();
      if (row.is_there) {
        ${merge ? 'before = lse_before(at, i);' : ''}
        load_query(at, x, y);
      }
      workgroupBarrier();
      if (thread == 0u) {
        most_neighbours = ${lines(ROWS, (n) => `counts[${n}]`).reduce((all, c) => `max(${all}, ${c})`)};
      }
      // All rows of the workgroup take as many steps as the longest.
      let most = workgroupUniformLoad(&most_neighbours);
      ${lines(columns, (c) => `let column_${c} = min(x + ${LANES * c}u, ${valueWidth - 1}u);`)}
      var highest = LOWEST;
      var total = 0.0;
      var bad_value = false;
      ${lines(columns, (c) => `var sums_${c} = vec4<f32>();`)}
      for (var first = 0u; first < most; first += ${LANES}u) {
        let own = score_neighbour(at, i, row.list, first + x, y);
        values[thread] = own.score;
        workgroupBarrier();
        var top = highest;
        for (var n = 0u; n < ${LANES}u; n++) {
          top = max(top, values[${LANES}u * y + n]);
        }
        let shrink = exp(highest - top);
        highest = top;
        weights[thread] = select(0.0, exp(own.score - top), own.score > LOWEST);
        neighbour_rows[thread] = own.j;
        workgroupBarrier();
        total *= shrink;
        ${lines(columns, (c) => `sums_${c} *= shrink;`)}
        let here = min(${LANES}u, max(row.list.count, first) - first);
        for (var n = 0u; n < here; n += ${UNROLL}u) {
          ${lines(UNROLL, loadValues)}
          ${lines(UNROLL, addValues)}
        }
      }
      if (bad_value) {
        atomicStore(&bad_rows[y], 1u);
      }
      workgroupBarrier();
      if (!row.is_there) {
        return;
      }
      let poisoned = atomicLoad(&bad_rows[y]) != 0u;
      ${storeGathered(shader, target, pass, { merge, column: 'x', offsets, most: LANES - 1 })}
    }`;

  const functions = wgsl`
    struct Neighbour {
      // Row of the key; -1 if there is none.
      j: i32,
      score: f32,
    }
    // Scores number n of the list, and marks the row if NaN or infinity reaches it.
    fn score_neighbour(at: Place, i: i32, list: Neighbours, n: u32, y: u32) -> Neighbour {
      if (n >= list.count) {
        return Neighbour(-1, LOWEST);
      }
      let j = neighbour_at(at, i, list, n);
      if (!is_edge(at, i, j)) {
        return Neighbour(-1, LOWEST);
      }
      let key = ${rowStart(shader, 'k', 'u32(j)')};
      var sum = vec4<f32>();
      var bad = atomicLoad(&bad_queries[y]) != 0u;
      for (var d = 0u; d < ${width}u; d++) {
        let value = read_quad(${k}[key + d]);
        bad |= is_bad(value);
        sum += query[${width}u * y + d] * value;
      }
      let result = checked_score(at, (sum.x + sum.y) + (sum.z + sum.w), i, j);
      if (bad || result.is_bad) {
        atomicStore(&bad_rows[y], 1u);
      }
      return Neighbour(j, select(result.value, LOWEST, bad));
    }
    fn load_query(at: Place, x: u32, y: u32) {
      let start = ${rowStart(shader, 'q', 'at.tile')};
      for (var d = x; d < ${width}u; d += ${LANES}u) {
        let value = read_quad(${q}[start + d]);
        if (is_bad(value)) {
          atomicStore(&bad_queries[y], 1u);
        }
        query[${width}u * y + d] = value;
      }
    }`;
  const body = [
    SPECIAL_VALUES,
    wgsl`
    var<workgroup> query: array<vec4<f32>, ${ROWS * width}>;
    // Of ${LANES} neighbours of each row the positions (-1: none), the scores and the weights.
    var<workgroup> neighbour_rows: array<i32, ${THREADS}>;
    var<workgroup> values: array<f32, ${THREADS}>;
    var<workgroup> weights: array<f32, ${THREADS}>;
    var<workgroup> counts: array<u32, ${ROWS}>;
    var<workgroup> most_neighbours: u32;
    // 1 if a row's query, or a key or value that it has an edge to, has NaN or infinity in it.
    var<workgroup> bad_queries: array<atomic<u32>, ${ROWS}>;
    var<workgroup> bad_rows: array<atomic<u32>, ${ROWS}>;`,
    ...rows,
    main,
    functions,
    ...emitPairs(shader, target, pass),
    ...(merge ? [emitReadBefore(shader)] : []),
    ...emitStore(shader, target, { merge, sink: options.sink, columns, step: LANES }),
  ];
  const header = comment(
    `${options.name}: ${ROWS} query rows a workgroup, each over its own keys.\n${pass.sources.join('\n')}`,
  );
  return { text: shader.finish(header, body), shader, threads: THREADS, rows: ROWS };
}
