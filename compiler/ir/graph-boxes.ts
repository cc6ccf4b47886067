import type { BoundGraph, BoundInputs, BoundTable } from './inputs.js';
import { TILE, type Schedule } from './schedule.js';

/**
 * Explicit graphs divided where they are dense. Boxes of 64 graph rows and 64 columns, at multiples of 64, that hold
 * enough edges are computed as tiles, all other edges are gathered. Which boxes those are is known once a graph is bound:
 * its parts are graphs themselves, read under names of their own, and every edge is in exactly one of `tiled` and `rest`,
 * however many rows a kernel's tiles have.
 */
export type GraphPart =
  /** The edges in dense boxes. */
  | 'tiled'
  /** All other edges. */
  | 'rest'
  /** The dense boxes: an edge (I, J) for rows 64·I … and columns 64·J …. For planning only. */
  | 'boxes';

/** Of a column to the number of its box. */
const SHIFT = Math.log2(TILE);

const PARTS: readonly GraphPart[] = ['tiled', 'rest', 'boxes'];

/**
 * Edges from which on a box is dense: where a partial tile costs as much as its edges gathered one by one, by the cost
 * model's figures (statistics.ts: 64 · 64 · 1.3 / 6 = 888). By estimate for an NVIDIA H200, from 256 bytes a gathered edge
 * at 4.8 TB/s (about 55 ps) and some 25 ns a tile on matrices with its mask of bits, the break-even is lower, near 500;
 * more edges are asked for since a box must also pay for its share of a pass that merges. Not measured yet.
 */
export const DENSE = 896;

/** What a part of a graph is read by: no input has a dot in its name. */
export const partName = (graph: string, part: GraphPart): string => `${graph}.${part}`;

/** The graph and the part that a name stands for; a bound input's own name is its own. */
export function partOf(name: string): { readonly graph: string; readonly part: GraphPart | undefined } {
  const dot = name.lastIndexOf('.');
  const part = PARTS.find((p) => p === name.slice(dot + 1));
  return dot < 0 || part === undefined
    ? { graph: name, part: undefined }
    : { graph: name.slice(0, dot), part };
}

/** The input, or the part of a graph, of that name; undefined where it is not bound. */
export function inputOf(inputs: BoundInputs, name: string): BoundTable | BoundGraph | undefined {
  const { graph, part } = partOf(name);
  const source = inputs.get(graph);
  return part === undefined || source?.kind !== 'graph' ? source : divideGraph(source)[part];
}

/** Does the schedule gather what is left of a graph divided? */
export const dividesGraphs = ({ passes }: Schedule): boolean =>
  passes.some(
    (p) =>
      p.kind === 'gather' && p.neighbours.kind === 'graph' && partOf(p.neighbours.input).part !== undefined,
  );

export type DividedGraph = Readonly<Record<GraphPart, BoundGraph>>;

const divided = new WeakMap<BoundGraph, DividedGraph>();

/**
 * The edges of `tiled` as kernels read them: for each box in the order of `boxes`, for each of its 64 rows, two words
 * whose bits say which columns have an edge.
 */
export function boxBits(graph: BoundGraph): Uint32Array {
  const { boxes, tiled } = divideGraph(graph);
  const bits = new Uint32Array(2 * TILE * boxes.colIdx.length);
  const numbers = new Int32Array(boxes.cols);
  eachBlock(graph, ({ box, at, rows }) => {
    for (let n = boxes.rowPtr[box]; n < boxes.rowPtr[box + 1]; n++) numbers[boxes.colIdx[n]] = n;
    for (let r = 0; r < rows; r++) {
      for (let e = tiled.rowPtr[at + r]; e < tiled.rowPtr[at + r + 1]; e++) {
        const column = tiled.colIdx[e];
        const word = 2 * (TILE * numbers[column >>> SHIFT] + r) + ((column >>> 5) & 1);
        bits[word] |= 1 << (column & 31);
      }
    }
  });
  return bits;
}

/** In time linear in rows and edges, once for each graph. */
export function divideGraph(graph: BoundGraph): DividedGraph {
  let known = divided.get(graph);
  if (!known) divided.set(graph, (known = divide(graph)));
  return known;
}

/** 64 rows of one of the graphs. */
interface Block {
  /** Where its row of boxes begins among the row pointers of `boxes`. */
  readonly box: number;
  /** Where its rows begin among the row pointers of the graph, and how many there are. */
  readonly at: number;
  readonly rows: number;
}

/** Every block of every graph, in order. */
function eachBlock({ batches, heads, rows }: BoundGraph, visit: (block: Block) => void): void {
  const blocks = Math.ceil(rows / TILE);
  for (let g = 0; g < batches * heads; g++) {
    for (let n = 0; n < blocks; n++) {
      const row = n * TILE;
      visit({ box: g * (blocks + 1) + n, at: g * (rows + 1) + row, rows: Math.min(TILE, rows - row) });
    }
  }
}

/** The dense boxes, and how many edges are in them. */
function findBoxes(graph: BoundGraph): { readonly boxes: BoundGraph; readonly edges: number } {
  const { batches, heads, rowPtr, colIdx } = graph;
  const rows = Math.ceil(graph.rows / TILE);
  const cols = Math.ceil(graph.cols / TILE);
  const starts = new Int32Array(batches * heads * (rows + 1));
  const found: number[] = [];
  const counts = new Uint32Array(cols);
  let edges = 0;
  eachBlock(graph, ({ box, at, rows: own }) => {
    starts[box] = found.length;
    if (mayBeDense(rowPtr, at, own)) {
      const dense: number[] = [];
      for (let n = rowPtr[at]; n < rowPtr[at + own]; n++) {
        const b = colIdx[n] >>> SHIFT;
        // Once for each box: when it gets as many.
        if (++counts[b] === DENSE) dense.push(b);
      }
      dense.sort((a, b) => a - b);
      for (const b of dense) {
        found.push(b);
        edges += counts[b];
      }
      for (let n = rowPtr[at]; n < rowPtr[at + own]; n++) counts[colIdx[n] >>> SHIFT] = 0;
    }
    // Where the graph ends, too.
    starts[box + 1] = found.length;
  });
  const size = { batches, heads, rows, cols };
  const boxes = { ...size, rowPtr: starts, colIdx: Int32Array.from(found) };
  return { boxes: { kind: 'graph', ...boxes, weight: undefined }, edges };
}

/** No more than 64 edges of a row lie in one box: sparse graphs are done with by a look at their row pointers. */
function mayBeDense(rowPtr: Int32Array, at: number, rows: number): boolean {
  if (rowPtr[at + rows] - rowPtr[at] < DENSE) return false;
  let most = 0;
  for (let n = at; n < at + rows; n++) most += Math.min(TILE, rowPtr[n + 1] - rowPtr[n]);
  return most >= DENSE;
}

function divide(graph: BoundGraph): DividedGraph {
  const { boxes, edges } = findBoxes(graph);
  const { batches, heads, rows, rowPtr, colIdx } = graph;
  // Nothing is copied where all edges are gathered.
  if (edges === 0) return { boxes, tiled: { ...graph, ...noEdges(rowPtr) }, rest: graph };
  let total = 0;
  for (let g = 0; g < batches * heads; g++) {
    total += rowPtr[g * (rows + 1) + rows] - rowPtr[g * (rows + 1)];
  }
  const tiled = { rowPtr: new Int32Array(rowPtr.length), colIdx: new Int32Array(edges), used: 0 };
  const rest = { rowPtr: new Int32Array(rowPtr.length), colIdx: new Int32Array(total - edges), used: 0 };
  const isDense = new Uint8Array(boxes.cols);
  eachBlock(graph, ({ box, at, rows: own }) => {
    const dense = boxes.colIdx.subarray(boxes.rowPtr[box], boxes.rowPtr[box + 1]);
    for (const b of dense) isDense[b] = 1;
    for (const part of [tiled, rest]) part.rowPtr[at] = part.used;
    for (let n = at; n < at + own; n++) {
      if (dense.length === 0) {
        rest.colIdx.set(colIdx.subarray(rowPtr[n], rowPtr[n + 1]), rest.used);
        rest.used += rowPtr[n + 1] - rowPtr[n];
      } else {
        for (let e = rowPtr[n]; e < rowPtr[n + 1]; e++) {
          const part = isDense[colIdx[e] >>> SHIFT] === 1 ? tiled : rest;
          part.colIdx[part.used++] = colIdx[e];
        }
      }
      for (const part of [tiled, rest]) part.rowPtr[n + 1] = part.used;
    }
    for (const b of dense) isDense[b] = 0;
  });
  // Weights are read from the graph itself.
  const made = (part: typeof tiled): BoundGraph => ({
    ...graph,
    rowPtr: part.rowPtr,
    colIdx: part.colIdx,
    weight: undefined,
  });
  return { boxes, tiled: made(tiled), rest: made(rest) };
}

const noEdges = (rowPtr: Int32Array): Pick<BoundGraph, 'rowPtr' | 'colIdx' | 'weight'> => ({
  rowPtr: new Int32Array(rowPtr.length),
  colIdx: new Int32Array(0),
  weight: undefined,
});
