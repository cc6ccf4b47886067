import type { GatherPass } from '../ir/schedule.js';
import { coordinateLets } from './coordinates.js';
import { printAll, printReturn } from './expression.js';
import { inputPart, rowPointer } from './inputs.js';
import { emitPlace, mainStart, rowStart } from './place.js';
import { scoreFunction } from './scores.js';
import { createShader, type Shader } from './shader.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import { pairName, printerFor, type Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/** One query row a workgroup, over its own list of keys: for graphs too sparse for tiles. */

export interface GatherKernelOptions {
  readonly name: string;
  readonly merge: boolean;
  readonly sink: boolean;
}

const THREADS = 64;

export function emitGatherKernel(
  target: Target,
  pass: GatherPass,
  options: GatherKernelOptions,
): { readonly text: string; readonly shader: Shader; readonly threads: number } {
  const shader = createShader();
  const tensors = ['q', 'k', 'v', 'out', 'lse'] as const;
  const place = emitPlace(shader, target, { by: 'rows', rows: 1, split: false, tensors });
  const width = target.dim / 4;
  const valueWidth = target.valueDim / 4;
  // Threads of a group own one column each; the groups take turns at the keys.
  const groupSize = 2 ** Math.ceil(Math.log2(valueWidth));
  const groups = THREADS / groupSize;
  const [q, k, v] = [shader.bind('q'), shader.bind('k'), shader.bind('v')];
  const { head, start } = mainStart(THREADS);

  const main = wgsl`
    ${head}
      ${start}
      if (i32(at.tile) >= at.queries) {
        return;
      }
      let i = at.base + i32(at.tile);
      ${options.merge ? 'let before = lse_before(at, i);' : ''}
      if (thread == 0u) {
        atomicStore(&bad_query, 0u);
        atomicStore(&bad_values, 0u);
      }
      workgroupBarrier();
      load_query(at, thread);
      workgroupBarrier();
      let list = neighbours(at, i);
      let column = thread % ${groupSize}u;
      let group_of_keys = thread / ${groupSize}u;
      var highest = LOWEST;
      var total = 0.0;
      var sum = vec4<f32>();
      for (var first = 0u; first < list.count; first += ${THREADS}u) {
        let own = score_neighbour(at, i, list, first + thread);
        neighbour_rows[thread] = own.j;
        values[thread] = own.score;
        workgroupBarrier();
        var top = highest;
        for (var n = 0u; n < ${THREADS}u; n++) {
          top = max(top, values[n]);
        }
        let shrink = exp(highest - top);
        highest = top;
        let weight = select(0.0, exp(own.score - top), own.score > LOWEST);
        total = total * shrink + weight;
        sum *= shrink;
        workgroupBarrier();
        values[thread] = weight;
        workgroupBarrier();
        if (column < ${valueWidth}u) {
          for (var n = group_of_keys; n < ${THREADS}u; n += ${groups}u) {
            let j = neighbour_rows[n];
            if (j >= 0) {
              sum += load_value(at, j, column) * values[n];
            }
          }
        }
        workgroupBarrier();
      }
      // Add up over all threads, and over the groups that share a column.
      values[thread] = total;
      group_sums[thread] = sum;
      workgroupBarrier();
      if (thread >= ${valueWidth}u) {
        return;
      }
      total = 0.0;
      for (var n = 0u; n < ${THREADS}u; n++) {
        total += values[n];
      }
      ${lines(groups - 1, (n) => `sum += group_sums[thread + ${groupSize * (n + 1)}u];`)}
      let poisoned = atomicLoad(&bad_values) != 0u;
      store_row(at, i, highest, total, poisoned, ${options.merge ? 'before, ' : ''}thread, sum);
    }`;

  const neighbour = wgsl`
    struct Neighbour {
      // Row of the key; -1 if there is none.
      j: i32,
      score: f32,
    }
    // Scores number n of the list, and marks the row if NaN or infinity reaches it.
    fn score_neighbour(at: Place, i: i32, list: Neighbours, n: u32) -> Neighbour {
      if (n >= list.count) {
        return Neighbour(-1, LOWEST);
      }
      let j = neighbour_at(at, i, list, n);
      if (j < 0 || j >= at.keys || !keep(at, i, j)) {
        return Neighbour(-1, LOWEST);
      }
      let key = ${rowStart(shader, 'k', 'u32(j)')};
      var sum = vec4<f32>();
      var bad = atomicLoad(&bad_query) != 0u;
      for (var d = 0u; d < ${width}u; d++) {
        let value = read_quad(${k}[key + d]);
        bad |= is_bad(value);
        sum += query[d] * value;
      }
      let result = score(at, (sum.x + sum.y) + (sum.z + sum.w), i, j);
      let bits = bitcast<u32>(result);
      let special = (bits & INFINITY_BITS) == INFINITY_BITS;
      if (bad || (special && bits != NEGATIVE_INFINITY_BITS)) {
        atomicStore(&bad_values, 1u);
      }
      return Neighbour(j, select(result, LOWEST, bad || special));
    }`;
  const loads = wgsl`
    // Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
    fn is_bad(value: vec4<f32>) -> bool {
      let exponent = vec4<u32>(INFINITY_BITS);
      return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
    }
    fn load_query(at: Place, thread: u32) {
      if (thread < ${width}u) {
        let value = read_quad(${q}[${rowStart(shader, 'q', 'at.tile')} + thread]);
        if (is_bad(value)) {
          atomicStore(&bad_query, 1u);
        }
        query[thread] = value;
      }
    }
    fn load_value(at: Place, j: i32, column: u32) -> vec4<f32> {
      let value = read_quad(${v}[${rowStart(shader, 'v', 'u32(j)')} + column]);
      if (is_bad(value)) {
        atomicStore(&bad_values, 1u);
        return vec4<f32>();
      }
      return value;
    }`;
  const body = [
    SPECIAL_VALUES,
    wgsl`
    var<workgroup> query: array<vec4<f32>, ${width}>;
    // Of ${THREADS} keys the rows (-1: none), and the scores or weights.
    var<workgroup> neighbour_rows: array<i32, ${THREADS}>;
    var<workgroup> values: array<f32, ${THREADS}>;
    var<workgroup> group_sums: array<vec4<f32>, ${THREADS}>;
    // 1 if the query, or a key or value with an edge, has NaN or infinity in it.
    var<workgroup> bad_query: atomic<u32>;
    var<workgroup> bad_values: atomic<u32>;`,
    ...place,
    main,
    ...emitNeighbours(shader, target, pass),
    neighbour,
    wgsl`
    ${comment(pass.sources.join('\n'))}
    fn keep(at: Place, i: i32, j: i32) -> bool {
      ${coordinateLets(shader, target, [pass.keep])}
      ${printReturn(pass.keep, printerFor(shader, target))}
    }`,
    scoreFunction(shader, target),
    loads,
    ...(options.merge ? [emitReadBefore(shader)] : []),
    ...emitStore(shader, target, { merge: options.merge, sink: options.sink, columns: 1, step: THREADS }),
  ];
  const header = comment(
    `${options.name}: one query row a workgroup, over its own keys.\n${pass.sources.join('\n')}`,
  );
  return { text: shader.finish(header, body), shader, threads: THREADS };
}

function emitNeighbours(shader: Shader, target: Target, pass: GatherPass): readonly string[] {
  const { neighbours } = pass;
  const struct = wgsl`
    struct Neighbours {
      count: u32,
      // Number of the first among all columns of the graph.
      first: u32,
    }`;
  switch (neighbours.kind) {
    case 'graph': {
      const exprs = [neighbours.batch, neighbours.head, neighbours.row];
      const { lets, values } = printAll(exprs, printerFor(shader, target));
      const tables = shader.bind('tables');
      const { input } = neighbours;
      return [
        wgsl`
        ${struct}
        // The columns of the row's place in the graph ${input}.
        fn neighbours(at: Place, i: i32) -> Neighbours {
          ${coordinateLets(shader, target, exprs)}
          ${lets}
          let row = ${values[2]};
          if (u32(row) >= ${inputPart(shader, input, 'rows')}) {
            return Neighbours(0u, 0u);
          }
          let pointer = ${rowPointer(shader, input, values[0], values[1], 'row')};
          let first = ${tables}[pointer];
          return Neighbours(${tables}[pointer + 1u] - first, first);
        }
        fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
          return bitcast<i32>(${tables}[${inputPart(shader, input, 'col_idx')} + list.first + n]);
        }`,
      ];
    }
    case 'family': {
      const printer = printerFor(shader, target, (name) => (name === 'member' ? 'member' : pairName(name)));
      return [
        wgsl`
        ${struct}
        fn neighbours(at: Place, i: i32) -> Neighbours {
          ${coordinateLets(shader, target, [neighbours.count])}
          ${printAll([neighbours.count], printer).lets}
          return Neighbours(u32(max(${printAll([neighbours.count], printer).values[0]}, 0)), 0u);
        }
        fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
          let member = i32(n);
          ${coordinateLets(shader, target, [neighbours.position])}
          ${printReturn(neighbours.position, printer)}
        }`,
      ];
    }
  }
}
