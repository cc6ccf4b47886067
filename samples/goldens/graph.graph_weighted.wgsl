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

// own_gather_0: one query row a workgroup, over its own keys.
// i -> j when bonds[i, j]

struct Shape {
  queries: u32,
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
  k_row: u32,
  q_row: u32,
  v_row: u32,
  bonds_rows: u32,
  bonds_row_ptr: u32,
  bonds_heads: u32,
  bonds_col_idx: u32,
  param_strength: f32,
  bonds_weight: u32,
  nan: u32,
  out_row: u32,
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

// Scores below this count as none: their weight is exactly 0.
const LOWEST = -3.4e38;
const INFINITY_BITS = 0x7f800000u;
const NEGATIVE_INFINITY_BITS = 0xff800000u;
const NAN_BITS = 0x7fc00000u;

var<workgroup> query: array<vec4<f32>, 16>;
// Of 64 keys the rows (-1: none), and the scores or weights.
var<workgroup> neighbour_rows: array<i32, 64>;
var<workgroup> values: array<f32, 64>;
var<workgroup> group_sums: array<vec4<f32>, 64>;
// 1 if the query, or a key or value with an edge, has NaN or infinity in it.
var<workgroup> bad_query: atomic<u32>;
var<workgroup> bad_values: atomic<u32>;

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
  return ((shape.queries + 0u) / 1u) * 1u * shape.heads * shape.batch;
}

fn find_place(number: u32) -> Place {
  var at: Place;
  let tiles = ((shape.queries + 0u) / 1u);
  at.tile = number % tiles;
  let line = number / tiles;
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
  if (i32(at.tile) >= at.queries) {
    return;
  }
  let i = at.base + i32(at.tile);
  if (thread == 0u) {
    atomicStore(&bad_query, 0u);
    atomicStore(&bad_values, 0u);
  }
  workgroupBarrier();
  load_query(at, thread);
  workgroupBarrier();
  let list = neighbours(at, i);
  let column = thread % 16u;
  let group_of_keys = thread / 16u;
  var highest = LOWEST;
  var total = 0.0;
  var sum = vec4<f32>();
  for (var first = 0u; first < list.count; first += 64u) {
    let own = score_neighbour(at, i, list, first + thread);
    neighbour_rows[thread] = own.j;
    values[thread] = own.score;
    workgroupBarrier();
    var top = highest;
    for (var n = 0u; n < 64u; n++) {
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
    if (column < 16u) {
      for (var n = group_of_keys; n < 64u; n += 4u) {
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
  if (thread >= 16u) {
    return;
  }
  total = 0.0;
  for (var n = 0u; n < 64u; n++) {
    total += values[n];
  }
  sum += group_sums[thread + 16u];
  sum += group_sums[thread + 32u];
  sum += group_sums[thread + 48u];
  let poisoned = atomicLoad(&bad_values) != 0u;
  store_row(at, i, highest, total, poisoned, thread, sum);
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
  let key = at.k_start + u32(j) * shape.k_row;
  var sum = vec4<f32>();
  var bad = atomicLoad(&bad_query) != 0u;
  for (var d = 0u; d < 16u; d++) {
    let value = read_quad(k[key + d]);
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
}

// i -> j when bonds[i, j]
fn keep(at: Place, i: i32, j: i32) -> bool {
  return true;
}

// The pattern's score of a pair, from the dot product of its query and key.
fn score(at: Place, dot_product: f32, i: i32, j: i32) -> f32 {
  return dot_product * 0.125 + shape.param_strength * weight_bonds(0, 0, i, j);
}

// Is any component NaN or infinite? By bits, since WGSL may assume that there are none.
fn is_bad(value: vec4<f32>) -> bool {
  let exponent = vec4<u32>(INFINITY_BITS);
  return any((bitcast<vec4<u32>>(value) & exponent) == exponent);
}
fn load_query(at: Place, thread: u32) {
  if (thread < 16u) {
    let value = read_quad(q[at.q_start + at.tile * shape.q_row + thread]);
    if (is_bad(value)) {
      atomicStore(&bad_query, 1u);
    }
    query[thread] = value;
  }
}
fn load_value(at: Place, j: i32, column: u32) -> vec4<f32> {
  let value = read_quad(v[at.v_start + u32(j) * shape.v_row + column]);
  if (is_bad(value)) {
    atomicStore(&bad_values, 1u);
    return vec4<f32>();
  }
  return value;
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

const NO_EDGE_bonds = 0xffffffffu;
// Number of the edge from a to b in the graph bonds, by binary search in a's sorted row.
fn find_bonds(batch: i32, head: i32, a: i32, b: i32) -> u32 {
  if (u32(a) >= shape.bonds_rows) {
    return NO_EDGE_bonds;
  }
  let row = shape.bonds_row_ptr + (u32(batch) * shape.bonds_heads + u32(head)) * (shape.bonds_rows + 1u) + u32(a);
  let end = tables[row + 1u];
  var low = tables[row];
  var high = end;
  while (low < high) {
    let middle = low + ((high - low) >> 1u);
    if (bitcast<i32>(tables[shape.bonds_col_idx + middle]) < b) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  if (low < end && bitcast<i32>(tables[shape.bonds_col_idx + low]) == b) {
    return low;
  }
  return NO_EDGE_bonds;
}

// 0 where there is no edge.
fn weight_bonds(batch: i32, head: i32, a: i32, b: i32) -> f32 {
  let edge = find_bonds(batch, head, a, b);
  if (edge == NO_EDGE_bonds) {
    return 0.0;
  }
  return bitcast<f32>(tables[shape.bonds_weight + edge]);
}
