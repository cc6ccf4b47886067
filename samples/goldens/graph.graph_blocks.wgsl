// ==== rows_tiles_0: tiles, portable, schedule rows, pass 1 ====

// Four numbers of q, k or v: f32.
alias Quad = vec4<f32>;
fn read_quad(x: Quad) -> vec4<f32> {
  return x;
}

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 64 queries and 64 keys.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// Staging space: first a chunk of the queries and of the keys, later some weights and values.
const KEYS_AT = 264u;
const WEIGHTS_AT = 0u;
const VALUES_AT = 256u;
var<workgroup> staged: array<vec4<f32>, 528>;
// What each thread found for its rows, to be reduced over the 8 threads that share them.
var<workgroup> partial: array<vec4<f32>, 128>;
// Positions of the tile's queries and keys; -1 where there is none.
var<workgroup> query_positions: array<i32, 64>;
var<workgroup> key_positions: array<i32, 64>;
// Rows and keys with NaN or infinity in them, as bits; rows that such a key reaches.
var<workgroup> bad_queries: array<atomic<u32>, 2>;
var<workgroup> bad_keys: array<atomic<u32>, 2>;
var<workgroup> poisoned: array<atomic<u32>, 2>;
// 1 if there is any bad query or key in the tile.
var<workgroup> flagged: u32;

// This thread, the first that shares its rows (the others come in steps of two), and its place among
// 8 x 8: rows y + 8r, keys x + 8c, columns x + 8n.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> x: u32;
var<private> y: u32;
// Scores and then weights: of row r vec4s 2r to 2r + 1, a component for each key.
var<private> scores: array<vec4<f32>, 16>;
// Bit 8r + c: are row r and key c an edge?
var<private> edges: vec2<u32>;
// Weighted sums of values: 2 vec4s a row.
var<private> sums: array<vec4<f32>, 16>;
// Of each row the highest score yet, and the thread's own part of the sum of weights.
var<private> highest: array<vec4<f32>, 2>;
var<private> total: array<vec4<f32>, 2>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 64 >= query_size(at)) {
    return;
  }
  lane = thread;
  x = (thread >> 1u) & 7u;
  y = (thread & 1u) | ((thread >> 4u) << 1u);
  first_lane = thread - 2u * x;
  highest[0] = vec4<f32>(LOWEST);
  highest[1] = vec4<f32>(LOWEST);
  if (thread < 64u) {
    query_positions[thread] = query_position(at, i32(at.tile), i32(thread));
  }
  if (thread < 2u) {
    atomicStore(&poisoned[thread], 0u);
  }
  clear_flags();
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_rows(at);
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

// Finds the positions of a tile's keys.
fn place_keys(at: Place, segment: u32, tile: i32) {
  if (lane < 64u) {
    let r = i32(lane);
    let j = key_position_0(at, tile, r);
    key_positions[lane] = j;
  }
}

// One tile of keys: online softmax of the query tile's scores, and their weighted values (FlashAttention).
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  place_keys(at, segment, tile);
  scores[0] = vec4<f32>();
  scores[1] = vec4<f32>();
  scores[2] = vec4<f32>();
  scores[3] = vec4<f32>();
  scores[4] = vec4<f32>();
  scores[5] = vec4<f32>();
  scores[6] = vec4<f32>();
  scores[7] = vec4<f32>();
  scores[8] = vec4<f32>();
  scores[9] = vec4<f32>();
  scores[10] = vec4<f32>();
  scores[11] = vec4<f32>();
  scores[12] = vec4<f32>();
  scores[13] = vec4<f32>();
  scores[14] = vec4<f32>();
  scores[15] = vec4<f32>();
  for (var chunk = 0u; chunk < 4u; chunk++) {
    workgroupBarrier();
    load_queries(at, chunk);
    load_keys(at, chunk);
    workgroupBarrier();
    score_tile();
  }
  finish_scores(at, segment, is_partial);
  update_softmax();
  for (var part = 0u; part < shape.four; part++) {
    workgroupBarrier();
    store_weights(part);
    load_values(at, part, 0u);
    workgroupBarrier();
    add_values_0();
  }
  if (workgroupUniformLoad(&flagged) != 0u) {
    poison_rows();
    workgroupBarrier();
    clear_flags();
    workgroupBarrier();
  }
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Stages 16 columns of the queries; a bad one becomes 0, and its row is marked.
fn load_queries(at: Place, chunk: u32) {
  for (var n = lane; n < 256u; n += 64u) {
    let row = n >> 2u;
    let part = n & 3u;
    let i = query_positions[row];
    let column = 4u * chunk + part;
    var value = vec4<f32>();
    if (i >= 0) {
      value = read_quad(q[at.q_start + u32(i - at.base) * shape.q_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_queries[row >> 5u], 1u << (row & 31u));
      flagged = 1u;
    }
    staged[66u * part + row] = value;
  }
}

// Stages 16 columns of the keys; a bad one becomes 0, and the key is marked.
fn load_keys(at: Place, chunk: u32) {
  for (var n = lane; n < 256u; n += 64u) {
    let key = n >> 2u;
    let part = n & 3u;
    let j = key_positions[key];
    let column = 4u * chunk + part;
    var value = vec4<f32>();
    if (j >= 0) {
      value = read_quad(k[at.k_start + u32(j) * shape.k_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_keys[key >> 5u], 1u << (key & 31u));
      flagged = 1u;
    }
    staged[KEYS_AT + 66u * part + key] = value;
  }
}

// Stages 64 columns of the values of 16 keys, in the order of 4 g + c: 4 (part & 1) + g + 32 (part >> 1) + 8 c.
fn load_values(at: Place, part: u32, first_column: u32) {
  for (var n = lane; n < 256u; n += 64u) {
    let slot = n >> 4u;
    let key = 4u * (part & 1u) + 32u * (part >> 1u) + (slot >> 2u) + 8u * (slot & 3u);
    let j = key_positions[key];
    let column = first_column + (n & 15u);
    var value = vec4<f32>();
    if (j >= 0) {
      value = read_quad(v[at.v_start + u32(j) * shape.v_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_keys[key >> 5u], 1u << (key & 31u));
      flagged = 1u;
    }
    staged[VALUES_AT + n] = value;
  }
}

// sum + dot(a, b) as multiply-adds, one after the other.
fn add_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
}
// The scores of a row with four of the thread's keys.
fn add_scores(sum: vec4<f32>, q: vec4<f32>, k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(add_dot(sum.x, q, k0), add_dot(sum.y, q, k1), add_dot(sum.z, q, k2), add_dot(sum.w, q, k3));
}
// scores += queries * keys over the staged chunk.
fn score_tile() {
  for (var part = 0u; part < shape.chunk_width; part++) {
    let key = KEYS_AT + 66u * part + x;
    let k0 = staged[key];
    let k1 = staged[key + 8u];
    let k2 = staged[key + 16u];
    let k3 = staged[key + 24u];
    let k4 = staged[key + 32u];
    let k5 = staged[key + 40u];
    let k6 = staged[key + 48u];
    let k7 = staged[key + 56u];
    let query = 66u * part + y;
    let q0 = staged[query];
    scores[0] = add_scores(scores[0], q0, k0, k1, k2, k3);
    scores[1] = add_scores(scores[1], q0, k4, k5, k6, k7);
    let q1 = staged[query + 8u];
    scores[2] = add_scores(scores[2], q1, k0, k1, k2, k3);
    scores[3] = add_scores(scores[3], q1, k4, k5, k6, k7);
    let q2 = staged[query + 16u];
    scores[4] = add_scores(scores[4], q2, k0, k1, k2, k3);
    scores[5] = add_scores(scores[5], q2, k4, k5, k6, k7);
    let q3 = staged[query + 24u];
    scores[6] = add_scores(scores[6], q3, k0, k1, k2, k3);
    scores[7] = add_scores(scores[7], q3, k4, k5, k6, k7);
    let q4 = staged[query + 32u];
    scores[8] = add_scores(scores[8], q4, k0, k1, k2, k3);
    scores[9] = add_scores(scores[9], q4, k4, k5, k6, k7);
    let q5 = staged[query + 40u];
    scores[10] = add_scores(scores[10], q5, k0, k1, k2, k3);
    scores[11] = add_scores(scores[11], q5, k4, k5, k6, k7);
    let q6 = staged[query + 48u];
    scores[12] = add_scores(scores[12], q6, k0, k1, k2, k3);
    scores[13] = add_scores(scores[13], q6, k4, k5, k6, k7);
    let q7 = staged[query + 56u];
    scores[14] = add_scores(scores[14], q7, k0, k1, k2, k3);
    scores[15] = add_scores(scores[15], q7, k4, k5, k6, k7);
  }
}

// Stages the weights of the 16 keys of a part: of row r those of four keys (c) of one thread in vec4 g.
fn store_weights(part: u32) {
  if (x >> 2u == (part & 1u)) {
    let first = 4u * y + (x & 3u);
    if (part < 2u) {
      staged[first] = scores[0];
      staged[first + 32u] = scores[2];
      staged[first + 64u] = scores[4];
      staged[first + 96u] = scores[6];
      staged[first + 128u] = scores[8];
      staged[first + 160u] = scores[10];
      staged[first + 192u] = scores[12];
      staged[first + 224u] = scores[14];
    } else {
      staged[first] = scores[1];
      staged[first + 32u] = scores[3];
      staged[first + 64u] = scores[5];
      staged[first + 96u] = scores[7];
      staged[first + 128u] = scores[9];
      staged[first + 160u] = scores[11];
      staged[first + 192u] = scores[13];
      staged[first + 224u] = scores[15];
    }
  }
}

// sum + the values of four keys by their weights.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}

// sums += weights * values over the staged keys.
fn add_values_0() {
  for (var g = 0u; g < shape.four; g++) {
    let key = VALUES_AT + 64u * g + x;
    let v0 = staged[key];
    let v1 = staged[key + 16u];
    let v2 = staged[key + 32u];
    let v3 = staged[key + 48u];
    let v4 = staged[key + 8u];
    let v5 = staged[key + 24u];
    let v6 = staged[key + 40u];
    let v7 = staged[key + 56u];
    let row = 4u * y + g;
    let w0 = staged[row];
    sums[0] = add_weighted(sums[0], w0, v0, v1, v2, v3);
    sums[1] = add_weighted(sums[1], w0, v4, v5, v6, v7);
    let w1 = staged[row + 32u];
    sums[2] = add_weighted(sums[2], w1, v0, v1, v2, v3);
    sums[3] = add_weighted(sums[3], w1, v4, v5, v6, v7);
    let w2 = staged[row + 64u];
    sums[4] = add_weighted(sums[4], w2, v0, v1, v2, v3);
    sums[5] = add_weighted(sums[5], w2, v4, v5, v6, v7);
    let w3 = staged[row + 96u];
    sums[6] = add_weighted(sums[6], w3, v0, v1, v2, v3);
    sums[7] = add_weighted(sums[7], w3, v4, v5, v6, v7);
    let w4 = staged[row + 128u];
    sums[8] = add_weighted(sums[8], w4, v0, v1, v2, v3);
    sums[9] = add_weighted(sums[9], w4, v4, v5, v6, v7);
    let w5 = staged[row + 160u];
    sums[10] = add_weighted(sums[10], w5, v0, v1, v2, v3);
    sums[11] = add_weighted(sums[11], w5, v4, v5, v6, v7);
    let w6 = staged[row + 192u];
    sums[12] = add_weighted(sums[12], w6, v0, v1, v2, v3);
    sums[13] = add_weighted(sums[13], w6, v4, v5, v6, v7);
    let w7 = staged[row + 224u];
    sums[14] = add_weighted(sums[14], w7, v0, v1, v2, v3);
    sums[15] = add_weighted(sums[15], w7, v4, v5, v6, v7);
  }
}

// From dot products to scores: the pattern's own, and LOWEST where a partial tile has no edge.
fn finish_scores(at: Place, segment: u32, is_partial: bool) {
  scores[0] *= 0.125;
  scores[1] *= 0.125;
  scores[2] *= 0.125;
  scores[3] *= 0.125;
  scores[4] *= 0.125;
  scores[5] *= 0.125;
  scores[6] *= 0.125;
  scores[7] *= 0.125;
  scores[8] *= 0.125;
  scores[9] *= 0.125;
  scores[10] *= 0.125;
  scores[11] *= 0.125;
  scores[12] *= 0.125;
  scores[13] *= 0.125;
  scores[14] *= 0.125;
  scores[15] *= 0.125;
  edges = vec2<u32>(0xffffffffu);
  if (is_partial) {
    mask_tile(at, segment);
  }
  check_scores();
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

// Finds the edges of a partial tile.
fn mask_tile(at: Place, segment: u32) {
  edges = vec2<u32>();
  for (var n = 0u; n < shape.pairs; n++) {
    let i = query_positions[y + 8u * (n >> 3u)];
    let j = key_positions[x + 8u * (n & 7u)];
    if (j >= 0 && keep(at, segment, i, j)) {
      edges |= select(vec2<u32>(1u << n, 0u), vec2<u32>(0u, 1u << (n & 31u)), n >= 32u);
    }
  }
  scores[0] = select(vec4<f32>(LOWEST), scores[0], four_edges(edges.x >> 0u));
  scores[1] = select(vec4<f32>(LOWEST), scores[1], four_edges(edges.x >> 4u));
  scores[2] = select(vec4<f32>(LOWEST), scores[2], four_edges(edges.x >> 8u));
  scores[3] = select(vec4<f32>(LOWEST), scores[3], four_edges(edges.x >> 12u));
  scores[4] = select(vec4<f32>(LOWEST), scores[4], four_edges(edges.x >> 16u));
  scores[5] = select(vec4<f32>(LOWEST), scores[5], four_edges(edges.x >> 20u));
  scores[6] = select(vec4<f32>(LOWEST), scores[6], four_edges(edges.x >> 24u));
  scores[7] = select(vec4<f32>(LOWEST), scores[7], four_edges(edges.x >> 28u));
  scores[8] = select(vec4<f32>(LOWEST), scores[8], four_edges(edges.y >> 0u));
  scores[9] = select(vec4<f32>(LOWEST), scores[9], four_edges(edges.y >> 4u));
  scores[10] = select(vec4<f32>(LOWEST), scores[10], four_edges(edges.y >> 8u));
  scores[11] = select(vec4<f32>(LOWEST), scores[11], four_edges(edges.y >> 12u));
  scores[12] = select(vec4<f32>(LOWEST), scores[12], four_edges(edges.y >> 16u));
  scores[13] = select(vec4<f32>(LOWEST), scores[13], four_edges(edges.y >> 20u));
  scores[14] = select(vec4<f32>(LOWEST), scores[14], four_edges(edges.y >> 24u));
  scores[15] = select(vec4<f32>(LOWEST), scores[15], four_edges(edges.y >> 28u));
}
fn four_edges(bits: u32) -> vec4<bool> {
  return ((vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
}

// A product past the range of f32 reaches its row: as NaN, never as a wrong number.
fn check_scores() {
  scores[0] = checked(scores[0], y);
  scores[1] = checked(scores[1], y);
  scores[2] = checked(scores[2], y + 8u);
  scores[3] = checked(scores[3], y + 8u);
  scores[4] = checked(scores[4], y + 16u);
  scores[5] = checked(scores[5], y + 16u);
  scores[6] = checked(scores[6], y + 24u);
  scores[7] = checked(scores[7], y + 24u);
  scores[8] = checked(scores[8], y + 32u);
  scores[9] = checked(scores[9], y + 32u);
  scores[10] = checked(scores[10], y + 40u);
  scores[11] = checked(scores[11], y + 40u);
  scores[12] = checked(scores[12], y + 48u);
  scores[13] = checked(scores[13], y + 48u);
  scores[14] = checked(scores[14], y + 56u);
  scores[15] = checked(scores[15], y + 56u);
}
fn checked(scores: vec4<f32>, row: u32) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(scores);
  let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
  if (!any(bad)) {
    return scores;
  }
  if (any(bad)) {
    atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
  }
  return select(scores, vec4<f32>(LOWEST), bad);
}

fn highest_of(x: vec4<f32>) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}
fn sum_of(x: vec4<f32>) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}
// exp(scores - top); exactly 0 for pairs without an edge and scores of -infinity.
fn weights_of(scores: vec4<f32>, top: f32) -> vec4<f32> {
  return select(vec4<f32>(), exp(scores - top), scores > vec4<f32>(LOWEST));
}

// Turns scores into weights relative to the highest score yet, and rescales what was summed before.
fn update_softmax() {
  partial[lane] = vec4<f32>(highest_of(max(scores[0], scores[1])), highest_of(max(scores[2], scores[3])), highest_of(max(scores[4], scores[5])), highest_of(max(scores[6], scores[7])));
  partial[64u + lane] = vec4<f32>(highest_of(max(scores[8], scores[9])), highest_of(max(scores[10], scores[11])), highest_of(max(scores[12], scores[13])), highest_of(max(scores[14], scores[15])));
  workgroupBarrier();
  var top_0 = highest[0];
  var top_1 = highest[1];
  for (var n = 0u; n < shape.row_threads; n++) {
    top_0 = max(top_0, partial[first_lane + 2u * n]);
    top_1 = max(top_1, partial[64u + first_lane + 2u * n]);
  }
  let shrink_0 = exp(highest[0] - top_0);
  highest[0] = top_0;
  let shrink_1 = exp(highest[1] - top_1);
  highest[1] = top_1;
  scores[0] = weights_of(scores[0], top_0.x);
  scores[1] = weights_of(scores[1], top_0.x);
  scores[2] = weights_of(scores[2], top_0.y);
  scores[3] = weights_of(scores[3], top_0.y);
  scores[4] = weights_of(scores[4], top_0.z);
  scores[5] = weights_of(scores[5], top_0.z);
  scores[6] = weights_of(scores[6], top_0.w);
  scores[7] = weights_of(scores[7], top_0.w);
  scores[8] = weights_of(scores[8], top_1.x);
  scores[9] = weights_of(scores[9], top_1.x);
  scores[10] = weights_of(scores[10], top_1.y);
  scores[11] = weights_of(scores[11], top_1.y);
  scores[12] = weights_of(scores[12], top_1.z);
  scores[13] = weights_of(scores[13], top_1.z);
  scores[14] = weights_of(scores[14], top_1.w);
  scores[15] = weights_of(scores[15], top_1.w);
  total[0] = total[0] * shrink_0 + vec4<f32>(sum_of(scores[0] + scores[1]), sum_of(scores[2] + scores[3]), sum_of(scores[4] + scores[5]), sum_of(scores[6] + scores[7]));
  total[1] = total[1] * shrink_1 + vec4<f32>(sum_of(scores[8] + scores[9]), sum_of(scores[10] + scores[11]), sum_of(scores[12] + scores[13]), sum_of(scores[14] + scores[15]));
  sums[0] *= shrink_0.x;
  sums[1] *= shrink_0.x;
  sums[2] *= shrink_0.y;
  sums[3] *= shrink_0.y;
  sums[4] *= shrink_0.z;
  sums[5] *= shrink_0.z;
  sums[6] *= shrink_0.w;
  sums[7] *= shrink_0.w;
  sums[8] *= shrink_1.x;
  sums[9] *= shrink_1.x;
  sums[10] *= shrink_1.y;
  sums[11] *= shrink_1.y;
  sums[12] *= shrink_1.z;
  sums[13] *= shrink_1.z;
  sums[14] *= shrink_1.w;
  sums[15] *= shrink_1.w;
}

// The thread's parts of the sums of weights, added up over the threads of a row.
fn reduce_totals() {
  workgroupBarrier();
  partial[lane] = total[0];
  partial[64u + lane] = total[1];
  workgroupBarrier();
  var all_0 = vec4<f32>();
  var all_1 = vec4<f32>();
  for (var n = 0u; n < shape.row_threads; n++) {
    all_0 = all_0 + partial[first_lane + 2u * n];
    all_1 = all_1 + partial[64u + first_lane + 2u * n];
  }
  total[0] = all_0;
  total[1] = all_1;
}

// Marks the rows that have an edge to a bad key, or are bad and have any edge.
fn poison_rows() {
  for (var n = 0u; n < shape.pairs; n++) {
    let row = y + 8u * (n >> 3u);
    let key = x + 8u * (n & 7u);
    let bad_row = atomicLoad(&bad_queries[row >> 5u]) >> (row & 31u);
    let bad_key = atomicLoad(&bad_keys[key >> 5u]) >> (key & 31u);
    if (((bad_row | bad_key) & (select(edges.x, edges.y, n >= 32u) >> (n & 31u)) & 1u) != 0u) {
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
}

// Divides by the sums of weights and writes the tile's rows.
fn store_rows(at: Place) {
  reduce_totals();
  if (query_positions[y] >= 0) {
    store_row(at, query_positions[y], highest[0].x, total[0].x, is_poisoned(y), x, sums[0], sums[1]);
  }
  if (query_positions[y + 8u] >= 0) {
    store_row(at, query_positions[y + 8u], highest[0].y, total[0].y, is_poisoned(y + 8u), x, sums[2], sums[3]);
  }
  if (query_positions[y + 16u] >= 0) {
    store_row(at, query_positions[y + 16u], highest[0].z, total[0].z, is_poisoned(y + 16u), x, sums[4], sums[5]);
  }
  if (query_positions[y + 24u] >= 0) {
    store_row(at, query_positions[y + 24u], highest[0].w, total[0].w, is_poisoned(y + 24u), x, sums[6], sums[7]);
  }
  if (query_positions[y + 32u] >= 0) {
    store_row(at, query_positions[y + 32u], highest[1].x, total[1].x, is_poisoned(y + 32u), x, sums[8], sums[9]);
  }
  if (query_positions[y + 40u] >= 0) {
    store_row(at, query_positions[y + 40u], highest[1].y, total[1].y, is_poisoned(y + 40u), x, sums[10], sums[11]);
  }
  if (query_positions[y + 48u] >= 0) {
    store_row(at, query_positions[y + 48u], highest[1].z, total[1].z, is_poisoned(y + 48u), x, sums[12], sums[13]);
  }
  if (query_positions[y + 56u] >= 0) {
    store_row(at, query_positions[y + 56u], highest[1].w, total[1].w, is_poisoned(y + 56u), x, sums[14], sums[15]);
  }
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_1 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0: decode, portable, schedule rows, pass 1 ====

// Four numbers of q, k or v: f32.
alias Quad = vec4<f32>;
fn read_quad(x: Quad) -> vec4<f32> {
  return x;
}

// rows_decode_0: attention over tiles of 16 queries and 64 keys, the keys in parts.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  batch: u32,
  splits: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// Staging space: first a chunk of the queries and of the keys, later some weights and values.
const KEYS_AT = 72u;
const WEIGHTS_AT = 0u;
const VALUES_AT = 64u;
var<workgroup> staged: array<vec4<f32>, 336>;
// What each thread found for its rows, to be reduced over the 16 threads that share them.
var<workgroup> partial: array<vec4<f32>, 256>;
// Positions of the tile's queries and keys; -1 where there is none.
var<workgroup> query_positions: array<i32, 16>;
var<workgroup> key_positions: array<i32, 64>;
// Rows and keys with NaN or infinity in them, as bits; rows that such a key reaches.
var<workgroup> bad_queries: array<atomic<u32>, 2>;
var<workgroup> bad_keys: array<atomic<u32>, 2>;
var<workgroup> poisoned: array<atomic<u32>, 2>;
// 1 if there is any bad query or key in the tile.
var<workgroup> flagged: u32;

// This thread, the first that shares its rows (the others come in steps of two), and its place among
// 16 x 16: rows y, keys x + 16c, columns x + 16n.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> x: u32;
var<private> y: u32;
// Scores and then weights: of row r elements, a component for each key.
var<private> scores: array<vec4<f32>, 1>;
// Bit 4r + c: are row r and key c an edge?
var<private> edges: u32;
// Weighted sums of values: 1 vec4 a row.
var<private> sums: array<vec4<f32>, 1>;
// Of each row the highest score yet, and the thread's own part of the sum of weights.
var<private> highest: array<vec4<f32>, 1>;
var<private> total: array<vec4<f32>, 1>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads % shape.batch;
  at.split = line / (shape.heads * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 16 >= query_size(at)) {
    return;
  }
  lane = thread;
  x = (thread >> 1u) & 15u;
  y = (thread & 1u) | ((thread >> 5u) << 1u);
  first_lane = thread - 2u * x;
  highest[0] = vec4<f32>(LOWEST);
  if (thread < 16u) {
    query_positions[thread] = query_position(at, i32(at.tile), i32(thread));
  }
  if (thread < 2u) {
    atomicStore(&poisoned[thread], 0u);
  }
  clear_flags();
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(at, number);
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 16 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

// Finds the positions of a tile's keys.
fn place_keys(at: Place, segment: u32, tile: i32) {
  if (lane < 64u) {
    let r = i32(lane);
    let j = key_position_0(at, tile, r);
    key_positions[lane] = j;
  }
}

// One tile of keys: online softmax of the query tile's scores, and their weighted values (FlashAttention).
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  place_keys(at, segment, tile);
  scores[0] = vec4<f32>();
  for (var chunk = 0u; chunk < 4u; chunk++) {
    workgroupBarrier();
    load_queries(at, chunk);
    load_keys(at, chunk);
    workgroupBarrier();
    score_tile();
  }
  finish_scores(at, segment, is_partial);
  update_softmax();
  for (var part = 0u; part < shape.four; part++) {
    workgroupBarrier();
    store_weights(part);
    load_values(at, part, 0u);
    workgroupBarrier();
    add_values_0();
  }
  if (workgroupUniformLoad(&flagged) != 0u) {
    poison_rows();
    workgroupBarrier();
    clear_flags();
    workgroupBarrier();
  }
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Stages 16 columns of the queries; a bad one becomes 0, and its row is marked.
fn load_queries(at: Place, chunk: u32) {
  if (lane < 64u) {
    let row = lane >> 2u;
    let part = lane & 3u;
    let i = query_positions[row];
    let column = 4u * chunk + part;
    var value = vec4<f32>();
    if (i >= 0) {
      value = read_quad(q[at.q_start + u32(i - at.base) * shape.q_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_queries[row >> 5u], 1u << (row & 31u));
      flagged = 1u;
    }
    staged[18u * part + row] = value;
  }
}

// Stages 16 columns of the keys; a bad one becomes 0, and the key is marked.
fn load_keys(at: Place, chunk: u32) {
  let key = lane >> 2u;
  let part = lane & 3u;
  let j = key_positions[key];
  let column = 4u * chunk + part;
  var value = vec4<f32>();
  if (j >= 0) {
    value = read_quad(k[at.k_start + u32(j) * shape.k_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_keys[key >> 5u], 1u << (key & 31u));
    flagged = 1u;
  }
  staged[KEYS_AT + 66u * part + key] = value;
}

// Stages 64 columns of the values of 16 keys, in the order of 4 g + c: 4 part + g + 16 c.
fn load_values(at: Place, part: u32, first_column: u32) {
  let slot = lane >> 4u;
  let key = 4u * part + (slot >> 2u) + 16u * (slot & 3u);
  let j = key_positions[key];
  let column = first_column + (lane & 15u);
  var value = vec4<f32>();
  if (j >= 0) {
    value = read_quad(v[at.v_start + u32(j) * shape.v_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_keys[key >> 5u], 1u << (key & 31u));
    flagged = 1u;
  }
  staged[VALUES_AT + lane] = value;
}

// sum + dot(a, b) as multiply-adds, one after the other.
fn add_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
}
// The scores of a row with four of the thread's keys.
fn add_scores(sum: vec4<f32>, q: vec4<f32>, k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(add_dot(sum.x, q, k0), add_dot(sum.y, q, k1), add_dot(sum.z, q, k2), add_dot(sum.w, q, k3));
}
// scores += queries * keys over the staged chunk.
fn score_tile() {
  for (var part = 0u; part < shape.chunk_width; part++) {
    let key = KEYS_AT + 66u * part + x;
    let k0 = staged[key];
    let k1 = staged[key + 16u];
    let k2 = staged[key + 32u];
    let k3 = staged[key + 48u];
    let query = 18u * part + y;
    let q0 = staged[query];
    scores[0] = add_scores(scores[0], q0, k0, k1, k2, k3);
  }
}

// Stages the weights of the 16 keys of a part: of row r those of four keys (c) of one thread in vec4 g.
fn store_weights(part: u32) {
  if (x >> 2u == part) {
    let first = 4u * y + (x & 3u);
    staged[first] = scores[0];
  }
}

// sum + the values of four keys by their weights.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}

// sums += weights * values over the staged keys.
fn add_values_0() {
  for (var g = 0u; g < shape.four; g++) {
    let key = VALUES_AT + 64u * g + x;
    let v0 = staged[key];
    let v1 = staged[key + 16u];
    let v2 = staged[key + 32u];
    let v3 = staged[key + 48u];
    let row = 4u * y + g;
    let w0 = staged[row];
    sums[0] = add_weighted(sums[0], w0, v0, v1, v2, v3);
  }
}

// From dot products to scores: the pattern's own, and LOWEST where a partial tile has no edge.
fn finish_scores(at: Place, segment: u32, is_partial: bool) {
  scores[0] *= 0.125;
  edges = 0xffffffffu;
  if (is_partial) {
    mask_tile(at, segment);
  }
  check_scores();
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

// Finds the edges of a partial tile.
fn mask_tile(at: Place, segment: u32) {
  edges = 0u;
  for (var n = 0u; n < shape.pairs; n++) {
    let i = query_positions[y + 16u * (n >> 2u)];
    let j = key_positions[x + 16u * (n & 3u)];
    if (j >= 0 && keep(at, segment, i, j)) {
      edges |= 1u << n;
    }
  }
  scores[0] = select(vec4<f32>(LOWEST), scores[0], four_edges(edges >> 0u));
}
fn four_edges(bits: u32) -> vec4<bool> {
  return ((vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
}

// A product past the range of f32 reaches its row: as NaN, never as a wrong number.
fn check_scores() {
  scores[0] = checked(scores[0], y);
}
fn checked(scores: vec4<f32>, row: u32) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(scores);
  let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
  if (!any(bad)) {
    return scores;
  }
  if (any(bad)) {
    atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
  }
  return select(scores, vec4<f32>(LOWEST), bad);
}

fn highest_of(x: vec4<f32>) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}
fn sum_of(x: vec4<f32>) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}
// exp(scores - top); exactly 0 for pairs without an edge and scores of -infinity.
fn weights_of(scores: vec4<f32>, top: f32) -> vec4<f32> {
  return select(vec4<f32>(), exp(scores - top), scores > vec4<f32>(LOWEST));
}

// Turns scores into weights relative to the highest score yet, and rescales what was summed before.
fn update_softmax() {
  partial[lane] = vec4<f32>(highest_of(scores[0]), 0.0, 0.0, 0.0);
  workgroupBarrier();
  var top_0 = highest[0];
  for (var n = 0u; n < shape.row_threads; n++) {
    top_0 = max(top_0, partial[first_lane + 2u * n]);
  }
  let shrink_0 = exp(highest[0] - top_0);
  highest[0] = top_0;
  scores[0] = weights_of(scores[0], top_0.x);
  total[0] = total[0] * shrink_0 + vec4<f32>(sum_of(scores[0]), 0.0, 0.0, 0.0);
  sums[0] *= shrink_0.x;
}

// The thread's parts of the sums of weights, added up over the threads of a row.
fn reduce_totals() {
  workgroupBarrier();
  partial[lane] = total[0];
  workgroupBarrier();
  var all_0 = vec4<f32>();
  for (var n = 0u; n < shape.row_threads; n++) {
    all_0 = all_0 + partial[first_lane + 2u * n];
  }
  total[0] = all_0;
}

// Marks the rows that have an edge to a bad key, or are bad and have any edge.
fn poison_rows() {
  for (var n = 0u; n < shape.pairs; n++) {
    let row = y + 16u * (n >> 2u);
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
}

// Writes what this part of the keys gives: of each row the sums, then the highest score, the total and poison.
fn store_parts(at: Place, number: u32) {
  reduce_totals();
  let part_0 = (number * 16u + y) * 17u;
  parts[part_0 + x] = sums[0];
  if (x == 0u) {
    let poison = select(0.0, 1.0, is_poisoned(y));
    parts[part_0 + 16u] = vec4<f32>(highest[0].x, total[0].x, poison, 0.0);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, portable, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / 16u;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % 16u;
  let own = at;
  let i = query_position(at, i32(at.tile), i32(r));
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * 16u * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 16 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// ==== rows_tiles_0: tiles, subgroup, schedule rows, pass 1 ====

enable subgroups;

// Four numbers of q, k or v: f32.
alias Quad = vec4<f32>;
fn read_quad(x: Quad) -> vec4<f32> {
  return x;
}

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 64 queries and 64 keys.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// Staging space: the queries, then a chunk of the keys or some weights and values.
const KEYS_AT = 1040u;
const WEIGHTS_AT = 1040u;
const VALUES_AT = 1296u;
var<workgroup> staged: array<vec4<f32>, 1560>;
// What each thread found for its rows, to be reduced over the 8 threads that share them.
var<workgroup> partial: array<vec4<f32>, 128>;
// Positions of the tile's queries and keys; -1 where there is none.
var<workgroup> query_positions: array<i32, 64>;
var<workgroup> key_positions: array<i32, 64>;
// Rows and keys with NaN or infinity in them, as bits; rows that such a key reaches.
var<workgroup> bad_queries: array<atomic<u32>, 2>;
var<workgroup> bad_keys: array<atomic<u32>, 2>;
var<workgroup> poisoned: array<atomic<u32>, 2>;
// 1 if there is any bad query or key in the tile.
var<workgroup> flagged: u32;
// 1 if threads are not numbered as they lie in subgroups.
var<workgroup> scattered: u32;

// This thread, the first that shares its rows (the others come in steps of two), and its place among
// 8 x 8: rows y + 8r, keys x + 8c, columns x + 8n.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> x: u32;
var<private> y: u32;
// Scores and then weights: of row r vec4s 2r to 2r + 1, a component for each key.
var<private> scores: array<vec4<f32>, 16>;
// Bit 8r + c: are row r and key c an edge?
var<private> edges: vec2<u32>;
// Weighted sums of values: 2 vec4s a row.
var<private> sums: array<vec4<f32>, 16>;
// Of each row the highest score yet, and the thread's own part of the sum of weights.
var<private> highest: array<vec4<f32>, 2>;
var<private> total: array<vec4<f32>, 2>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 64 >= query_size(at)) {
    return;
  }
  lane = thread;
  x = (thread >> 1u) & 7u;
  y = (thread & 1u) | ((thread >> 4u) << 1u);
  first_lane = thread - 2u * x;
  highest[0] = vec4<f32>(LOWEST);
  highest[1] = vec4<f32>(LOWEST);
  if (thread < 64u) {
    query_positions[thread] = query_position(at, i32(at.tile), i32(thread));
  }
  if (thread < 2u) {
    atomicStore(&poisoned[thread], 0u);
  }
  clear_flags();
  workgroupBarrier();
  for (var chunk = 0u; chunk < 2u; chunk++) {
    load_queries(at, chunk);
  }
  // Where subgroups are runs of threads, so many threads of a row are in one.
  if (subgroup_lane != thread % subgroup_size) {
    scattered = 1u;
  }
  let row_lanes = select(clamp(subgroup_size / 2u, 1u, 8u), 1u, workgroupUniformLoad(&scattered) != 0u);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS, row_lanes);
  }
  store_rows(at, row_lanes);
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

// Finds the positions of a tile's keys.
fn place_keys(at: Place, segment: u32, tile: i32) {
  if (lane < 64u) {
    let r = i32(lane);
    let j = key_position_0(at, tile, r);
    key_positions[lane] = j;
  }
}

// One tile of keys: online softmax of the query tile's scores, and their weighted values (FlashAttention).
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool, row_lanes: u32) {
  place_keys(at, segment, tile);
  scores[0] = vec4<f32>();
  scores[1] = vec4<f32>();
  scores[2] = vec4<f32>();
  scores[3] = vec4<f32>();
  scores[4] = vec4<f32>();
  scores[5] = vec4<f32>();
  scores[6] = vec4<f32>();
  scores[7] = vec4<f32>();
  scores[8] = vec4<f32>();
  scores[9] = vec4<f32>();
  scores[10] = vec4<f32>();
  scores[11] = vec4<f32>();
  scores[12] = vec4<f32>();
  scores[13] = vec4<f32>();
  scores[14] = vec4<f32>();
  scores[15] = vec4<f32>();
  for (var chunk = 0u; chunk < 2u; chunk++) {
    workgroupBarrier();
    load_keys(at, chunk);
    workgroupBarrier();
    score_tile(chunk);
  }
  finish_scores(at, segment, is_partial);
  update_softmax(row_lanes);
  for (var part = 0u; part < shape.four; part++) {
    workgroupBarrier();
    store_weights(part);
    load_values(at, part, 0u);
    workgroupBarrier();
    add_values_0();
  }
  if (workgroupUniformLoad(&flagged) != 0u) {
    poison_rows();
    workgroupBarrier();
    clear_flags();
    workgroupBarrier();
  }
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Stages 32 columns of the queries; a bad one becomes 0, and its row is marked.
fn load_queries(at: Place, chunk: u32) {
  for (var n = lane; n < 512u; n += 64u) {
    let row = n >> 3u;
    let part = n & 7u;
    let i = query_positions[row];
    let column = 8u * chunk + part;
    var value = vec4<f32>();
    if (i >= 0) {
      value = read_quad(q[at.q_start + u32(i - at.base) * shape.q_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_queries[row >> 5u], 1u << (row & 31u));
      flagged = 1u;
    }
    staged[65u * column + row] = value;
  }
}

// Stages 32 columns of the keys; a bad one becomes 0, and the key is marked.
fn load_keys(at: Place, chunk: u32) {
  for (var n = lane; n < 512u; n += 64u) {
    let key = n >> 3u;
    let part = n & 7u;
    let j = key_positions[key];
    let column = 8u * chunk + part;
    var value = vec4<f32>();
    if (j >= 0) {
      value = read_quad(k[at.k_start + u32(j) * shape.k_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_keys[key >> 5u], 1u << (key & 31u));
      flagged = 1u;
    }
    staged[KEYS_AT + 65u * part + key] = value;
  }
}

// Stages 64 columns of the values of 16 keys, in the order of 4 g + c: 4 (part & 1) + g + 32 (part >> 1) + 8 c.
fn load_values(at: Place, part: u32, first_column: u32) {
  for (var n = lane; n < 256u; n += 64u) {
    let slot = n >> 4u;
    let key = 4u * (part & 1u) + 32u * (part >> 1u) + (slot >> 2u) + 8u * (slot & 3u);
    let j = key_positions[key];
    let column = first_column + (n & 15u);
    var value = vec4<f32>();
    if (j >= 0) {
      value = read_quad(v[at.v_start + u32(j) * shape.v_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_keys[key >> 5u], 1u << (key & 31u));
      flagged = 1u;
    }
    staged[VALUES_AT + n] = value;
  }
}

// sum + dot(a, b) as multiply-adds, one after the other.
fn add_dot(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return a.w * b.w + (a.z * b.z + (a.y * b.y + (a.x * b.x + sum)));
}
// The scores of a row with four of the thread's keys.
fn add_scores(sum: vec4<f32>, q: vec4<f32>, k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(add_dot(sum.x, q, k0), add_dot(sum.y, q, k1), add_dot(sum.z, q, k2), add_dot(sum.w, q, k3));
}
// scores += queries * keys over the staged chunk.
fn score_tile(chunk: u32) {
  for (var part = 0u; part < shape.chunk_width; part++) {
    let key = KEYS_AT + 65u * part + x;
    let k0 = staged[key];
    let k1 = staged[key + 8u];
    let k2 = staged[key + 16u];
    let k3 = staged[key + 24u];
    let k4 = staged[key + 32u];
    let k5 = staged[key + 40u];
    let k6 = staged[key + 48u];
    let k7 = staged[key + 56u];
    let query = 65u * (8u * chunk + part) + y;
    let q0 = staged[query];
    scores[0] = add_scores(scores[0], q0, k0, k1, k2, k3);
    scores[1] = add_scores(scores[1], q0, k4, k5, k6, k7);
    let q1 = staged[query + 8u];
    scores[2] = add_scores(scores[2], q1, k0, k1, k2, k3);
    scores[3] = add_scores(scores[3], q1, k4, k5, k6, k7);
    let q2 = staged[query + 16u];
    scores[4] = add_scores(scores[4], q2, k0, k1, k2, k3);
    scores[5] = add_scores(scores[5], q2, k4, k5, k6, k7);
    let q3 = staged[query + 24u];
    scores[6] = add_scores(scores[6], q3, k0, k1, k2, k3);
    scores[7] = add_scores(scores[7], q3, k4, k5, k6, k7);
    let q4 = staged[query + 32u];
    scores[8] = add_scores(scores[8], q4, k0, k1, k2, k3);
    scores[9] = add_scores(scores[9], q4, k4, k5, k6, k7);
    let q5 = staged[query + 40u];
    scores[10] = add_scores(scores[10], q5, k0, k1, k2, k3);
    scores[11] = add_scores(scores[11], q5, k4, k5, k6, k7);
    let q6 = staged[query + 48u];
    scores[12] = add_scores(scores[12], q6, k0, k1, k2, k3);
    scores[13] = add_scores(scores[13], q6, k4, k5, k6, k7);
    let q7 = staged[query + 56u];
    scores[14] = add_scores(scores[14], q7, k0, k1, k2, k3);
    scores[15] = add_scores(scores[15], q7, k4, k5, k6, k7);
  }
}

// Stages the weights of the 16 keys of a part: of row r those of four keys (c) of one thread in vec4 g.
fn store_weights(part: u32) {
  if (x >> 2u == (part & 1u)) {
    let first = WEIGHTS_AT + 4u * y + (x & 3u);
    if (part < 2u) {
      staged[first] = scores[0];
      staged[first + 32u] = scores[2];
      staged[first + 64u] = scores[4];
      staged[first + 96u] = scores[6];
      staged[first + 128u] = scores[8];
      staged[first + 160u] = scores[10];
      staged[first + 192u] = scores[12];
      staged[first + 224u] = scores[14];
    } else {
      staged[first] = scores[1];
      staged[first + 32u] = scores[3];
      staged[first + 64u] = scores[5];
      staged[first + 96u] = scores[7];
      staged[first + 128u] = scores[9];
      staged[first + 160u] = scores[11];
      staged[first + 192u] = scores[13];
      staged[first + 224u] = scores[15];
    }
  }
}

// sum + the values of four keys by their weights.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}

// sums += weights * values over the staged keys.
fn add_values_0() {
  for (var g = 0u; g < shape.four; g++) {
    let key = VALUES_AT + 64u * g + x;
    let v0 = staged[key];
    let v1 = staged[key + 16u];
    let v2 = staged[key + 32u];
    let v3 = staged[key + 48u];
    let v4 = staged[key + 8u];
    let v5 = staged[key + 24u];
    let v6 = staged[key + 40u];
    let v7 = staged[key + 56u];
    let row = WEIGHTS_AT + 4u * y + g;
    let w0 = staged[row];
    sums[0] = add_weighted(sums[0], w0, v0, v1, v2, v3);
    sums[1] = add_weighted(sums[1], w0, v4, v5, v6, v7);
    let w1 = staged[row + 32u];
    sums[2] = add_weighted(sums[2], w1, v0, v1, v2, v3);
    sums[3] = add_weighted(sums[3], w1, v4, v5, v6, v7);
    let w2 = staged[row + 64u];
    sums[4] = add_weighted(sums[4], w2, v0, v1, v2, v3);
    sums[5] = add_weighted(sums[5], w2, v4, v5, v6, v7);
    let w3 = staged[row + 96u];
    sums[6] = add_weighted(sums[6], w3, v0, v1, v2, v3);
    sums[7] = add_weighted(sums[7], w3, v4, v5, v6, v7);
    let w4 = staged[row + 128u];
    sums[8] = add_weighted(sums[8], w4, v0, v1, v2, v3);
    sums[9] = add_weighted(sums[9], w4, v4, v5, v6, v7);
    let w5 = staged[row + 160u];
    sums[10] = add_weighted(sums[10], w5, v0, v1, v2, v3);
    sums[11] = add_weighted(sums[11], w5, v4, v5, v6, v7);
    let w6 = staged[row + 192u];
    sums[12] = add_weighted(sums[12], w6, v0, v1, v2, v3);
    sums[13] = add_weighted(sums[13], w6, v4, v5, v6, v7);
    let w7 = staged[row + 224u];
    sums[14] = add_weighted(sums[14], w7, v0, v1, v2, v3);
    sums[15] = add_weighted(sums[15], w7, v4, v5, v6, v7);
  }
}

// From dot products to scores: the pattern's own, and LOWEST where a partial tile has no edge.
fn finish_scores(at: Place, segment: u32, is_partial: bool) {
  scores[0] *= 0.125;
  scores[1] *= 0.125;
  scores[2] *= 0.125;
  scores[3] *= 0.125;
  scores[4] *= 0.125;
  scores[5] *= 0.125;
  scores[6] *= 0.125;
  scores[7] *= 0.125;
  scores[8] *= 0.125;
  scores[9] *= 0.125;
  scores[10] *= 0.125;
  scores[11] *= 0.125;
  scores[12] *= 0.125;
  scores[13] *= 0.125;
  scores[14] *= 0.125;
  scores[15] *= 0.125;
  edges = vec2<u32>(0xffffffffu);
  if (is_partial) {
    mask_tile(at, segment);
  }
  check_scores();
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

// Finds the edges of a partial tile.
fn mask_tile(at: Place, segment: u32) {
  edges = vec2<u32>();
  for (var n = 0u; n < shape.pairs; n++) {
    let i = query_positions[y + 8u * (n >> 3u)];
    let j = key_positions[x + 8u * (n & 7u)];
    if (j >= 0 && keep(at, segment, i, j)) {
      edges |= select(vec2<u32>(1u << n, 0u), vec2<u32>(0u, 1u << (n & 31u)), n >= 32u);
    }
  }
  scores[0] = select(vec4<f32>(LOWEST), scores[0], four_edges(edges.x >> 0u));
  scores[1] = select(vec4<f32>(LOWEST), scores[1], four_edges(edges.x >> 4u));
  scores[2] = select(vec4<f32>(LOWEST), scores[2], four_edges(edges.x >> 8u));
  scores[3] = select(vec4<f32>(LOWEST), scores[3], four_edges(edges.x >> 12u));
  scores[4] = select(vec4<f32>(LOWEST), scores[4], four_edges(edges.x >> 16u));
  scores[5] = select(vec4<f32>(LOWEST), scores[5], four_edges(edges.x >> 20u));
  scores[6] = select(vec4<f32>(LOWEST), scores[6], four_edges(edges.x >> 24u));
  scores[7] = select(vec4<f32>(LOWEST), scores[7], four_edges(edges.x >> 28u));
  scores[8] = select(vec4<f32>(LOWEST), scores[8], four_edges(edges.y >> 0u));
  scores[9] = select(vec4<f32>(LOWEST), scores[9], four_edges(edges.y >> 4u));
  scores[10] = select(vec4<f32>(LOWEST), scores[10], four_edges(edges.y >> 8u));
  scores[11] = select(vec4<f32>(LOWEST), scores[11], four_edges(edges.y >> 12u));
  scores[12] = select(vec4<f32>(LOWEST), scores[12], four_edges(edges.y >> 16u));
  scores[13] = select(vec4<f32>(LOWEST), scores[13], four_edges(edges.y >> 20u));
  scores[14] = select(vec4<f32>(LOWEST), scores[14], four_edges(edges.y >> 24u));
  scores[15] = select(vec4<f32>(LOWEST), scores[15], four_edges(edges.y >> 28u));
}
fn four_edges(bits: u32) -> vec4<bool> {
  return ((vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
}

// A product past the range of f32 reaches its row: as NaN, never as a wrong number.
fn check_scores() {
  scores[0] = checked(scores[0], y);
  scores[1] = checked(scores[1], y);
  scores[2] = checked(scores[2], y + 8u);
  scores[3] = checked(scores[3], y + 8u);
  scores[4] = checked(scores[4], y + 16u);
  scores[5] = checked(scores[5], y + 16u);
  scores[6] = checked(scores[6], y + 24u);
  scores[7] = checked(scores[7], y + 24u);
  scores[8] = checked(scores[8], y + 32u);
  scores[9] = checked(scores[9], y + 32u);
  scores[10] = checked(scores[10], y + 40u);
  scores[11] = checked(scores[11], y + 40u);
  scores[12] = checked(scores[12], y + 48u);
  scores[13] = checked(scores[13], y + 48u);
  scores[14] = checked(scores[14], y + 56u);
  scores[15] = checked(scores[15], y + 56u);
}
fn checked(scores: vec4<f32>, row: u32) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(scores);
  let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
  if (!any(bad)) {
    return scores;
  }
  if (any(bad)) {
    atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
  }
  return select(scores, vec4<f32>(LOWEST), bad);
}

fn highest_of(x: vec4<f32>) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}
fn sum_of(x: vec4<f32>) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}
// exp(scores - top); exactly 0 for pairs without an edge and scores of -infinity.
fn weights_of(scores: vec4<f32>, top: f32) -> vec4<f32> {
  return select(vec4<f32>(), exp(scores - top), scores > vec4<f32>(LOWEST));
}

// The highest over the threads of a row that are in one subgroup: row_lanes of them.
fn highest_nearby(own: vec4<f32>, row_lanes: u32) -> vec4<f32> {
  var all = own;
  if (row_lanes > 1u) {
    all = max(all, subgroupShuffleXor(all, 2u));
  }
  if (row_lanes > 2u) {
    all = max(all, subgroupShuffleXor(all, 4u));
  }
  if (row_lanes > 4u) {
    all = max(all, subgroupShuffleXor(all, 8u));
  }
  return all;
}

// The sum over the threads of a row that are in one subgroup: row_lanes of them.
fn sum_nearby(own: vec4<f32>, row_lanes: u32) -> vec4<f32> {
  var all = own;
  if (row_lanes > 1u) {
    all = all + subgroupShuffleXor(all, 2u);
  }
  if (row_lanes > 2u) {
    all = all + subgroupShuffleXor(all, 4u);
  }
  if (row_lanes > 4u) {
    all = all + subgroupShuffleXor(all, 8u);
  }
  return all;
}

// Turns scores into weights relative to the highest score yet, and rescales what was summed before.
fn update_softmax(row_lanes: u32) {
  var top_0 = max(highest[0], highest_nearby(vec4<f32>(highest_of(max(scores[0], scores[1])), highest_of(max(scores[2], scores[3])), highest_of(max(scores[4], scores[5])), highest_of(max(scores[6], scores[7]))), row_lanes));
  var top_1 = max(highest[1], highest_nearby(vec4<f32>(highest_of(max(scores[8], scores[9])), highest_of(max(scores[10], scores[11])), highest_of(max(scores[12], scores[13])), highest_of(max(scores[14], scores[15]))), row_lanes));
  if (row_lanes < 8u) {
    // The rest of the row is in other subgroups: one thread speaks for each of them.
    partial[lane] = top_0;
    top_0 = highest[0];
    partial[64u + lane] = top_1;
    top_1 = highest[1];
    workgroupBarrier();
    for (var n = 0u; n < shape.row_threads; n += row_lanes) {
      top_0 = max(top_0, partial[first_lane + 2u * n]);
      top_1 = max(top_1, partial[64u + first_lane + 2u * n]);
    }
  }
  let shrink_0 = exp(highest[0] - top_0);
  highest[0] = top_0;
  let shrink_1 = exp(highest[1] - top_1);
  highest[1] = top_1;
  scores[0] = weights_of(scores[0], top_0.x);
  scores[1] = weights_of(scores[1], top_0.x);
  scores[2] = weights_of(scores[2], top_0.y);
  scores[3] = weights_of(scores[3], top_0.y);
  scores[4] = weights_of(scores[4], top_0.z);
  scores[5] = weights_of(scores[5], top_0.z);
  scores[6] = weights_of(scores[6], top_0.w);
  scores[7] = weights_of(scores[7], top_0.w);
  scores[8] = weights_of(scores[8], top_1.x);
  scores[9] = weights_of(scores[9], top_1.x);
  scores[10] = weights_of(scores[10], top_1.y);
  scores[11] = weights_of(scores[11], top_1.y);
  scores[12] = weights_of(scores[12], top_1.z);
  scores[13] = weights_of(scores[13], top_1.z);
  scores[14] = weights_of(scores[14], top_1.w);
  scores[15] = weights_of(scores[15], top_1.w);
  total[0] = total[0] * shrink_0 + vec4<f32>(sum_of(scores[0] + scores[1]), sum_of(scores[2] + scores[3]), sum_of(scores[4] + scores[5]), sum_of(scores[6] + scores[7]));
  total[1] = total[1] * shrink_1 + vec4<f32>(sum_of(scores[8] + scores[9]), sum_of(scores[10] + scores[11]), sum_of(scores[12] + scores[13]), sum_of(scores[14] + scores[15]));
  sums[0] *= shrink_0.x;
  sums[1] *= shrink_0.x;
  sums[2] *= shrink_0.y;
  sums[3] *= shrink_0.y;
  sums[4] *= shrink_0.z;
  sums[5] *= shrink_0.z;
  sums[6] *= shrink_0.w;
  sums[7] *= shrink_0.w;
  sums[8] *= shrink_1.x;
  sums[9] *= shrink_1.x;
  sums[10] *= shrink_1.y;
  sums[11] *= shrink_1.y;
  sums[12] *= shrink_1.z;
  sums[13] *= shrink_1.z;
  sums[14] *= shrink_1.w;
  sums[15] *= shrink_1.w;
}

// The thread's parts of the sums of weights, added up over the threads of a row.
fn reduce_totals(row_lanes: u32) {
  workgroupBarrier();
  var all_0 = sum_nearby(total[0], row_lanes);
  var all_1 = sum_nearby(total[1], row_lanes);
  if (row_lanes < 8u) {
    // The rest of the row is in other subgroups: one thread speaks for each of them.
    partial[lane] = all_0;
    all_0 = vec4<f32>();
    partial[64u + lane] = all_1;
    all_1 = vec4<f32>();
    workgroupBarrier();
    for (var n = 0u; n < shape.row_threads; n += row_lanes) {
      all_0 = all_0 + partial[first_lane + 2u * n];
      all_1 = all_1 + partial[64u + first_lane + 2u * n];
    }
  }
  total[0] = all_0;
  total[1] = all_1;
}

// Marks the rows that have an edge to a bad key, or are bad and have any edge.
fn poison_rows() {
  for (var n = 0u; n < shape.pairs; n++) {
    let row = y + 8u * (n >> 3u);
    let key = x + 8u * (n & 7u);
    let bad_row = atomicLoad(&bad_queries[row >> 5u]) >> (row & 31u);
    let bad_key = atomicLoad(&bad_keys[key >> 5u]) >> (key & 31u);
    if (((bad_row | bad_key) & (select(edges.x, edges.y, n >= 32u) >> (n & 31u)) & 1u) != 0u) {
      atomicOr(&poisoned[row >> 5u], 1u << (row & 31u));
    }
  }
}
fn is_poisoned(row: u32) -> bool {
  return ((atomicLoad(&poisoned[row >> 5u]) >> (row & 31u)) & 1u) != 0u;
}
fn clear_flags() {
  // Queries stay as they are, and what is known of them.
  if (lane < 2u) {
    atomicStore(&bad_keys[lane], 0u);
  }
  if (lane == 0u) {
    flagged = select(0u, 1u, (atomicLoad(&bad_queries[0]) | atomicLoad(&bad_queries[1])) != 0u);
  }
}

// Divides by the sums of weights and writes the tile's rows.
fn store_rows(at: Place, row_lanes: u32) {
  reduce_totals(row_lanes);
  if (query_positions[y] >= 0) {
    store_row(at, query_positions[y], highest[0].x, total[0].x, is_poisoned(y), x, sums[0], sums[1]);
  }
  if (query_positions[y + 8u] >= 0) {
    store_row(at, query_positions[y + 8u], highest[0].y, total[0].y, is_poisoned(y + 8u), x, sums[2], sums[3]);
  }
  if (query_positions[y + 16u] >= 0) {
    store_row(at, query_positions[y + 16u], highest[0].z, total[0].z, is_poisoned(y + 16u), x, sums[4], sums[5]);
  }
  if (query_positions[y + 24u] >= 0) {
    store_row(at, query_positions[y + 24u], highest[0].w, total[0].w, is_poisoned(y + 24u), x, sums[6], sums[7]);
  }
  if (query_positions[y + 32u] >= 0) {
    store_row(at, query_positions[y + 32u], highest[1].x, total[1].x, is_poisoned(y + 32u), x, sums[8], sums[9]);
  }
  if (query_positions[y + 40u] >= 0) {
    store_row(at, query_positions[y + 40u], highest[1].y, total[1].y, is_poisoned(y + 40u), x, sums[10], sums[11]);
  }
  if (query_positions[y + 48u] >= 0) {
    store_row(at, query_positions[y + 48u], highest[1].z, total[1].z, is_poisoned(y + 48u), x, sums[12], sums[13]);
  }
  if (query_positions[y + 56u] >= 0) {
    store_row(at, query_positions[y + 56u], highest[1].w, total[1].w, is_poisoned(y + 56u), x, sums[14], sums[15]);
  }
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_1 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_8: decode, subgroup, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_8: attention of few queries, the keys in parts; 16 teams of 8 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 64 columns at a time; such teams of a workgroup.
const LANES = 8u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 2 and 2 vec4s a row.
var<private> queries: array<vec4<f32>, 8>;
var<private> sums: array<vec4<f32>, 8>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[2] = read_low(piece_0);
    queries[3] = read_high(piece_0);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[6] = read_low(piece_0);
    queries[7] = read_high(piece_0);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[2], low_0_0), dot(queries[2], low_1_0), dot(queries[2], low_2_0), dot(queries[2], low_3_0));
  dots_2 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_3 += vec4<f32>(dot(queries[6], low_0_0), dot(queries[6], low_1_0), dot(queries[6], low_2_0), dot(queries[6], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[3], high_0_0), dot(queries[3], high_1_0), dot(queries[3], high_2_0), dot(queries[3], high_3_0));
  dots_2 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_3 += vec4<f32>(dot(queries[7], high_0_0), dot(queries[7], high_1_0), dot(queries[7], high_2_0), dot(queries[7], high_3_0));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec2<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial));
  var top = max(highest, max(own_scores.x, own_scores.y));
  top = max(top, subgroupShuffleXor(top, 4u));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[2] *= shrink_1;
    sums[3] *= shrink_1;
    sums[4] *= shrink_2;
    sums[5] *= shrink_2;
    sums[6] *= shrink_3;
    sums[7] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_edges(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_edges(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_edges(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_edges(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_weighted(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_weighted(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_weighted(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_weighted(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec2<f32>, top: f32) -> vec2<f32> {
  let weights = select(vec2<f32>(0.0), exp(scores - top), scores > vec2<f32>(LOWEST));
  return select(weights, vec2<f32>(-1.0), scores < vec2<f32>(LOWEST));
}
fn sum_of_weights(weights: vec2<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec2<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec2<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  let half = select(row.xy, row.zw, (lane & 4u) != 0u)
    + subgroupShuffleXor(select(row.zw, row.xy, (lane & 4u) != 0u), 4u);
  return half;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec2<i32> {
  return select(keys.xy, keys.zw, (lane & 4u) != 0u);
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  total += subgroupShuffleXor(total, 4u);
  var poison = select(0.0, 1.0, poisoned);
  poison = max(poison, subgroupShuffleXor(poison, 4u));
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[2] * factor;
    gathered[at_0 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[6] * factor;
    gathered[at_0 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 128u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_4: decode, subgroup, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_4: attention of few queries, the keys in parts; 16 teams of 4 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 32 columns at a time; such teams of a workgroup.
const LANES = 4u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 4 and 4 vec4s a row.
var<private> queries: array<vec4<f32>, 16>;
var<private> sums: array<vec4<f32>, 16>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
    let piece_1 = q[start + lane + 4u];
    queries[2] = read_low(piece_1);
    queries[3] = read_high(piece_1);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
    let piece_1 = q[start + lane + 4u];
    queries[6] = read_low(piece_1);
    queries[7] = read_high(piece_1);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[8] = read_low(piece_0);
    queries[9] = read_high(piece_0);
    let piece_1 = q[start + lane + 4u];
    queries[10] = read_low(piece_1);
    queries[11] = read_high(piece_1);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[12] = read_low(piece_0);
    queries[13] = read_high(piece_0);
    let piece_1 = q[start + lane + 4u];
    queries[14] = read_low(piece_1);
    queries[15] = read_high(piece_1);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let k_0_1 = k[k_row_0 + lane + 4u];
  let k_1_1 = k[k_row_1 + lane + 4u];
  let k_2_1 = k[k_row_2 + lane + 4u];
  let k_3_1 = k[k_row_3 + lane + 4u];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  let v_0_1 = v[v_row_0 + lane + 4u];
  let v_1_1 = v[v_row_1 + lane + 4u];
  let v_2_1 = v[v_row_2 + lane + 4u];
  let v_3_1 = v[v_row_3 + lane + 4u];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_2 += vec4<f32>(dot(queries[8], low_0_0), dot(queries[8], low_1_0), dot(queries[8], low_2_0), dot(queries[8], low_3_0));
  dots_3 += vec4<f32>(dot(queries[12], low_0_0), dot(queries[12], low_1_0), dot(queries[12], low_2_0), dot(queries[12], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_2 += vec4<f32>(dot(queries[9], high_0_0), dot(queries[9], high_1_0), dot(queries[9], high_2_0), dot(queries[9], high_3_0));
  dots_3 += vec4<f32>(dot(queries[13], high_0_0), dot(queries[13], high_1_0), dot(queries[13], high_2_0), dot(queries[13], high_3_0));
  let low_0_1 = read_low(k_0_1);
  let low_1_1 = read_low(k_1_1);
  let low_2_1 = read_low(k_2_1);
  let low_3_1 = read_low(k_3_1);
  dots_0 += vec4<f32>(dot(queries[2], low_0_1), dot(queries[2], low_1_1), dot(queries[2], low_2_1), dot(queries[2], low_3_1));
  dots_1 += vec4<f32>(dot(queries[6], low_0_1), dot(queries[6], low_1_1), dot(queries[6], low_2_1), dot(queries[6], low_3_1));
  dots_2 += vec4<f32>(dot(queries[10], low_0_1), dot(queries[10], low_1_1), dot(queries[10], low_2_1), dot(queries[10], low_3_1));
  dots_3 += vec4<f32>(dot(queries[14], low_0_1), dot(queries[14], low_1_1), dot(queries[14], low_2_1), dot(queries[14], low_3_1));
  let high_0_1 = read_high(k_0_1);
  let high_1_1 = read_high(k_1_1);
  let high_2_1 = read_high(k_2_1);
  let high_3_1 = read_high(k_3_1);
  dots_0 += vec4<f32>(dot(queries[3], high_0_1), dot(queries[3], high_1_1), dot(queries[3], high_2_1), dot(queries[3], high_3_1));
  dots_1 += vec4<f32>(dot(queries[7], high_0_1), dot(queries[7], high_1_1), dot(queries[7], high_2_1), dot(queries[7], high_3_1));
  dots_2 += vec4<f32>(dot(queries[11], high_0_1), dot(queries[11], high_1_1), dot(queries[11], high_2_1), dot(queries[11], high_3_1));
  dots_3 += vec4<f32>(dot(queries[15], high_0_1), dot(queries[15], high_1_1), dot(queries[15], high_2_1), dot(queries[15], high_3_1));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec4<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial), score_own(segment, own_dots.z, own_keys.z, is_partial), score_own(segment, own_dots.w, own_keys.w, is_partial));
  var top = max(highest, max(max(max(own_scores.x, own_scores.y), own_scores.z), own_scores.w));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[4] *= shrink_1;
    sums[5] *= shrink_1;
    sums[8] *= shrink_2;
    sums[9] *= shrink_2;
    sums[12] *= shrink_3;
    sums[13] *= shrink_3;
    sums[2] *= shrink_0;
    sums[3] *= shrink_0;
    sums[6] *= shrink_1;
    sums[7] *= shrink_1;
    sums[10] *= shrink_2;
    sums[11] *= shrink_2;
    sums[14] *= shrink_3;
    sums[15] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[8] = add_edges(sums[8], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[12] = add_edges(sums[12], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[9] = add_edges(sums[9], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[13] = add_edges(sums[13], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
    let low_0_1 = read_low(v_0_1);
    let low_1_1 = read_low(v_1_1);
    let low_2_1 = read_low(v_2_1);
    let low_3_1 = read_low(v_3_1);
    sums[2] = add_edges(sums[2], weights_0, low_0_1, low_1_1, low_2_1, low_3_1);
    sums[6] = add_edges(sums[6], weights_1, low_0_1, low_1_1, low_2_1, low_3_1);
    sums[10] = add_edges(sums[10], weights_2, low_0_1, low_1_1, low_2_1, low_3_1);
    sums[14] = add_edges(sums[14], weights_3, low_0_1, low_1_1, low_2_1, low_3_1);
    let high_0_1 = read_high(v_0_1);
    let high_1_1 = read_high(v_1_1);
    let high_2_1 = read_high(v_2_1);
    let high_3_1 = read_high(v_3_1);
    sums[3] = add_edges(sums[3], weights_0, high_0_1, high_1_1, high_2_1, high_3_1);
    sums[7] = add_edges(sums[7], weights_1, high_0_1, high_1_1, high_2_1, high_3_1);
    sums[11] = add_edges(sums[11], weights_2, high_0_1, high_1_1, high_2_1, high_3_1);
    sums[15] = add_edges(sums[15], weights_3, high_0_1, high_1_1, high_2_1, high_3_1);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[8] = add_weighted(sums[8], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[12] = add_weighted(sums[12], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[9] = add_weighted(sums[9], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[13] = add_weighted(sums[13], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
    let low_0_1 = read_low(v_0_1);
    let low_1_1 = read_low(v_1_1);
    let low_2_1 = read_low(v_2_1);
    let low_3_1 = read_low(v_3_1);
    sums[2] = add_weighted(sums[2], weights_0, low_0_1, low_1_1, low_2_1, low_3_1);
    sums[6] = add_weighted(sums[6], weights_1, low_0_1, low_1_1, low_2_1, low_3_1);
    sums[10] = add_weighted(sums[10], weights_2, low_0_1, low_1_1, low_2_1, low_3_1);
    sums[14] = add_weighted(sums[14], weights_3, low_0_1, low_1_1, low_2_1, low_3_1);
    let high_0_1 = read_high(v_0_1);
    let high_1_1 = read_high(v_1_1);
    let high_2_1 = read_high(v_2_1);
    let high_3_1 = read_high(v_3_1);
    sums[3] = add_weighted(sums[3], weights_0, high_0_1, high_1_1, high_2_1, high_3_1);
    sums[7] = add_weighted(sums[7], weights_1, high_0_1, high_1_1, high_2_1, high_3_1);
    sums[11] = add_weighted(sums[11], weights_2, high_0_1, high_1_1, high_2_1, high_3_1);
    sums[15] = add_weighted(sums[15], weights_3, high_0_1, high_1_1, high_2_1, high_3_1);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec4<f32>, top: f32) -> vec4<f32> {
  let weights = select(vec4<f32>(0.0), exp(scores - top), scores > vec4<f32>(LOWEST));
  return select(weights, vec4<f32>(-1.0), scores < vec4<f32>(LOWEST));
}
fn sum_of_weights(weights: vec4<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0) + max(weights.z, 0.0) + max(weights.w, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec4<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return subgroupShuffle(weights, source);
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  return row;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec4<i32> {
  return keys;
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  var poison = select(0.0, 1.0, poisoned);
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    let at_1 = team * 16u + 2u * (lane + 4u);
    gathered[at_1] = sums[2] * factor;
    gathered[at_1 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    let at_1 = team * 16u + 2u * (lane + 4u);
    gathered[at_1] = sums[6] * factor;
    gathered[at_1 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[8] * factor;
    gathered[at_0 + 1u] = sums[9] * factor;
    let at_1 = team * 16u + 2u * (lane + 4u);
    gathered[at_1] = sums[10] * factor;
    gathered[at_1 + 1u] = sums[11] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[12] * factor;
    gathered[at_0 + 1u] = sums[13] * factor;
    let at_1 = team * 16u + 2u * (lane + 4u);
    gathered[at_1] = sums[14] * factor;
    gathered[at_1 + 1u] = sums[15] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 64u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, subgroup, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  pack_sets: u32,
  pack_queries: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks);
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / (4u * shape.pack_sets);
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % (4u * shape.pack_sets);
  let row = find_row(at, r);
  let own = row.place;
  let i = row.i;
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * (4u * shape.pack_sets) * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.out_start += further * shape.out_head;
    row.place.lse_start += further * shape.lse_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// ==== rows_tiles_0: tiles, matrix, schedule rows, pass 1 ====

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 128 queries and 16 keys,
// with f16 matrices of 16 x 16 x 16: 8 subgroups of 32, each with 1 x 16 rows.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// From a dot product to powers of two.
const TO_LOG2 = 0.18033688;
const TO_LOG = 0.6931472;
// The reference of a row without an edge yet; every score that counts is higher.
const FLOOR = -1e37;
// Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
const SLACK = 8.0;

// Keys and then values of the present tile, in pieces of 16 bytes.
const VALUES_AT = 144u;
var<workgroup> staged: array<vec4<u32>, 288>;
// Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
var<workgroup> scratch: array<vec4<u32>, 640>;
// Positions of the keys; -1 where there is none.
var<workgroup> key_positions: array<i32, 16>;
// 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: 1 where results must be rescaled, or
// everything done again with care. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
const RESCALE = 2u;
const CARE = 3u;
var<workgroup> flags: array<atomic<u32>, 4>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 128 >= query_size(at)) {
    return;
  }
  // This subgroup's rows start at first_row and its scratch space at own; the lane shares row y with others, as x.
  let subgroup = thread / 32u;
  let first_row = subgroup * 16u;
  let own = subgroup * 80u;
  let y = lane % 16u;
  let x = lane / 16u;
  let i_0 = query_position(at, i32(at.tile), i32(first_row + 0u + y));
  // The subgroup's queries, as matrices.
  var query_0_0: subgroup_matrix_left<f16, 16, 16>;
  var query_0_1: subgroup_matrix_left<f16, 16, 16>;
  var query_0_2: subgroup_matrix_left<f16, 16, 16>;
  var query_0_3: subgroup_matrix_left<f16, 16, 16>;
  for (var first = 0u; first < 128u; first += 32u) {
    workgroupBarrier();
    for (var n = thread; n < 256u; n += 256u) {
      let r = n / 8u;
      let piece = n % 8u;
      let i = query_position(at, i32(at.tile), i32(first + r));
      var value = vec4<u32>();
      if (i >= 0) {
        value = q[at.q_start + u32(i - at.base) * shape.q_row + piece];
      }
      staged[r * 9u + piece] = value;
    }
    workgroupBarrier();
    if (first_row >= first && first_row < first + 32u) {
      query_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 0u, 9u);
      query_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 2u, 9u);
      query_0_2 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 4u, 9u);
      query_0_3 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 6u, 9u);
    }
  }
  if (thread == 0u) {
    atomicStore(&flags[CARE], 0u);
  }
  // Again, with care, only if the results turn out to hold NaN or infinity.
  var careful = false;
  loop {
    // Of block 0: the power of two that weights are relative to, the lane's part of their sum, and the results.
    var reference_0 = FLOOR;
    var total_0 = 0.0;
    var poisoned_0 = false;
    var result_0_0 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_1 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_2 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_3 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var cursor = first_tile(at);
    var next = next_tile(at, &cursor);
    var part = 0u;
    var key_0: vec4<u32>;
    var value_0: vec4<u32>;
    var position_0 = -1;
    if (thread < 16u) {
      position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
    }
    if (thread < 128u) {
      let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
      key_0 = load_key(at, j, (thread) % 8u);
      value_0 = load_value(at, j, (thread) % 8u);
    }
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      if (careful) {
        if (thread < 2u) {
          atomicStore(&flags[thread], 0u);
        }
        workgroupBarrier();
        value_0 = checked_value(value_0, (thread) / 8u);
      }
      if (thread < 16u) {
        key_positions[thread] = position_0;
      }
      if (thread < 128u) {
        staged[((thread) / 8u) * 9u + (thread) % 8u] = key_0;
      }
      if (thread < 128u) {
        staged[VALUES_AT + ((thread) / 8u) * 9u + (thread) % 8u] = value_0;
      }
      workgroupBarrier();
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      part = (part + 1u) % 4u;
      if (part == 0u) {
        next = next_tile(at, &cursor);
      }
      if (next.kind != NO_PAIR) {
        if (thread < 16u) {
          position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
        }
        if (thread < 128u) {
          let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
          key_0 = load_key(at, j, (thread) % 8u);
          value_0 = load_value(at, j, (thread) % 8u);
        }
      }
      let first_key = 0u;
      let keys_at = first_key * 9u;
      let values_at = VALUES_AT + first_key * 9u;
      var score_0_0 = subgroup_matrix_result<f32, 16, 16>(0.0);
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 0u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 2u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 4u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 6u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_0);
      }
      // Block 0: scores to weights.
      subgroupMatrixStore<row_major>(&scratch, own + 0u, score_0_0, 5u);
      if (is_partial || careful) {
        for (var q = 0u; q < 2u; q++) {
          let column = 2u * (2u * (q >> 1u) + x) + (q & 1u);
          let place = own + y * 5u + column;
          let dots = bitcast<vec4<f32>>(scratch[place]);
          let scores = finish_scores(at, segment, i_0, dots, first_key + 4u * column, is_partial, careful, &poisoned_0);
          scratch[place] = bitcast<vec4<u32>>(scores);
        }
      }
      {
        let line = own + y * 5u + 2u * x;
        var s_0 = bitcast<vec4<f32>>(scratch[line + 0u]);
        var s_1 = bitcast<vec4<f32>>(scratch[line + 1u]);
        let tops = max(s_0, s_1);
        var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
        top = max(top, subgroupShuffleXor(top, 16u));
        let grown = top > reference_0 + SLACK;
        if (subgroupAny(grown)) {
          let moved = select(reference_0, top, grown);
          let shrink = exp2(reference_0 - moved);
          reference_0 = moved;
          total_0 *= shrink;
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_1, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_3, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
        }
        s_0 = exp2(s_0 * TO_LOG2 - reference_0);
        s_1 = exp2(s_1 * TO_LOG2 - reference_0);
        let sums = s_0 + s_1;
        total_0 += (sums.x + sums.y) + (sums.z + sums.w);
        let weights = own + y * 3u + x;
        scratch[weights + 0u] = vec4<u32>(pack2x16float(s_0.xy), pack2x16float(s_0.zw), pack2x16float(s_1.xy), pack2x16float(s_1.zw));
      }
      let weight_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&scratch, own + 0u, 3u);
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 0u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 2u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 4u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 6u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_3);
      }
    }
    total_0 += subgroupShuffleXor(total_0, 16u);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
    let sum_0_0 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_1 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_1, 5u);
    let sum_0_2 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_3 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
    let sum_0_4 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_5 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_3, 5u);
    let sum_0_6 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_7 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    var bits_0 = bitcast<u32>(total_0) & INFINITY_BITS;
    {
      let bits = (bitcast<vec4<u32>>(sum_0_0) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_1) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_2) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_3) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_4) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_5) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_6) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_7) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    if (!careful) {
      if ((i_0 >= 0 && bits_0 == INFINITY_BITS)) {
        atomicStore(&flags[CARE], 1u);
      }
      if (workgroupUniformLoad(&flags[CARE]) != 0u) {
        careful = true;
        continue;
      }
    }
    var poison_0 = select(0u, 1u, poisoned_0);
    poison_0 |= subgroupShuffleXor(poison_0, 16u);
    if (i_0 >= 0) {
      store_row(at, i_0, reference_0 * TO_LOG, total_0, poison_0 != 0u, x, sum_0_0, sum_0_1, sum_0_2, sum_0_3, sum_0_4, sum_0_5, sum_0_6, sum_0_7);
    }
    break;
  }
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 128 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// 8 numbers of a key's row; 0 where there is none.
fn load_key(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return k[at.k_start + u32(j) * shape.k_row + piece];
}

// 8 numbers of a value's row; 0 where there is none.
fn load_value(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return v[at.v_start + u32(j) * shape.v_row + piece];
}

// With care, a piece with NaN or infinity in it becomes 0, and its key is marked.
fn checked_value(value: vec4<u32>, key: u32) -> vec4<u32> {
  // Of a half with all bits of the exponent set, adding 1 to the exponent sets the sign.
  let carried = (value & vec4<u32>(0x7c007c00u)) + vec4<u32>(0x04000400u);
  if (any((carried & vec4<u32>(0x80008000u)) != vec4<u32>())) {
    atomicOr(&flags[key >> 5u], 1u << (key & 31u));
    return vec4<u32>();
  }
  return value;
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn is_edge(at: Place, segment: u32, i: i32, column: u32) -> bool {
  let j = key_positions[column];
  return j >= 0 && keep(at, segment, i, j);
}
// Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
fn finish_scores(
  at: Place,
  segment: u32,
  i: i32,
  dots: vec4<f32>,
  column: u32,
  is_partial: bool,
  careful: bool,
  poisoned: ptr<function, bool>,
) -> vec4<f32> {
  let scores = dots;
  var edges = vec4<bool>(true);
  if (is_partial) {
    edges = vec4<bool>(
      is_edge(at, segment, i, column),
      is_edge(at, segment, i, column + 1u),
      is_edge(at, segment, i, column + 2u),
      is_edge(at, segment, i, column + 3u),
    );
  }
  if (careful) {
    let bits = bitcast<vec4<u32>>(scores);
    let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    let marks = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
    let bad_values = ((vec4<u32>(marks) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
    if (any(edges & (bad_values | (bad)))) {
      *poisoned = true;
    }
    edges = edges & !bad;
  }
  return select(vec4<f32>(LOWEST), scores, edges);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
  sums_2: vec4<f32>,
  sums_3: vec4<f32>,
  sums_4: vec4<f32>,
  sums_5: vec4<f32>,
  sums_6: vec4<f32>,
  sums_7: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 2u] = write_out(select(sums_1 * share, nan, is_nan));
  out[row_start + column + 4u] = write_out(select(sums_2 * share, nan, is_nan));
  out[row_start + column + 6u] = write_out(select(sums_3 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_4 * share, nan, is_nan));
  out[row_start + column + 10u] = write_out(select(sums_5 * share, nan, is_nan));
  out[row_start + column + 12u] = write_out(select(sums_6 * share, nan, is_nan));
  out[row_start + column + 14u] = write_out(select(sums_7 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_8: decode, matrix, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_8: attention of few queries, the keys in parts; 16 teams of 8 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 64 columns at a time; such teams of a workgroup.
const LANES = 8u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 2 and 2 vec4s a row.
var<private> queries: array<vec4<f32>, 8>;
var<private> sums: array<vec4<f32>, 8>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[2] = read_low(piece_0);
    queries[3] = read_high(piece_0);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[6] = read_low(piece_0);
    queries[7] = read_high(piece_0);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[2], low_0_0), dot(queries[2], low_1_0), dot(queries[2], low_2_0), dot(queries[2], low_3_0));
  dots_2 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_3 += vec4<f32>(dot(queries[6], low_0_0), dot(queries[6], low_1_0), dot(queries[6], low_2_0), dot(queries[6], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[3], high_0_0), dot(queries[3], high_1_0), dot(queries[3], high_2_0), dot(queries[3], high_3_0));
  dots_2 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_3 += vec4<f32>(dot(queries[7], high_0_0), dot(queries[7], high_1_0), dot(queries[7], high_2_0), dot(queries[7], high_3_0));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec2<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial));
  var top = max(highest, max(own_scores.x, own_scores.y));
  top = max(top, subgroupShuffleXor(top, 4u));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[2] *= shrink_1;
    sums[3] *= shrink_1;
    sums[4] *= shrink_2;
    sums[5] *= shrink_2;
    sums[6] *= shrink_3;
    sums[7] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_edges(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_edges(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_edges(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_edges(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_weighted(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_weighted(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_weighted(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_weighted(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec2<f32>, top: f32) -> vec2<f32> {
  let weights = select(vec2<f32>(0.0), exp(scores - top), scores > vec2<f32>(LOWEST));
  return select(weights, vec2<f32>(-1.0), scores < vec2<f32>(LOWEST));
}
fn sum_of_weights(weights: vec2<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec2<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec2<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  let half = select(row.xy, row.zw, (lane & 4u) != 0u)
    + subgroupShuffleXor(select(row.zw, row.xy, (lane & 4u) != 0u), 4u);
  return half;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec2<i32> {
  return select(keys.xy, keys.zw, (lane & 4u) != 0u);
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  total += subgroupShuffleXor(total, 4u);
  var poison = select(0.0, 1.0, poisoned);
  poison = max(poison, subgroupShuffleXor(poison, 4u));
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[2] * factor;
    gathered[at_0 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[6] * factor;
    gathered[at_0 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 128u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, matrix, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  pack_sets: u32,
  pack_queries: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks);
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / (4u * shape.pack_sets);
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % (4u * shape.pack_sets);
  let row = find_row(at, r);
  let own = row.place;
  let i = row.i;
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * (4u * shape.pack_sets) * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.out_start += further * shape.out_head;
    row.place.lse_start += further * shape.lse_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// ==== rows_tiles_0: tiles, matrix, schedule rows, pass 1 ====

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 64 queries and 16 keys,
// with f16 matrices of 16 x 16 x 16: 4 subgroups of 32, each with 1 x 16 rows.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// From a dot product to powers of two.
const TO_LOG2 = 0.18033688;
const TO_LOG = 0.6931472;
// The reference of a row without an edge yet; every score that counts is higher.
const FLOOR = -1e37;
// Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
const SLACK = 8.0;

// Keys and then values of the present tile, in pieces of 16 bytes.
const VALUES_AT = 144u;
var<workgroup> staged: array<vec4<u32>, 288>;
// Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
var<workgroup> scratch: array<vec4<u32>, 320>;
// Positions of the keys; -1 where there is none.
var<workgroup> key_positions: array<i32, 16>;
// 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: 1 where results must be rescaled, or
// everything done again with care. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
const RESCALE = 2u;
const CARE = 3u;
var<workgroup> flags: array<atomic<u32>, 4>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 64 >= query_size(at)) {
    return;
  }
  // This subgroup's rows start at first_row and its scratch space at own; the lane shares row y with others, as x.
  let subgroup = thread / 32u;
  let first_row = subgroup * 16u;
  let own = subgroup * 80u;
  let y = lane % 16u;
  let x = lane / 16u;
  let i_0 = query_position(at, i32(at.tile), i32(first_row + 0u + y));
  // The subgroup's queries, as matrices.
  var query_0_0: subgroup_matrix_left<f16, 16, 16>;
  var query_0_1: subgroup_matrix_left<f16, 16, 16>;
  var query_0_2: subgroup_matrix_left<f16, 16, 16>;
  var query_0_3: subgroup_matrix_left<f16, 16, 16>;
  for (var first = 0u; first < 64u; first += 32u) {
    workgroupBarrier();
    for (var n = thread; n < 256u; n += 128u) {
      let r = n / 8u;
      let piece = n % 8u;
      let i = query_position(at, i32(at.tile), i32(first + r));
      var value = vec4<u32>();
      if (i >= 0) {
        value = q[at.q_start + u32(i - at.base) * shape.q_row + piece];
      }
      staged[r * 9u + piece] = value;
    }
    workgroupBarrier();
    if (first_row >= first && first_row < first + 32u) {
      query_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 0u, 9u);
      query_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 2u, 9u);
      query_0_2 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 4u, 9u);
      query_0_3 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 6u, 9u);
    }
  }
  if (thread == 0u) {
    atomicStore(&flags[CARE], 0u);
  }
  // Again, with care, only if the results turn out to hold NaN or infinity.
  var careful = false;
  loop {
    // Of block 0: the power of two that weights are relative to, the lane's part of their sum, and the results.
    var reference_0 = FLOOR;
    var total_0 = 0.0;
    var poisoned_0 = false;
    var result_0_0 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_1 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_2 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_3 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var cursor = first_tile(at);
    var next = next_tile(at, &cursor);
    var part = 0u;
    var key_0: vec4<u32>;
    var value_0: vec4<u32>;
    var position_0 = -1;
    if (thread < 16u) {
      position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
    }
    {
      let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
      key_0 = load_key(at, j, (thread) % 8u);
      value_0 = load_value(at, j, (thread) % 8u);
    }
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      if (careful) {
        if (thread < 2u) {
          atomicStore(&flags[thread], 0u);
        }
        workgroupBarrier();
        value_0 = checked_value(value_0, (thread) / 8u);
      }
      if (thread < 16u) {
        key_positions[thread] = position_0;
      }
      staged[((thread) / 8u) * 9u + (thread) % 8u] = key_0;
      staged[VALUES_AT + ((thread) / 8u) * 9u + (thread) % 8u] = value_0;
      workgroupBarrier();
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      part = (part + 1u) % 4u;
      if (part == 0u) {
        next = next_tile(at, &cursor);
      }
      if (next.kind != NO_PAIR) {
        if (thread < 16u) {
          position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
        }
        {
          let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
          key_0 = load_key(at, j, (thread) % 8u);
          value_0 = load_value(at, j, (thread) % 8u);
        }
      }
      let first_key = 0u;
      let keys_at = first_key * 9u;
      let values_at = VALUES_AT + first_key * 9u;
      var score_0_0 = subgroup_matrix_result<f32, 16, 16>(0.0);
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 0u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 2u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 4u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 6u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_0);
      }
      // Block 0: scores to weights.
      subgroupMatrixStore<row_major>(&scratch, own + 0u, score_0_0, 5u);
      if (is_partial || careful) {
        for (var q = 0u; q < 2u; q++) {
          let column = 2u * (2u * (q >> 1u) + x) + (q & 1u);
          let place = own + y * 5u + column;
          let dots = bitcast<vec4<f32>>(scratch[place]);
          let scores = finish_scores(at, segment, i_0, dots, first_key + 4u * column, is_partial, careful, &poisoned_0);
          scratch[place] = bitcast<vec4<u32>>(scores);
        }
      }
      {
        let line = own + y * 5u + 2u * x;
        var s_0 = bitcast<vec4<f32>>(scratch[line + 0u]);
        var s_1 = bitcast<vec4<f32>>(scratch[line + 1u]);
        let tops = max(s_0, s_1);
        var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
        top = max(top, subgroupShuffleXor(top, 16u));
        let grown = top > reference_0 + SLACK;
        if (subgroupAny(grown)) {
          let moved = select(reference_0, top, grown);
          let shrink = exp2(reference_0 - moved);
          reference_0 = moved;
          total_0 *= shrink;
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_1, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_3, 5u);
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          result_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
        }
        s_0 = exp2(s_0 * TO_LOG2 - reference_0);
        s_1 = exp2(s_1 * TO_LOG2 - reference_0);
        let sums = s_0 + s_1;
        total_0 += (sums.x + sums.y) + (sums.z + sums.w);
        let weights = own + y * 3u + x;
        scratch[weights + 0u] = vec4<u32>(pack2x16float(s_0.xy), pack2x16float(s_0.zw), pack2x16float(s_1.xy), pack2x16float(s_1.zw));
      }
      let weight_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&scratch, own + 0u, 3u);
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 0u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 2u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 4u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 6u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_3);
      }
    }
    total_0 += subgroupShuffleXor(total_0, 16u);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
    let sum_0_0 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_1 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_1, 5u);
    let sum_0_2 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_3 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
    let sum_0_4 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_5 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_3, 5u);
    let sum_0_6 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_7 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    var bits_0 = bitcast<u32>(total_0) & INFINITY_BITS;
    {
      let bits = (bitcast<vec4<u32>>(sum_0_0) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_1) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_2) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_3) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_4) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_5) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_6) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_7) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    if (!careful) {
      if ((i_0 >= 0 && bits_0 == INFINITY_BITS)) {
        atomicStore(&flags[CARE], 1u);
      }
      if (workgroupUniformLoad(&flags[CARE]) != 0u) {
        careful = true;
        continue;
      }
    }
    var poison_0 = select(0u, 1u, poisoned_0);
    poison_0 |= subgroupShuffleXor(poison_0, 16u);
    if (i_0 >= 0) {
      store_row(at, i_0, reference_0 * TO_LOG, total_0, poison_0 != 0u, x, sum_0_0, sum_0_1, sum_0_2, sum_0_3, sum_0_4, sum_0_5, sum_0_6, sum_0_7);
    }
    break;
  }
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// 8 numbers of a key's row; 0 where there is none.
fn load_key(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return k[at.k_start + u32(j) * shape.k_row + piece];
}

// 8 numbers of a value's row; 0 where there is none.
fn load_value(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return v[at.v_start + u32(j) * shape.v_row + piece];
}

// With care, a piece with NaN or infinity in it becomes 0, and its key is marked.
fn checked_value(value: vec4<u32>, key: u32) -> vec4<u32> {
  // Of a half with all bits of the exponent set, adding 1 to the exponent sets the sign.
  let carried = (value & vec4<u32>(0x7c007c00u)) + vec4<u32>(0x04000400u);
  if (any((carried & vec4<u32>(0x80008000u)) != vec4<u32>())) {
    atomicOr(&flags[key >> 5u], 1u << (key & 31u));
    return vec4<u32>();
  }
  return value;
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn is_edge(at: Place, segment: u32, i: i32, column: u32) -> bool {
  let j = key_positions[column];
  return j >= 0 && keep(at, segment, i, j);
}
// Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
fn finish_scores(
  at: Place,
  segment: u32,
  i: i32,
  dots: vec4<f32>,
  column: u32,
  is_partial: bool,
  careful: bool,
  poisoned: ptr<function, bool>,
) -> vec4<f32> {
  let scores = dots;
  var edges = vec4<bool>(true);
  if (is_partial) {
    edges = vec4<bool>(
      is_edge(at, segment, i, column),
      is_edge(at, segment, i, column + 1u),
      is_edge(at, segment, i, column + 2u),
      is_edge(at, segment, i, column + 3u),
    );
  }
  if (careful) {
    let bits = bitcast<vec4<u32>>(scores);
    let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    let marks = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
    let bad_values = ((vec4<u32>(marks) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
    if (any(edges & (bad_values | (bad)))) {
      *poisoned = true;
    }
    edges = edges & !bad;
  }
  return select(vec4<f32>(LOWEST), scores, edges);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
  sums_2: vec4<f32>,
  sums_3: vec4<f32>,
  sums_4: vec4<f32>,
  sums_5: vec4<f32>,
  sums_6: vec4<f32>,
  sums_7: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 2u] = write_out(select(sums_1 * share, nan, is_nan));
  out[row_start + column + 4u] = write_out(select(sums_2 * share, nan, is_nan));
  out[row_start + column + 6u] = write_out(select(sums_3 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_4 * share, nan, is_nan));
  out[row_start + column + 10u] = write_out(select(sums_5 * share, nan, is_nan));
  out[row_start + column + 12u] = write_out(select(sums_6 * share, nan, is_nan));
  out[row_start + column + 14u] = write_out(select(sums_7 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_8: decode, matrix, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_8: attention of few queries, the keys in parts; 16 teams of 8 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 64 columns at a time; such teams of a workgroup.
const LANES = 8u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 2 and 2 vec4s a row.
var<private> queries: array<vec4<f32>, 8>;
var<private> sums: array<vec4<f32>, 8>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[2] = read_low(piece_0);
    queries[3] = read_high(piece_0);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[6] = read_low(piece_0);
    queries[7] = read_high(piece_0);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[2], low_0_0), dot(queries[2], low_1_0), dot(queries[2], low_2_0), dot(queries[2], low_3_0));
  dots_2 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_3 += vec4<f32>(dot(queries[6], low_0_0), dot(queries[6], low_1_0), dot(queries[6], low_2_0), dot(queries[6], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[3], high_0_0), dot(queries[3], high_1_0), dot(queries[3], high_2_0), dot(queries[3], high_3_0));
  dots_2 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_3 += vec4<f32>(dot(queries[7], high_0_0), dot(queries[7], high_1_0), dot(queries[7], high_2_0), dot(queries[7], high_3_0));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec2<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial));
  var top = max(highest, max(own_scores.x, own_scores.y));
  top = max(top, subgroupShuffleXor(top, 4u));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[2] *= shrink_1;
    sums[3] *= shrink_1;
    sums[4] *= shrink_2;
    sums[5] *= shrink_2;
    sums[6] *= shrink_3;
    sums[7] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_edges(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_edges(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_edges(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_edges(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_weighted(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_weighted(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_weighted(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_weighted(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec2<f32>, top: f32) -> vec2<f32> {
  let weights = select(vec2<f32>(0.0), exp(scores - top), scores > vec2<f32>(LOWEST));
  return select(weights, vec2<f32>(-1.0), scores < vec2<f32>(LOWEST));
}
fn sum_of_weights(weights: vec2<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec2<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec2<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  let half = select(row.xy, row.zw, (lane & 4u) != 0u)
    + subgroupShuffleXor(select(row.zw, row.xy, (lane & 4u) != 0u), 4u);
  return half;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec2<i32> {
  return select(keys.xy, keys.zw, (lane & 4u) != 0u);
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  total += subgroupShuffleXor(total, 4u);
  var poison = select(0.0, 1.0, poisoned);
  poison = max(poison, subgroupShuffleXor(poison, 4u));
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[2] * factor;
    gathered[at_0 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[6] * factor;
    gathered[at_0 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 128u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, matrix, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  pack_sets: u32,
  pack_queries: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks);
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / (4u * shape.pack_sets);
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % (4u * shape.pack_sets);
  let row = find_row(at, r);
  let own = row.place;
  let i = row.i;
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * (4u * shape.pack_sets) * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.out_start += further * shape.out_head;
    row.place.lse_start += further * shape.lse_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// ==== rows_tiles_0: tiles, matrix, schedule rows, pass 1 ====

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 64 queries and 16 keys,
// with f16 matrices of 16 x 16 x 16: 4 subgroups of 32, each with 1 x 16 rows.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// From a dot product to powers of two.
const TO_LOG2 = 0.18033688;
const TO_LOG = 0.6931472;
// The reference of a row without an edge yet; every score that counts is higher.
const FLOOR = -1e37;
// Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
const SLACK = 8.0;

// Keys and then values of the present tile, in pieces of 16 bytes.
const VALUES_AT = 144u;
var<workgroup> staged: array<vec4<u32>, 288>;
// Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
var<workgroup> scratch: array<vec4<u32>, 320>;
// Positions of the keys; -1 where there is none.
var<workgroup> key_positions: array<i32, 16>;
// 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: 1 where results must be rescaled, or
// everything done again with care. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
const RESCALE = 2u;
const CARE = 3u;
var<workgroup> flags: array<atomic<u32>, 4>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 64 >= query_size(at)) {
    return;
  }
  // This subgroup's rows start at first_row and its scratch space at own; the lane shares row y with others, as x.
  let subgroup = thread / 32u;
  let first_row = subgroup * 16u;
  let own = subgroup * 80u;
  let y = lane % 16u;
  let x = lane / 16u;
  let i_0 = query_position(at, i32(at.tile), i32(first_row + 0u + y));
  // The subgroup's queries, as matrices.
  var query_0_0: subgroup_matrix_left<f16, 16, 16>;
  var query_0_1: subgroup_matrix_left<f16, 16, 16>;
  var query_0_2: subgroup_matrix_left<f16, 16, 16>;
  var query_0_3: subgroup_matrix_left<f16, 16, 16>;
  for (var first = 0u; first < 64u; first += 32u) {
    workgroupBarrier();
    for (var n = thread; n < 256u; n += 128u) {
      let r = n / 8u;
      let piece = n % 8u;
      let i = query_position(at, i32(at.tile), i32(first + r));
      var value = vec4<u32>();
      if (i >= 0) {
        value = q[at.q_start + u32(i - at.base) * shape.q_row + piece];
      }
      staged[r * 9u + piece] = value;
    }
    workgroupBarrier();
    if (first_row >= first && first_row < first + 32u) {
      query_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 0u, 9u);
      query_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 2u, 9u);
      query_0_2 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 4u, 9u);
      query_0_3 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&staged, (first_row + 0u - first) * 9u + 6u, 9u);
    }
  }
  if (thread == 0u) {
    atomicStore(&flags[CARE], 0u);
  }
  // Again, with care, only if the results turn out to hold NaN or infinity.
  var careful = false;
  loop {
    // Of block 0: the power of two that weights are relative to, the lane's part of their sum, and the results.
    var reference_0 = FLOOR;
    var total_0 = 0.0;
    var poisoned_0 = false;
    var result_0_0 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_1 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_2 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var result_0_3 = subgroup_matrix_result<f32, 16, 16>(0.0);
    var cursor = first_tile(at);
    var next = next_tile(at, &cursor);
    var part = 0u;
    var key_0: vec4<u32>;
    var value_0: vec4<u32>;
    var position_0 = -1;
    if (thread < 16u) {
      position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
    }
    {
      let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
      key_0 = load_key(at, j, (thread) % 8u);
      value_0 = load_value(at, j, (thread) % 8u);
    }
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      if (careful) {
        if (thread < 2u) {
          atomicStore(&flags[thread], 0u);
        }
        workgroupBarrier();
        value_0 = checked_value(value_0, (thread) / 8u);
      }
      if (thread == 0u) {
        atomicStore(&flags[RESCALE], 0u);
      }
      if (thread < 16u) {
        key_positions[thread] = position_0;
      }
      staged[((thread) / 8u) * 9u + (thread) % 8u] = key_0;
      staged[VALUES_AT + ((thread) / 8u) * 9u + (thread) % 8u] = value_0;
      workgroupBarrier();
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      part = (part + 1u) % 4u;
      if (part == 0u) {
        next = next_tile(at, &cursor);
      }
      if (next.kind != NO_PAIR) {
        if (thread < 16u) {
          position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
        }
        {
          let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
          key_0 = load_key(at, j, (thread) % 8u);
          value_0 = load_value(at, j, (thread) % 8u);
        }
      }
      let first_key = 0u;
      let keys_at = first_key * 9u;
      let values_at = VALUES_AT + first_key * 9u;
      var score_0_0 = subgroup_matrix_result<f32, 16, 16>(0.0);
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 0u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 2u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 4u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&staged, keys_at + 6u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_0);
      }
      // Block 0: scores to weights.
      subgroupMatrixStore<row_major>(&scratch, own + 0u, score_0_0, 5u);
      workgroupBarrier();
      if (is_partial || careful) {
        for (var q = 0u; q < 2u; q++) {
          let column = 2u * (2u * (q >> 1u) + x) + (q & 1u);
          let place = own + y * 5u + column;
          let dots = bitcast<vec4<f32>>(scratch[place]);
          let scores = finish_scores(at, segment, i_0, dots, first_key + 4u * column, is_partial, careful, &poisoned_0);
          scratch[place] = bitcast<vec4<u32>>(scores);
        }
      }
      {
        let line = own + y * 5u + 2u * x;
        var s_0 = bitcast<vec4<f32>>(scratch[line + 0u]);
        var s_1 = bitcast<vec4<f32>>(scratch[line + 1u]);
        let tops = max(s_0, s_1);
        var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
        top = max(top, subgroupShuffleXor(top, 16u));
        let grown = top > reference_0 + SLACK;
        // Waits until all lanes have their scores, too.
        if (grown) {
          atomicStore(&flags[RESCALE], 1u);
        }
        if (workgroupUniformLoad(&flags[RESCALE]) != 0u) {
          let moved = select(reference_0, top, grown);
          let shrink = exp2(reference_0 - moved);
          reference_0 = moved;
          total_0 *= shrink;
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_1, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_3, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 5u + x + 2u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scratch, own + 0u, 5u);
          workgroupBarrier();
        }
        s_0 = exp2(s_0 * TO_LOG2 - reference_0);
        s_1 = exp2(s_1 * TO_LOG2 - reference_0);
        let sums = s_0 + s_1;
        total_0 += (sums.x + sums.y) + (sums.z + sums.w);
        let weights = own + y * 3u + x;
        scratch[weights + 0u] = vec4<u32>(pack2x16float(s_0.xy), pack2x16float(s_0.zw), pack2x16float(s_1.xy), pack2x16float(s_1.zw));
      }
      workgroupBarrier();
      let weight_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&scratch, own + 0u, 3u);
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 0u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 2u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 4u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&staged, values_at + 6u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_3);
      }
    }
    workgroupBarrier();
    total_0 += subgroupShuffleXor(total_0, 16u);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
    workgroupBarrier();
    let sum_0_0 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_1 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_1, 5u);
    workgroupBarrier();
    let sum_0_2 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_3 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
    workgroupBarrier();
    let sum_0_4 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_5 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_3, 5u);
    workgroupBarrier();
    let sum_0_6 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_7 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    workgroupBarrier();
    var bits_0 = bitcast<u32>(total_0) & INFINITY_BITS;
    {
      let bits = (bitcast<vec4<u32>>(sum_0_0) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_1) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_2) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_3) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_4) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_5) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_6) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_7) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    if (!careful) {
      if ((i_0 >= 0 && bits_0 == INFINITY_BITS)) {
        atomicStore(&flags[CARE], 1u);
      }
      if (workgroupUniformLoad(&flags[CARE]) != 0u) {
        careful = true;
        continue;
      }
    }
    var poison_0 = select(0u, 1u, poisoned_0);
    poison_0 |= subgroupShuffleXor(poison_0, 16u);
    if (i_0 >= 0) {
      store_row(at, i_0, reference_0 * TO_LOG, total_0, poison_0 != 0u, x, sum_0_0, sum_0_1, sum_0_2, sum_0_3, sum_0_4, sum_0_5, sum_0_6, sum_0_7);
    }
    break;
  }
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// 8 numbers of a key's row; 0 where there is none.
fn load_key(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return k[at.k_start + u32(j) * shape.k_row + piece];
}

// 8 numbers of a value's row; 0 where there is none.
fn load_value(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return v[at.v_start + u32(j) * shape.v_row + piece];
}

// With care, a piece with NaN or infinity in it becomes 0, and its key is marked.
fn checked_value(value: vec4<u32>, key: u32) -> vec4<u32> {
  // Of a half with all bits of the exponent set, adding 1 to the exponent sets the sign.
  let carried = (value & vec4<u32>(0x7c007c00u)) + vec4<u32>(0x04000400u);
  if (any((carried & vec4<u32>(0x80008000u)) != vec4<u32>())) {
    atomicOr(&flags[key >> 5u], 1u << (key & 31u));
    return vec4<u32>();
  }
  return value;
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn is_edge(at: Place, segment: u32, i: i32, column: u32) -> bool {
  let j = key_positions[column];
  return j >= 0 && keep(at, segment, i, j);
}
// Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
fn finish_scores(
  at: Place,
  segment: u32,
  i: i32,
  dots: vec4<f32>,
  column: u32,
  is_partial: bool,
  careful: bool,
  poisoned: ptr<function, bool>,
) -> vec4<f32> {
  let scores = dots;
  var edges = vec4<bool>(true);
  if (is_partial) {
    edges = vec4<bool>(
      is_edge(at, segment, i, column),
      is_edge(at, segment, i, column + 1u),
      is_edge(at, segment, i, column + 2u),
      is_edge(at, segment, i, column + 3u),
    );
  }
  if (careful) {
    let bits = bitcast<vec4<u32>>(scores);
    let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    let marks = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
    let bad_values = ((vec4<u32>(marks) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
    if (any(edges & (bad_values | (bad)))) {
      *poisoned = true;
    }
    edges = edges & !bad;
  }
  return select(vec4<f32>(LOWEST), scores, edges);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
  sums_2: vec4<f32>,
  sums_3: vec4<f32>,
  sums_4: vec4<f32>,
  sums_5: vec4<f32>,
  sums_6: vec4<f32>,
  sums_7: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 2u] = write_out(select(sums_1 * share, nan, is_nan));
  out[row_start + column + 4u] = write_out(select(sums_2 * share, nan, is_nan));
  out[row_start + column + 6u] = write_out(select(sums_3 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_4 * share, nan, is_nan));
  out[row_start + column + 10u] = write_out(select(sums_5 * share, nan, is_nan));
  out[row_start + column + 12u] = write_out(select(sums_6 * share, nan, is_nan));
  out[row_start + column + 14u] = write_out(select(sums_7 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_8: decode, matrix, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_8: attention of few queries, the keys in parts; 16 teams of 8 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 64 columns at a time; such teams of a workgroup.
const LANES = 8u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 2 and 2 vec4s a row.
var<private> queries: array<vec4<f32>, 8>;
var<private> sums: array<vec4<f32>, 8>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[2] = read_low(piece_0);
    queries[3] = read_high(piece_0);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[6] = read_low(piece_0);
    queries[7] = read_high(piece_0);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[2], low_0_0), dot(queries[2], low_1_0), dot(queries[2], low_2_0), dot(queries[2], low_3_0));
  dots_2 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_3 += vec4<f32>(dot(queries[6], low_0_0), dot(queries[6], low_1_0), dot(queries[6], low_2_0), dot(queries[6], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[3], high_0_0), dot(queries[3], high_1_0), dot(queries[3], high_2_0), dot(queries[3], high_3_0));
  dots_2 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_3 += vec4<f32>(dot(queries[7], high_0_0), dot(queries[7], high_1_0), dot(queries[7], high_2_0), dot(queries[7], high_3_0));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec2<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial));
  var top = max(highest, max(own_scores.x, own_scores.y));
  top = max(top, subgroupShuffleXor(top, 4u));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[2] *= shrink_1;
    sums[3] *= shrink_1;
    sums[4] *= shrink_2;
    sums[5] *= shrink_2;
    sums[6] *= shrink_3;
    sums[7] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_edges(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_edges(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_edges(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_edges(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_weighted(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_weighted(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_weighted(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_weighted(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec2<f32>, top: f32) -> vec2<f32> {
  let weights = select(vec2<f32>(0.0), exp(scores - top), scores > vec2<f32>(LOWEST));
  return select(weights, vec2<f32>(-1.0), scores < vec2<f32>(LOWEST));
}
fn sum_of_weights(weights: vec2<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec2<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec2<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  let half = select(row.xy, row.zw, (lane & 4u) != 0u)
    + subgroupShuffleXor(select(row.zw, row.xy, (lane & 4u) != 0u), 4u);
  return half;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec2<i32> {
  return select(keys.xy, keys.zw, (lane & 4u) != 0u);
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  total += subgroupShuffleXor(total, 4u);
  var poison = select(0.0, 1.0, poisoned);
  poison = max(poison, subgroupShuffleXor(poison, 4u));
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[2] * factor;
    gathered[at_0 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[6] * factor;
    gathered[at_0 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 128u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, matrix, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  pack_sets: u32,
  pack_queries: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks);
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / (4u * shape.pack_sets);
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % (4u * shape.pack_sets);
  let row = find_row(at, r);
  let own = row.place;
  let i = row.i;
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * (4u * shape.pack_sets) * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.out_start += further * shape.out_head;
    row.place.lse_start += further * shape.lse_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// ==== rows_tiles_0: tiles, matrix, schedule rows, pass 1 ====

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 64 queries and 32 keys,
// with f16 matrices of 8 x 8 x 8: 8 subgroups of 32, each with 1 x 8 rows.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// From a dot product to powers of two.
const TO_LOG2 = 0.18033688;
const TO_LOG = 0.6931472;
// The reference of a row without an edge yet; every score that counts is higher.
const FLOOR = -1e37;
// Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
const SLACK = 8.0;

// Keys and then values of the present tile, in pieces of 16 bytes.
const VALUES_AT = 288u;
var<workgroup> staged: array<vec4<u32>, 576>;
// Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
var<workgroup> scratch: array<vec4<u32>, 576>;
// Positions of the keys; -1 where there is none.
var<workgroup> key_positions: array<i32, 32>;
// 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: 1 where results must be rescaled, or
// everything done again with care. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
const RESCALE = 2u;
const CARE = 3u;
var<workgroup> flags: array<atomic<u32>, 4>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 64 >= query_size(at)) {
    return;
  }
  // This subgroup's rows start at first_row and its scratch space at own; the lane shares row y with others, as x.
  let subgroup = thread / 32u;
  let first_row = subgroup * 8u;
  let own = subgroup * 72u;
  let y = lane % 8u;
  let x = lane / 8u;
  let i_0 = query_position(at, i32(at.tile), i32(first_row + 0u + y));
  // The subgroup's queries, as matrices.
  var query_0_0: subgroup_matrix_left<f16, 8, 8>;
  var query_0_1: subgroup_matrix_left<f16, 8, 8>;
  var query_0_2: subgroup_matrix_left<f16, 8, 8>;
  var query_0_3: subgroup_matrix_left<f16, 8, 8>;
  var query_0_4: subgroup_matrix_left<f16, 8, 8>;
  var query_0_5: subgroup_matrix_left<f16, 8, 8>;
  var query_0_6: subgroup_matrix_left<f16, 8, 8>;
  var query_0_7: subgroup_matrix_left<f16, 8, 8>;
  for (var n = thread; n < 512u; n += 256u) {
    let r = n / 8u;
    let piece = n % 8u;
    let i = query_position(at, i32(at.tile), i32(r));
    var value = vec4<u32>();
    if (i >= 0) {
      value = q[at.q_start + u32(i - at.base) * shape.q_row + piece];
    }
    staged[r * 9u + piece] = value;
  }
  workgroupBarrier();
  query_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 0u, 9u);
  query_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 1u, 9u);
  query_0_2 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 2u, 9u);
  query_0_3 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 3u, 9u);
  query_0_4 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 4u, 9u);
  query_0_5 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 5u, 9u);
  query_0_6 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 6u, 9u);
  query_0_7 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u) * 9u + 7u, 9u);
  if (thread == 0u) {
    atomicStore(&flags[CARE], 0u);
  }
  // Again, with care, only if the results turn out to hold NaN or infinity.
  var careful = false;
  loop {
    // Of block 0: the power of two that weights are relative to, the lane's part of their sum, and the results.
    var reference_0 = FLOOR;
    var total_0 = 0.0;
    var poisoned_0 = false;
    var result_0_0 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_1 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_2 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_3 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_4 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_5 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_6 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_7 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var cursor = first_tile(at);
    var next = next_tile(at, &cursor);
    var part = 0u;
    var key_0: vec4<u32>;
    var value_0: vec4<u32>;
    var position_0 = -1;
    if (thread < 32u) {
      position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 32u));
    }
    {
      let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 32u));
      key_0 = load_key(at, j, (thread) % 8u);
      value_0 = load_value(at, j, (thread) % 8u);
    }
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      if (careful) {
        if (thread < 2u) {
          atomicStore(&flags[thread], 0u);
        }
        workgroupBarrier();
        value_0 = checked_value(value_0, (thread) / 8u);
      }
      if (thread == 0u) {
        atomicStore(&flags[RESCALE], 0u);
      }
      if (thread < 32u) {
        key_positions[thread] = position_0;
      }
      staged[((thread) / 8u) * 9u + (thread) % 8u] = key_0;
      staged[VALUES_AT + ((thread) / 8u) * 9u + (thread) % 8u] = value_0;
      workgroupBarrier();
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      part = (part + 1u) % 2u;
      if (part == 0u) {
        next = next_tile(at, &cursor);
      }
      if (next.kind != NO_PAIR) {
        if (thread < 32u) {
          position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 32u));
        }
        {
          let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 32u));
          key_0 = load_key(at, j, (thread) % 8u);
          value_0 = load_value(at, j, (thread) % 8u);
        }
      }
      let first_key = 0u;
      let keys_at = first_key * 9u;
      let values_at = VALUES_AT + first_key * 9u;
      var score_0_0 = subgroup_matrix_result<f32, 8, 8>(0.0);
      var score_0_1 = subgroup_matrix_result<f32, 8, 8>(0.0);
      var score_0_2 = subgroup_matrix_result<f32, 8, 8>(0.0);
      var score_0_3 = subgroup_matrix_result<f32, 8, 8>(0.0);
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 0u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 72u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 144u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 216u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 1u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 73u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 145u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 217u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 2u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 74u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 146u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 218u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 3u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 75u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 147u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 219u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 4u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_4, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 76u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_4, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 148u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_4, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 220u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_4, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 5u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_5, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 77u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_5, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 149u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_5, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 221u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_5, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 6u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_6, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 78u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_6, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 150u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_6, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 222u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_6, keys, score_0_3);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 7u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_7, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 79u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_7, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 151u, 9u);
        score_0_2 = subgroupMatrixMultiplyAccumulate(query_0_7, keys, score_0_2);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 223u, 9u);
        score_0_3 = subgroupMatrixMultiplyAccumulate(query_0_7, keys, score_0_3);
      }
      // Block 0: scores to weights.
      subgroupMatrixStore<row_major>(&scratch, own + 0u, score_0_0, 9u);
      subgroupMatrixStore<row_major>(&scratch, own + 2u, score_0_1, 9u);
      subgroupMatrixStore<row_major>(&scratch, own + 4u, score_0_2, 9u);
      subgroupMatrixStore<row_major>(&scratch, own + 6u, score_0_3, 9u);
      workgroupBarrier();
      if (is_partial || careful) {
        for (var q = 0u; q < 2u; q++) {
          let column = 2u * (4u * (q >> 1u) + x) + (q & 1u);
          let place = own + y * 9u + column;
          let dots = bitcast<vec4<f32>>(scratch[place]);
          let scores = finish_scores(at, segment, i_0, dots, first_key + 4u * column, is_partial, careful, &poisoned_0);
          scratch[place] = bitcast<vec4<u32>>(scores);
        }
      }
      {
        let line = own + y * 9u + 2u * x;
        var s_0 = bitcast<vec4<f32>>(scratch[line + 0u]);
        var s_1 = bitcast<vec4<f32>>(scratch[line + 1u]);
        let tops = max(s_0, s_1);
        var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
        top = max(top, subgroupShuffleXor(top, 8u));
        top = max(top, subgroupShuffleXor(top, 16u));
        let grown = top > reference_0 + SLACK;
        // Waits until all lanes have their scores, too.
        if (grown) {
          atomicStore(&flags[RESCALE], 1u);
        }
        if (workgroupUniformLoad(&flags[RESCALE]) != 0u) {
          let moved = select(reference_0, top, grown);
          let shrink = exp2(reference_0 - moved);
          reference_0 = moved;
          total_0 *= shrink;
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 9u);
          subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_1, 9u);
          subgroupMatrixStore<row_major>(&scratch, own + 4u, result_0_2, 9u);
          subgroupMatrixStore<row_major>(&scratch, own + 6u, result_0_3, 9u);
          workgroupBarrier();
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 9u + x + 4u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 0u, 9u);
          result_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 2u, 9u);
          result_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 4u, 9u);
          result_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 6u, 9u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_4, 9u);
          subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_5, 9u);
          subgroupMatrixStore<row_major>(&scratch, own + 4u, result_0_6, 9u);
          subgroupMatrixStore<row_major>(&scratch, own + 6u, result_0_7, 9u);
          workgroupBarrier();
          for (var q = 0u; q < 2u; q++) {
            let place = own + y * 9u + x + 4u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_4 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 0u, 9u);
          result_0_5 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 2u, 9u);
          result_0_6 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 4u, 9u);
          result_0_7 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 6u, 9u);
          workgroupBarrier();
        }
        s_0 = exp2(s_0 * TO_LOG2 - reference_0);
        s_1 = exp2(s_1 * TO_LOG2 - reference_0);
        let sums = s_0 + s_1;
        total_0 += (sums.x + sums.y) + (sums.z + sums.w);
        let weights = own + y * 5u + x;
        scratch[weights + 0u] = vec4<u32>(pack2x16float(s_0.xy), pack2x16float(s_0.zw), pack2x16float(s_1.xy), pack2x16float(s_1.zw));
      }
      workgroupBarrier();
      let weight_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&scratch, own + 0u, 5u);
      let weight_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&scratch, own + 1u, 5u);
      let weight_0_2 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&scratch, own + 2u, 5u);
      let weight_0_3 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&scratch, own + 3u, 5u);
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 0u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 1u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 2u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 3u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_3);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 4u, 9u);
        result_0_4 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_4);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 5u, 9u);
        result_0_5 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_5);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 6u, 9u);
        result_0_6 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_6);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 7u, 9u);
        result_0_7 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_7);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 72u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 73u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 74u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 75u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_3);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 76u, 9u);
        result_0_4 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_4);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 77u, 9u);
        result_0_5 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_5);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 78u, 9u);
        result_0_6 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_6);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 79u, 9u);
        result_0_7 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_7);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 144u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 145u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 146u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 147u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_3);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 148u, 9u);
        result_0_4 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_4);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 149u, 9u);
        result_0_5 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_5);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 150u, 9u);
        result_0_6 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_6);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 151u, 9u);
        result_0_7 = subgroupMatrixMultiplyAccumulate(weight_0_2, values, result_0_7);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 216u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 217u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 218u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 219u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_3);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 220u, 9u);
        result_0_4 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_4);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 221u, 9u);
        result_0_5 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_5);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 222u, 9u);
        result_0_6 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_6);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 223u, 9u);
        result_0_7 = subgroupMatrixMultiplyAccumulate(weight_0_3, values, result_0_7);
      }
    }
    workgroupBarrier();
    total_0 += subgroupShuffleXor(total_0, 8u);
    total_0 += subgroupShuffleXor(total_0, 16u);
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 9u);
    subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_1, 9u);
    subgroupMatrixStore<row_major>(&scratch, own + 4u, result_0_2, 9u);
    subgroupMatrixStore<row_major>(&scratch, own + 6u, result_0_3, 9u);
    workgroupBarrier();
    let sum_0_0 = bitcast<vec4<f32>>(scratch[own + y * 9u + x + 0u]);
    let sum_0_1 = bitcast<vec4<f32>>(scratch[own + y * 9u + x + 4u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_4, 9u);
    subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_5, 9u);
    subgroupMatrixStore<row_major>(&scratch, own + 4u, result_0_6, 9u);
    subgroupMatrixStore<row_major>(&scratch, own + 6u, result_0_7, 9u);
    workgroupBarrier();
    let sum_0_2 = bitcast<vec4<f32>>(scratch[own + y * 9u + x + 0u]);
    let sum_0_3 = bitcast<vec4<f32>>(scratch[own + y * 9u + x + 4u]);
    workgroupBarrier();
    var bits_0 = bitcast<u32>(total_0) & INFINITY_BITS;
    {
      let bits = (bitcast<vec4<u32>>(sum_0_0) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_1) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_2) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_3) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    if (!careful) {
      if ((i_0 >= 0 && bits_0 == INFINITY_BITS)) {
        atomicStore(&flags[CARE], 1u);
      }
      if (workgroupUniformLoad(&flags[CARE]) != 0u) {
        careful = true;
        continue;
      }
    }
    var poison_0 = select(0u, 1u, poisoned_0);
    poison_0 |= subgroupShuffleXor(poison_0, 8u);
    poison_0 |= subgroupShuffleXor(poison_0, 16u);
    if (i_0 >= 0) {
      store_row(at, i_0, reference_0 * TO_LOG, total_0, poison_0 != 0u, x, sum_0_0, sum_0_1, sum_0_2, sum_0_3);
    }
    break;
  }
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// 8 numbers of a key's row; 0 where there is none.
fn load_key(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return k[at.k_start + u32(j) * shape.k_row + piece];
}

// 8 numbers of a value's row; 0 where there is none.
fn load_value(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return v[at.v_start + u32(j) * shape.v_row + piece];
}

// With care, a piece with NaN or infinity in it becomes 0, and its key is marked.
fn checked_value(value: vec4<u32>, key: u32) -> vec4<u32> {
  // Of a half with all bits of the exponent set, adding 1 to the exponent sets the sign.
  let carried = (value & vec4<u32>(0x7c007c00u)) + vec4<u32>(0x04000400u);
  if (any((carried & vec4<u32>(0x80008000u)) != vec4<u32>())) {
    atomicOr(&flags[key >> 5u], 1u << (key & 31u));
    return vec4<u32>();
  }
  return value;
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn is_edge(at: Place, segment: u32, i: i32, column: u32) -> bool {
  let j = key_positions[column];
  return j >= 0 && keep(at, segment, i, j);
}
// Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
fn finish_scores(
  at: Place,
  segment: u32,
  i: i32,
  dots: vec4<f32>,
  column: u32,
  is_partial: bool,
  careful: bool,
  poisoned: ptr<function, bool>,
) -> vec4<f32> {
  let scores = dots;
  var edges = vec4<bool>(true);
  if (is_partial) {
    edges = vec4<bool>(
      is_edge(at, segment, i, column),
      is_edge(at, segment, i, column + 1u),
      is_edge(at, segment, i, column + 2u),
      is_edge(at, segment, i, column + 3u),
    );
  }
  if (careful) {
    let bits = bitcast<vec4<u32>>(scores);
    let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    let marks = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
    let bad_values = ((vec4<u32>(marks) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
    if (any(edges & (bad_values | (bad)))) {
      *poisoned = true;
    }
    edges = edges & !bad;
  }
  return select(vec4<f32>(LOWEST), scores, edges);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
  sums_2: vec4<f32>,
  sums_3: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 4u] = write_out(select(sums_1 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_2 * share, nan, is_nan));
  out[row_start + column + 12u] = write_out(select(sums_3 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_8: decode, matrix, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_8: attention of few queries, the keys in parts; 16 teams of 8 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 64 columns at a time; such teams of a workgroup.
const LANES = 8u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 2 and 2 vec4s a row.
var<private> queries: array<vec4<f32>, 8>;
var<private> sums: array<vec4<f32>, 8>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[2] = read_low(piece_0);
    queries[3] = read_high(piece_0);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[6] = read_low(piece_0);
    queries[7] = read_high(piece_0);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[2], low_0_0), dot(queries[2], low_1_0), dot(queries[2], low_2_0), dot(queries[2], low_3_0));
  dots_2 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_3 += vec4<f32>(dot(queries[6], low_0_0), dot(queries[6], low_1_0), dot(queries[6], low_2_0), dot(queries[6], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[3], high_0_0), dot(queries[3], high_1_0), dot(queries[3], high_2_0), dot(queries[3], high_3_0));
  dots_2 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_3 += vec4<f32>(dot(queries[7], high_0_0), dot(queries[7], high_1_0), dot(queries[7], high_2_0), dot(queries[7], high_3_0));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec2<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial));
  var top = max(highest, max(own_scores.x, own_scores.y));
  top = max(top, subgroupShuffleXor(top, 4u));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[2] *= shrink_1;
    sums[3] *= shrink_1;
    sums[4] *= shrink_2;
    sums[5] *= shrink_2;
    sums[6] *= shrink_3;
    sums[7] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_edges(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_edges(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_edges(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_edges(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_weighted(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_weighted(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_weighted(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_weighted(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec2<f32>, top: f32) -> vec2<f32> {
  let weights = select(vec2<f32>(0.0), exp(scores - top), scores > vec2<f32>(LOWEST));
  return select(weights, vec2<f32>(-1.0), scores < vec2<f32>(LOWEST));
}
fn sum_of_weights(weights: vec2<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec2<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec2<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  let half = select(row.xy, row.zw, (lane & 4u) != 0u)
    + subgroupShuffleXor(select(row.zw, row.xy, (lane & 4u) != 0u), 4u);
  return half;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec2<i32> {
  return select(keys.xy, keys.zw, (lane & 4u) != 0u);
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  total += subgroupShuffleXor(total, 4u);
  var poison = select(0.0, 1.0, poisoned);
  poison = max(poison, subgroupShuffleXor(poison, 4u));
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[2] * factor;
    gathered[at_0 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[6] * factor;
    gathered[at_0 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 128u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, matrix, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  pack_sets: u32,
  pack_queries: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks);
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / (4u * shape.pack_sets);
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % (4u * shape.pack_sets);
  let row = find_row(at, r);
  let own = row.place;
  let i = row.i;
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * (4u * shape.pack_sets) * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.out_start += further * shape.out_head;
    row.place.lse_start += further * shape.lse_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// ==== rows_tiles_0: tiles, matrix, schedule rows, pass 1 ====

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
diagnostic(off, subgroup_uniformity);

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_tiles_0: attention over tiles of 64 queries and 16 keys,
// with f16 matrices of 8 x 8 x 8: 8 subgroups of 8, each with 1 x 8 rows.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  key_heads: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// From a dot product to powers of two.
const TO_LOG2 = 0.18033688;
const TO_LOG = 0.6931472;
// The reference of a row without an edge yet; every score that counts is higher.
const FLOOR = -1e37;
// Weights may grow to two to the power of this before results are rescaled (f16 holds 65504).
const SLACK = 8.0;

// Keys and then values of the present tile, in pieces of 16 bytes.
const VALUES_AT = 144u;
var<workgroup> staged: array<vec4<u32>, 288>;
// Each subgroup's own: scores (f32), then their weights (f16); results (f32) while they are rescaled or stored.
var<workgroup> scratch: array<vec4<u32>, 320>;
// Positions of the keys; -1 where there is none.
var<workgroup> key_positions: array<i32, 16>;
// 0 and 1: keys with NaN or infinity in their values, as bits. RESCALE, CARE: 1 where results must be rescaled, or
// everything done again with care. (Each variable takes a multiple of 16 bytes, since matrices must be aligned.)
const RESCALE = 2u;
const CARE = 3u;
var<workgroup> flags: array<atomic<u32>, 4>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let head = line % shape.heads;
  let batch = line / shape.heads;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  let key_head = head / (shape.heads / shape.key_heads);
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * 64 >= query_size(at)) {
    return;
  }
  // This subgroup's rows start at first_row and its scratch space at own; the lane shares row y with others, as x.
  let subgroup = thread / 8u;
  let first_row = subgroup * 8u;
  let own = subgroup * 40u;
  let y = lane % 8u;
  let x = lane / 8u;
  let i_0 = query_position(at, i32(at.tile), i32(first_row + 0u + y));
  // The subgroup's queries, as matrices.
  var query_0_0: subgroup_matrix_left<f16, 8, 8>;
  var query_0_1: subgroup_matrix_left<f16, 8, 8>;
  var query_0_2: subgroup_matrix_left<f16, 8, 8>;
  var query_0_3: subgroup_matrix_left<f16, 8, 8>;
  var query_0_4: subgroup_matrix_left<f16, 8, 8>;
  var query_0_5: subgroup_matrix_left<f16, 8, 8>;
  var query_0_6: subgroup_matrix_left<f16, 8, 8>;
  var query_0_7: subgroup_matrix_left<f16, 8, 8>;
  for (var first = 0u; first < 64u; first += 32u) {
    workgroupBarrier();
    for (var n = thread; n < 256u; n += 64u) {
      let r = n / 8u;
      let piece = n % 8u;
      let i = query_position(at, i32(at.tile), i32(first + r));
      var value = vec4<u32>();
      if (i >= 0) {
        value = q[at.q_start + u32(i - at.base) * shape.q_row + piece];
      }
      staged[r * 9u + piece] = value;
    }
    workgroupBarrier();
    if (first_row >= first && first_row < first + 32u) {
      query_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 0u, 9u);
      query_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 1u, 9u);
      query_0_2 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 2u, 9u);
      query_0_3 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 3u, 9u);
      query_0_4 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 4u, 9u);
      query_0_5 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 5u, 9u);
      query_0_6 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 6u, 9u);
      query_0_7 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&staged, (first_row + 0u - first) * 9u + 7u, 9u);
    }
  }
  if (thread == 0u) {
    atomicStore(&flags[CARE], 0u);
  }
  // Again, with care, only if the results turn out to hold NaN or infinity.
  var careful = false;
  loop {
    // Of block 0: the power of two that weights are relative to, the lane's part of their sum, and the results.
    var reference_0 = FLOOR;
    var total_0 = 0.0;
    var poisoned_0 = false;
    var result_0_0 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_1 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_2 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_3 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_4 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_5 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_6 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var result_0_7 = subgroup_matrix_result<f32, 8, 8>(0.0);
    var cursor = first_tile(at);
    var next = next_tile(at, &cursor);
    var part = 0u;
    var key_0: vec4<u32>;
    var key_1: vec4<u32>;
    var value_0: vec4<u32>;
    var value_1: vec4<u32>;
    var position_0 = -1;
    if (thread < 16u) {
      position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
    }
    {
      let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
      key_0 = load_key(at, j, (thread) % 8u);
      value_0 = load_value(at, j, (thread) % 8u);
    }
    {
      let j = key_position(at, next.segment, next.tile, i32((thread + 64u) / 8u + part * 16u));
      key_1 = load_key(at, j, (thread + 64u) % 8u);
      value_1 = load_value(at, j, (thread + 64u) % 8u);
    }
    while (next.kind != NO_PAIR) {
      workgroupBarrier();
      if (careful) {
        if (thread < 2u) {
          atomicStore(&flags[thread], 0u);
        }
        workgroupBarrier();
        value_0 = checked_value(value_0, (thread) / 8u);
        value_1 = checked_value(value_1, (thread + 64u) / 8u);
      }
      if (thread == 0u) {
        atomicStore(&flags[RESCALE], 0u);
      }
      if (thread < 16u) {
        key_positions[thread] = position_0;
      }
      staged[((thread) / 8u) * 9u + (thread) % 8u] = key_0;
      staged[((thread + 64u) / 8u) * 9u + (thread + 64u) % 8u] = key_1;
      staged[VALUES_AT + ((thread) / 8u) * 9u + (thread) % 8u] = value_0;
      staged[VALUES_AT + ((thread + 64u) / 8u) * 9u + (thread + 64u) % 8u] = value_1;
      workgroupBarrier();
      let segment = next.segment;
      let is_partial = next.kind == SOME_PAIRS;
      part = (part + 1u) % 4u;
      if (part == 0u) {
        next = next_tile(at, &cursor);
      }
      if (next.kind != NO_PAIR) {
        if (thread < 16u) {
          position_0 = key_position(at, next.segment, next.tile, i32(thread + part * 16u));
        }
        {
          let j = key_position(at, next.segment, next.tile, i32((thread) / 8u + part * 16u));
          key_0 = load_key(at, j, (thread) % 8u);
          value_0 = load_value(at, j, (thread) % 8u);
        }
        {
          let j = key_position(at, next.segment, next.tile, i32((thread + 64u) / 8u + part * 16u));
          key_1 = load_key(at, j, (thread + 64u) % 8u);
          value_1 = load_value(at, j, (thread + 64u) % 8u);
        }
      }
      let first_key = 0u;
      let keys_at = first_key * 9u;
      let values_at = VALUES_AT + first_key * 9u;
      var score_0_0 = subgroup_matrix_result<f32, 8, 8>(0.0);
      var score_0_1 = subgroup_matrix_result<f32, 8, 8>(0.0);
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 0u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 72u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_0, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 1u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 73u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_1, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 2u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 74u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_2, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 3u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 75u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_3, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 4u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_4, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 76u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_4, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 5u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_5, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 77u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_5, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 6u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_6, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 78u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_6, keys, score_0_1);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 7u, 9u);
        score_0_0 = subgroupMatrixMultiplyAccumulate(query_0_7, keys, score_0_0);
      }
      {
        let keys = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, col_major>(&staged, keys_at + 79u, 9u);
        score_0_1 = subgroupMatrixMultiplyAccumulate(query_0_7, keys, score_0_1);
      }
      // Block 0: scores to weights.
      subgroupMatrixStore<row_major>(&scratch, own + 0u, score_0_0, 5u);
      subgroupMatrixStore<row_major>(&scratch, own + 2u, score_0_1, 5u);
      workgroupBarrier();
      if (is_partial || careful) {
        for (var q = 0u; q < 4u; q++) {
          let column = 2u * ((q >> 1u) + x) + (q & 1u);
          let place = own + y * 5u + column;
          let dots = bitcast<vec4<f32>>(scratch[place]);
          let scores = finish_scores(at, segment, i_0, dots, first_key + 4u * column, is_partial, careful, &poisoned_0);
          scratch[place] = bitcast<vec4<u32>>(scores);
        }
      }
      {
        let line = own + y * 5u + 2u * x;
        var s_0 = bitcast<vec4<f32>>(scratch[line + 0u]);
        var s_1 = bitcast<vec4<f32>>(scratch[line + 1u]);
        var s_2 = bitcast<vec4<f32>>(scratch[line + 2u]);
        var s_3 = bitcast<vec4<f32>>(scratch[line + 3u]);
        let tops = max(max(max(s_0, s_1), s_2), s_3);
        var top = TO_LOG2 * max(max(tops.x, tops.y), max(tops.z, tops.w));
        let grown = top > reference_0 + SLACK;
        // Waits until all lanes have their scores, too.
        if (grown) {
          atomicStore(&flags[RESCALE], 1u);
        }
        if (workgroupUniformLoad(&flags[RESCALE]) != 0u) {
          let moved = select(reference_0, top, grown);
          let shrink = exp2(reference_0 - moved);
          reference_0 = moved;
          total_0 *= shrink;
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_1, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 4u; q++) {
            let place = own + y * 5u + x + 1u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_0 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 0u, 5u);
          result_0_1 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 2u, 5u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_3, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 4u; q++) {
            let place = own + y * 5u + x + 1u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_2 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 0u, 5u);
          result_0_3 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 2u, 5u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_4, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_5, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 4u; q++) {
            let place = own + y * 5u + x + 1u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_4 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 0u, 5u);
          result_0_5 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 2u, 5u);
          workgroupBarrier();
          subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_6, 5u);
          subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_7, 5u);
          workgroupBarrier();
          for (var q = 0u; q < 4u; q++) {
            let place = own + y * 5u + x + 1u * q;
            scratch[place] = bitcast<vec4<u32>>(bitcast<vec4<f32>>(scratch[place]) * shrink);
          }
          workgroupBarrier();
          result_0_6 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 0u, 5u);
          result_0_7 = subgroupMatrixLoad<subgroup_matrix_result<f32, 8, 8>, row_major>(&scratch, own + 2u, 5u);
          workgroupBarrier();
        }
        s_0 = exp2(s_0 * TO_LOG2 - reference_0);
        s_1 = exp2(s_1 * TO_LOG2 - reference_0);
        s_2 = exp2(s_2 * TO_LOG2 - reference_0);
        s_3 = exp2(s_3 * TO_LOG2 - reference_0);
        let sums = s_0 + s_1 + s_2 + s_3;
        total_0 += (sums.x + sums.y) + (sums.z + sums.w);
        let weights = own + y * 3u + x;
        scratch[weights + 0u] = vec4<u32>(pack2x16float(s_0.xy), pack2x16float(s_0.zw), pack2x16float(s_1.xy), pack2x16float(s_1.zw));
        scratch[weights + 1u] = vec4<u32>(pack2x16float(s_2.xy), pack2x16float(s_2.zw), pack2x16float(s_3.xy), pack2x16float(s_3.zw));
      }
      workgroupBarrier();
      let weight_0_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&scratch, own + 0u, 3u);
      let weight_0_1 = subgroupMatrixLoad<subgroup_matrix_left<f16, 8, 8>, row_major>(&scratch, own + 1u, 3u);
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 0u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 1u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 2u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 3u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_3);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 4u, 9u);
        result_0_4 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_4);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 5u, 9u);
        result_0_5 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_5);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 6u, 9u);
        result_0_6 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_6);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 7u, 9u);
        result_0_7 = subgroupMatrixMultiplyAccumulate(weight_0_0, values, result_0_7);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 72u, 9u);
        result_0_0 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_0);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 73u, 9u);
        result_0_1 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_1);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 74u, 9u);
        result_0_2 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_2);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 75u, 9u);
        result_0_3 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_3);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 76u, 9u);
        result_0_4 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_4);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 77u, 9u);
        result_0_5 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_5);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 78u, 9u);
        result_0_6 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_6);
      }
      {
        let values = subgroupMatrixLoad<subgroup_matrix_right<f16, 8, 8>, row_major>(&staged, values_at + 79u, 9u);
        result_0_7 = subgroupMatrixMultiplyAccumulate(weight_0_1, values, result_0_7);
      }
    }
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_0, 5u);
    subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_1, 5u);
    workgroupBarrier();
    let sum_0_0 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_1 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 1u]);
    let sum_0_2 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    let sum_0_3 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 3u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_2, 5u);
    subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_3, 5u);
    workgroupBarrier();
    let sum_0_4 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_5 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 1u]);
    let sum_0_6 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    let sum_0_7 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 3u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_4, 5u);
    subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_5, 5u);
    workgroupBarrier();
    let sum_0_8 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_9 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 1u]);
    let sum_0_10 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    let sum_0_11 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 3u]);
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&scratch, own + 0u, result_0_6, 5u);
    subgroupMatrixStore<row_major>(&scratch, own + 2u, result_0_7, 5u);
    workgroupBarrier();
    let sum_0_12 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 0u]);
    let sum_0_13 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 1u]);
    let sum_0_14 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 2u]);
    let sum_0_15 = bitcast<vec4<f32>>(scratch[own + y * 5u + x + 3u]);
    workgroupBarrier();
    var bits_0 = bitcast<u32>(total_0) & INFINITY_BITS;
    {
      let bits = (bitcast<vec4<u32>>(sum_0_0) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_1) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_2) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_3) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_4) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_5) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_6) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_7) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_8) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_9) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_10) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_11) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_12) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_13) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_14) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    {
      let bits = (bitcast<vec4<u32>>(sum_0_15) & vec4<u32>(INFINITY_BITS));
      bits_0 = max(bits_0, max(max(bits.x, bits.y), max(bits.z, bits.w)));
    }
    if (!careful) {
      if ((i_0 >= 0 && bits_0 == INFINITY_BITS)) {
        atomicStore(&flags[CARE], 1u);
      }
      if (workgroupUniformLoad(&flags[CARE]) != 0u) {
        careful = true;
        continue;
      }
    }
    var poison_0 = select(0u, 1u, poisoned_0);
    if (i_0 >= 0) {
      store_row(at, i_0, reference_0 * TO_LOG, total_0, poison_0 != 0u, x, sum_0_0, sum_0_1, sum_0_2, sum_0_3, sum_0_4, sum_0_5, sum_0_6, sum_0_7, sum_0_8, sum_0_9, sum_0_10, sum_0_11, sum_0_12, sum_0_13, sum_0_14, sum_0_15);
    }
    break;
  }
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = 0u;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += 1u;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// 8 numbers of a key's row; 0 where there is none.
fn load_key(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return k[at.k_start + u32(j) * shape.k_row + piece];
}

// 8 numbers of a value's row; 0 where there is none.
fn load_value(at: Place, j: i32, piece: u32) -> vec4<u32> {
  if (j < 0) {
    return vec4<u32>();
  }
  return v[at.v_start + u32(j) * shape.v_row + piece];
}

// With care, a piece with NaN or infinity in it becomes 0, and its key is marked.
fn checked_value(value: vec4<u32>, key: u32) -> vec4<u32> {
  // Of a half with all bits of the exponent set, adding 1 to the exponent sets the sign.
  let carried = (value & vec4<u32>(0x7c007c00u)) + vec4<u32>(0x04000400u);
  if (any((carried & vec4<u32>(0x80008000u)) != vec4<u32>())) {
    atomicOr(&flags[key >> 5u], 1u << (key & 31u));
    return vec4<u32>();
  }
  return value;
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn is_edge(at: Place, segment: u32, i: i32, column: u32) -> bool {
  let j = key_positions[column];
  return j >= 0 && keep(at, segment, i, j);
}
// Scores of four pairs where they are edges, LOWEST elsewhere. With care, what is not finite marks the row.
fn finish_scores(
  at: Place,
  segment: u32,
  i: i32,
  dots: vec4<f32>,
  column: u32,
  is_partial: bool,
  careful: bool,
  poisoned: ptr<function, bool>,
) -> vec4<f32> {
  let scores = dots;
  var edges = vec4<bool>(true);
  if (is_partial) {
    edges = vec4<bool>(
      is_edge(at, segment, i, column),
      is_edge(at, segment, i, column + 1u),
      is_edge(at, segment, i, column + 2u),
      is_edge(at, segment, i, column + 3u),
    );
  }
  if (careful) {
    let bits = bitcast<vec4<u32>>(scores);
    let bad = (bits & vec4<u32>(INFINITY_BITS)) == vec4<u32>(INFINITY_BITS);
    let marks = atomicLoad(&flags[column >> 5u]) >> (column & 31u);
    let bad_values = ((vec4<u32>(marks) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
    if (any(edges & (bad_values | (bad)))) {
      *poisoned = true;
    }
    edges = edges & !bad;
  }
  return select(vec4<f32>(LOWEST), scores, edges);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
  sums_2: vec4<f32>,
  sums_3: vec4<f32>,
  sums_4: vec4<f32>,
  sums_5: vec4<f32>,
  sums_6: vec4<f32>,
  sums_7: vec4<f32>,
  sums_8: vec4<f32>,
  sums_9: vec4<f32>,
  sums_10: vec4<f32>,
  sums_11: vec4<f32>,
  sums_12: vec4<f32>,
  sums_13: vec4<f32>,
  sums_14: vec4<f32>,
  sums_15: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  out[row_start + column + 1u] = write_out(select(sums_1 * share, nan, is_nan));
  out[row_start + column + 2u] = write_out(select(sums_2 * share, nan, is_nan));
  out[row_start + column + 3u] = write_out(select(sums_3 * share, nan, is_nan));
  out[row_start + column + 4u] = write_out(select(sums_4 * share, nan, is_nan));
  out[row_start + column + 5u] = write_out(select(sums_5 * share, nan, is_nan));
  out[row_start + column + 6u] = write_out(select(sums_6 * share, nan, is_nan));
  out[row_start + column + 7u] = write_out(select(sums_7 * share, nan, is_nan));
  out[row_start + column + 8u] = write_out(select(sums_8 * share, nan, is_nan));
  out[row_start + column + 9u] = write_out(select(sums_9 * share, nan, is_nan));
  out[row_start + column + 10u] = write_out(select(sums_10 * share, nan, is_nan));
  out[row_start + column + 11u] = write_out(select(sums_11 * share, nan, is_nan));
  out[row_start + column + 12u] = write_out(select(sums_12 * share, nan, is_nan));
  out[row_start + column + 13u] = write_out(select(sums_13 * share, nan, is_nan));
  out[row_start + column + 14u] = write_out(select(sums_14 * share, nan, is_nan));
  out[row_start + column + 15u] = write_out(select(sums_15 * share, nan, is_nan));
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_decode_0_8: decode, matrix, schedule rows, pass 1 ====

enable subgroups;
diagnostic(off, subgroup_uniformity);

// Eight numbers of q, k or v: f32.
struct Oct {
  low: vec4<f32>,
  high: vec4<f32>,
}
fn read_low(x: Oct) -> vec4<f32> {
  return x.low;
}
fn read_high(x: Oct) -> vec4<f32> {
  return x.high;
}

// rows_decode_0_8: attention of few queries, the keys in parts; 16 teams of 8 lanes.
// Queries by rows.
//   keys by rows: i -> j when blocks[i div block, j div block]

struct Shape {
  pack_queries: u32,
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  batch: u32,
  splits: u32,
  q_offset: u32,
  q_batch: u32,
  q_head: u32,
  k_offset: u32,
  k_batch: u32,
  k_head: u32,
  v_offset: u32,
  v_batch: u32,
  v_head: u32,
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  pack_sets: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  param_block: i32,
  blocks_col_idx: u32,
  blocks_rows: u32,
  blocks_row_ptr: u32,
  blocks_heads: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// No edge, and so not even a weight of 0; scores of edges are LOWEST or more.
const NO_EDGE = -3.402e38;
// Lanes that share keys, 64 columns at a time; such teams of a workgroup.
const LANES = 8u;
const TEAMS = 16u;
// This lane in its team, the first lane of the team in its subgroup, and the team in the workgroup.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> team: u32;
// The lane's columns of the set's four queries, and of the weighted sums of values: 2 and 2 vec4s a row.
var<private> queries: array<vec4<f32>, 8>;
var<private> sums: array<vec4<f32>, 8>;
// The row whose scores come to this lane, its highest score yet, the lane's part of the sum of its weights, and
// whether NaN or infinity reached it.
var<private> own: Row;
var<private> highest: f32;
var<private> total: f32;
var<private> poisoned: bool;
var<workgroup> subgroups_found: atomic<u32>;
// Of each team's rows: highest score, total, poison. And one row of every team's sums.
var<workgroup> statistics: array<vec4<f32>, 64>;
var<workgroup> gathered: array<vec4<f32>, 256>;
// Rows of the workgroup that NaN or infinity reached through values, as bits.
var<workgroup> bad_rows: atomic<u32>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  q_start: u32,
  k_start: u32,
  v_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch * shape.splits;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks) % shape.batch;
  at.split = line / ((shape.key_heads * shape.pack_blocks) * shape.batch);
  at.splits = shape.splits;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.q_start = shape.q_offset + batch * shape.q_batch + head * shape.q_head;
  at.k_start = shape.k_offset + batch * shape.k_batch + key_head * shape.k_head;
  at.v_start = shape.v_offset + batch * shape.v_batch + key_head * shape.v_head;
  return at;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.q_start += further * shape.q_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32,
  @builtin(subgroup_size) subgroup_size: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  // Classes and heads may have fewer tiles than the most.
  if (i32(at.tile) * i32(shape.pack_queries) >= query_size(at)) {
    return;
  }
  // Not all devices clear workgroup memory as they should.
  if (thread == 0u) {
    atomicStore(&subgroups_found, 0u);
    atomicStore(&bad_rows, 0u);
  }
  workgroupBarrier();
  find_lane(subgroup_lane, subgroup_size);
  load_queries(at);
  var cursor = first_tile(at);
  for (var next = next_tile(at, &cursor); next.kind != NO_PAIR; next = next_tile(at, &cursor)) {
    attend_tile(at, next.segment, next.tile, next.kind == SOME_PAIRS);
  }
  store_parts(number, thread);
}

// Subgroups count themselves: how threads are dealt to them is up to the device.
fn find_lane(subgroup_lane: u32, subgroup_size: u32) {
  var subgroup = 0u;
  if (subgroup_lane == 0u) {
    subgroup = atomicAdd(&subgroups_found, 1u);
  }
  subgroup = subgroupBroadcast(subgroup, 0u);
  lane = subgroup_lane % LANES;
  first_lane = subgroup_lane - lane;
  team = subgroup * (subgroup_size / LANES) + subgroup_lane / LANES;
}

// The queries of the team's set: rows that don't exist, and columns past the head, are 0.
fn load_queries(at: Place) {
  let first = 4u * (team % shape.pack_sets);
  let row_0 = find_row(at, first + 0u);
  if (row_0.i >= 0) {
    let place = row_0.place;
    let start = place.q_start + u32(row_0.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[0] = read_low(piece_0);
    queries[1] = read_high(piece_0);
  }
  let row_1 = find_row(at, first + 1u);
  if (row_1.i >= 0) {
    let place = row_1.place;
    let start = place.q_start + u32(row_1.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[2] = read_low(piece_0);
    queries[3] = read_high(piece_0);
  }
  let row_2 = find_row(at, first + 2u);
  if (row_2.i >= 0) {
    let place = row_2.place;
    let start = place.q_start + u32(row_2.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[4] = read_low(piece_0);
    queries[5] = read_high(piece_0);
  }
  let row_3 = find_row(at, first + 3u);
  if (row_3.i >= 0) {
    let place = row_3.place;
    let start = place.q_start + u32(row_3.i - place.base) * shape.q_row;
    let piece_0 = q[start + lane];
    queries[6] = read_low(piece_0);
    queries[7] = read_high(piece_0);
  }
  own = find_row(at, first + lane % 4u);
  highest = LOWEST;
}

const NO_PAIR = 0u;
const SOME_PAIRS = 1u;
const EVERY_PAIR = 2u;
// A tile of a segment's keys, and which of its pairs with the query tile are edges.
struct Tile {
  segment: u32,
  tile: i32,
  kind: u32,
}
const NO_TILE = Tile(0u, 0, NO_PAIR);

// Where a workgroup stands in its row of the plan: the run that comes next, and tile n of the present one.
struct Cursor {
  run: u32,
  last_run: u32,
  segment: u32,
  kind: u32,
  first: i32,
  n: u32,
  count: u32,
  // Tiles of the runs before.
  visited: u32,
}
fn first_tile(at: Place) -> Cursor {
  let row = shape.offsets
    + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
  return Cursor(plan[row], plan[row + 1u], 0u, NO_PAIR, 0, 0u, 0u, 0u);
}

// Runs of key tiles that the host planned: segment and kind, first tile, how many.
fn next_tile(at: Place, cursor: ptr<function, Cursor>) -> Tile {
  while ((*cursor).n >= (*cursor).count) {
    if ((*cursor).run >= (*cursor).last_run) {
      return NO_TILE;
    }
    let entry = shape.runs + 3u * (*cursor).run;
    let kind = plan[entry];
    (*cursor).visited += (*cursor).count;
    (*cursor).segment = kind >> 1u;
    (*cursor).kind = select(SOME_PAIRS, EVERY_PAIR, (kind & 1u) != 0u);
    (*cursor).first = i32(plan[entry + 1u]);
    (*cursor).count = plan[entry + 2u];
    (*cursor).n = (at.split + at.splits - (*cursor).visited % at.splits) % at.splits;
    (*cursor).run += 1u;
  }
  let tile = (*cursor).first + i32((*cursor).n);
  (*cursor).n += at.splits;
  return Tile((*cursor).segment, tile, (*cursor).kind);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn key_size_0(at: Place) -> i32 {
  return at.keys;
}
fn key_at_0(at: Place, v: i32) -> i32 {
  return v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_0(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_0(at)) {
    return -1;
  }
  return key_at_0(at, v);
}

fn key_position(at: Place, segment: u32, tile: i32, r: i32) -> i32 {
  return key_position_0(at, tile, r);
}

// The team's keys of a tile, four at a time. Teams of one set take turns.
fn attend_tile(at: Place, segment: u32, tile: i32, is_partial: bool) {
  let turns = TEAMS / shape.pack_sets;
  for (var first = 4u * (team / shape.pack_sets); first < 64u; first += 4u * turns) {
    attend_keys(at, segment, tile, i32(first), is_partial);
  }
}

// Attends to four keys of a tile: online softmax over the set's rows.
fn attend_keys(at: Place, segment: u32, tile: i32, first: i32, is_partial: bool) {
  let j_0 = key_position(at, segment, tile, first);
  let j_1 = key_position(at, segment, tile, first + 1);
  let j_2 = key_position(at, segment, tile, first + 2);
  let j_3 = key_position(at, segment, tile, first + 3);
  let row_0 = u32(max(j_0, 0));
  let row_1 = u32(max(j_1, 0));
  let row_2 = u32(max(j_2, 0));
  let row_3 = u32(max(j_3, 0));
  let k_row_0 = at.k_start + row_0 * shape.k_row;
  let k_row_1 = at.k_start + row_1 * shape.k_row;
  let k_row_2 = at.k_start + row_2 * shape.k_row;
  let k_row_3 = at.k_start + row_3 * shape.k_row;
  let v_row_0 = at.v_start + row_0 * shape.v_row;
  let v_row_1 = at.v_start + row_1 * shape.v_row;
  let v_row_2 = at.v_start + row_2 * shape.v_row;
  let v_row_3 = at.v_start + row_3 * shape.v_row;
  // Values are asked for before they are needed.
  let k_0_0 = k[k_row_0 + lane];
  let k_1_0 = k[k_row_1 + lane];
  let k_2_0 = k[k_row_2 + lane];
  let k_3_0 = k[k_row_3 + lane];
  let v_0_0 = v[v_row_0 + lane];
  let v_1_0 = v[v_row_1 + lane];
  let v_2_0 = v[v_row_2 + lane];
  let v_3_0 = v[v_row_3 + lane];
  var dots_0 = vec4<f32>();
  var dots_1 = vec4<f32>();
  var dots_2 = vec4<f32>();
  var dots_3 = vec4<f32>();
  let low_0_0 = read_low(k_0_0);
  let low_1_0 = read_low(k_1_0);
  let low_2_0 = read_low(k_2_0);
  let low_3_0 = read_low(k_3_0);
  dots_0 += vec4<f32>(dot(queries[0], low_0_0), dot(queries[0], low_1_0), dot(queries[0], low_2_0), dot(queries[0], low_3_0));
  dots_1 += vec4<f32>(dot(queries[2], low_0_0), dot(queries[2], low_1_0), dot(queries[2], low_2_0), dot(queries[2], low_3_0));
  dots_2 += vec4<f32>(dot(queries[4], low_0_0), dot(queries[4], low_1_0), dot(queries[4], low_2_0), dot(queries[4], low_3_0));
  dots_3 += vec4<f32>(dot(queries[6], low_0_0), dot(queries[6], low_1_0), dot(queries[6], low_2_0), dot(queries[6], low_3_0));
  let high_0_0 = read_high(k_0_0);
  let high_1_0 = read_high(k_1_0);
  let high_2_0 = read_high(k_2_0);
  let high_3_0 = read_high(k_3_0);
  dots_0 += vec4<f32>(dot(queries[1], high_0_0), dot(queries[1], high_1_0), dot(queries[1], high_2_0), dot(queries[1], high_3_0));
  dots_1 += vec4<f32>(dot(queries[3], high_0_0), dot(queries[3], high_1_0), dot(queries[3], high_2_0), dot(queries[3], high_3_0));
  dots_2 += vec4<f32>(dot(queries[5], high_0_0), dot(queries[5], high_1_0), dot(queries[5], high_2_0), dot(queries[5], high_3_0));
  dots_3 += vec4<f32>(dot(queries[7], high_0_0), dot(queries[7], high_1_0), dot(queries[7], high_2_0), dot(queries[7], high_3_0));
  let own_dots = sum_over_team(dots_0, dots_1, dots_2, dots_3);
  let own_keys = share_of(vec4<i32>(j_0, j_1, j_2, j_3));
  let own_scores = vec2<f32>(score_own(segment, own_dots.x, own_keys.x, is_partial), score_own(segment, own_dots.y, own_keys.y, is_partial));
  var top = max(highest, max(own_scores.x, own_scores.y));
  top = max(top, subgroupShuffleXor(top, 4u));
  if (subgroupAny(top > highest)) {
    let shrink = exp(highest - top);
    highest = top;
    total *= shrink;
    let shrink_0 = subgroupShuffle(shrink, first_lane + 0u);
    let shrink_1 = subgroupShuffle(shrink, first_lane + 1u);
    let shrink_2 = subgroupShuffle(shrink, first_lane + 2u);
    let shrink_3 = subgroupShuffle(shrink, first_lane + 3u);
    sums[0] *= shrink_0;
    sums[1] *= shrink_0;
    sums[2] *= shrink_1;
    sums[3] *= shrink_1;
    sums[4] *= shrink_2;
    sums[5] *= shrink_2;
    sums[6] *= shrink_3;
    sums[7] *= shrink_3;
  }
  let own_weights = weights_of(own_scores, top);
  total += sum_of_weights(own_weights);
  let weights_0 = weights_of_row(own_weights, 0u);
  let weights_1 = weights_of_row(own_weights, 1u);
  let weights_2 = weights_of_row(own_weights, 2u);
  let weights_3 = weights_of_row(own_weights, 3u);
  if (is_partial) {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_edges(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_edges(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_edges(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_edges(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_edges(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_edges(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_edges(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_edges(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  } else {
    let low_0_0 = read_low(v_0_0);
    let low_1_0 = read_low(v_1_0);
    let low_2_0 = read_low(v_2_0);
    let low_3_0 = read_low(v_3_0);
    sums[0] = add_weighted(sums[0], weights_0, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[2] = add_weighted(sums[2], weights_1, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[4] = add_weighted(sums[4], weights_2, low_0_0, low_1_0, low_2_0, low_3_0);
    sums[6] = add_weighted(sums[6], weights_3, low_0_0, low_1_0, low_2_0, low_3_0);
    let high_0_0 = read_high(v_0_0);
    let high_1_0 = read_high(v_1_0);
    let high_2_0 = read_high(v_2_0);
    let high_3_0 = read_high(v_3_0);
    sums[1] = add_weighted(sums[1], weights_0, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[3] = add_weighted(sums[3], weights_1, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[5] = add_weighted(sums[5], weights_2, high_0_0, high_1_0, high_2_0, high_3_0);
    sums[7] = add_weighted(sums[7], weights_3, high_0_0, high_1_0, high_2_0, high_3_0);
  }
}

// The score of the lane's row with a key, from their dot product. NaN or infinity in either make that so as well,
// which is seen by bits, since WGSL may assume that there are none; it poisons the row, and so does a score of NaN
// or +infinity. A score of -infinity gives no weight.
fn score_own(segment: u32, dot_product: f32, j: i32, is_partial: bool) -> f32 {
  if (is_partial && (j < 0 || !keep(own.place, segment, own.i, j))) {
    return NO_EDGE;
  }
  let value = score(own.place, dot_product, own.i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  let bad = (bitcast<u32>(dot_product) & INFINITY_BITS) == INFINITY_BITS;
  poisoned = poisoned || bad || (special && bits != NEGATIVE_INFINITY_BITS);
  return select(max(value, LOWEST), LOWEST, special || bad);
}

// exp(scores - top); exactly 0 for scores of -infinity, and -1 where there is no edge.
fn weights_of(scores: vec2<f32>, top: f32) -> vec2<f32> {
  let weights = select(vec2<f32>(0.0), exp(scores - top), scores > vec2<f32>(LOWEST));
  return select(weights, vec2<f32>(-1.0), scores < vec2<f32>(LOWEST));
}
fn sum_of_weights(weights: vec2<f32>) -> f32 {
  return max(weights.x, 0.0) + max(weights.y, 0.0);
}

// The weights of row r of the set with the four keys, from the lanes that have them.
fn weights_of_row(weights: vec2<f32>, r: u32) -> vec4<f32> {
  let source = first_lane + r;
  return vec4<f32>(subgroupShuffle(weights, source), subgroupShuffle(weights, source + 4u));
}

// sum + the values of four keys by their weights. NaN and infinity in values stay, and are found in the end.
fn add_weighted(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  return w.w * v3 + (w.z * v2 + (w.y * v1 + (w.x * v0 + sum)));
}
// The same, of those keys that the row has an edge to.
fn add_edges(sum: vec4<f32>, w: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) -> vec4<f32> {
  var result = select(sum, sum + w.x * v0, w.x >= 0.0);
  result = select(result, result + w.y * v1, w.y >= 0.0);
  result = select(result, result + w.z * v2, w.z >= 0.0);
  return select(result, result + w.w * v3, w.w >= 0.0);
}

// The lane's share of the scores of four rows (components: keys), summed over the team: those of row lane % 4.
fn sum_over_team(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec2<f32> {
  let odd = (lane & 1u) != 0u;
  let ab = select(a, b, odd) + subgroupShuffleXor(select(b, a, odd), 1u);
  let cd = select(c, d, odd) + subgroupShuffleXor(select(d, c, odd), 1u);
  let second = (lane & 2u) != 0u;
  let row = select(ab, cd, second) + subgroupShuffleXor(select(cd, ab, second), 2u);
  let half = select(row.xy, row.zw, (lane & 4u) != 0u)
    + subgroupShuffleXor(select(row.zw, row.xy, (lane & 4u) != 0u), 4u);
  return half;
}
// Of four keys those whose scores the lane has.
fn share_of(keys: vec4<i32>) -> vec2<i32> {
  return select(keys.xy, keys.zw, (lane & 4u) != 0u);
}

// i -> j when blocks[i div block, j div block]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_blocks(0, 0, floor_div(i, shape.param_block), floor_div(j, shape.param_block));
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

// Puts together what the teams of a set found, and writes it: of each row the sums, then the highest score, the
// total and poison.
fn store_parts(number: u32, thread: u32) {
  total += subgroupShuffleXor(total, 4u);
  var poison = select(0.0, 1.0, poisoned);
  poison = max(poison, subgroupShuffleXor(poison, 4u));
  if (lane < 4u) {
    statistics[4u * team + lane] = vec4<f32>(highest, total, poison, 0.0);
  }
  workgroupBarrier();
  var top = highest;
  for (var other = team % shape.pack_sets; other < TEAMS; other += shape.pack_sets) {
    top = max(top, statistics[4u * other + lane % 4u].x);
  }
  let shrink = exp(highest - top);
  {
    let factor = subgroupShuffle(shrink, first_lane + 0u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[0] * factor;
    gathered[at_0 + 1u] = sums[1] * factor;
    workgroupBarrier();
    store_sums(number, thread, 0u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 1u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[2] * factor;
    gathered[at_0 + 1u] = sums[3] * factor;
    workgroupBarrier();
    store_sums(number, thread, 1u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 2u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[4] * factor;
    gathered[at_0 + 1u] = sums[5] * factor;
    workgroupBarrier();
    store_sums(number, thread, 2u);
    workgroupBarrier();
  }
  {
    let factor = subgroupShuffle(shrink, first_lane + 3u);
    let at_0 = team * 16u + 2u * (lane);
    gathered[at_0] = sums[6] * factor;
    gathered[at_0 + 1u] = sums[7] * factor;
    workgroupBarrier();
    store_sums(number, thread, 3u);
    workgroupBarrier();
  }
  if (thread < 4u * shape.pack_sets) {
    store_statistics(number, thread);
  }
}

// Row r of every set: each column of its sums over the teams of the set.
fn store_sums(number: u32, thread: u32, r: u32) {
  for (var n = thread; n < shape.pack_sets * 16u; n += 128u) {
    let first = n / 16u;
    let column = n % 16u;
    var sum = vec4<f32>();
    for (var other = first; other < TEAMS; other += shape.pack_sets) {
      sum += gathered[16u * other + column];
    }
    let row = 4u * first + r;
    if (is_bad(sum)) {
      atomicOr(&bad_rows, 1u << row);
    }
    parts[(4u * shape.pack_sets * number + row) * 17u + column] = sum;
  }
}
fn store_statistics(number: u32, row: u32) {
  let first = row / 4u;
  let r = row % 4u;
  var found = vec4<f32>(LOWEST, 0.0, 0.0, 0.0);
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    found.x = max(found.x, statistics[4u * other + r].x);
  }
  for (var other = first; other < TEAMS; other += shape.pack_sets) {
    let one = statistics[4u * other + r];
    found.y += one.y * exp(one.x - found.x);
    found.z = max(found.z, one.z);
  }
  if (((atomicLoad(&bad_rows) >> row) & 1u) != 0u) {
    found.z = 1.0;
  }
  parts[(4u * shape.pack_sets * number + row) * 17u + 16u] = found;
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = u32(at.batch) * shape.by_batch;
  let head = u32(at.head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// a / b rounded down, for b of at least 1.
fn floor_div(a: i32, b: i32) -> i32 {
  return a / b - select(0, 1, a % b < 0);
}

const NO_EDGE_blocks = 0xffffffffu;
// Number of the edge from a to b in the graph blocks, by binary search in a's sorted row.
fn find_blocks(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.blocks_rows) {
    return NO_EDGE_blocks;
  }
  let row = shape.blocks_row_ptr + (u32(batch) * shape.blocks_heads + u32(head)) * (shape.blocks_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.blocks_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.blocks_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_blocks;
}

fn edge_blocks(batch: i32, head: i32, a: i32, b: i32) -> bool {
  return find_blocks(batch, head, a, b) != NO_EDGE_blocks;
}

// ==== rows_merge_0: merge, matrix, schedule rows, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// rows_merge_0: merges the parts of the keys that a decoding kernel made.

struct Shape {
  tiles: u32,
  classes: u32,
  key_heads: u32,
  pack_blocks: u32,
  lengths: u32,
  heads: u32,
  pack_heads: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  batch: u32,
  splits: u32,
  pack_sets: u32,
  pack_queries: u32,
  nan: u32,
  out_row: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read> parts: array<vec4<f32>>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

// What threads found: the highest score and poison; then sums of each column, and totals, over some of the parts.
var<workgroup> found_highest: array<vec2<f32>, 128>;
var<workgroup> sums: array<vec4<f32>, 128>;
var<workgroup> totals: array<f32, 8>;

// Where a workgroup stands.
struct Place {
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query row.
  queries: i32,
  keys: i32,
  base: i32,
  // Residue class of the query space, and the tile in it.
  residue: i32,
  tile: u32,
  // Which part of the keys, of how many.
  split: u32,
  splits: u32,
  // Where this head starts in each tensor.
  out_start: u32,
  lse_start: u32,
}

// Number of workgroups that have something to do.
fn place_count() -> u32 {
  return shape.tiles * shape.classes * (shape.key_heads * shape.pack_blocks) * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = shape.tiles;
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - number % tiles;
  at.residue = i32(number / tiles % shape.classes);
  let line = number / (tiles * shape.classes);
  let block = line % (shape.key_heads * shape.pack_blocks);
  let key_head = block / shape.pack_blocks;
  let head = key_head * (shape.heads / shape.key_heads) + block % shape.pack_blocks * shape.pack_heads;
  let batch = line / (shape.key_heads * shape.pack_blocks);
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(head);
  at.batch = i32(batch);
  at.queries = i32(plan[shape.lengths + 2u * batch]);
  at.keys = i32(plan[shape.lengths + 2u * batch + 1u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let line = group.x + group.y * groups.x;
  let number = line / (4u * shape.pack_sets);
  if (number >= place_count()) {
    return;
  }
  let at = find_place(number);
  let r = line % (4u * shape.pack_sets);
  let row = find_row(at, r);
  let own = row.place;
  let i = row.i;
  if (i < 0) {
    return;
  }
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * (4u * shape.pack_sets) * 17u;
  var highest = LOWEST;
  var poison = 0.0;
  for (var split = thread; split < shape.splits; split += 128u) {
    let found = parts[first + split * step + 16u];
    highest = max(highest, found.x);
    poison = max(poison, found.z);
  }
  let statistics = highest_of_all(vec2<f32>(highest, poison), thread);
  let top = statistics.x;
  let is_poisoned = statistics.y != 0.0;
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  if (column < 16u) {
    for (var split = thread / 16u; split < shape.splits; split += 8u) {
      let part = first + split * step;
      let found = parts[part + 16u];
      let weight = exp(found.x - top);
      total += found.y * weight;
      sum += parts[part + column] * weight;
    }
  }
  sums[thread] = sum;
  if (column == 0u) {
    totals[thread / 16u] = total;
  }
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = 1u; n < 8u; n++) {
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total_of_parts(), is_poisoned, column, sum);
}

// The highest of each component over all threads.
fn highest_of_all(own: vec2<f32>, thread: u32) -> vec2<f32> {
  found_highest[thread] = own;
  for (var half = 64u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      found_highest[thread] = max(found_highest[thread], found_highest[thread + half]);
    }
  }
  return workgroupUniformLoad(&found_highest[0]);
}
fn total_of_parts() -> f32 {
  var total = 0.0;
  for (var n = 0u; n < 8u; n++) {
    total += totals[n];
  }
  return total;
}

// A row of a workgroup: the place of its head, and its position; -1 if there is none.
struct Row {
  place: Place,
  i: i32,
}
fn find_row(at: Place, r: u32) -> Row {
  var row = Row(at, -1);
  let further = r % shape.pack_heads;
  let query = i32(r / shape.pack_heads);
  let sharers = shape.heads / shape.key_heads;
  // The last block of a key head may have fewer heads.
  if (query < i32(shape.pack_queries) && u32(at.head) % sharers + further < sharers) {
    row.place.head += i32(further);
    row.place.out_start += further * shape.out_head;
    row.place.lse_start += further * shape.lse_head;
    row.i = query_position(at, i32(at.tile), query);
  }
  return row;
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.queries;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.base + v;
}

// Position of coordinate r of a tile; -1 where there is none.
fn query_position(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * i32(shape.pack_queries) + r;
  if (v >= query_size(at)) {
    return -1;
  }
  return query_at(at, v);
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.base);
  // A sum past the range of f32 is told too.
  let is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  let found = total > 0.0;
  let row_lse = highest + log(select(1.0, total, found));
  let share = select(0.0, 1.0 / total, found);
  let nan = vec4<f32>(bitcast<f32>(shape.nan));
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * share, nan, is_nan));
  }
  if (column == 0u) {
    let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(row_lse), found);
    lse[at.lse_start + row * shape.lse_row] = select(bits, NAN_BITS, is_nan);
  }
}
