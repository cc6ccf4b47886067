import type { InputDeclaration } from '../compiler/ir/edges.js';
import type { BoundGraph } from '../compiler/ir/inputs.js';
import { AttncError, malformedGraph, missingInput, nonFinite, shapeText, wrongShape } from './errors.js';

/** Explicit graphs: CSR and COO as given, checked and brought to sorted, distinct rows. All in linear time. */

/** What is known about the nodes from how the pattern indexes the graph; undefined where nothing is. */
export interface GraphExtent {
  /** Least number of rows; `exact` where the rows are the positions themselves. */
  readonly rows: number | undefined;
  readonly exact: boolean;
  /** Columns must lie below it. */
  readonly cols: number | undefined;
  /** Graphs: one for each batch and head where these are declared. */
  readonly batches: number;
  readonly heads: number;
}

/** The parts of one graph, converted. Weights may be −∞ (no attention along the edge), nothing else that isn't finite. */
export interface GraphParts {
  readonly rowPtr?: Part;
  readonly colIdx?: Part;
  readonly row?: Part;
  readonly col?: Part;
  readonly batch?: Part;
  readonly head?: Part;
  readonly weight?: Float32Array;
}

export interface Part {
  readonly data: Int32Array;
  readonly shape: readonly number[];
}

export function bindGraph(declared: InputDeclaration, parts: GraphParts, extent: GraphExtent): BoundGraph {
  const name = declared.name;
  const raw = parts.rowPtr || parts.colIdx ? fromCsr(name, parts, extent) : fromCoo(declared, parts, extent);
  const { rows, rowPtr, colIdx } = raw;
  if (declared.weighted && parts.weight === undefined) {
    throw missingInput(`${name}.weight`, 'float, one an edge', []);
  }
  const weight = declared.weighted ? raw.weight : undefined;
  if (weight && weight.length !== colIdx.length) {
    throw wrongShape(`${name}.weight`, [colIdx.length], [weight.length], 'one weight an edge');
  }
  if (weight) {
    const bad = weight.findIndex((x) => !Number.isFinite(x) && x !== -Infinity);
    if (bad >= 0) throw nonFinite(`${name}.weight`, [bad], weight[bad]);
  }
  const cols = checkColumns(name, rows, rowPtr, colIdx, extent);
  const sorted = sortRows(rowPtr, colIdx, weight);
  return { kind: 'graph', rows, cols, batches: extent.batches, heads: extent.heads, ...sorted };
}

interface Raw {
  readonly rows: number;
  /** For each graph rows + 1 offsets into colIdx, in order. */
  readonly rowPtr: Int32Array;
  readonly colIdx: Int32Array;
  readonly weight: Float32Array | undefined;
}

/** Row pointers of several graphs may count from 0 for each graph, or through all of them. */
function fromCsr(name: string, parts: GraphParts, extent: GraphExtent): Raw {
  const { rowPtr: ptr, colIdx: idx } = parts;
  if (!ptr || !idx) {
    const missing = ptr ? 'col_idx' : 'row_ptr';
    throw missingInput(`${name}.${missing}`, 'int', [`${name}.${ptr ? 'row_ptr' : 'col_idx'}`]);
  }
  const graphs = extent.batches * extent.heads;
  const length = graphs === 0 ? 0 : ptr.data.length / graphs;
  const wanted = graphSizes(extent);
  if (graphs > 0 && (!Number.isInteger(length) || length < 1)) {
    throw wrongShape(`${name}.row_ptr`, [...wanted, 'rows + 1'], ptr.shape, 'one graph each');
  }
  if (ptr.shape.length > 1) {
    const leading = ptr.shape.slice(0, -1).filter((n) => n !== 1);
    if (shapeText(leading) !== shapeText(wanted.filter((n) => n !== 1))) {
      throw wrongShape(`${name}.row_ptr`, [...wanted, 'rows + 1'], ptr.shape);
    }
  }
  const rows = Math.max(length - 1, 0);
  checkRows(name, rows, extent, [...wanted, (extent.rows ?? 0) + 1], ptr.shape);

  const total = idx.data.length;
  const own = graphs > 1 && ptr.data.every((x, n) => n % length !== 0 || x === 0);
  const rowPtr = own ? new Int32Array(ptr.data.length) : ptr.data;
  let start = 0;
  for (let g = 0; g < graphs; g++) {
    const first = g * length;
    const offset = own ? start : 0;
    for (let r = 0; r < length; r++) {
      const at = ptr.data[first + r] + offset;
      const before = r === 0 ? start : rowPtr[first + r - 1];
      if (r === 0 && at !== start) {
        const shown = graphs === 1 ? 'row_ptr[0]' : `row_ptr[0] of graph ${g}`;
        throw malformedGraph(name, `${shown} must be ${start}, but is ${at}`, { row: 0, value: at });
      }
      if (at < before) {
        const why = `row_ptr must not decrease, but row_ptr[${r - 1}] = ${before} and row_ptr[${r}] = ${at}`;
        throw malformedGraph(name, why, { row: r, value: at });
      }
      if (at > total) {
        throw malformedGraph(name, `row_ptr[${r}] = ${at}, but col_idx has ${total} elements`, {
          row: r,
          value: at,
        });
      }
      rowPtr[first + r] = at;
    }
    start = rowPtr[first + rows];
  }
  if (start !== total) {
    throw malformedGraph(name, `row_ptr ends at ${start}, but col_idx has ${total} elements`, {
      value: start,
    });
  }
  return { rows, rowPtr, colIdx: idx.data, weight: parts.weight };
}

/** Counting sort by graph and row; edges of a row stay in the order given. */
function fromCoo(declared: InputDeclaration, parts: GraphParts, extent: GraphExtent): Raw {
  const name = declared.name;
  const { row, col } = parts;
  if (!row || !col) {
    const wanted = row || col ? (row ? `${name}.col` : `${name}.row`) : `${name}.row_ptr`;
    throw missingInput(wanted, 'a graph takes NAME.row_ptr and NAME.col_idx, or NAME.row and NAME.col', []);
  }
  const count = row.data.length;
  for (const [part, values] of Object.entries({ col, batch: parts.batch, head: parts.head })) {
    if (values && values.data.length !== count) {
      throw wrongShape(`${name}.${part}`, [count], values.shape, 'as many as rows');
    }
  }
  if (parts.weight && parts.weight.length !== count) {
    throw wrongShape(`${name}.weight`, [count], [parts.weight.length], 'one weight an edge');
  }
  const per = (axis: 'batch' | 'heads', part: Part | undefined, size: number): Int32Array | undefined => {
    if (!declared.axes.some((a) => a.kind === axis)) return undefined;
    const label = axis === 'batch' ? 'batch' : 'head';
    if (!part) throw missingInput(`${name}.${label}`, `int, the ${label} of each edge`, []);
    part.data.forEach((x, n) => {
      if (!(x >= 0 && x < size)) outside(name, `${label}[${n}]`, x, size, n);
    });
    return part.data;
  };
  const batch = per('batch', parts.batch, extent.batches);
  const head = per('heads', parts.head, extent.heads);
  const rows = extent.rows ?? row.data.reduce((most, x) => Math.max(most, x + 1), 0);
  row.data.forEach((x, n) => {
    if (!(x >= 0 && x < rows)) outside(name, `row[${n}]`, x, rows, n);
  });

  const graphs = extent.batches * extent.heads;
  const slot = (n: number): number =>
    ((batch?.[n] ?? 0) * extent.heads + (head?.[n] ?? 0)) * (rows + 1) + row.data[n];
  const starts = new Int32Array(graphs * (rows + 1) + 1);
  for (let n = 0; n < count; n++) starts[slot(n) + 1]++;
  for (let n = 1; n < starts.length; n++) starts[n] += starts[n - 1];
  const rowPtr = starts.slice(0, graphs * (rows + 1));
  const next = rowPtr.slice();
  const colIdx = new Int32Array(count);
  const weight = parts.weight && new Float32Array(count);
  for (let n = 0; n < count; n++) {
    const at = next[slot(n)]++;
    colIdx[at] = col.data[n];
    if (weight && parts.weight) weight[at] = parts.weight[n];
  }
  return { rows, rowPtr, colIdx, weight };
}

function graphSizes(extent: GraphExtent): number[] {
  return [extent.batches, extent.heads].filter((n) => n !== 1);
}

function checkRows(
  name: string,
  rows: number,
  extent: GraphExtent,
  wanted: readonly number[],
  actual: readonly number[],
): void {
  if (extent.rows === undefined || rows === extent.rows || (rows > extent.rows && !extent.exact)) return;
  throw wrongShape(`${name}.row_ptr`, wanted, actual, `the graph needs ${extent.rows} rows, one more offset`);
}

function outside(name: string, what: string, value: number, most: number, at: number): never {
  throw new AttncError(
    'malformed-graph',
    `the graph '${name}' has ${what} = ${value}, outside 0 .. ${most - 1}`,
    {
      help: 'nodes count from 0',
      details: { name, at, value, least: 0, most: most - 1 },
    },
  );
}

/** Every column in range; returns the number of columns. */
function checkColumns(
  name: string,
  rows: number,
  rowPtr: Int32Array,
  colIdx: Int32Array,
  extent: GraphExtent,
): number {
  const cols = extent.cols ?? 2 ** 31;
  let most = -1;
  for (let n = 0; n < colIdx.length; n++) {
    const c = colIdx[n];
    if (c > most) most = c;
    if (c >= 0 && c < cols) continue;
    let at = 0;
    while (at + 1 < rowPtr.length && rowPtr[at + 1] <= n) at++;
    const row = at % (rows + 1);
    const range = extent.cols === undefined ? 'must not be negative' : `must be in 0 .. ${cols - 1}`;
    throw malformedGraph(name, `row ${row} has column ${c}, which ${range}`, { row, value: c, at: n });
  }
  return extent.cols ?? most + 1;
}

/** Ascending, distinct columns in every row; of repeated edges the first one's weight counts. */
function sortRows(
  rowPtr: Int32Array,
  colIdx: Int32Array,
  weight: Float32Array | undefined,
): Pick<BoundGraph, 'rowPtr' | 'colIdx' | 'weight'> {
  if (ascending(rowPtr, colIdx)) return { rowPtr, colIdx, weight };
  const ptr = new Int32Array(rowPtr.length);
  const idx = new Int32Array(colIdx.length);
  const out = weight && new Float32Array(weight.length);
  let count = 0;
  for (let r = 0; r < rowPtr.length; r++) {
    ptr[r] = count;
    const end = rowPtr[r + 1] ?? colIdx.length;
    const order = Int32Array.from({ length: end - rowPtr[r] }, (_, n) => rowPtr[r] + n);
    order.sort((a, b) => colIdx[a] - colIdx[b] || a - b);
    const first = count;
    for (const n of order) {
      if (count > first && idx[count - 1] === colIdx[n]) continue;
      if (out && weight) out[count] = weight[n];
      idx[count++] = colIdx[n];
    }
  }
  return { rowPtr: ptr, colIdx: idx.slice(0, count), weight: out?.slice(0, count) };
}

function ascending(rowPtr: Int32Array, colIdx: Int32Array): boolean {
  for (let r = 0; r + 1 < rowPtr.length; r++) {
    for (let n = rowPtr[r] + 1; n < rowPtr[r + 1]; n++) if (colIdx[n - 1] >= colIdx[n]) return false;
  }
  return true;
}
