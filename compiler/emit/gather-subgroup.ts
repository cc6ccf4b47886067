import type { GatherPass } from '../ir/schedule.js';
import {
  emitPairs,
  emitRows,
  storeGathered,
  type GatherKernel,
  type GatherKernelOptions,
} from './gather-rows.js';
import { mainStart, rowStart } from './place.js';
import { createShader } from './shader.js';
import { emitReadBefore, emitStore, SPECIAL_VALUES } from './store.js';
import type { Target } from './target.js';
import { comment, lines, wgsl } from './wgsl.js';

/**
 * Gathers with subgroups: 4 lanes share a row, which fits in subgroups of any size. They take turns at its columns, 8 of
 * them (16 bytes of f16) at a time, and see `unroll` neighbours at once, whose keys and values are on their way together.
 * Scores are added up over the lanes; all else they do alike, with neither workgroup memory nor barriers.
 */

export const GATHER_DIRECTIVES = ['enable subgroups;', 'diagnostic(off, subgroup_uniformity);'].join('\n');

const THREADS = 128;
const LANES = 4;
/** Columns that a lane reads at once. */
const OCTET = 8;
/** Octets of keys that a lane has on their way, and as many of values; neighbours at most. */
const IN_FLIGHT = 8;
const MOST_UNROLL = 4;

const OCTETS = { type: 'array<Oct>', components: OCTET } as const;

export function emitSubgroupGather(
  target: Target,
  pass: GatherPass,
  options: GatherKernelOptions,
): GatherKernel {
  const shader = createShader(target, { types: { q: OCTETS, k: OCTETS, v: OCTETS } });
  const { merge } = options;
  const [keyOctets, valueOctets] = [target.dim / OCTET, target.valueDim / OCTET];
  const [keys, values] = [Math.ceil(keyOctets / LANES), Math.ceil(valueOctets / LANES)];
  const unroll = Math.max(1, Math.min(MOST_UNROLL, Math.floor(IN_FLIGHT / Math.max(keys, values))));
  // A lane's vec4s of values: pairs, from 2 · lane on.
  const offsets = Array.from({ length: 2 * values }, (_, n) => 2 * LANES * (n >> 1) + (n & 1));
  const [q, k, v] = [shader.bind('q'), shader.bind('k'), shader.bind('v')];
  const rows = emitRows(shader, target, pass);

  // Columns past the last are read as the last: for keys the query is 0 there, and of values they are not stored.
  const octet = (n: number, count: number): string =>
    LANES * (n + 1) <= count ? `lane + ${LANES * n}u` : `min(lane + ${LANES * n}u, ${count - 1}u)`;
  const loadQuery = (n: number): string => {
    const low = `read_low(${q}[query_start + ${octet(n, keyOctets)}])`;
    const high = `read_high(${q}[query_start + ${octet(n, keyOctets)}])`;
    return LANES * (n + 1) <= keyOctets
      ? wgsl`
        let q_${n}_low = ${low};
        let q_${n}_high = ${high};`
      : wgsl`
        let q_${n}_low = select(vec4<f32>(), ${low}, lane + ${LANES * n}u < ${keyOctets}u);
        let q_${n}_high = select(vec4<f32>(), ${high}, lane + ${LANES * n}u < ${keyOctets}u);`;
  };
  const load = (u: number): string => wgsl`
    let j_${u} = neighbour_at(at, i, list, min(n + ${u}u, last));
    // What is no edge is read from some row, but not used.
    let row_${u} = u32(max(0, min(j_${u}, at.keys - 1)));
    let key_${u} = ${rowStart(shader, 'k', `row_${u}`)};
    let value_${u} = ${rowStart(shader, 'v', `row_${u}`)};
    ${lines(keys, (c) => `let k_${u}_${c} = ${k}[key_${u} + ${octet(c, keyOctets)}];`)}
    ${lines(values, (c) => `let v_${u}_${c} = ${v}[value_${u} + ${octet(c, valueOctets)}];`)}`;
  const multiply = (u: number): string => wgsl`
    var bad_${u} = bad_query;
    var product_${u} = vec4<f32>();
    ${lines(
      keys,
      (c) => wgsl`
        {
          let low = read_low(k_${u}_${c});
          let high = read_high(k_${u}_${c});
          bad_${u} |= is_bad(low) || is_bad(high);
          product_${u} += q_${c}_low * low + q_${c}_high * high;
        }`,
    )}
    ${lines(values, (c) => `bad_${u} |= is_bad(read_low(v_${u}_${c})) || is_bad(read_high(v_${u}_${c}));`)}
    let dot_${u} = sum_of_lanes((product_${u}.x + product_${u}.y) + (product_${u}.z + product_${u}.w));`;
  const score = (u: number): string => wgsl`
    var score_${u} = LOWEST;
    let found_${u} = n + ${u}u < list.count && is_edge(at, i, j_${u});
    if (found_${u}) {
      let result = checked_score(at, dot_${u}, i, j_${u});
      score_${u} = result.value;
      is_bad_row |= bad_${u} || result.is_bad;
    }`;
  const add = (u: number): string => wgsl`
    if (found_${u}) {
      ${lines(2 * values, (n) => `sums_${n} += read_${n & 1 ? 'high' : 'low'}(v_${u}_${n >> 1}) * weight_${u};`)}
    }`;
  const main = wgsl`
    ${mainStart(THREADS).head}
      let lane = thread % ${LANES}u;
      let row = begin_row((group.x + group.y * groups.x) * ${THREADS / LANES}u + thread / ${LANES}u);
      let at = row.at;
      let i = row.i;
      let list = row.list;
      let last = max(list.count, 1u) - 1u;
      ${
        merge
          ? wgsl`
            // One lane reads what it will write.
            var before = 0u;
            if (row.is_there && lane == 0u) {
              before = lse_before(at, i);
            }
            before = any_of_lanes(before);`
          : ''
      }
      let query_start = ${rowStart(shader, 'q', 'at.tile')};
      ${lines(keys, loadQuery)}
      let bad_query = ${lines(keys, (n) => `is_bad(q_${n}_low) || is_bad(q_${n}_high)`).join(' || ')};
      var highest = LOWEST;
      var total = 0.0;
      var is_bad_row = false;
      ${lines(2 * values, (n) => `var sums_${n} = vec4<f32>();`)}
      // All rows of a subgroup take as many steps as the longest, so that its lanes stay together.
      let most = subgroupMax(list.count);
      for (var n = 0u; n < most; n += ${unroll}u) {
        ${lines(unroll, load)}
        ${lines(unroll, multiply)}
        ${lines(unroll, score)}
        let top = ${lines(unroll, (u) => `score_${u}`).reduce((all, s) => `max(${all}, ${s})`, 'highest')};
        let shrink = exp(highest - top);
        highest = top;
        ${lines(unroll, (u) => `let weight_${u} = select(0.0, exp(score_${u} - top), score_${u} > LOWEST);`)}
        total = total * shrink + (${lines(unroll, (u) => `weight_${u}`).join(' + ')});
        ${lines(2 * values, (c) => `sums_${c} *= shrink;`)}
        ${lines(unroll, add)}
      }
      let poisoned = any_of_lanes(select(0u, 1u, is_bad_row)) != 0u;
      if (!row.is_there) {
        return;
      }
      let column = 2u * lane;
      ${storeGathered(shader, target, pass, { merge, column: 'column', offsets, most: 2 * LANES - 2 })}
    }
    // Over the lanes of a row; all of them have the result.
    fn sum_of_lanes(own: f32) -> f32 {
      let pair = own + subgroupShuffleXor(own, 1u);
      return pair + subgroupShuffleXor(pair, 2u);
    }
    fn any_of_lanes(own: u32) -> u32 {
      let pair = own | subgroupShuffleXor(own, 1u);
      return pair | subgroupShuffleXor(pair, 2u);
    }`;
  const body = [
    SPECIAL_VALUES,
    ...rows,
    main,
    ...emitPairs(shader, target, pass),
    ...(merge ? [emitReadBefore(shader)] : []),
    ...emitStore(shader, target, {
      merge,
      sink: options.sink,
      columns: 2 * values,
      step: 2 * LANES,
      paired: true,
    }),
  ];
  const header = comment(
    `${options.name}: each query row over its own keys, ${LANES} lanes a row, ${unroll} keys at once.\n${pass.sources.join('\n')}`,
  );
  return { text: shader.finish(header, body), shader, threads: THREADS, rows: THREADS / LANES };
}
