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
//   keys by rows: i -> j when doc[i] == doc[j]
//   keys by list: shared: i -> j when doc[j] == prefix

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  batch: u32,
  first_head: u32,
  first_batch: u32,
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
  by_batch: u32,
  by_head: u32,
  offsets: u32,
  runs: u32,
  out_row: u32,
  nan: u32,
  lse_row: u32,
  list_0_offsets: u32,
  list_0_values: u32,
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  doc_size_0: u32,
  doc_offset: u32,
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
// What each thread found for its rows, to be reduced over the 16 threads that share them.
var<workgroup> partial: array<vec4<f32>, 256>;
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
// 16 x 16: rows y + 16r, keys x + 16c, columns x + 16n.
var<private> lane: u32;
var<private> first_lane: u32;
var<private> x: u32;
var<private> y: u32;
// Scores and then weights: of row r elements, a component for each key.
var<private> scores: array<vec4<f32>, 4>;
// Bit 4r + c: are row r and key c an edge?
var<private> edges: u32;
// Weighted sums of values: 1 vec4 a row.
var<private> sums: array<vec4<f32>, 4>;
// Of each row the highest score yet, and the thread's own part of the sum of weights.
var<private> highest: array<vec4<f32>, 1>;
var<private> total: array<vec4<f32>, 1>;

// Where a workgroup stands.
struct Place {
  // Numbers of the run, whatever part of it is computed.
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query.
  queries: i32,
  keys: i32,
  base: i32,
  // The query rows to compute: how many, and the position of the first.
  rows: i32,
  first: i32,
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
  let by_tile = divide(number, tiles);
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - by_tile.y;
  let by_class = divide(by_tile.x, shape.classes);
  at.residue = i32(by_class.y);
  let line = by_class.x;
  var block = vec2<u32>(0u, line);
  if (shape.batch > 1u) {
    block = divide(line, shape.heads);
  }
  let head = block.y;
  let batch = block.x;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(shape.first_head + head);
  at.batch = i32(shape.first_batch + batch);
  at.queries = i32(plan[shape.lengths + 4u * batch]);
  at.keys = i32(plan[shape.lengths + 4u * batch + 1u]);
  at.rows = i32(plan[shape.lengths + 4u * batch + 2u]);
  at.first = i32(plan[shape.lengths + 4u * batch + 3u]);
  at.base = at.keys - at.queries;
  var key_head = head;
  if (shape.heads != shape.key_heads) {
    key_head = head / (shape.heads / shape.key_heads);
  }
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
  x = (thread >> 1u) & 15u;
  y = (thread & 1u) | ((thread >> 5u) << 1u);
  first_lane = thread - 2u * x;
  highest[0] = vec4<f32>(LOWEST);
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
  let row = shape.offsets + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
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
  return at.rows;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.first + v;
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

// Positions that the host listed: how many, and number v of them.
fn key_size_1(at: Place) -> i32 {
  let entry = shape.list_0_offsets + plan_entry(at);
  return i32(plan[entry + 1u] - plan[entry]);
}
fn key_at_1(at: Place, v: i32) -> i32 {
  let first = plan[shape.list_0_offsets + plan_entry(at)];
  return i32(plan[shape.list_0_values + first + u32(v)]);
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_1(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_1(at)) {
    return -1;
  }
  return key_at_1(at, v);
}

// Finds the positions of a tile's keys.
fn place_keys(at: Place, segment: u32, tile: i32) {
  if (lane < 64u) {
    let r = i32(lane);
    var j = -1;
    switch segment {
      case 0u: {
        j = key_position_0(at, tile, r);
      }
      default: {
        j = key_position_1(at, tile, r);
      }
    }
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
  let row = lane >> 2u;
  let piece = lane & 3u;
  let position = query_positions[row];
  let column = 4u * chunk + piece;
  var value = vec4<f32>();
  if (position >= 0) {
    value = read_quad(q[at.q_start + u32(position - at.first) * shape.q_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_queries[row >> 5u], 1u << (row & 31u));
    flagged = 1u;
  }
  staged[66u * piece + row] = value;
}

// Stages 16 columns of the keys; a bad one becomes 0, and the key is marked.
fn load_keys(at: Place, chunk: u32) {
  let row = lane >> 2u;
  let piece = lane & 3u;
  let position = key_positions[row];
  let column = 4u * chunk + piece;
  var value = vec4<f32>();
  if (position >= 0) {
    value = read_quad(k[at.k_start + u32(position) * shape.k_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_keys[row >> 5u], 1u << (row & 31u));
    flagged = 1u;
  }
  staged[KEYS_AT + 66u * piece + row] = value;
}

// Stages 64 columns of the values of 16 keys, in the order of 4 g + c: 4 part + g + 16 c.
fn load_values(at: Place, part: u32, first_column: u32) {
  let slot = lane >> 4u;
  let row = 4u * part + (slot >> 2u) + 16u * (slot & 3u);
  let position = key_positions[row];
  let column = first_column + (lane & 15u);
  var value = vec4<f32>();
  if (position >= 0) {
    value = read_quad(v[at.v_start + u32(position) * shape.v_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_keys[row >> 5u], 1u << (row & 31u));
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
    let query = 66u * part + y;
    let q0 = staged[query];
    scores[0] = add_scores(scores[0], q0, k0, k1, k2, k3);
    let q1 = staged[query + 16u];
    scores[1] = add_scores(scores[1], q1, k0, k1, k2, k3);
    let q2 = staged[query + 32u];
    scores[2] = add_scores(scores[2], q2, k0, k1, k2, k3);
    let q3 = staged[query + 48u];
    scores[3] = add_scores(scores[3], q3, k0, k1, k2, k3);
  }
}

// Stages the weights of the 16 keys of a part: of row r those of four keys (c) of one thread in vec4 g.
fn store_weights(part: u32) {
  if (x >> 2u == part) {
    let first = 4u * y + (x & 3u);
    staged[first] = scores[0];
    staged[first + 64u] = scores[1];
    staged[first + 128u] = scores[2];
    staged[first + 192u] = scores[3];
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
    let w1 = staged[row + 64u];
    sums[1] = add_weighted(sums[1], w1, v0, v1, v2, v3);
    let w2 = staged[row + 128u];
    sums[2] = add_weighted(sums[2], w2, v0, v1, v2, v3);
    let w3 = staged[row + 192u];
    sums[3] = add_weighted(sums[3], w3, v0, v1, v2, v3);
  }
}

// From dot products to scores: the pattern's own, and LOWEST where a partial tile has no edge.
fn finish_scores(at: Place, segment: u32, is_partial: bool) {
  scores[0] *= 0.125;
  scores[1] *= 0.125;
  scores[2] *= 0.125;
  scores[3] *= 0.125;
  edges = 0xffffffffu;
  if (is_partial) {
    mask_tile(at, segment);
  }
  check_scores();
}

// i -> j when doc[i] == doc[j]
fn keep_0(at: Place, i: i32, j: i32) -> bool {
  return j <= i && table_doc(i) == table_doc(j);
}

// shared: i -> j when doc[j] == prefix
fn keep_1(at: Place, i: i32, j: i32) -> bool {
  let t0 = j <= i;
  return t0 && !(t0 && table_doc(i) == table_doc(j));
}

// Is the pair an edge that the segment serves?
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  switch segment {
    case 0u: {
      return keep_0(at, i, j);
    }
    default: {
      return keep_1(at, i, j);
    }
  }
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
  scores[1] = select(vec4<f32>(LOWEST), scores[1], four_edges(edges >> 4u));
  scores[2] = select(vec4<f32>(LOWEST), scores[2], four_edges(edges >> 8u));
  scores[3] = select(vec4<f32>(LOWEST), scores[3], four_edges(edges >> 12u));
}
fn four_edges(bits: u32) -> vec4<bool> {
  return ((vec4<u32>(bits) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) != vec4<u32>();
}

// A product past the range of f32 reaches its row: as NaN, never as a wrong number.
fn check_scores() {
  scores[0] = checked(scores[0], y);
  scores[1] = checked(scores[1], y + 16u);
  scores[2] = checked(scores[2], y + 32u);
  scores[3] = checked(scores[3], y + 48u);
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
  partial[lane] = vec4<f32>(highest_of(scores[0]), highest_of(scores[1]), highest_of(scores[2]), highest_of(scores[3]));
  workgroupBarrier();
  var top_0 = highest[0];
  for (var n = 0u; n < shape.row_threads; n++) {
    top_0 = max(top_0, partial[first_lane + 2u * n]);
  }
  let shrink_0 = exp(highest[0] - top_0);
  highest[0] = top_0;
  scores[0] = weights_of(scores[0], top_0.x);
  scores[1] = weights_of(scores[1], top_0.y);
  scores[2] = weights_of(scores[2], top_0.z);
  scores[3] = weights_of(scores[3], top_0.w);
  total[0] = total[0] * shrink_0 + vec4<f32>(sum_of(scores[0]), sum_of(scores[1]), sum_of(scores[2]), sum_of(scores[3]));
  sums[0] *= shrink_0.x;
  sums[1] *= shrink_0.y;
  sums[2] *= shrink_0.z;
  sums[3] *= shrink_0.w;
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

// Divides by the sums of weights and writes the tile's rows.
fn store_rows(at: Place) {
  reduce_totals();
  if (query_positions[y] >= 0) {
    store_row(at, query_positions[y], highest[0].x, total[0].x, is_poisoned(y), x, sums[0]);
  }
  if (query_positions[y + 16u] >= 0) {
    store_row(at, query_positions[y + 16u], highest[0].y, total[0].y, is_poisoned(y + 16u), x, sums[1]);
  }
  if (query_positions[y + 32u] >= 0) {
    store_row(at, query_positions[y + 32u], highest[0].z, total[0].z, is_poisoned(y + 32u), x, sums[2]);
  }
  if (query_positions[y + 48u] >= 0) {
    store_row(at, query_positions[y + 48u], highest[0].w, total[0].w, is_poisoned(y + 48u), x, sums[3]);
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
) {
  let row = u32(i - at.first);
  let mix = mix_row(at, i, highest, total, poisoned);
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * mix.share, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  if (column == 0u) {
    lse[at.lse_start + row * shape.lse_row] = lse_bits(mix);
  }
}

// A row's factors: of the sums. And its lse, if there was an edge.
struct Mix {
  share: f32,
  is_nan: bool,
  found: bool,
  lse: f32,
}
// Of the row of position i, where total is the sum of the weights, relative to exp(highest).
fn mix_row(at: Place, i: i32, highest: f32, total: f32, poisoned: bool) -> Mix {
  var mix: Mix;
  // A sum past the range of f32 is told too.
  mix.is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  mix.found = total > 0.0;
  mix.lse = highest + log(select(1.0, total, mix.found));
  mix.share = select(0.0, 1.0 / total, mix.found);
  return mix;
}
// The bits of its lse.
fn lse_bits(mix: Mix) -> u32 {
  let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(mix.lse), mix.found);
  return select(bits, NAN_BITS, mix.is_nan);
}

// Quotient and rest, without a division where there is nothing to divide.
fn divide(x: u32, by: u32) -> vec2<u32> {
  if (by == 1u) {
    return vec2<u32>(x, 0u);
  }
  let quotient = x / by;
  return vec2<u32>(quotient, x - quotient * by);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = (u32(at.batch) - shape.first_batch) * shape.by_batch;
  let head = (u32(at.head) - shape.first_head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// The input doc; 0 outside.
fn table_doc(x0: i32) -> i32 {
  if (!(u32(x0) < shape.doc_size_0)) {
    return 0;
  }
  return bitcast<i32>(tables[shape.doc_offset + u32(x0)]);
}

// ==== rows_decode_0: decode, portable, schedule rows, pass 1 ====

// Four numbers of q, k or v: f32.
alias Quad = vec4<f32>;
fn read_quad(x: Quad) -> vec4<f32> {
  return x;
}

// rows_decode_0: attention over tiles of 16 queries and 64 keys, the keys in parts.
// Queries by rows.
//   keys by rows: i -> j when doc[i] == doc[j]
//   keys by list: shared: i -> j when doc[j] == prefix

struct Shape {
  tiles: u32,
  classes: u32,
  heads: u32,
  lengths: u32,
  batch: u32,
  splits: u32,
  first_head: u32,
  first_batch: u32,
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
  list_0_offsets: u32,
  list_0_values: u32,
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  doc_size_0: u32,
  doc_offset: u32,
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
  // Numbers of the run, whatever part of it is computed.
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query.
  queries: i32,
  keys: i32,
  base: i32,
  // The query rows to compute: how many, and the position of the first.
  rows: i32,
  first: i32,
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
  let by_tile = divide(number, tiles);
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - by_tile.y;
  let by_class = divide(by_tile.x, shape.classes);
  at.residue = i32(by_class.y);
  let line = by_class.x;
  let block = divide(line, shape.heads);
  let head = block.y;
  let by_split = divide(block.x, shape.batch);
  let batch = by_split.y;
  at.split = by_split.x;
  at.splits = shape.splits;
  at.head = i32(shape.first_head + head);
  at.batch = i32(shape.first_batch + batch);
  at.queries = i32(plan[shape.lengths + 4u * batch]);
  at.keys = i32(plan[shape.lengths + 4u * batch + 1u]);
  at.rows = i32(plan[shape.lengths + 4u * batch + 2u]);
  at.first = i32(plan[shape.lengths + 4u * batch + 3u]);
  at.base = at.keys - at.queries;
  var key_head = head;
  if (shape.heads != shape.key_heads) {
    key_head = head / (shape.heads / shape.key_heads);
  }
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
  let row = shape.offsets + (plan_entry(at) * shape.classes + u32(at.residue)) * shape.tiles + at.tile;
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
  return at.rows;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.first + v;
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

// Positions that the host listed: how many, and number v of them.
fn key_size_1(at: Place) -> i32 {
  let entry = shape.list_0_offsets + plan_entry(at);
  return i32(plan[entry + 1u] - plan[entry]);
}
fn key_at_1(at: Place, v: i32) -> i32 {
  let first = plan[shape.list_0_offsets + plan_entry(at)];
  return i32(plan[shape.list_0_values + first + u32(v)]);
}

// Position of coordinate r of a tile; -1 where there is none.
fn key_position_1(at: Place, tile: i32, r: i32) -> i32 {
  let v = tile * 64 + r;
  if (v >= key_size_1(at)) {
    return -1;
  }
  return key_at_1(at, v);
}

// Finds the positions of a tile's keys.
fn place_keys(at: Place, segment: u32, tile: i32) {
  if (lane < 64u) {
    let r = i32(lane);
    var j = -1;
    switch segment {
      case 0u: {
        j = key_position_0(at, tile, r);
      }
      default: {
        j = key_position_1(at, tile, r);
      }
    }
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
    let piece = lane & 3u;
    let position = query_positions[row];
    let column = 4u * chunk + piece;
    var value = vec4<f32>();
    if (position >= 0) {
      value = read_quad(q[at.q_start + u32(position - at.first) * shape.q_row + column]);
    }
    if (is_bad(value)) {
      value = vec4<f32>();
      atomicOr(&bad_queries[row >> 5u], 1u << (row & 31u));
      flagged = 1u;
    }
    staged[18u * piece + row] = value;
  }
}

// Stages 16 columns of the keys; a bad one becomes 0, and the key is marked.
fn load_keys(at: Place, chunk: u32) {
  let row = lane >> 2u;
  let piece = lane & 3u;
  let position = key_positions[row];
  let column = 4u * chunk + piece;
  var value = vec4<f32>();
  if (position >= 0) {
    value = read_quad(k[at.k_start + u32(position) * shape.k_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_keys[row >> 5u], 1u << (row & 31u));
    flagged = 1u;
  }
  staged[KEYS_AT + 66u * piece + row] = value;
}

// Stages 64 columns of the values of 16 keys, in the order of 4 g + c: 4 part + g + 16 c.
fn load_values(at: Place, part: u32, first_column: u32) {
  let slot = lane >> 4u;
  let row = 4u * part + (slot >> 2u) + 16u * (slot & 3u);
  let position = key_positions[row];
  let column = first_column + (lane & 15u);
  var value = vec4<f32>();
  if (position >= 0) {
    value = read_quad(v[at.v_start + u32(position) * shape.v_row + column]);
  }
  if (is_bad(value)) {
    value = vec4<f32>();
    atomicOr(&bad_keys[row >> 5u], 1u << (row & 31u));
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

// i -> j when doc[i] == doc[j]
fn keep_0(at: Place, i: i32, j: i32) -> bool {
  return j <= i && table_doc(i) == table_doc(j);
}

// shared: i -> j when doc[j] == prefix
fn keep_1(at: Place, i: i32, j: i32) -> bool {
  let t0 = j <= i;
  return t0 && !(t0 && table_doc(i) == table_doc(j));
}

// Is the pair an edge that the segment serves?
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  switch segment {
    case 0u: {
      return keep_0(at, i, j);
    }
    default: {
      return keep_1(at, i, j);
    }
  }
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

// Quotient and rest, without a division where there is nothing to divide.
fn divide(x: u32, by: u32) -> vec2<u32> {
  if (by == 1u) {
    return vec2<u32>(x, 0u);
  }
  let quotient = x / by;
  return vec2<u32>(quotient, x - quotient * by);
}

// Number of the batch and head among those for which the plan differs.
fn plan_entry(at: Place) -> u32 {
  let batch = (u32(at.batch) - shape.first_batch) * shape.by_batch;
  let head = (u32(at.head) - shape.first_head) * shape.by_head;
  return batch * select(1u, shape.heads, shape.by_head != 0u) + head;
}

// The input doc; 0 outside.
fn table_doc(x0: i32) -> i32 {
  if (!(u32(x0) < shape.doc_size_0)) {
    return 0;
  }
  return bitcast<i32>(tables[shape.doc_offset + u32(x0)]);
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
  batch: u32,
  first_head: u32,
  first_batch: u32,
  out_offset: u32,
  out_batch: u32,
  out_head: u32,
  lse_offset: u32,
  lse_batch: u32,
  lse_head: u32,
  splits: u32,
  out_row: u32,
  nan: u32,
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

// What threads found over some of the parts: the highest score and poison; then totals, and sums of a column.
var<workgroup> statistics: array<vec2<f32>, 16>;
var<workgroup> totals: array<f32, 16>;
var<workgroup> sums: array<vec4<f32>, 256>;

// Where a workgroup stands.
struct Place {
  // Numbers of the run, whatever part of it is computed.
  batch: i32,
  head: i32,
  // This batch's own lengths, and the position of its first query.
  queries: i32,
  keys: i32,
  base: i32,
  // The query rows to compute: how many, and the position of the first.
  rows: i32,
  first: i32,
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
  let by_tile = divide(number, tiles);
  // The last tiles first: under a causal rule they have most to do.
  at.tile = tiles - 1u - by_tile.y;
  let by_class = divide(by_tile.x, shape.classes);
  at.residue = i32(by_class.y);
  let line = by_class.x;
  var block = vec2<u32>(0u, line);
  if (shape.batch > 1u) {
    block = divide(line, shape.heads);
  }
  let head = block.y;
  let batch = block.x;
  at.split = 0u;
  at.splits = 1u;
  at.head = i32(shape.first_head + head);
  at.batch = i32(shape.first_batch + batch);
  at.queries = i32(plan[shape.lengths + 4u * batch]);
  at.keys = i32(plan[shape.lengths + 4u * batch + 1u]);
  at.rows = i32(plan[shape.lengths + 4u * batch + 2u]);
  at.first = i32(plan[shape.lengths + 4u * batch + 3u]);
  at.base = at.keys - at.queries;
  at.out_start = shape.out_offset + batch * shape.out_batch + head * shape.out_head;
  at.lse_start = shape.lse_offset + batch * shape.lse_batch + head * shape.lse_head;
  return at;
}

@compute @workgroup_size(256)
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
  // Where the first part of the row stands, and how far it is to the next.
  let first = line * 17u;
  let step = place_count() * 16u * 17u;
  let turn = thread / 16u;
  let column = min(thread % 16u, 15u);
  // The highest score comes first: relative to a part's own, sums of two parts could be past the range of f32.
  var top = LOWEST;
  var poison = 0.0;
  for (var split = turn; split < shape.splits; split += 128u) {
    let found_0 = parts[first + split * step + 16u];
    let found_1 = parts[first + min(split + 16u, shape.splits - 1u) * step + 16u];
    let found_2 = parts[first + min(split + 32u, shape.splits - 1u) * step + 16u];
    let found_3 = parts[first + min(split + 48u, shape.splits - 1u) * step + 16u];
    let found_4 = parts[first + min(split + 64u, shape.splits - 1u) * step + 16u];
    let found_5 = parts[first + min(split + 80u, shape.splits - 1u) * step + 16u];
    let found_6 = parts[first + min(split + 96u, shape.splits - 1u) * step + 16u];
    let found_7 = parts[first + min(split + 112u, shape.splits - 1u) * step + 16u];
    top = max(top, found_0.x);
    poison = max(poison, found_0.z);
    top = max(top, found_1.x);
    poison = max(poison, found_1.z);
    top = max(top, found_2.x);
    poison = max(poison, found_2.z);
    top = max(top, found_3.x);
    poison = max(poison, found_3.z);
    top = max(top, found_4.x);
    poison = max(poison, found_4.z);
    top = max(top, found_5.x);
    poison = max(poison, found_5.z);
    top = max(top, found_6.x);
    poison = max(poison, found_6.z);
    top = max(top, found_7.x);
    poison = max(poison, found_7.z);
  }
  if (thread % 16u == 0u) {
    statistics[turn] = vec2<f32>(top, poison);
  }
  workgroupBarrier();
  for (var n = 0u; n < 16u; n++) {
    top = max(top, statistics[n].x);
    poison = max(poison, statistics[n].y);
  }
  var total = 0.0;
  var sum = vec4<f32>();
  for (var split = turn; split < shape.splits; split += 128u) {
    let part_0 = first + split * step;
    let part_1 = first + min(split + 16u, shape.splits - 1u) * step;
    let part_2 = first + min(split + 32u, shape.splits - 1u) * step;
    let part_3 = first + min(split + 48u, shape.splits - 1u) * step;
    let part_4 = first + min(split + 64u, shape.splits - 1u) * step;
    let part_5 = first + min(split + 80u, shape.splits - 1u) * step;
    let part_6 = first + min(split + 96u, shape.splits - 1u) * step;
    let part_7 = first + min(split + 112u, shape.splits - 1u) * step;
    let found_0 = parts[part_0 + 16u];
    let found_1 = parts[part_1 + 16u];
    let found_2 = parts[part_2 + 16u];
    let found_3 = parts[part_3 + 16u];
    let found_4 = parts[part_4 + 16u];
    let found_5 = parts[part_5 + 16u];
    let found_6 = parts[part_6 + 16u];
    let found_7 = parts[part_7 + 16u];
    let sum_0 = parts[part_0 + column];
    let sum_1 = parts[part_1 + column];
    let sum_2 = parts[part_2 + column];
    let sum_3 = parts[part_3 + column];
    let sum_4 = parts[part_4 + column];
    let sum_5 = parts[part_5 + column];
    let sum_6 = parts[part_6 + column];
    let sum_7 = parts[part_7 + column];
    let weight_0 = exp(found_0.x - top);
    let weight_1 = select(0.0, exp(found_1.x - top), split + 16u < shape.splits);
    let weight_2 = select(0.0, exp(found_2.x - top), split + 32u < shape.splits);
    let weight_3 = select(0.0, exp(found_3.x - top), split + 48u < shape.splits);
    let weight_4 = select(0.0, exp(found_4.x - top), split + 64u < shape.splits);
    let weight_5 = select(0.0, exp(found_5.x - top), split + 80u < shape.splits);
    let weight_6 = select(0.0, exp(found_6.x - top), split + 96u < shape.splits);
    let weight_7 = select(0.0, exp(found_7.x - top), split + 112u < shape.splits);
    total += found_0.y * weight_0;
    sum += sum_0 * weight_0;
    total += found_1.y * weight_1;
    sum += sum_1 * weight_1;
    total += found_2.y * weight_2;
    sum += sum_2 * weight_2;
    total += found_3.y * weight_3;
    sum += sum_3 * weight_3;
    total += found_4.y * weight_4;
    sum += sum_4 * weight_4;
    total += found_5.y * weight_5;
    sum += sum_5 * weight_5;
    total += found_6.y * weight_6;
    sum += sum_6 * weight_6;
    total += found_7.y * weight_7;
    sum += sum_7 * weight_7;
  }
  sums[thread] = sum;
  if (thread % 16u == 0u) {
    totals[turn] = total;
  }
  // What the row is and where it goes is asked for last: parts are found without it.
  let at = find_place(number);
  let r = line % 16u;
  let own = at;
  let i = query_position(at, i32(at.tile), i32(r));
  workgroupBarrier();
  // Not all rows of a workgroup that decodes are there.
  if (thread >= 16u || i < 0) {
    return;
  }
  total = 0.0;
  sum = vec4<f32>();
  for (var n = 0u; n < 16u; n++) {
    total += totals[n];
    sum += sums[thread + 16u * n];
  }
  store_row(own, i, top, total, poison > 0.0, thread, sum);
}

// Index space rows: number of coordinates, and the position of coordinate v.
fn query_size(at: Place) -> i32 {
  return at.rows;
}
fn query_at(at: Place, v: i32) -> i32 {
  return at.first + v;
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
  let row = u32(i - at.first);
  let mix = mix_row(at, i, highest, total, poisoned);
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    out[row_start + column] = write_out(select(sums_0 * mix.share, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  }
  if (column == 0u) {
    lse[at.lse_start + row * shape.lse_row] = lse_bits(mix);
  }
}

// A row's factors: of the sums. And its lse, if there was an edge.
struct Mix {
  share: f32,
  is_nan: bool,
  found: bool,
  lse: f32,
}
// Of the row of position i, where total is the sum of the weights, relative to exp(highest).
fn mix_row(at: Place, i: i32, highest: f32, total: f32, poisoned: bool) -> Mix {
  var mix: Mix;
  // A sum past the range of f32 is told too.
  mix.is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS;
  mix.found = total > 0.0;
  mix.lse = highest + log(select(1.0, total, mix.found));
  mix.share = select(0.0, 1.0 / total, mix.found);
  return mix;
}
// The bits of its lse.
fn lse_bits(mix: Mix) -> u32 {
  let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(mix.lse), mix.found);
  return select(bits, NAN_BITS, mix.is_nan);
}

// Quotient and rest, without a division where there is nothing to divide.
fn divide(x: u32, by: u32) -> vec2<u32> {
  if (by == 1u) {
    return vec2<u32>(x, 0u);
  }
  let quotient = x / by;
  return vec2<u32>(quotient, x - quotient * by);
}
