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
// i -> j when bonds[i, j]

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
  repeats: u32,
  part_count: u32,
  row_count: u32,
  row_parts: u32,
  is_ordered: u32,
  order: u32,
  bonds_rows: u32,
  bonds_row_ptr: u32,
  bonds_heads: u32,
  bonds_col_idx: u32,
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
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

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
  return shape.repeats * (shape.part_count + shape.row_count);
}
// Parts of long rows come first, then the rows, by the plan's order if it has one.
fn find_slot(number: u32) -> Slot {
  let each = shape.part_count + shape.row_count;
  let repeat = number / each;
  let first_row = repeat * shape.rows;
  var n = number % each;
  if (n < shape.part_count) {
    let entry = shape.row_parts + 3u * n;
    return Slot(first_row + plan[entry], plan[entry + 1u], plan[entry + 2u], repeat * shape.part_count + n);
  }
  n -= shape.part_count;
  if (shape.is_ordered != 0u) {
    n = plan[shape.order + n];
  }
  return Slot(first_row + n, 0u, 0u, NO_PART);
}

struct Neighbours {
  count: u32,
  // Number of the first among all columns of the graph.
  first: u32,
}
// The columns of the row's place in the graph bonds.
fn neighbours(at: Place, i: i32) -> Neighbours {
  let row = i;
  if (u32(row) >= shape.bonds_rows) {
    return Neighbours(0u, 0u);
  }
  let pointer = shape.bonds_row_ptr + (u32(0) * shape.bonds_heads + u32(0)) * (shape.bonds_rows + 1u) + u32(row);
  let first = tables[pointer];
  return Neighbours(tables[pointer + 1u] - first, first);
}
fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
  return bitcast<i32>(tables[shape.bonds_col_idx + list.first + n]);
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
  if (row.part == NO_PART) {
    store_row(at, i, highest, total, poisoned, x, sums_0);
  } else {
    let part = row.part * 17u;
    parts[part + x] = sums_0;
    if (x == 0u) {
      parts[part + 16u] = vec4<f32>(highest, total, select(0.0, 1.0, poisoned), 0.0);
    }
  }
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

// i -> j when bonds[i, j]
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

// ==== own_gather_merge_0: gather_merge, portable, schedule own, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// own_gather_merge_0: merges the parts of long rows that a gather kernel made.

struct Shape {
  rows: u32,
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
  repeats: u32,
  long_count: u32,
  long_rows: u32,
  part_count: u32,
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

// Of every thread: the highest score and poison, the weights, the weighted values.
var<workgroup> tops: array<f32, 64>;
var<workgroup> poisons: array<f32, 64>;
var<workgroup> totals: array<f32, 64>;
var<workgroup> sums: array<vec4<f32>, 64>;

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
  if (number >= shape.repeats * shape.long_count) {
    return;
  }
  // Of the long row its number, its first part, the number of parts.
  let repeat = number / shape.long_count;
  let entry = shape.long_rows + 3u * (number % shape.long_count);
  let at = find_place(repeat * shape.rows + plan[entry]);
  let i = at.first + i32(at.tile);
  let first = (repeat * shape.part_count + plan[entry + 1u]) * 17u;
  let count = plan[entry + 2u];
  var top = LOWEST;
  var poison = 0.0;
  for (var n = thread; n < count; n += 64u) {
    let found = parts[first + n * 17u + 16u];
    top = max(top, found.x);
    poison = max(poison, found.z);
  }
  tops[thread] = top;
  poisons[thread] = poison;
  workgroupBarrier();
  for (var n = 0u; n < 64u; n++) {
    top = max(top, tops[n]);
    poison = max(poison, poisons[n]);
  }
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  for (var n = thread / 16u; n < count; n += 4u) {
    let part = first + n * 17u;
    let found = parts[part + 16u];
    let weight = exp(found.x - top);
    total += found.y * weight;
    sum += parts[part + min(column, 15u)] * weight;
  }
  totals[thread] = total;
  sums[thread] = sum;
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = thread + 16u; n < 64u; n += 16u) {
    total += totals[n];
    sum += sums[n];
  }
  store_row(at, i, top, total, poison != 0.0, thread, sum);
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

// ==== divided_tiles_0: tiles, portable, schedule divided, pass 1 ====

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

// divided_tiles_0: attention over tiles of 64 queries and 64 keys.
// Queries by rows.
//   keys by rows: i -> j when bonds[i, j]

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
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  bonds_tiled_col_idx: u32,
  bonds_tiled_rows: u32,
  bonds_tiled_row_ptr: u32,
  bonds_tiled_heads: u32,
  bonds_tiled_bits: u32,
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

// i -> j when bonds[i, j]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_bonds_tiled(0, 0, i, j);
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

const NO_EDGE_bonds_tiled = 0xffffffffu;
// Number of the edge from a to b in the graph bonds.tiled, by binary search in a's sorted row.
fn find_bonds_tiled(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.bonds_tiled_rows) {
    return NO_EDGE_bonds_tiled;
  }
  let row = shape.bonds_tiled_row_ptr + (u32(batch) * shape.bonds_tiled_heads + u32(head)) * (shape.bonds_tiled_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.bonds_tiled_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.bonds_tiled_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_bonds_tiled;
}

// By the bits of the box that the pair is in.
fn edge_bonds_tiled(batch: i32, head: i32, a: i32, b: i32) -> bool {
  let box = find_bonds_tiled(batch, head, a >> 6u, b >> 6u);
  if (box == NO_EDGE_bonds_tiled) {
    return false;
  }
  let row = shape.bonds_tiled_bits + 2u * (64u * box + (u32(a) & 63u));
  let bits = tables[row + ((u32(b) >> 5u) & 1u)];
  return ((bits >> (u32(b) & 31u)) & 1u) != 0u;
}

// ==== divided_decode_0: decode, portable, schedule divided, pass 1 ====

// Four numbers of q, k or v: f32.
alias Quad = vec4<f32>;
fn read_quad(x: Quad) -> vec4<f32> {
  return x;
}

// divided_decode_0: attention over tiles of 16 queries and 64 keys, the keys in parts.
// Queries by rows.
//   keys by rows: i -> j when bonds[i, j]

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
  four: u32,
  chunk_width: u32,
  row_threads: u32,
  pairs: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  bonds_tiled_col_idx: u32,
  bonds_tiled_rows: u32,
  bonds_tiled_row_ptr: u32,
  bonds_tiled_heads: u32,
  bonds_tiled_bits: u32,
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

// i -> j when bonds[i, j]
fn keep(at: Place, segment: u32, i: i32, j: i32) -> bool {
  return edge_bonds_tiled(0, 0, i, j);
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

const NO_EDGE_bonds_tiled = 0xffffffffu;
// Number of the edge from a to b in the graph bonds.tiled, by binary search in a's sorted row.
fn find_bonds_tiled(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.bonds_tiled_rows) {
    return NO_EDGE_bonds_tiled;
  }
  let row = shape.bonds_tiled_row_ptr + (u32(batch) * shape.bonds_tiled_heads + u32(head)) * (shape.bonds_tiled_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.bonds_tiled_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.bonds_tiled_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_bonds_tiled;
}

// By the bits of the box that the pair is in.
fn edge_bonds_tiled(batch: i32, head: i32, a: i32, b: i32) -> bool {
  let box = find_bonds_tiled(batch, head, a >> 6u, b >> 6u);
  if (box == NO_EDGE_bonds_tiled) {
    return false;
  }
  let row = shape.bonds_tiled_bits + 2u * (64u * box + (u32(a) & 63u));
  let bits = tables[row + ((u32(b) >> 5u) & 1u)];
  return ((bits >> (u32(b) & 31u)) & 1u) != 0u;
}

// ==== divided_merge_0: merge, portable, schedule divided, pass 1 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// divided_merge_0: merges the parts of the keys that a decoding kernel made.

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

// ==== divided_gather_1: gather, portable, schedule divided, pass 2 ====

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

// divided_gather_1: 4 query rows a workgroup, each over its own keys.
// i -> j when bonds[i, j]

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
  repeats: u32,
  part_count: u32,
  row_count: u32,
  row_parts: u32,
  is_ordered: u32,
  order: u32,
  bonds_rest_rows: u32,
  bonds_rest_row_ptr: u32,
  bonds_rest_heads: u32,
  bonds_rest_col_idx: u32,
  v_row: u32,
  k_row: u32,
  q_row: u32,
  lse_row: u32,
  out_row: u32,
  nan: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

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
  return shape.repeats * (shape.part_count + shape.row_count);
}
// Parts of long rows come first, then the rows, by the plan's order if it has one.
fn find_slot(number: u32) -> Slot {
  let each = shape.part_count + shape.row_count;
  let repeat = number / each;
  let first_row = repeat * shape.rows;
  var n = number % each;
  if (n < shape.part_count) {
    let entry = shape.row_parts + 3u * n;
    return Slot(first_row + plan[entry], plan[entry + 1u], plan[entry + 2u], repeat * shape.part_count + n);
  }
  n -= shape.part_count;
  if (shape.is_ordered != 0u) {
    n = plan[shape.order + n];
  }
  return Slot(first_row + n, 0u, 0u, NO_PART);
}

struct Neighbours {
  count: u32,
  // Number of the first among all columns of the graph.
  first: u32,
}
// The columns of the row's place in the graph bonds.rest.
fn neighbours(at: Place, i: i32) -> Neighbours {
  let row = i;
  if (u32(row) >= shape.bonds_rest_rows) {
    return Neighbours(0u, 0u);
  }
  let pointer = shape.bonds_rest_row_ptr + (u32(0) * shape.bonds_rest_heads + u32(0)) * (shape.bonds_rest_rows + 1u) + u32(row);
  let first = tables[pointer];
  return Neighbours(tables[pointer + 1u] - first, first);
}
fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
  return bitcast<i32>(tables[shape.bonds_rest_col_idx + list.first + n]);
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
  var before = NEGATIVE_INFINITY_BITS;
  if (x == 0u) {
    counts[y] = row.list.count;
    atomicStore(&bad_queries[y], 0u);
    atomicStore(&bad_rows[y], 0u);
  }
  workgroupBarrier();
  if (row.is_there) {
    before = lse_before(at, i);
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
  if (row.part == NO_PART) {
    store_row(at, i, highest, total, poisoned, before, x, sums_0);
  } else {
    let part = row.part * 17u;
    parts[part + x] = sums_0;
    if (x == 0u) {
      parts[part + 16u] = vec4<f32>(highest, total, select(0.0, 1.0, poisoned), 0.0);
    }
  }
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

// i -> j when bonds[i, j]
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

// What lse holds for the row of position i, as bits.
fn lse_before(at: Place, i: i32) -> u32 {
  return lse[at.lse_start + u32(i - at.first) * shape.lse_row];
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  before: u32,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.first);
  let mix = mix_row(at, i, highest, total, poisoned, before);
  let row_start = at.out_start + row * shape.out_row;
  {
    // A share of 0 keeps nothing, whatever stood there.
    var value = sums_0 * mix.share;
    if (mix.old_share > 0.0) {
      value += read_out(out[row_start + column]) * mix.old_share;
    }
    out[row_start + column] = write_out(select(value, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  }
  if (column == 0u) {
    lse[at.lse_start + row * shape.lse_row] = lse_bits(mix);
  }
}

// A row's factors: of the sums, and of what stands in out. And its lse, if there was an edge.
struct Mix {
  share: f32,
  old_share: f32,
  is_nan: bool,
  found: bool,
  lse: f32,
}
// Of the row of position i, where total is the sum of the weights, relative to exp(highest). They merge with what earlier passes left.
fn mix_row(at: Place, i: i32, highest: f32, total: f32, poisoned: bool, before: u32) -> Mix {
  var mix: Mix;
  let old_is_nan = (before & 0x7fffffffu) > INFINITY_BITS;
  // A sum past the range of f32 is told too.
  mix.is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS || old_is_nan;
  // log(exp(a) + exp(b)) of this pass and those before.
  let own_lse = select(LOWEST, highest + log(total), total > 0.0);
  let old_lse = select(bitcast<f32>(before), LOWEST, before == NEGATIVE_INFINITY_BITS || old_is_nan);
  let top = max(own_lse, old_lse);
  let own_weight = select(0.0, exp(own_lse - top), own_lse > LOWEST);
  let old_weight = select(0.0, exp(old_lse - top), old_lse > LOWEST);
  let weight = own_weight + old_weight;
  mix.found = weight > 0.0;
  mix.lse = top + log(select(1.0, weight, mix.found));
  mix.share = select(0.0, own_weight / (weight * total), own_weight > 0.0);
  mix.old_share = select(0.0, old_weight / weight, old_weight > 0.0);
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

// ==== divided_gather_merge_1: gather_merge, portable, schedule divided, pass 2 ====

// Four numbers of out: f32.
alias OutQuad = vec4<f32>;
fn read_out(x: OutQuad) -> vec4<f32> {
  return x;
}
fn write_out(x: vec4<f32>) -> OutQuad {
  return x;
}

// divided_gather_merge_1: merges the parts of long rows that a gather kernel made.

struct Shape {
  rows: u32,
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
  repeats: u32,
  long_count: u32,
  long_rows: u32,
  part_count: u32,
  lse_row: u32,
  out_row: u32,
  nan: u32,
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

// Of every thread: the highest score and poison, the weights, the weighted values.
var<workgroup> tops: array<f32, 64>;
var<workgroup> poisons: array<f32, 64>;
var<workgroup> totals: array<f32, 64>;
var<workgroup> sums: array<vec4<f32>, 64>;

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
  if (number >= shape.repeats * shape.long_count) {
    return;
  }
  // Of the long row its number, its first part, the number of parts.
  let repeat = number / shape.long_count;
  let entry = shape.long_rows + 3u * (number % shape.long_count);
  let at = find_place(repeat * shape.rows + plan[entry]);
  let i = at.first + i32(at.tile);
  let first = (repeat * shape.part_count + plan[entry + 1u]) * 17u;
  let count = plan[entry + 2u];
  let before = lse_before(at, i);
  var top = LOWEST;
  var poison = 0.0;
  for (var n = thread; n < count; n += 64u) {
    let found = parts[first + n * 17u + 16u];
    top = max(top, found.x);
    poison = max(poison, found.z);
  }
  tops[thread] = top;
  poisons[thread] = poison;
  workgroupBarrier();
  for (var n = 0u; n < 64u; n++) {
    top = max(top, tops[n]);
    poison = max(poison, poisons[n]);
  }
  let column = thread % 16u;
  var total = 0.0;
  var sum = vec4<f32>();
  for (var n = thread / 16u; n < count; n += 4u) {
    let part = first + n * 17u;
    let found = parts[part + 16u];
    let weight = exp(found.x - top);
    total += found.y * weight;
    sum += parts[part + min(column, 15u)] * weight;
  }
  totals[thread] = total;
  sums[thread] = sum;
  workgroupBarrier();
  if (thread >= 16u) {
    return;
  }
  for (var n = thread + 16u; n < 64u; n += 16u) {
    total += totals[n];
    sum += sums[n];
  }
  store_row(at, i, top, total, poison != 0.0, before, thread, sum);
}

// What lse holds for the row of position i, as bits.
fn lse_before(at: Place, i: i32) -> u32 {
  return lse[at.lse_start + u32(i - at.first) * shape.lse_row];
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  before: u32,
  column: u32,
  sums_0: vec4<f32>,
) {
  let row = u32(i - at.first);
  let mix = mix_row(at, i, highest, total, poisoned, before);
  let row_start = at.out_start + row * shape.out_row;
  if (column < 16u) {
    {
      // A share of 0 keeps nothing, whatever stood there.
      var value = sums_0 * mix.share;
      if (mix.old_share > 0.0) {
        value += read_out(out[row_start + column]) * mix.old_share;
      }
      out[row_start + column] = write_out(select(value, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
    }
  }
  if (column == 0u) {
    lse[at.lse_start + row * shape.lse_row] = lse_bits(mix);
  }
}

// A row's factors: of the sums, and of what stands in out. And its lse, if there was an edge.
struct Mix {
  share: f32,
  old_share: f32,
  is_nan: bool,
  found: bool,
  lse: f32,
}
// Of the row of position i, where total is the sum of the weights, relative to exp(highest). They merge with what earlier passes left.
fn mix_row(at: Place, i: i32, highest: f32, total: f32, poisoned: bool, before: u32) -> Mix {
  var mix: Mix;
  let old_is_nan = (before & 0x7fffffffu) > INFINITY_BITS;
  // A sum past the range of f32 is told too.
  mix.is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS || old_is_nan;
  // log(exp(a) + exp(b)) of this pass and those before.
  let own_lse = select(LOWEST, highest + log(total), total > 0.0);
  let old_lse = select(bitcast<f32>(before), LOWEST, before == NEGATIVE_INFINITY_BITS || old_is_nan);
  let top = max(own_lse, old_lse);
  let own_weight = select(0.0, exp(own_lse - top), own_lse > LOWEST);
  let old_weight = select(0.0, exp(old_lse - top), old_lse > LOWEST);
  let weight = own_weight + old_weight;
  mix.found = weight > 0.0;
  mix.lse = top + log(select(1.0, weight, mix.found));
  mix.share = select(0.0, own_weight / (weight * total), own_weight > 0.0);
  mix.old_share = select(0.0, old_weight / weight, old_weight > 0.0);
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
// i -> j when bonds[i, j]

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
  repeats: u32,
  part_count: u32,
  row_count: u32,
  row_parts: u32,
  is_ordered: u32,
  order: u32,
  bonds_rows: u32,
  bonds_row_ptr: u32,
  bonds_heads: u32,
  bonds_col_idx: u32,
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
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

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
  return shape.repeats * (shape.part_count + shape.row_count);
}
// Parts of long rows come first, then the rows, by the plan's order if it has one.
fn find_slot(number: u32) -> Slot {
  let each = shape.part_count + shape.row_count;
  let repeat = number / each;
  let first_row = repeat * shape.rows;
  var n = number % each;
  if (n < shape.part_count) {
    let entry = shape.row_parts + 3u * n;
    return Slot(first_row + plan[entry], plan[entry + 1u], plan[entry + 2u], repeat * shape.part_count + n);
  }
  n -= shape.part_count;
  if (shape.is_ordered != 0u) {
    n = plan[shape.order + n];
  }
  return Slot(first_row + n, 0u, 0u, NO_PART);
}

struct Neighbours {
  count: u32,
  // Number of the first among all columns of the graph.
  first: u32,
}
// The columns of the row's place in the graph bonds.
fn neighbours(at: Place, i: i32) -> Neighbours {
  let row = i;
  if (u32(row) >= shape.bonds_rows) {
    return Neighbours(0u, 0u);
  }
  let pointer = shape.bonds_row_ptr + (u32(0) * shape.bonds_heads + u32(0)) * (shape.bonds_rows + 1u) + u32(row);
  let first = tables[pointer];
  return Neighbours(tables[pointer + 1u] - first, first);
}
fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
  return bitcast<i32>(tables[shape.bonds_col_idx + list.first + n]);
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
  if (row.part == NO_PART) {
    store_row(at, i, highest, total, poisoned, column, sums_0, sums_1, sums_2, sums_3);
  } else {
    let part = row.part * 17u;
    parts[part + column] = sums_0;
    parts[part + column + 1u] = sums_1;
    parts[part + column + 8u] = sums_2;
    parts[part + column + 9u] = sums_3;
    if (column == 0u) {
      parts[part + 16u] = vec4<f32>(highest, total, select(0.0, 1.0, poisoned), 0.0);
    }
  }
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

// i -> j when bonds[i, j]
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

// ==== divided_gather_1: gather, subgroup, schedule divided, pass 2 ====

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

// divided_gather_1: each query row over its own keys, 4 lanes a row, 4 keys at once.
// i -> j when bonds[i, j]

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
  repeats: u32,
  part_count: u32,
  row_count: u32,
  row_parts: u32,
  is_ordered: u32,
  order: u32,
  bonds_rest_rows: u32,
  bonds_rest_row_ptr: u32,
  bonds_rest_heads: u32,
  bonds_rest_col_idx: u32,
  q_row: u32,
  k_row: u32,
  v_row: u32,
  lse_row: u32,
  out_row: u32,
  nan: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> q: array<Oct>;
@group(0) @binding(2) var<storage, read> k: array<Oct>;
@group(0) @binding(3) var<storage, read> v: array<Oct>;
@group(0) @binding(4) var<storage, read_write> out: array<OutQuad>;
@group(0) @binding(5) var<storage, read_write> lse: array<u32>;
@group(0) @binding(6) var<storage, read> tables: array<u32>;
@group(0) @binding(7) var<storage, read> plan: array<u32>;
@group(0) @binding(8) var<storage, read_write> parts: array<vec4<f32>>;

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
  return shape.repeats * (shape.part_count + shape.row_count);
}
// Parts of long rows come first, then the rows, by the plan's order if it has one.
fn find_slot(number: u32) -> Slot {
  let each = shape.part_count + shape.row_count;
  let repeat = number / each;
  let first_row = repeat * shape.rows;
  var n = number % each;
  if (n < shape.part_count) {
    let entry = shape.row_parts + 3u * n;
    return Slot(first_row + plan[entry], plan[entry + 1u], plan[entry + 2u], repeat * shape.part_count + n);
  }
  n -= shape.part_count;
  if (shape.is_ordered != 0u) {
    n = plan[shape.order + n];
  }
  return Slot(first_row + n, 0u, 0u, NO_PART);
}

struct Neighbours {
  count: u32,
  // Number of the first among all columns of the graph.
  first: u32,
}
// The columns of the row's place in the graph bonds.rest.
fn neighbours(at: Place, i: i32) -> Neighbours {
  let row = i;
  if (u32(row) >= shape.bonds_rest_rows) {
    return Neighbours(0u, 0u);
  }
  let pointer = shape.bonds_rest_row_ptr + (u32(0) * shape.bonds_rest_heads + u32(0)) * (shape.bonds_rest_rows + 1u) + u32(row);
  let first = tables[pointer];
  return Neighbours(tables[pointer + 1u] - first, first);
}
fn neighbour_at(at: Place, i: i32, list: Neighbours, n: u32) -> i32 {
  return bitcast<i32>(tables[shape.bonds_rest_col_idx + list.first + n]);
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
  // One lane reads what it will write.
  var before = 0u;
  if (row.is_there && lane == 0u) {
    before = lse_before(at, i);
  }
  before = any_of_lanes(before);
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
  if (row.part == NO_PART) {
    store_row(at, i, highest, total, poisoned, before, column, sums_0, sums_1, sums_2, sums_3);
  } else {
    let part = row.part * 17u;
    parts[part + column] = sums_0;
    parts[part + column + 1u] = sums_1;
    parts[part + column + 8u] = sums_2;
    parts[part + column + 9u] = sums_3;
    if (column == 0u) {
      parts[part + 16u] = vec4<f32>(highest, total, select(0.0, 1.0, poisoned), 0.0);
    }
  }
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

// i -> j when bonds[i, j]
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

// What lse holds for the row of position i, as bits.
fn lse_before(at: Place, i: i32) -> u32 {
  return lse[at.lse_start + u32(i - at.first) * shape.lse_row];
}

// Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
// both relative to exp(highest).
fn store_row(
  at: Place,
  i: i32,
  highest: f32,
  total: f32,
  poisoned: bool,
  before: u32,
  column: u32,
  sums_0: vec4<f32>,
  sums_1: vec4<f32>,
  sums_2: vec4<f32>,
  sums_3: vec4<f32>,
) {
  let row = u32(i - at.first);
  let mix = mix_row(at, i, highest, total, poisoned, before);
  let row_start = at.out_start + row * shape.out_row;
  {
    // A share of 0 keeps nothing, whatever stood there.
    var value = sums_0 * mix.share;
    if (mix.old_share > 0.0) {
      value += read_out(out[row_start + column]) * mix.old_share;
    }
    out[row_start + column] = write_out(select(value, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  }
  {
    // A share of 0 keeps nothing, whatever stood there.
    var value = sums_1 * mix.share;
    if (mix.old_share > 0.0) {
      value += read_out(out[row_start + column + 1u]) * mix.old_share;
    }
    out[row_start + column + 1u] = write_out(select(value, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  }
  {
    // A share of 0 keeps nothing, whatever stood there.
    var value = sums_2 * mix.share;
    if (mix.old_share > 0.0) {
      value += read_out(out[row_start + column + 8u]) * mix.old_share;
    }
    out[row_start + column + 8u] = write_out(select(value, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  }
  {
    // A share of 0 keeps nothing, whatever stood there.
    var value = sums_3 * mix.share;
    if (mix.old_share > 0.0) {
      value += read_out(out[row_start + column + 9u]) * mix.old_share;
    }
    out[row_start + column + 9u] = write_out(select(value, vec4<f32>(bitcast<f32>(shape.nan)), mix.is_nan));
  }
  if (column == 0u) {
    lse[at.lse_start + row * shape.lse_row] = lse_bits(mix);
  }
}

// A row's factors: of the sums, and of what stands in out. And its lse, if there was an edge.
struct Mix {
  share: f32,
  old_share: f32,
  is_nan: bool,
  found: bool,
  lse: f32,
}
// Of the row of position i, where total is the sum of the weights, relative to exp(highest). They merge with what earlier passes left.
fn mix_row(at: Place, i: i32, highest: f32, total: f32, poisoned: bool, before: u32) -> Mix {
  var mix: Mix;
  let old_is_nan = (before & 0x7fffffffu) > INFINITY_BITS;
  // A sum past the range of f32 is told too.
  mix.is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS || old_is_nan;
  // log(exp(a) + exp(b)) of this pass and those before.
  let own_lse = select(LOWEST, highest + log(total), total > 0.0);
  let old_lse = select(bitcast<f32>(before), LOWEST, before == NEGATIVE_INFINITY_BITS || old_is_nan);
  let top = max(own_lse, old_lse);
  let own_weight = select(0.0, exp(own_lse - top), own_lse > LOWEST);
  let old_weight = select(0.0, exp(old_lse - top), old_lse > LOWEST);
  let weight = own_weight + old_weight;
  mix.found = weight > 0.0;
  mix.lse = top + log(select(1.0, weight, mix.found));
  mix.share = select(0.0, own_weight / (weight * total), own_weight > 0.0);
  mix.old_share = select(0.0, old_weight / weight, old_weight > 0.0);
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
