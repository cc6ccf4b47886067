import { loopBounds, rowLanes, rowOf, scoresOf, statistic, type Layout } from './layout.js';
import type { Shader } from './shader.js';
import { lines, wgsl } from './wgsl.js';

/** The body of a tile kernel: `attend_tile` and what it calls, over any index spaces. */

/** State in workgroup and private memory. */
export function emitState(layout: Layout): readonly string[] {
  const { rows, owned, lanes, held, quads, columns, packs, staged, threads, subgroups } = layout;
  const keys = quads > 1 ? `vec4s ${quads}r to ${quads}r + ${quads - 1}` : 'elements';
  return [
    wgsl`
    // Staging space: ${layout.keepQueries ? 'the queries, then a chunk of the keys or some' : 'first a chunk of the queries and of the keys, later some'} weights and values.
    const KEYS_AT = ${layout.keysAt}u;
    const WEIGHTS_AT = ${layout.weightsAt}u;
    const VALUES_AT = ${layout.valuesAt}u;
    var<workgroup> staged: array<vec4<f32>, ${staged}>;
    // What each thread found for its rows, to be reduced over the ${lanes} threads that share them.
    var<workgroup> partial: array<vec4<f32>, ${packs * threads}>;
    // Positions of the tile's queries and keys; -1 where there is none.
    var<workgroup> query_positions: array<i32, ${rows}>;
    var<workgroup> key_positions: array<i32, 64>;
    // Rows and keys with NaN or infinity in them, as bits; rows that such a key reaches.
    var<workgroup> bad_queries: array<atomic<u32>, 2>;
    var<workgroup> bad_keys: array<atomic<u32>, 2>;
    var<workgroup> poisoned: array<atomic<u32>, 2>;
    // 1 if there is any bad query or key in the tile.
    var<workgroup> flagged: u32;
    ${subgroups ? '// 1 if threads are not numbered as they lie in subgroups.\nvar<workgroup> scattered: u32;' : ''}`,
    wgsl`
    // This thread, the first that shares its rows (the others come in steps of two), and its place among
    // ${lanes} x ${layout.across}: rows y${owned > 1 ? ` + ${layout.across}r` : ''}, keys x + ${lanes}c, columns x + ${lanes}n.
    var<private> lane: u32;
    var<private> first_lane: u32;
    var<private> x: u32;
    var<private> y: u32;
    // Scores and then weights: of row r ${keys}, a component for each key.
    var<private> scores: array<vec4<f32>, ${owned * quads}>;
    // Bit ${held}r + c: are row r and key c an edge?
    var<private> edges: ${edgesType(layout)};
    // Weighted sums of values: ${columns} vec4${columns > 1 ? 's' : ''} a row.
    var<private> sums: array<vec4<f32>, ${owned * columns}>;
    // Of each row the highest score yet, and the thread's own part of the sum of weights.
    var<private> highest: array<vec4<f32>, ${packs}>;
    var<private> total: array<vec4<f32>, ${packs}>;`,
  ];
}

/** A bit for each pair of a thread. */
export const edgesType = ({ owned, held }: Layout): string => (owned * held > 32 ? 'vec2<u32>' : 'u32');

/** Statements of `main` before the loop over key tiles. */
export function emitBegin(layout: Layout): string {
  const { lanes } = layout;
  const keep = wgsl`
    workgroupBarrier();
    for (var chunk = 0u; chunk < ${layout.chunks}u; chunk++) {
      load_queries(at, chunk);
    }`;
  // Threads of a row are 2, 4 … apart: by what is known of shared memory, neighbours that read one and the same word
  // (here of a key or of a row, in turn) make a read of 16 bytes a thread cheaper.
  const nearby = wgsl`
    // Where subgroups are runs of threads, so many threads of a row are in one.
    if (thread == 0u) {
      scattered = 0u;
    }
    workgroupBarrier();
    if (subgroup_lane != thread % subgroup_size) {
      scattered = 1u;
    }
    let row_lanes = select(clamp(subgroup_size / 2u, 1u, ${lanes}u), 1u, workgroupUniformLoad(&scattered) != 0u);`;
  return wgsl`
    lane = thread;
    x = (thread >> 1u) & ${lanes - 1}u;
    y = (thread & 1u) | ((thread >> ${Math.log2(lanes) + 1}u) << 1u);
    first_lane = thread - 2u * x;
    ${lines(layout.packs, (n) => `highest[${n}] = vec4<f32>(LOWEST);`)}
    if (thread < ${layout.rows}u) {
      query_positions[thread] = query_position(at, i32(at.tile), i32(thread));
    }
    if (thread < 2u) {
      atomicStore(&poisoned[thread], 0u);
      ${layout.keepQueries ? 'atomicStore(&bad_queries[thread], 0u);' : ''}
    }
    ${layout.keepQueries ? 'workgroupBarrier();' : ''}
    clear_flags();
    ${layout.keepQueries ? keep : ''}
    ${layout.subgroups ? nearby : ''}`;
}

export function emitAttend(shader: Shader, layout: Layout): string {
  const { four } = loopBounds(shader, layout);
  const { parameter } = rowLanes(layout);
  return wgsl`
    // One tile of keys: online softmax of the query tile's scores, and their weighted values (FlashAttention).
    fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool${parameter && `, ${parameter}`}) {
      place_keys(at, segment, tile);
      ${lines(layout.owned * layout.quads, (n) => `scores[${n}] = vec4<f32>();`)}
      ${layout.prefetch ? fetchingAhead(layout, four) : fetchingInTurn(layout, four)}
      if (workgroupUniformLoad(&flagged) != 0u) {
        poison_rows();
        workgroupBarrier();
        clear_flags();
        workgroupBarrier();
      }
    }`;
}

/** Products and softmax of a tile: what is to be staged is read from the tensors when its turn has come. */
function fetchingInTurn(layout: Layout, four: string): string {
  const { blocks, chunks, keepQueries } = layout;
  return wgsl`
    for (var chunk = 0u; chunk < ${chunks}u; chunk++) {
      workgroupBarrier();
      ${keepQueries ? '' : 'load_queries(at, chunk);'}
      load_keys(at, chunk);
      workgroupBarrier();
      score_tile(${keepQueries ? 'chunk' : ''});
    }
    finish_scores(at, segment, is_partial);
    update_softmax(${rowLanes(layout).argument});
    for (var part = 0u; part < ${four}; part++) {
      ${lines(
        blocks,
        (n) => wgsl`
        workgroupBarrier();
        ${n === 0 ? 'store_weights(part);' : ''}
        load_values(at, part, ${16 * n}u);
        workgroupBarrier();
        add_values_${n}();`,
      )}
    }`;
}

/** The same, but it is read while there is still work to do on what was staged before. */
function fetchingAhead(layout: Layout, four: string): string {
  const { blocks, chunks, keepQueries } = layout;
  const fetch = (chunk: string): string => wgsl`
    ${keepQueries ? '' : `fetch_queries(at, ${chunk});`}
    fetch_keys(at, ${chunk});`;
  return wgsl`
    workgroupBarrier();
    ${fetch('0u')}
    for (var chunk = 0u; chunk < ${chunks}u; chunk++) {
      ${keepQueries ? '' : 'stage_queries();'}
      stage_keys();
      workgroupBarrier();
      if (chunk + 1u < ${chunks}u) {
        ${fetch('chunk + 1u')}
      } else {
        fetch_values(at, 0u, 0u);
      }
      score_tile(${keepQueries ? 'chunk' : ''});
      workgroupBarrier();
    }
    finish_scores(at, segment, is_partial);
    update_softmax(${rowLanes(layout).argument});
    for (var part = 0u; part < ${four}; part++) {
      ${lines(
        blocks,
        (n) => wgsl`
        ${n === 0 ? 'store_weights(part);' : ''}
        stage_values(part);
        workgroupBarrier();
        ${
          n + 1 < blocks
            ? `fetch_values(at, part, ${16 * (n + 1)}u);`
            : wgsl`
              if (part + 1u < ${four}) {
                fetch_values(at, part + 1u, 0u);
              }`
        }
        add_values_${n}();
        workgroupBarrier();`,
      )}
    }`;
}

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n);

/** Products on staged chunks. */
export function emitProducts(shader: Shader, layout: Layout): readonly string[] {
  const { owned, lanes, quads, held, columns, blocks, keepQueries } = layout;
  const { four, chunk } = loopBounds(shader, layout);
  const plus = (index: string, more: number): string => (more === 0 ? index : `${index} + ${more}u`);
  const rowsOf = range(owned);
  const part = keepQueries ? `(${layout.chunk}u * chunk + part)` : 'part';
  const keysOf = (quad: number): string => lines(4, (c) => `k${4 * quad + c}`).join(', ');
  const storeWeights = (quad: number): readonly string[] =>
    lines(owned, (r) => `staged[${plus('first', 4 * layout.across * r)}] = ${scoresOf(layout, r, quad)};`);
  return [
    wgsl`
    // sum + dot(a, b) as multiply-adds, one after the other.
    fn add_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
      return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
    }
    // The scores of a row with four of the thread's keys.
    fn add_scores(sum: vec4<f32>, q: vec4<f32>, k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32>) -> vec4<f32> {
      return vec4<f32>(add_dot(sum.x, q, k0), add_dot(sum.y, q, k1), add_dot(sum.z, q, k2), add_dot(sum.w, q, k3));
    }
    // scores += queries * keys over the staged chunk.
    fn score_tile(${keepQueries ? 'chunk: u32' : ''}) {
      for (var part = 0u; part < ${chunk}; part++) {
        let key = KEYS_AT + ${layout.keyStride}u * part + x;
        ${lines(held, (c) => `let k${c} = staged[${plus('key', lanes * c)}];`)}
        let query = ${layout.queryStride}u * ${part} + y;
        ${rowsOf.flatMap((r) => [
          `let q${r} = staged[${plus('query', layout.across * r)}];`,
          ...lines(quads, (quad) => {
            const scores = scoresOf(layout, r, quad);
            return `${scores} = add_scores(${scores}, q${r}, ${keysOf(quad)});`;
          }),
        ])}
      }
    }`,
    wgsl`
    // Stages the weights of the 16 keys of a part: of row r those of four keys (c) of one thread in vec4 g.
    fn store_weights(part: u32) {
      if (x >> 2u == ${lanes === 16 ? 'part' : '(part & 1u)'}) {
        let first = ${layout.weightsAt === 0 ? '' : 'WEIGHTS_AT + '}4u * y + (x & 3u);
        ${
          quads === 1
            ? storeWeights(0)
            : wgsl`
              if (part < 2u) {
                ${storeWeights(0)}
              } else {
                ${storeWeights(1)}
              }`
        }
      }
    }`,
    wgsl`
    // sum + the values of four keys by their weights.
    fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
      return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
    }`,
    ...lines(blocks, (n) => {
      // Of a block's 16 columns the thread has one or two.
      const own = range(Math.min(quads, columns - quads * n));
      const v = (m: number, c: number): string => `v${4 * m + c}`;
      return wgsl`
      // sums += weights * values over the staged keys${blocks > 1 ? `, columns ${64 * n} to ${64 * n + 63}` : ''}.
      fn add_values_${n}() {
        for (var g = 0u; g < ${four}; g++) {
          let key = VALUES_AT + 64u * g + x;
          ${own.flatMap((m) => lines(4, (c) => `let ${v(m, c)} = staged[${plus('key', 16 * c + lanes * m)}];`))}
          let row = ${layout.weightsAt === 0 ? '' : 'WEIGHTS_AT + '}4u * y + g;
          ${rowsOf.flatMap((r) => [
            `let w${r} = staged[${plus('row', 4 * layout.across * r)}];`,
            ...own.map((m) => {
              const sum = `sums[${r * columns + quads * n + m}]`;
              return `${sum} = add_weighted(${sum}, w${r}, ${lines(4, (c) => v(m, c)).join(', ')});`;
            }),
          ])}
        }
      }`;
    }),
  ];
}

/** Calls `store` for each of the thread's rows: its row of the tile, statistics and sums. */
export function eachRow(
  layout: Layout,
  store: (r: number, row: string, highest: string, total: string, sums: readonly string[]) => string,
): readonly string[] {
  return lines(layout.owned, (r) =>
    store(
      r,
      rowOf(layout, r),
      statistic('highest', r),
      statistic('total', r),
      lines(layout.columns, (n) => `sums[${r * layout.columns + n}]`),
    ),
  );
}
