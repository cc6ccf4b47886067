import { edgesType } from './attend.js';
import { loopBounds, rowLanes, scoresOf, type Layout } from './layout.js';
import type { Shader } from './shader.js';
import { lines, wgsl } from './wgsl.js';

/** Online softmax over the tile, and the rule for NaN and infinity. */
export function emitSoftmax(shader: Shader, layout: Layout): readonly string[] {
  const { owned, quads, columns, packs } = layout;
  const pack = (n: number, of: (r: number) => string): string => {
    const parts = lines(4, (m) => (4 * n + m < owned ? of(4 * n + m) : '0.0'));
    return `vec4<f32>(${parts.join(', ')})`;
  };
  /** All scores of a row as one vec4, by `join`. */
  const joined = (r: number, join: (a: string, b: string) => string): string =>
    lines(quads, (quad) => scoresOf(layout, r, quad)).reduce(join);
  const top = (r: number): string => `highest_of(${joined(r, (a, b) => `max(${a}, ${b})`)})`;
  const sum = (r: number): string => `sum_of(${joined(r, (a, b) => `${a} + ${b}`)})`;
  const own = (name: string, r: number): string => `${name}_${r >> 2}.${'xyzw'[r & 3]}`;
  return [
    wgsl`
    fn highest_of(x: vec4<f32>) -> f32 {
      return max(max(x.x, x.y), max(x.z, x.w));
    }
    fn sum_of(x: vec4<f32>) -> f32 {
      return (x.x + x.y) + (x.z + x.w);
    }
    // exp(scores - top); exactly 0 for pairs without an edge and scores of -infinity.
    fn weights_of(scores: vec4<f32>, top: f32) -> vec4<f32> {
      return select(vec4<f32>(), exp(scores - top), scores > vec4<f32>(LOWEST));
    }`,
    ...(layout.subgroups ? [nearby(layout, 'highest', 'max'), nearby(layout, 'sum', '+')] : []),
    wgsl`
    // Turns scores into weights relative to the highest score yet, and rescales what was summed before.
    fn update_softmax(${rowLanes(layout).parameter}) {
      ${reduce(
        shader,
        layout,
        'top',
        (n) => pack(n, top),
        (n) => `highest[${n}]`,
        (a, b) => `max(${a}, ${b})`,
      )}
      ${lines(packs, (n) => `let shrink_${n} = exp(highest[${n}] - top_${n});\nhighest[${n}] = top_${n};`)}
      ${lines(owned * quads, (m) => {
        return `scores[${m}] = weights_of(scores[${m}], ${own('top', Math.floor(m / quads))});`;
      })}
      ${lines(packs, (n) => `total[${n}] = total[${n}] * shrink_${n} + ${pack(n, sum)};`)}
      ${lines(owned * columns, (m) => `sums[${m}] *= ${own('shrink', Math.floor(m / columns))};`)}
    }`,
    wgsl`
    // The thread's parts of the sums of weights, added up over the threads of a row.
    fn reduce_totals(${rowLanes(layout).parameter}) {
      workgroupBarrier();
      ${reduce(
        shader,
        layout,
        'all',
        (n) => `total[${n}]`,
        () => 'vec4<f32>()',
        (a, b) => `${a} + ${b}`,
      )}
      ${lines(packs, (n) => `total[${n}] = all_${n};`)}
    }`,
    ...emitPoison(shader, layout),
  ];
}

/**
 * Statements that leave in `NAME_0` … the reduction over the threads of a row of what each of them found: through
 * workgroup memory, or through subgroups as far as they reach.
 */
function reduce(
  shader: Shader,
  layout: Layout,
  name: 'top' | 'all',
  found: (n: number) => string,
  start: (n: number) => string,
  join: (a: string, b: string) => string,
): string {
  const { packs, threads, lanes, subgroups } = layout;
  const bound = loopBounds(shader, layout).lanes;
  const slot = (n: number, thread: string): string =>
    `partial[${n === 0 ? '' : `${n * threads}u + `}${thread}]`;
  const each = (step: string): string => wgsl`
    for (var n = 0u; n < ${bound}; ${step}) {
      ${lines(packs, (n) => `${name}_${n} = ${join(`${name}_${n}`, slot(n, 'first_lane + 2u * n'))};`)}
    }`;
  if (!subgroups) {
    return wgsl`
      ${lines(packs, (n) => `${slot(n, 'lane')} = ${found(n)};`)}
      workgroupBarrier();
      ${lines(packs, (n) => `var ${name}_${n} = ${start(n)};`)}
      ${each('n++')}`;
  }
  const nearby = (n: number): string =>
    name === 'top'
      ? join(start(n), `highest_nearby(${found(n)}, row_lanes)`)
      : `sum_nearby(${found(n)}, row_lanes)`;
  return wgsl`
    ${lines(packs, (n) => `var ${name}_${n} = ${nearby(n)};`)}
    if (row_lanes < ${lanes}u) {
      // The rest of the row is in other subgroups: one thread speaks for each of them.
      ${lines(packs, (n) => `${slot(n, 'lane')} = ${name}_${n};\n${name}_${n} = ${start(n)};`)}
      workgroupBarrier();
      ${each('n += row_lanes')}
    }`;
}

/** `highest_nearby`, `sum_nearby`: over the threads of a row that are in one subgroup (a butterfly). */
function nearby(layout: Layout, name: 'highest' | 'sum', by: 'max' | '+'): string {
  const step = (n: number): string => {
    const other = `subgroupShuffleXor(all, ${2 << n}u)`;
    return wgsl`
      if (row_lanes > ${1 << n}u) {
        all = ${by === 'max' ? `max(all, ${other})` : `all + ${other}`};
      }`;
  };
  return wgsl`
    // The ${name === 'sum' ? 'sum' : 'highest'} over the threads of a row that are in one subgroup: row_lanes of them.
    fn ${name}_nearby(own: vec4<f32>, row_lanes: u32) -> vec4<f32> {
      var all = own;
      ${lines(Math.log2(layout.lanes), step)}
      return all;
    }`;
}

function emitPoison(shader: Shader, layout: Layout): readonly string[] {
  const { held, lanes, across, keepQueries } = layout;
  const { pairs } = loopBounds(shader, layout);
  const edge =
    edgesType(layout) === 'u32' ? '(edges >> n)' : '(select(edges.x, edges.y, n >= 32u) >> (n & 31u))';
  const clear = keepQueries
    ? wgsl`
      // Queries stay as they are, and what is known of them.
      if (lane < 2u) {
        atomicStore(&bad_keys[lane], 0u);
      }
      if (lane == 0u) {
        flagged = select(0u, 1u, (atomicLoad(&bad_queries[0]) | atomicLoad(&bad_queries[1])) != 0u);
      }`
    : wgsl`
      if (lane < 2u) {
        atomicStore(&bad_queries[lane], 0u);
        atomicStore(&bad_keys[lane], 0u);
        flagged = 0u;
      }`;
  return [
    wgsl`
    // Marks the rows that have an edge to a bad key, or are bad and have any edge.
    fn poison_rows() {
      for (var n = 0u; n < ${pairs}; n++) {
        let row = y + ${across}u * (n >> ${Math.log2(held)}u);
        let key = x + ${lanes}u * (n & ${held - 1}u);
        let bad_row = atomicLoad(&bad_queries[row >> 5u]) >> (row & 31u);
        let bad_key = atomicLoad(&bad_keys[key >> 5u]) >> (key & 31u);
        if (((bad_row | bad_key) & ${edge} & 1u) != 0u) {
          atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
        }
      }
    }
    fn is_poisoned(row: u32) -> bool {
      return ((atomicLoad(&poisoned[row >> 5u]) >> (row & 31u)) & 1u) != 0u;
    }
    fn clear_flags() {
      ${clear}
    }`,
  ];
}
