// ==== own_gather_0: gather, portable, schedule own, pass 1 ====

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

// own_gather_0: 4 query rows a workgroup, each over its own keys.
// i -> j when popcount(bitxor(i, j)) <= 1

struct Shape {
  rows: u32,
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
  v_row: u32,
  k_row: u32,
  q_row: u32,
  out_row: u32,
  nan: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

var<workgroup> query: array<vec4<f32>, 64>;
// Of 16 neighbours of each row the positions (-1: none), the scores and the weights.
var<workgroup> neighbour_rows: array<i32, 64>;
var<workgroup> values: array<f32, 64>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> counts: array<u32, 4>;
var<workgroup> most_neighbours: u32;
// 1 if a row's query, or a key or value that it has an edge to, has NaN or infinity in it.
var<workgroup> bad_queries: array<atomic<u32>, 4>;
var<workgroup> bad_rows: array<atomic<u32>, 4>;

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
  return ((shape.rows + 0u) / 1u) * 1u * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = ((shape.rows + 0u) / 1u);
  let by_tile = divide(number, tiles);
  at.tile = by_tile.y;
  let line = by_tile.x;
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

// A row that a group of lanes computes, or a part of it.
struct Row {
  at: Place,
  // Position of the query.
  i: i32,
  list: Neighbours,
  // The part's number among all parts; NO_PART for whole rows.
  part: u32,
  // False past the last row: nothing is computed then, nor stored.
  is_there: bool,
}
const NO_PART = 0xffffffffu;
fn begin_row(number: u32) -> Row {
  let slot = find_slot(min(number, slot_count() - 1u));
  var row: Row;
  row.at = find_place(slot.row);
  row.i = row.at.first + i32(row.at.tile);
  row.part = slot.part;
  row.is_there = number < slot_count() && i32(row.at.tile) < row.at.rows;
  if (row.is_there && row.at.keys > 0) {
    row.list = neighbours(row.at, row.i);
    if (row.part != NO_PART) {
      row.list.first += slot.first;
      row.list.count = min(row.list.count, slot.count);
    }
  }
  if (row.list.count == 0u) {
    row.list.first = 0u;
  }
  return row;
}

// The row's number among all of the pass; of a part of it the first neighbour and how many.
struct Slot {
  row: u32,
  first: u32,
  count: u32,
  part: u32,
}
fn slot_count() -> u32 {
  return place_count();
}
fn find_slot(number: u32) -> Slot {
  return Slot(number, 0u, 0u, NO_PART);
}

struct Neighbours {
  count: u32,
  // Number of the first among all columns of the graph.
  first: u32,
}
fn neighbours(at: Place, i: i32) -> Neighbours {
  return Neighbours(u32(max(countOneBits(ones(at.keys)) + 1, 0)), 0u);
}
fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
  let member = i32(n);
  return select(i ^ shift_left(1, member - 1), i, member == 0);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let x = thread % 16u;
  let y = thread / 16u;
  let row = begin_row((group.x + group.y * groups.x) * 4u + y);
  let at = row.at;
  let i = row.i;
  if (x == 0u) {
    counts[y] = row.list.count;
    atomicStore(&bad_queries[y], 0u);
    atomicStore(&bad_rows[y], 0u);
  }
  workgroupBarrier();
  if (row.is_there) {
    load_query(at, x, y);
  }
  workgroupBarrier();
  if (thread == 0u) {
    most_neighbours = max(max(max(counts[0], counts[1]), counts[2]), counts[3]);
  }
  // All rows of the workgroup take as many steps as the longest.
  let most = workgroupUniformLoad(&most_neighbours);
  let column_0 = min(x + 0u, 15u);
  var highest = LOWEST;
  var total = 0.0;
  var bad_value = false;
  var sums_0 = vec4<f32>();
  for (var first = 0u; first < most; first += 16u) {
    let own = score_neighbour(at, i, row.list, first + x, y);
    values[thread] = own.score;
    workgroupBarrier();
    var top = highest;
    for (var n = 0u; n < 16u; n++) {
      top = max(top, values[16u * y + n]);
    }
    let shrink = exp(highest - top);
    highest = top;
    weights[thread] = select(0.0, exp(own.score - top), own.score > LOWEST);
    neighbour_rows[thread] = own.j;
    workgroupBarrier();
    total *= shrink;
    sums_0 *= shrink;
    let here = min(16u, max(row.list.count, first) - first);
    for (var n = 0u; n < here; n += 4u) {
      let j_0 = neighbour_rows[16u * y + n + 0u];
      let value_0 = at.v_start + u32(max(j_0, 0)) * shape.v_row;
      let v_0_0 = read_quad(v[value_0 + column_0]);
      let j_1 = neighbour_rows[16u * y + n + 1u];
      let value_1 = at.v_start + u32(max(j_1, 0)) * shape.v_row;
      let v_1_0 = read_quad(v[value_1 + column_0]);
      let j_2 = neighbour_rows[16u * y + n + 2u];
      let value_2 = at.v_start + u32(max(j_2, 0)) * shape.v_row;
      let v_2_0 = read_quad(v[value_2 + column_0]);
      let j_3 = neighbour_rows[16u * y + n + 3u];
      let value_3 = at.v_start + u32(max(j_3, 0)) * shape.v_row;
      let v_3_0 = read_quad(v[value_3 + column_0]);
      if (j_0 >= 0) {
        let weight = weights[16u * y + n + 0u];
        total += weight;
        bad_value |= is_bad(v_0_0);
        sums_0 += v_0_0 * weight;
      }
      if (j_1 >= 0) {
        let weight = weights[16u * y + n + 1u];
        total += weight;
        bad_value |= is_bad(v_1_0);
        sums_0 += v_1_0 * weight;
      }
      if (j_2 >= 0) {
        let weight = weights[16u * y + n + 2u];
        total += weight;
        bad_value |= is_bad(v_2_0);
        sums_0 += v_2_0 * weight;
      }
      if (j_3 >= 0) {
        let weight = weights[16u * y + n + 3u];
        total += weight;
        bad_value |= is_bad(v_3_0);
        sums_0 += v_3_0 * weight;
      }
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
  store_row(at, i, highest, total, poisoned, x, sums_0);
}

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
  let key = at.k_start + u32(j) * shape.k_row;
  var sum = vec4<f32>();
  var bad = atomicLoad(&bad_queries[y]) != 0u;
  for (var d = 0u; d < 16u; d++) {
    let value = read_quad(k[key + d]);
    bad |= is_bad(value);
    sum += query[16u * y + d] * value;
  }
  let result = checked_score(at, (sum.x + sum.y) + (sum.z + sum.w), i, j);
  if (bad || result.is_bad) {
    atomicStore(&bad_rows[y], 1u);
  }
  return Neighbour(j, select(result.value, LOWEST, bad));
}
fn load_query(at: Place, x: u32, y: u32) {
  let start = at.q_start + at.tile * shape.q_row;
  for (var d = x; d < 16u; d += 16u) {
    let value = read_quad(q[start + d]);
    if (is_bad(value)) {
      atomicStore(&bad_queries[y], 1u);
    }
    query[16u * y + d] = value;
  }
}

// i -> j when popcount(bitxor(i, j)) <= 1
fn keep(at: Place, i: i32, j: i32) -> bool {
  return true;
}
fn is_edge(at: Place, i: i32, j: i32) -> bool {
  return j >= 0 && j < at.keys && keep(at, i, j);
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

struct Score {
  // LOWEST where the edge has no weight.
  value: f32,
  // The score is NaN or +infinity, which reaches the row.
  is_bad: bool,
}
fn checked_score(at: Place, dot_product: f32, i: i32, j: i32) -> Score {
  let value = score(at, dot_product, i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  return Score(select(value, LOWEST, special), special && bits != NEGATIVE_INFINITY_BITS);
}
// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
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

// Every bit at or below the highest set one; all of them for negative numbers.
fn ones(x: i32) -> i32 {
  return select(bitcast<i32>(0xffffffffu >> (countLeadingZeros(bitcast<u32>(x)) & 31u)), 0, x == 0);
}

// 0 where nothing of a is left.
fn shift_left(a: i32, by: i32) -> i32 {
  return select(a << (u32(by) & 31u), 0, by < 0 || by > 31);
}

// ==== own_gather_0: gather, subgroup, schedule own, pass 1 ====

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

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// own_gather_0: each query row over its own keys, 4 lanes a row, 4 keys at once.
// i -> j when popcount(bitxor(i, j)) <= 1

struct Shape {
  rows: u32,
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
  q_row: u32,
  k_row: u32,
  v_row: u32,
  out_row: u32,
  nan: u32,
  lse_row: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

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
  return ((shape.rows + 0u) / 1u) * 1u * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = ((shape.rows + 0u) / 1u);
  let by_tile = divide(number, tiles);
  at.tile = by_tile.y;
  let line = by_tile.x;
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

// A row that a group of lanes computes, or a part of it.
struct Row {
  at: Place,
  // Position of the query.
  i: i32,
  list: Neighbours,
  // The part's number among all parts; NO_PART for whole rows.
  part: u32,
  // False past the last row: nothing is computed then, nor stored.
  is_there: bool,
}
const NO_PART = 0xffffffffu;
fn begin_row(number: u32) -> Row {
  let slot = find_slot(min(number, slot_count() - 1u));
  var row: Row;
  row.at = find_place(slot.row);
  row.i = row.at.first + i32(row.at.tile);
  row.part = slot.part;
  row.is_there = number < slot_count() && i32(row.at.tile) < row.at.rows;
  if (row.is_there && row.at.keys > 0) {
    row.list = neighbours(row.at, row.i);
    if (row.part != NO_PART) {
      row.list.first += slot.first;
      row.list.count = min(row.list.count, slot.count);
    }
  }
  if (row.list.count == 0u) {
    row.list.first = 0u;
  }
  return row;
}

// The row's number among all of the pass; of a part of it the first neighbour and how many.
struct Slot {
  row: u32,
  first: u32,
  count: u32,
  part: u32,
}
fn slot_count() -> u32 {
  return place_count();
}
fn find_slot(number: u32) -> Slot {
  return Slot(number, 0u, 0u, NO_PART);
}

struct Neighbours {
  count: u32,
  // Number of the first among all columns of the graph.
  first: u32,
}
fn neighbours(at: Place, i: i32) -> Neighbours {
  return Neighbours(u32(max(countOneBits(ones(at.keys)) + 1, 0)), 0u);
}
fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
  let member = i32(n);
  return select(i ^ shift_left(1, member - 1), i, member == 0);
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % 4u;
  let row = begin_row((group.x + group.y * groups.x) * 32u + thread / 4u);
  let at = row.at;
  let i = row.i;
  let list = row.list;
  let last = max(list.count, 1u) - 1u;
  let query_start = at.q_start + at.tile * shape.q_row;
  let q_0_low = read_low(q[query_start + lane + 0u]);
  let q_0_high = read_high(q[query_start + lane + 0u]);
  let q_1_low = read_low(q[query_start + lane + 4u]);
  let q_1_high = read_high(q[query_start + lane + 4u]);
  let bad_query = is_bad(q_0_low) || is_bad(q_0_high) || is_bad(q_1_low) || is_bad(q_1_high);
  var highest = LOWEST;
  var total = 0.0;
  var is_bad_row = false;
  var sums_0 = vec4<f32>();
  var sums_1 = vec4<f32>();
  var sums_2 = vec4<f32>();
  var sums_3 = vec4<f32>();
  // All rows of a subgroup take as many steps as the longest, so that its lanes stay together.
  let most = subgroupMax(list.count);
  for (var n = 0u; n < most; n += 4u) {
    let j_0 = neighbour_at(at, i, list, min(n + 0u, last));
    // What is no edge is read from some row, but not used.
    let row_0 = u32(max(0, min(j_0, at.keys - 1)));
    let key_0 = at.k_start + row_0 * shape.k_row;
    let value_0 = at.v_start + row_0 * shape.v_row;
    let k_0_0 = k[key_0 + lane + 0u];
    let k_0_1 = k[key_0 + lane + 4u];
    let v_0_0 = v[value_0 + lane + 0u];
    let v_0_1 = v[value_0 + lane + 4u];
    let j_1 = neighbour_at(at, i, list, min(n + 1u, last));
    // What is no edge is read from some row, but not used.
    let row_1 = u32(max(0, min(j_1, at.keys - 1)));
    let key_1 = at.k_start + row_1 * shape.k_row;
    let value_1 = at.v_start + row_1 * shape.v_row;
    let k_1_0 = k[key_1 + lane + 0u];
    let k_1_1 = k[key_1 + lane + 4u];
    let v_1_0 = v[value_1 + lane + 0u];
    let v_1_1 = v[value_1 + lane + 4u];
    let j_2 = neighbour_at(at, i, list, min(n + 2u, last));
    // What is no edge is read from some row, but not used.
    let row_2 = u32(max(0, min(j_2, at.keys - 1)));
    let key_2 = at.k_start + row_2 * shape.k_row;
    let value_2 = at.v_start + row_2 * shape.v_row;
    let k_2_0 = k[key_2 + lane + 0u];
    let k_2_1 = k[key_2 + lane + 4u];
    let v_2_0 = v[value_2 + lane + 0u];
    let v_2_1 = v[value_2 + lane + 4u];
    let j_3 = neighbour_at(at, i, list, min(n + 3u, last));
    // What is no edge is read from some row, but not used.
    let row_3 = u32(max(0, min(j_3, at.keys - 1)));
    let key_3 = at.k_start + row_3 * shape.k_row;
    let value_3 = at.v_start + row_3 * shape.v_row;
    let k_3_0 = k[key_3 + lane + 0u];
    let k_3_1 = k[key_3 + lane + 4u];
    let v_3_0 = v[value_3 + lane + 0u];
    let v_3_1 = v[value_3 + lane + 4u];
    var bad_0 = bad_query;
    var product_0 = vec4<f32>();
    {
      let low = read_low(k_0_0);
      let high = read_high(k_0_0);
      bad_0 |= is_bad(low) || is_bad(high);
      product_0 += q_0_low * low + q_0_high * high;
    }
    {
      let low = read_low(k_0_1);
      let high = read_high(k_0_1);
      bad_0 |= is_bad(low) || is_bad(high);
      product_0 += q_1_low * low + q_1_high * high;
    }
    bad_0 |= is_bad(read_low(v_0_0)) || is_bad(read_high(v_0_0));
    bad_0 |= is_bad(read_low(v_0_1)) || is_bad(read_high(v_0_1));
    let dot_0 = sum_of_lanes((product_0.x + product_0.y) + (product_0.z + product_0.w));
    var bad_1 = bad_query;
    var product_1 = vec4<f32>();
    {
      let low = read_low(k_1_0);
      let high = read_high(k_1_0);
      bad_1 |= is_bad(low) || is_bad(high);
      product_1 += q_0_low * low + q_0_high * high;
    }
    {
      let low = read_low(k_1_1);
      let high = read_high(k_1_1);
      bad_1 |= is_bad(low) || is_bad(high);
      product_1 += q_1_low * low + q_1_high * high;
    }
    bad_1 |= is_bad(read_low(v_1_0)) || is_bad(read_high(v_1_0));
    bad_1 |= is_bad(read_low(v_1_1)) || is_bad(read_high(v_1_1));
    let dot_1 = sum_of_lanes((product_1.x + product_1.y) + (product_1.z + product_1.w));
    var bad_2 = bad_query;
    var product_2 = vec4<f32>();
    {
      let low = read_low(k_2_0);
      let high = read_high(k_2_0);
      bad_2 |= is_bad(low) || is_bad(high);
      product_2 += q_0_low * low + q_0_high * high;
    }
    {
      let low = read_low(k_2_1);
      let high = read_high(k_2_1);
      bad_2 |= is_bad(low) || is_bad(high);
      product_2 += q_1_low * low + q_1_high * high;
    }
    bad_2 |= is_bad(read_low(v_2_0)) || is_bad(read_high(v_2_0));
    bad_2 |= is_bad(read_low(v_2_1)) || is_bad(read_high(v_2_1));
    let dot_2 = sum_of_lanes((product_2.x + product_2.y) + (product_2.z + product_2.w));
    var bad_3 = bad_query;
    var product_3 = vec4<f32>();
    {
      let low = read_low(k_3_0);
      let high = read_high(k_3_0);
      bad_3 |= is_bad(low) || is_bad(high);
      product_3 += q_0_low * low + q_0_high * high;
    }
    {
      let low = read_low(k_3_1);
      let high = read_high(k_3_1);
      bad_3 |= is_bad(low) || is_bad(high);
      product_3 += q_1_low * low + q_1_high * high;
    }
    bad_3 |= is_bad(read_low(v_3_0)) || is_bad(read_high(v_3_0));
    bad_3 |= is_bad(read_low(v_3_1)) || is_bad(read_high(v_3_1));
    let dot_3 = sum_of_lanes((product_3.x + product_3.y) + (product_3.z + product_3.w));
    var score_0 = LOWEST;
    let found_0 = n + 0u < list.count && is_edge(at, i, j_0);
    if (found_0) {
      let result = checked_score(at, dot_0, i, j_0);
      score_0 = result.value;
      is_bad_row |= bad_0 || result.is_bad;
    }
    var score_1 = LOWEST;
    let found_1 = n + 1u < list.count && is_edge(at, i, j_1);
    if (found_1) {
      let result = checked_score(at, dot_1, i, j_1);
      score_1 = result.value;
      is_bad_row |= bad_1 || result.is_bad;
    }
    var score_2 = LOWEST;
    let found_2 = n + 2u < list.count && is_edge(at, i, j_2);
    if (found_2) {
      let result = checked_score(at, dot_2, i, j_2);
      score_2 = result.value;
      is_bad_row |= bad_2 || result.is_bad;
    }
    var score_3 = LOWEST;
    let found_3 = n + 3u < list.count && is_edge(at, i, j_3);
    if (found_3) {
      let result = checked_score(at, dot_3, i, j_3);
      score_3 = result.value;
      is_bad_row |= bad_3 || result.is_bad;
    }
    let top = max(max(max(max(highest, score_0), score_1), score_2), score_3);
    let shrink = exp(highest - top);
    highest = top;
    let weight_0 = select(0.0, exp(score_0 - top), score_0 > LOWEST);
    let weight_1 = select(0.0, exp(score_1 - top), score_1 > LOWEST);
    let weight_2 = select(0.0, exp(score_2 - top), score_2 > LOWEST);
    let weight_3 = select(0.0, exp(score_3 - top), score_3 > LOWEST);
    total = total * shrink + (weight_0 + weight_1 + weight_2 + weight_3);
    sums_0 *= shrink;
    sums_1 *= shrink;
    sums_2 *= shrink;
    sums_3 *= shrink;
    if (found_0) {
      sums_0 += read_low(v_0_0) * weight_0;
      sums_1 += read_high(v_0_0) * weight_0;
      sums_2 += read_low(v_0_1) * weight_0;
      sums_3 += read_high(v_0_1) * weight_0;
    }
    if (found_1) {
      sums_0 += read_low(v_1_0) * weight_1;
      sums_1 += read_high(v_1_0) * weight_1;
      sums_2 += read_low(v_1_1) * weight_1;
      sums_3 += read_high(v_1_1) * weight_1;
    }
    if (found_2) {
      sums_0 += read_low(v_2_0) * weight_2;
      sums_1 += read_high(v_2_0) * weight_2;
      sums_2 += read_low(v_2_1) * weight_2;
      sums_3 += read_high(v_2_1) * weight_2;
    }
    if (found_3) {
      sums_0 += read_low(v_3_0) * weight_3;
      sums_1 += read_high(v_3_0) * weight_3;
      sums_2 += read_low(v_3_1) * weight_3;
      sums_3 += read_high(v_3_1) * weight_3;
    }
  }
  let poisoned = any_of_lanes(select(0u, 1u, is_bad_row)) != 0u;
  if (!row.is_there) {
    return;
  }
  let column = 2u * lane;
  store_row(at, i, highest, total, poisoned, column, sums_0, sums_1, sums_2, sums_3);
}
// Over the lanes of a row; all of them have the result.
fn sum_of_lanes(own: f32) -> f32 {
  let pair = own + subgroupShuffleXor(own, 1u);
  return pair + subgroupShuffleXor(pair, 2u);
}
fn any_of_lanes(own: u32) -> u32 {
  let pair = own | subgroupShuffleXor(own, 1u);
  return pair | subgroupShuffleXor(pair, 2u);
}

// i -> j when popcount(bitxor(i, j)) <= 1
fn keep(at: Place, i: i32, j: i32) -> bool {
  return true;
}
fn is_edge(at: Place, i: i32, j: i32) -> bool {
  return j >= 0 && j < at.keys && keep(at, i, j);
}

fn score(at: Place, dot: f32, i: i32, j: i32) -> f32 {
  return dot * 0.125;
}

struct Score {
  // LOWEST where the edge has no weight.
  value: f32,
  // The score is NaN or +infinity, which reaches the row.
  is_bad: bool,
}
fn checked_score(at: Place, dot_product: f32, i: i32, j: i32) -> Score {
  let value = score(at, dot_product, i, j);
  let bits = bitcast<u32>(value);
  let special = (bits & INFINITY_BITS) == INFINITY_BITS;
  return Score(select(value, LOWEST, special), special && bits != NEGATIVE_INFINITY_BITS);
}
// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
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
  let row = u32(i - at.first);
  let mix = mix_row(at, i, highest, total, poisoned);
  let row_start = at.out_start + row * shape.out_row;
  out[row_start + column] = write_out(select(sums_0 * mix.share, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  out[row_start + column + 1u] = write_out(select(sums_1 * mix.share, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  out[row_start + column + 8u] = write_out(select(sums_2 * mix.share, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  out[row_start + column + 9u] = write_out(select(sums_3 * mix.share, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
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

// Every bit at or below the highest set one; all of them for negative numbers.
fn ones(x: i32) -> i32 {
  return select(bitcast<i32>(0xffffffffu >> (countLeadingZeros(bitcast<u32>(x)) & 31u)), 0, x == 0);
}

// 0 where nothing of a is left.
fn shift_left(a: i32, by: i32) -> i32 {
  return select(a << (u32(by) & 31u), 0, by < 0 || by > 31);
}
