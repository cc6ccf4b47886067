import { mentions, some, type Expr } from './expr.js';
import { inputOf } from './graph-boxes.js';
import type { BoundGraph, BoundInputs } from './inputs.js';
import type { GatherPass, Neighbours } from './schedule.js';
import { baseOf, setShape, setSide, type BoundShape } from './shape.js';
import { compileTape } from './tape.js';

/**
 * Balance of gathers: who computes which row. A *slot* is what one group of lanes computes: a row, or a part of a row
 * that is much longer than others. Slots are numbered repeat by repeat, in each first the parts, then the rows.
 */
export interface GatherPlan {
  /** How many times the slots are gone through; repeat r adds r · queries to every row number. */
  readonly repeats: number;
  /**
   * Parts of long rows, three words each: the row's number (line · queries + row, line = batch · heads + head), the first
   * neighbour in the row's list, the number of them.
   */
  readonly parts: Uint32Array;
  /** Row numbers, from those with most neighbours to those with fewest; undefined for 0, 1, 2, … */
  readonly order: Uint32Array | undefined;
  /** Slots of whole rows in a repeat. */
  readonly rows: number;
  /** Rows with more neighbours than this are left to their parts. */
  readonly longest: number;
  /** Long rows, three words each: number, first part, number of parts. */
  readonly longRows: Uint32Array;
}

/** Words of an entry of `parts` and of `longRows`. */
const ENTRY = 3;
/** Rows longer than this part of all edges are divided; never parts of fewer neighbours than `LEAST`. */
const SHARE = 2 ** 16;
const LEAST = 32;
const MOST = 2 ** 30;
/** Rows side by side in a subgroup: they take as long as the longest of them. */
const TOGETHER = 8;
/** Rows are sorted by degree where that saves this factor of idle lanes. */
const WORTH = 1.2;

/** What is not known to be uneven: every row whole, in order. */
function plainPlan(rows: number): GatherPlan {
  return {
    repeats: 1,
    parts: new Uint32Array(0),
    order: undefined,
    rows,
    longest: 2 ** 32 - 1,
    longRows: new Uint32Array(0),
  };
}

/** Are the rows of the graph the query positions, in one graph for a batch and head? */
export function isStraight({ batch, head, row }: Pick<Listed, 'batch' | 'head' | 'row'>): boolean {
  return row.op === 'var' && row.name === 'i' && !mentions(batch, 'i') && !mentions(head, 'i');
}

type Listed = Neighbours & { readonly kind: 'graph' };

/** Neighbours of all rows together; undefined where they would have to be counted row by row. */
export function countNeighbours(
  { neighbours: source }: GatherPass,
  shape: BoundShape,
  inputs: BoundInputs,
): number | undefined {
  if (source.kind !== 'graph' || !isStraight(source)) return undefined;
  const { rows, heads, rowPtr } = inputOf(inputs, source.input) as BoundGraph;
  const tape = compileTape([source.batch, source.head], { precision: 'f32' });
  let count = 0;
  for (let batch = 0; batch < shape.batch; batch++) {
    const base = baseOf(shape, batch);
    const row = (position: number): number => Math.max(0, Math.min(position, rows));
    for (let head = 0; head < shape.heads; head++) {
      setShape(tape, shape, batch, head);
      tape.run(inputs);
      const first = (tape.result(0) * heads + tape.result(1)) * (rows + 1);
      count += rowPtr[first + row(base + shape.queries[batch])] - rowPtr[first + row(base)];
    }
  }
  return count;
}

/** Linear in the number of rows (of one head, where all heads share a graph), whatever the number of edges. */
export function planGather(pass: GatherPass, shape: BoundShape, inputs: BoundInputs): GatherPlan {
  const queries = Math.max(0, ...shape.queries);
  const lines = shape.batch * shape.heads;
  const source = pass.neighbours;
  // Families have as many members for every row, or nearly.
  if (source.kind === 'family' || lines * queries === 0) return plainPlan(lines * queries);
  const exprs = [source.batch, source.head, source.row];
  if (exprs.some((e) => readsDevice(e, inputs))) return plainPlan(lines * queries);
  const differ = (x: readonly number[]): boolean => x.some((n) => n !== x[0]);
  const has = (name: string): boolean => exprs.some((e) => some(e, (n) => n.op === 'var' && n.name === name));
  const shared =
    !(shape.heads > 1 && has('head')) &&
    !(shape.batch > 1 && (has('batch') || differ(shape.queries) || differ(shape.keys)));
  const planned = shared ? 1 : lines;
  const degrees = degreesOf(
    exprs,
    inputOf(inputs, source.input) as BoundGraph,
    shape,
    inputs,
    planned,
    queries,
  );
  return { ...balance(degrees, lines / planned), repeats: lines / planned };
}

function readsDevice(e: Expr, inputs: BoundInputs): boolean {
  return some(e, (n) => (n.op === 'table' || n.op === 'edge' || n.op === 'weight') && !inputs.has(n.name));
}

/** Numbers of neighbours of every row of the first `lines` lines; 0 past a batch's own length. */
function degreesOf(
  exprs: readonly Expr[],
  graph: BoundGraph,
  shape: BoundShape,
  inputs: BoundInputs,
  lines: number,
  queries: number,
): Uint32Array {
  const degrees = new Uint32Array(lines * queries);
  const tape = compileTape(exprs, { precision: 'f32' });
  const { rowPtr } = graph;
  // One look at the first position tells where all of them are.
  const straight = isStraight({ batch: exprs[0], head: exprs[1], row: exprs[2] });
  for (let line = 0; line < lines; line++) {
    const batch = Math.floor(line / shape.heads);
    const base = baseOf(shape, batch);
    const count = shape.queries[batch];
    const out = degrees.subarray(line * queries, line * queries + count);
    setShape(tape, shape, batch, line % shape.heads);
    if (count === 0) continue;
    for (let t = 0; t < count; t++) {
      setSide(tape, 'i', base + t, shape.grid);
      tape.run(inputs);
      const first = (tape.result(0) * graph.heads + tape.result(1)) * (graph.rows + 1);
      if (straight) {
        for (let n = Math.max(0, -base); n < count && base + n < graph.rows; n++) {
          out[n] = rowPtr[first + base + n + 1] - rowPtr[first + base + n];
        }
        break;
      }
      const row = tape.result(2);
      if (row >= 0 && row < graph.rows) out[t] = rowPtr[first + row + 1] - rowPtr[first + row];
    }
  }
  return degrees;
}

/** @param repeats how many lines have these degrees */
function balance(degrees: Uint32Array, repeats: number): Omit<GatherPlan, 'repeats'> {
  const count = degrees.length;
  let edges = 0;
  for (let n = 0; n < count; n++) edges += degrees[n];
  const longest = longestOf(edges * repeats);

  let parts = 0;
  let long = 0;
  let blockMost = 0;
  let taken = 0;
  let short = 0;
  for (let n = 0; n < count; n++) {
    const degree = degrees[n];
    if (degree > longest) {
      long++;
      parts += Math.ceil(degree / longest);
    } else {
      short += degree;
      if (degree > blockMost) blockMost = degree;
    }
    if (n % TOGETHER === TOGETHER - 1 || n === count - 1) {
      taken += blockMost * TOGETHER;
      blockMost = 0;
    }
  }
  const sort = long > 0 || taken > WORTH * short;
  return {
    ...divide(degrees, longest, long, parts),
    order: sort ? byDegree(degrees, longest, count - long) : undefined,
    rows: count - long,
    longest,
  };
}

/** The least power of two that leaves no more than about 2 · SHARE parts. */
function longestOf(edges: number): number {
  let longest = LEAST;
  while (longest < MOST && longest * SHARE < edges) longest *= 2;
  return longest;
}

function divide(
  degrees: Uint32Array,
  longest: number,
  long: number,
  partCount: number,
): Pick<GatherPlan, 'parts' | 'longRows'> {
  const parts = new Uint32Array(ENTRY * partCount);
  const longRows = new Uint32Array(ENTRY * long);
  let part = 0;
  let row = 0;
  for (let n = 0; n < degrees.length && row < long; n++) {
    const degree = degrees[n];
    if (degree <= longest) continue;
    const pieces = Math.ceil(degree / longest);
    longRows.set([n, part, pieces], ENTRY * row++);
    for (let p = 0; p < pieces; p++) {
      const first = Math.floor((degree * p) / pieces);
      const end = Math.floor((degree * (p + 1)) / pieces);
      parts.set([n, first, end - first], ENTRY * part++);
    }
  }
  return { parts, longRows };
}

/** Counting sort: the numbers of the rows that are not long, most neighbours first; rows of a degree stay in order. */
function byDegree(degrees: Uint32Array, longest: number, rows: number): Uint32Array {
  let most = 0;
  for (let n = 0; n < degrees.length; n++) if (degrees[n] <= longest && degrees[n] > most) most = degrees[n];
  const next = new Uint32Array(most + 2);
  for (let n = 0; n < degrees.length; n++) if (degrees[n] <= most) next[most - degrees[n] + 1]++;
  for (let d = 0; d < most; d++) next[d + 1] += next[d];
  const order = new Uint32Array(rows);
  for (let n = 0; n < degrees.length; n++) if (degrees[n] <= most) order[next[most - degrees[n]]++] = n;
  return order;
}
