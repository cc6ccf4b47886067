/** Inputs as bound at run time, normalised: what expressions read on the host. */

export interface BoundTable {
  readonly kind: 'table';
  readonly type: 'int' | 'float' | 'bool';
  /** Sizes of the axes; the data is row-major. A scalar has none. */
  readonly sizes: readonly number[];
  readonly data: Int32Array | Float32Array | Uint8Array;
}

/** Compressed sparse rows, one graph for each (batch, head) where it has these axes. */
export interface BoundGraph {
  readonly kind: 'graph';
  readonly rows: number;
  readonly cols: number;
  /** Number of batches and heads that have a graph of their own; 1 where the axis isn't declared. */
  readonly batches: number;
  readonly heads: number;
  /** Graph g = batch·heads + head owns rowPtr[g·(rows + 1)] … ; values are absolute indices into colIdx. */
  readonly rowPtr: Int32Array;
  /** Ascending and distinct within a row. */
  readonly colIdx: Int32Array;
  readonly weight: Float32Array | undefined;
}

export type BoundInputs = ReadonlyMap<string, BoundTable | BoundGraph>;

export const NO_INPUTS: BoundInputs = new Map();

/** A table's value; 0 outside. */
export function readTable(table: BoundTable, index: ArrayLike<number>): number {
  let at = 0;
  for (let n = 0; n < table.sizes.length; n++) {
    const x = index[n];
    if (!(x >= 0 && x < table.sizes[n])) return 0;
    at = at * table.sizes[n] + x;
  }
  return Number(table.data[at]);
}

/** Where (a, b) stands in colIdx, or −1. */
export function findEdge(graph: BoundGraph, batch: number, head: number, a: number, b: number): number {
  if (!(a >= 0 && a < graph.rows)) return -1;
  const row = (batch * graph.heads + head) * (graph.rows + 1) + a;
  const end = graph.rowPtr[row + 1];
  const at = lowerBound(graph.colIdx, graph.rowPtr[row], end, b);
  return at < end && graph.colIdx[at] === b ? at : -1;
}

/** Rows beyond which a box of graph rows is taken to hold an edge without looking. */
const ROWS_LOOKED_AT = 4096;

/** May any row of a.lo … a.hi have a column in b.lo … b.hi? */
export function anyEdge(
  graph: BoundGraph,
  batch: number,
  head: number,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): boolean {
  const lo = Math.max(aLo, 0);
  const hi = Math.min(aHi, graph.rows - 1);
  if (hi - lo >= ROWS_LOOKED_AT) return true;
  const first = (batch * graph.heads + head) * (graph.rows + 1);
  for (let a = lo; a <= hi; a++) {
    const end = graph.rowPtr[first + a + 1];
    const at = lowerBound(graph.colIdx, graph.rowPtr[first + a], end, bLo);
    if (at < end && graph.colIdx[at] <= bHi) return true;
  }
  return false;
}

/** Does every row of a.lo … a.hi have every column of b.lo … b.hi? Ends at the first that hasn't. */
export function everyEdge(
  graph: BoundGraph,
  batch: number,
  head: number,
  aLo: number,
  aHi: number,
  bLo: number,
  bHi: number,
): boolean {
  if (aLo < 0 || aHi >= graph.rows) return false;
  for (let a = aLo; a <= aHi; a++) {
    const at = findEdge(graph, batch, head, a, bLo);
    const last = at + bHi - bLo;
    // Columns are ascending and distinct.
    const end = graph.rowPtr[(batch * graph.heads + head) * (graph.rows + 1) + a + 1];
    if (at < 0 || last >= end || graph.colIdx[last] !== bHi) return false;
  }
  return true;
}

/** First index in [from, to) whose value is at least x. */
export function lowerBound(values: ArrayLike<number>, from: number, to: number, x: number): number {
  let lo = from;
  let hi = to;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (values[mid] < x) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/**
 * Segment trees over a table's flat data, made when first asked for: range minimum and maximum in O(log n). A leaf stands
 * for a block of values, which are looked at one by one: a table of a billion values would not leave room for more.
 */
interface Summary {
  readonly data: BoundTable['data'];
  readonly leaves: number;
  readonly min: BoundTable['data'];
  readonly max: BoundTable['data'];
}

const BLOCK = 16;

const summaries = new WeakMap<BoundTable, Summary>();

function summaryOf(table: BoundTable): Summary {
  const known = summaries.get(table);
  if (known) return known;
  const { data } = table;
  const blocks = Math.floor(data.length / BLOCK);
  let leaves = 1;
  while (leaves < blocks) leaves *= 2;
  const like = (): BoundTable['data'] =>
    data instanceof Int32Array
      ? new Int32Array(2 * leaves)
      : data instanceof Float32Array
        ? new Float32Array(2 * leaves)
        : new Uint8Array(2 * leaves);
  const min = like();
  const max = like();
  for (let x = 0; x < blocks; x++) {
    min[leaves + x] = scan(data, x * BLOCK, (x + 1) * BLOCK - 1, 1, Infinity);
    max[leaves + x] = scan(data, x * BLOCK, (x + 1) * BLOCK - 1, -1, -Infinity);
  }
  // Nodes over blocks that are not there are never asked for.
  for (let x = leaves - 1; x >= 1; x--) {
    min[x] = Math.min(min[2 * x], min[2 * x + 1]);
    max[x] = Math.max(max[2 * x], max[2 * x + 1]);
  }
  const made = { data, leaves, min, max };
  summaries.set(table, made);
  return made;
}

/** The extreme of the values lo … hi and of `best`. */
function scan(values: BoundTable['data'], lo: number, hi: number, sign: 1 | -1, best: number): number {
  for (let x = lo; x <= hi; x++) best = sign > 0 ? Math.min(best, values[x]) : Math.max(best, values[x]);
  return best;
}

function flatRange(s: Summary, lo: number, hi: number, sign: 1 | -1): number {
  const start = sign > 0 ? Infinity : -Infinity;
  const first = Math.ceil(lo / BLOCK);
  const end = Math.floor((hi + 1) / BLOCK);
  if (first >= end) return scan(s.data, lo, hi, sign, start);
  let best = scan(s.data, lo, first * BLOCK - 1, sign, start);
  best = scan(s.data, end * BLOCK, hi, sign, best);
  for (let a = first + s.leaves, b = end + s.leaves; a < b; a >>= 1, b >>= 1) {
    if (a & 1) best = sign > 0 ? Math.min(best, s.min[a++]) : Math.max(best, s.max[a++]);
    if (b & 1) best = sign > 0 ? Math.min(best, s.min[--b]) : Math.max(best, s.max[--b]);
  }
  return best;
}

/** `tableExtreme` for a table of one axis. */
export function lineExtreme(table: BoundTable, from: number, to: number, sign: 1 | -1): number {
  if (from > to) return sign > 0 ? Infinity : -Infinity;
  const lo = Math.max(from, 0);
  const hi = Math.min(to, table.sizes[0] - 1);
  if (lo > hi) return 0;
  const best = flatRange(summaryOf(table), lo, hi, sign);
  if (lo === from && hi === to) return best;
  return sign > 0 ? Math.min(best, 0) : Math.max(best, 0);
}

/** Slices of a box looked at one by one; past it the hull of the slices stands for them. */
const SLICES_LOOKED_AT = 4096;

/**
 * The least (sign 1) or greatest (sign −1) value in a box of indices, given as lo, hi for each axis; indices outside
 * read 0. May be lower (higher) than the true one for boxes of very many slices, never the other way.
 */
export function tableExtreme(table: BoundTable, box: ArrayLike<number>, sign: 1 | -1): number {
  const axes = table.sizes.length;
  if (axes === 0) return Number(table.data[0]);
  let outside = false;
  let slices = 1;
  const lo: number[] = [];
  const hi: number[] = [];
  for (let n = 0; n < axes; n++) {
    if (box[2 * n] > box[2 * n + 1]) return sign > 0 ? Infinity : -Infinity;
    lo.push(Math.max(box[2 * n], 0));
    hi.push(Math.min(box[2 * n + 1], table.sizes[n] - 1));
    if (lo[n] !== box[2 * n] || hi[n] !== box[2 * n + 1]) outside = true;
    if (lo[n] > hi[n]) return 0;
    if (n < axes - 1) slices *= hi[n] - lo[n] + 1;
  }
  const s = summaryOf(table);
  const flat = (index: readonly number[]): number => index.reduce((at, x, n) => at * table.sizes[n] + x, 0);
  let best = sign > 0 ? Infinity : -Infinity;
  if (slices > SLICES_LOOKED_AT) {
    best = flatRange(s, flat(lo), flat(hi), sign);
  } else {
    const index = lo.slice();
    for (let n = 0; n < slices; n++) {
      const from = flat(index);
      const value = flatRange(s, from, from + hi[axes - 1] - lo[axes - 1], sign);
      best = sign > 0 ? Math.min(best, value) : Math.max(best, value);
      for (let axis = axes - 2; axis >= 0; axis--) {
        if (++index[axis] <= hi[axis]) break;
        index[axis] = lo[axis];
      }
    }
  }
  return outside ? (sign > 0 ? Math.min(best, 0) : Math.max(best, 0)) : best;
}
