import { lines, wgsl } from './wgsl.js';
import { CHUNK, loopBounds, rowOf, statistic, type Layout } from './layout.js';
import { rowStart } from './place.js';
import type { Shader } from './shader.js';

/** The body of a tile kernel: `attend_tile` and what it calls, over any index spaces. */

/** State in workgroup and private memory. */
export function emitState(layout: Layout): readonly string[] {
  const { rows, owned, columns, packs, staged, threads } = layout;
  return [
    wgsl`
    // Staging space: first a chunk of the queries and of the keys, later some weights and values.
    const KEYS_AT = ${layout.keysAt}u;
    const VALUES_AT = ${layout.valuesAt}u;
    var<workgroup> staged: array<vec4<f32>, ${staged}>;
    // What each thread found for its rows, to be reduced over the 16 threads that share them.
    var<workgroup> partial: array<vec4<f32>, ${packs * threads}>;
    // Positions of the tile's queries and keys; -1 where there is none.
    var<workgroup> query_positions: array<i32, ${rows}>;
    var<workgroup> key_positions: array<i32, 64>;
    // Rows and keys with NaN or infinity in them, as bits; rows that such a key reaches.
    var<workgroup> bad_queries: array<atomic<u32>, 2>;
    var<workgroup> bad_keys: array<atomic<u32>, 2>;
    var<workgroup> poisoned: array<atomic<u32>, 2>;
    // 1 if there is any bad query or key in the tile.
    var<workgroup> flagged: u32;`,
    wgsl`
    // This thread, and its place among 16 x ${layout.across}: rows y${owned > 1 ? ` + ${layout.across}r` : ''}, keys x + 16c, columns x + 16n.
    var<private> lane: u32;
    var<private> x: u32;
    var<private> y: u32;
    // Scores and then weights of the thread's rows (elements) and keys (components).
    var<private> scores: array<vec4<f32>, ${owned}>;
    // Bit 4r + c: are row r and key c an edge?
    var<private> edges: u32;
    // Weighted sums of values: ${columns} vec4${columns > 1 ? 's' : ''} a row.
    var<private> sums: array<vec4<f32>, ${owned * columns}>;
    // Of each row the highest score yet, and the thread's own part of the sum of weights.
    var<private> highest: array<vec4<f32>, ${packs}>;
    var<private> total: array<vec4<f32>, ${packs}>;`,
  ];
}

/** Statements of `main` before the loop over key tiles. */
export function emitBegin(layout: Layout): string {
  return wgsl`
    lane = thread;
    x = thread & 15u;
    y = thread >> 4u;
    ${lines(layout.packs, (n) => `highest[${n}] = vec4<f32>(LOWEST);`)}
    if (thread < ${layout.rows}u) {
      query_positions[thread] = query_position(at, i32(at.tile), i32(thread));
    }
    if (thread < 2u) {
      atomicStore(&poisoned[thread], 0u);
    }
    clear_flags();`;
}

export function emitAttend(shader: Shader, layout: Layout): string {
  const { columns, chunks } = layout;
  const { four } = loopBounds(shader, layout);
  return wgsl`
    // One tile of keys: online softmax of the query tile's scores, and their weighted values (FlashAttention).
    fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
      place_keys(at, segment, tile);
      ${lines(layout.owned, (r) => `scores[${r}] = vec4<f32>();`)}
      for (var chunk = 0u; chunk < ${chunks}u; chunk++) {
        workgroupBarrier();
        load_queries(at, chunk);
        load_keys(at, chunk);
        workgroupBarrier();
        score_tile();
      }
      finish_scores(at, segment, is_partial);
      update_softmax();
      for (var part = 0u; part < ${four}; part++) {
        ${lines(
          columns,
          (n) => wgsl`
          workgroupBarrier();
          ${n === 0 ? 'store_weights(part);' : ''}
          load_values(at, part, ${16 * n}u);
          workgroupBarrier();
          add_values_${n}();`,
        )}
      }
      if (workgroupUniformLoad(&flagged) != 0u) {
        poison_rows();
        workgroupBarrier();
        clear_flags();
        workgroupBarrier();
      }
    }`;
}

/** Staging of keys and values: positions, rows of any index space, NaN and infinity kept out. */
export function emitLoads(shader: Shader, layout: Layout): readonly string[] {
  /** `body` for each of `words` elements of the staging space. */
  const load = (words: number, body: (element: string) => string): string => {
    if (words === layout.threads) return body('lane');
    return words < layout.threads
      ? wgsl`
        if (lane < ${words}u) {
          ${body('lane')}
        }`
      : wgsl`
        for (var n = lane; n < ${words}u; n += ${layout.threads}u) {
          ${body('n')}
        }`;
  };
  const padded = layout.width % CHUNK !== 0;
  const inHead = (column: string): string => (padded ? ` && ${column} < ${layout.width}u` : '');
  const valuesPadded = layout.valueWidth % 16 !== 0;
  const word = (row: string): string => `${row} >> 5u`;
  const bit = (row: string): string => `1u << (${row} & 31u)`;
  return [
    wgsl`
    // Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
    fn is_bad(value: vec4<f32>) -> bool {
      let exponent = vec4<u32>(INFINITY_BITS);
      return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
    }`,
    wgsl`
    // Stages ${4 * CHUNK} columns of the queries; a bad one becomes 0, and its row is marked.
    fn load_queries(at: Place, chunk: u32) {
      ${load(CHUNK * layout.rows, (n) => {
        return wgsl`
          let row = ${n} >> 2u;
          let part = ${n} & 3u;
          let i = query_positions[row];
          let column = ${CHUNK}u * chunk + part;
          var value = vec4<f32>();
          if (i >= 0${inHead('column')}) {
            value = read_quad(${shader.bind('q')}[${rowStart(shader, 'q', 'u32(i - at.base)')} + column]);
          }
          if (is_bad(value)) {
            value = vec4<f32>();
            atomicOr(&bad_queries[${word('row')}], ${bit('row')});
            flagged = 1u;
          }
          staged[${layout.queryStride}u * part + row] = value;`;
      })}
    }`,
    wgsl`
    // Stages ${4 * CHUNK} columns of the keys; a bad one becomes 0, and the key is marked.
    fn load_keys(at: Place, chunk: u32) {
      ${load(CHUNK * 64, (n) => {
        return wgsl`
          let key = ${n} >> 2u;
          let part = ${n} & 3u;
          let j = key_positions[key];
          let column = ${CHUNK}u * chunk + part;
          var value = vec4<f32>();
          if (j >= 0${inHead('column')}) {
            value = read_quad(${shader.bind('k')}[${rowStart(shader, 'k', 'u32(j)')} + column]);
          }
          if (is_bad(value)) {
            value = vec4<f32>();
            atomicOr(&bad_keys[${word('key')}], ${bit('key')});
            flagged = 1u;
          }
          staged[KEYS_AT + ${layout.keyStride}u * part + key] = value;`;
      })}
    }`,
    wgsl`
    // Stages 64 columns of the values of the 16 keys 4 part + g + 16 c, in the order of 4 g + c.
    fn load_values(at: Place, part: u32, first_column: u32) {
      ${load(256, (n) => {
        return wgsl`
          let slot = ${n} >> 4u;
          let key = 4u * part + (slot >> 2u) + 16u * (slot & 3u);
          let j = key_positions[key];
          let column = first_column + (${n} & 15u);
          var value = vec4<f32>();
          if (j >= 0${valuesPadded ? ` && column < ${layout.valueWidth}u` : ''}) {
            value = read_quad(${shader.bind('v')}[${rowStart(shader, 'v', 'u32(j)')} + column]);
          }
          if (is_bad(value)) {
            value = vec4<f32>();
            atomicOr(&bad_keys[${word('key')}], ${bit('key')});
            flagged = 1u;
          }
          staged[VALUES_AT + ${n}] = value;`;
      })}
    }`,
  ];
}

/** Products on staged chunks. */
export function emitProducts(shader: Shader, layout: Layout): readonly string[] {
  const { owned, columns } = layout;
  const { four } = loopBounds(shader, layout);
  return [
    wgsl`
    // sum + dot(a, b) as multiply-adds, one after the other.
    fn add_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
      return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
    }
    // The scores of a row with the thread's four keys.
    fn add_scores(sum: vec4<f32>, q: vec4<f32>, k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32>) -> vec4<f32> {
      return vec4<f32>(add_dot(sum.x, q, k0), add_dot(sum.y, q, k1), add_dot(sum.z, q, k2), add_dot(sum.w, q, k3));
    }
    // scores += queries * keys over the staged chunk.
    fn score_tile() {
      for (var part = 0u; part < ${four}; part++) {
        let key = KEYS_AT + ${layout.keyStride}u * part + x;
        let k0 = staged[key];
        let k1 = staged[key + 16u];
        let k2 = staged[key + 32u];
        let k3 = staged[key + 48u];
        let query = ${layout.queryStride}u * part + y;
        ${lines(owned, (r) => {
          const q = r === 0 ? 'staged[query]' : `staged[query + ${layout.across * r}u]`;
          return `scores[${r}] = add_scores(scores[${r}], ${q}, k0, k1, k2, k3);`;
        })}
      }
    }`,
    wgsl`
    // Stages the weights of the 16 keys of a part: of row r those of keys 4 part + g + 16 c in component c of vec4 g.
    fn store_weights(part: u32) {
      if (x >> 2u == part) {
        let first = 4u * y + (x & 3u);
        ${lines(owned, (r) => `staged[first${r === 0 ? '' : ` + ${4 * layout.across * r}u`}] = scores[${r}];`)}
      }
    }`,
    wgsl`
    // sum + the values of four keys by their weights.
    fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
      return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
    }`,
    ...lines(
      columns,
      (n) => wgsl`
      // sums += weights * values over the staged keys${columns > 1 ? `, columns ${64 * n} to ${64 * n + 63}` : ''}.
      fn add_values_${n}() {
        for (var g = 0u; g < ${four}; g++) {
          let key = VALUES_AT + 64u * g + x;
          let v0 = staged[key];
          let v1 = staged[key + 16u];
          let v2 = staged[key + 32u];
          let v3 = staged[key + 48u];
          let row = 4u * y + g;
          ${lines(owned, (r) => {
            const weights = r === 0 ? 'staged[row]' : `staged[row + ${4 * layout.across * r}u]`;
            const sum = `sums[${r * columns + n}]`;
            return `${sum} = add_weighted(${sum}, ${weights}, v0, v1, v2, v3);`;
          })}
        }
      }`,
    ),
  ];
}

/** Online softmax over the tile, and the rule for NaN and infinity. */
export function emitSoftmax(shader: Shader, layout: Layout): readonly string[] {
  const { owned, columns, packs, threads } = layout;
  const { sixteen, pairs } = loopBounds(shader, layout);
  const pack = (n: number, of: (r: number) => string): string => {
    const parts = Array.from({ length: 4 }, (_, m) => (4 * n + m < owned ? of(4 * n + m) : undefined));
    return `vec4<f32>(${parts.map((p) => p ?? '0.0').join(', ')})`;
  };
  const slot = (n: number, thread: string): string =>
    `partial[${n === 0 ? '' : `${n * threads}u + `}${thread}]`;
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
    wgsl`
    // Turns scores into weights relative to the highest score yet, and rescales what was summed before.
    fn update_softmax() {
      ${lines(packs, (n) => `${slot(n, 'lane')} = ${pack(n, (r) => `highest_of(scores[${r}])`)};`)}
      workgroupBarrier();
      ${lines(packs, (n) => `var top_${n} = highest[${n}];`)}
      for (var n = 0u; n < ${sixteen}; n++) {
        ${lines(packs, (n) => `top_${n} = max(top_${n}, ${slot(n, '16u * y + n')});`)}
      }
      ${lines(packs, (n) => `let shrink_${n} = exp(highest[${n}] - top_${n});\nhighest[${n}] = top_${n};`)}
      ${lines(owned, (r) => `scores[${r}] = weights_of(scores[${r}], top_${r >> 2}.${'xyzw'[r & 3]});`)}
      ${lines(packs, (n) => `total[${n}] = total[${n}] * shrink_${n} + ${pack(n, (r) => `sum_of(scores[${r}])`)};`)}
      ${lines(owned * columns, (m) => {
        const r = Math.floor(m / columns);
        return `sums[${m}] *= shrink_${r >> 2}.${'xyzw'[r & 3]};`;
      })}
    }`,
    wgsl`
    // The thread's parts of the sums of weights, added up over the threads of a row.
    fn reduce_totals() {
      workgroupBarrier();
      ${lines(packs, (n) => `${slot(n, 'lane')} = total[${n}];\ntotal[${n}] = vec4<f32>();`)}
      workgroupBarrier();
      for (var n = 0u; n < ${sixteen}; n++) {
        ${lines(packs, (n) => `total[${n}] += ${slot(n, '16u * y + n')};`)}
      }
    }`,
    wgsl`
    // Marks the rows that have an edge to a bad key, or are bad and have any edge.
    fn poison_rows() {
      for (var n = 0u; n < ${pairs}; n++) {
        let row = y + ${layout.across}u * (n >> 2u);
        let key = x + 16u * (n & 3u);
        let bad_row = atomicLoad(&bad_queries[row >> 5u]) >> (row & 31u);
        let bad_key = atomicLoad(&bad_keys[key >> 5u]) >> (key & 31u);
        if (((bad_row | bad_key) & (edges >> n) & 1u) != 0u) {
          atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
        }
      }
    }
    fn is_poisoned(row: u32) -> bool {
      return ((atomicLoad(&poisoned[row >> 5u]) >> (row & 31u)) & 1u) != 0u;
    }
    fn clear_flags() {
      if (lane < 2u) {
        atomicStore(&bad_queries[lane], 0u);
        atomicStore(&bad_keys[lane], 0u);
        flagged = 0u;
      }
    }`,
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
