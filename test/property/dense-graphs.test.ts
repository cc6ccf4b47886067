// Graphs with dense boxes: whatever a rule asks for besides an edge, every schedule holds exactly the pairs of evaluate, the
// one that divides graphs among them; and the parts of a graph are what they are said to be.

import test from 'ava';
import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { DENSE, boxBits, divideGraph } from '../../compiler/ir/graph-boxes.js';
import { everyEdge, findEdge, type BoundGraph, type BoundInputs } from '../../compiler/ir/inputs.js';
import { planTiles } from '../../compiler/ir/plan.js';
import { TILE, type Schedule } from '../../compiler/ir/schedule.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { generator } from '../runtime/data.js';

const RUNS = Number(process.env.PROPERTY_RUNS ?? 150);

const input = (axes: string): string => `  input bonds: edges${axes}`;
/** Rules on a graph; each is tried with a graph for all, for each head and for each batch and head. */
const RULES: readonly string[] = [
  'i -> j when bonds[i, j]',
  'i -> j when bonds[i, j] and j <= i',
  'i -> j when bonds[i, j] and (i + j) % 3 != 1',
  'i -> j when bonds[i, j] and i % 4 == head',
  'i -> j when not bonds[i, j] and abs(i - j) < 20',
  'i -> j when bonds[i, j]\n  score = dot(q, k) * scale + bonds.weight[i, j]',
  // A pair of several rules counts once: near ones, a second rule on the graph, the same rule again.
  'near: i -> j when abs(i - j) <= 30\n  far: i -> j when bonds[i, j]',
  'far: i -> j when bonds[i, j]\n  dilated: i -> j when (i - j) % 7 == 0\n  few: i -> j when i < 9',
  'down: i -> j when bonds[i, j] and j <= i\n  even: i -> j when bonds[i, j] and i % 2 == 0',
  'one: i -> j when bonds[i, j]\n  two: i -> j when bonds[i, j]\n  back: i -> j when bonds[j, i]',
  'one: i -> j when bonds[i, j] or (i - j) % 5 == 0',
  // Or as often as there are rules.
  'overlaps add\n  near: i -> j when abs(i - j) <= 30\n  far: i -> j when bonds[i, j]',
  'overlaps add\n  one: i -> j when bonds[i, j]\n  two: i -> j when bonds[i, j] and j < 100',
  // Rows that are no query positions are not divided.
  'i -> j when bonds[i div 2, j]',
];

interface Problem {
  readonly rule: string;
  readonly axes: string;
  readonly heads: number;
  readonly keys: readonly number[];
  readonly queries: readonly number[];
  /** Nodes of a community, where the first begins, and the share of its pairs that are edges: 0 for none, 1 for all. */
  readonly size: number;
  readonly offset: number;
  readonly share: number;
  readonly loose: number;
  readonly seed: number;
  readonly rows: number;
}

const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const problems = fc
  .record({
    rule: pick(...RULES),
    axes: pick('', '[heads]', '[batch, heads]'),
    heads: pick(1, 2),
    batch: pick(1, 1, 2),
    length: pick(30, 64, 100, 129, 200, 257),
    fewer: pick(0, 0, 0, 5, 64, 90),
    size: pick(20, 40, 64, 70, 97, 128, 300),
    offset: pick(0, 0, 17, 64),
    share: pick(0, 0.2, 0.3, 0.8, 1, 1),
    loose: pick(0, 3, 12),
    seed: fc.nat(1000),
    rows: pick(16, 64, 128),
  })
  .map(({ batch, length, fewer, ...rest }): Problem => {
    const keys = batch === 1 ? [length] : [length, Math.max(1, length - 9)];
    return { ...rest, keys, queries: keys.map((n) => Math.max(1, n - fewer)) };
  });

function lower({ rule, axes }: Problem): Pattern {
  const text = `pattern p() {\n${input(axes)}\n  ${rule}\n}`;
  const { pattern, diagnostics } = checkSource({ file: 'p.attn', text }, {});
  if (!pattern) throw new Error(JSON.stringify(diagnostics));
  return pattern;
}

function shapeOf({ heads, keys, queries }: Problem, pattern: Pattern): BoundShape {
  const { align } = pattern;
  const sizes = { batch: keys.length, heads, keyHeads: 1, dim: 16, grid: [] };
  return { ...sizes, queries, keys, align, parameters: new Map() };
}

function graphOf({ axes, heads, keys, size, offset, share, loose, seed }: Problem): BoundGraph {
  const random = generator(seed);
  const rows = Math.max(...keys);
  const count = axes === '' ? 1 : axes === '[heads]' ? heads : heads * keys.length;
  const rowPtr: number[] = [];
  const colIdx: number[] = [];
  for (let g = 0; g < count; g++) {
    rowPtr.push(colIdx.length);
    // Every graph has its communities elsewhere.
    const community = (n: number): number => Math.floor((n + offset + 29 * g) / size);
    for (let a = 0; a < rows; a++) {
      for (let b = 0; b < rows; b++) {
        const within = community(a) === community(b) && random() < share;
        if (within || random() * rows < loose) colIdx.push(b);
      }
      rowPtr.push(colIdx.length);
    }
  }
  return {
    ...{ kind: 'graph', rows, cols: rows, batches: axes === '[batch, heads]' ? keys.length : 1 },
    ...{ heads: axes === '' ? 1 : heads, weight: new Float32Array(colIdx.length).fill(0.5) },
    ...{ rowPtr: Int32Array.from(rowPtr), colIdx: Int32Array.from(colIdx) },
  } as BoundGraph;
}

test('schedules of graphs with dense boxes hold exactly the pairs of evaluate', (t) => {
  let dense = 0;
  let full = 0;
  fc.assert(
    fc.property(problems, (p) => {
      const pattern = lower(p);
      const shape = shapeOf(p, pattern);
      const graph = graphOf(p);
      const inputs: BoundInputs = new Map([['bonds', graph]]);
      const optimised = { ...pattern, edges: runPasses(pattern.edges, PASSES, true) };
      // A run in parts: some of the rows, with some of the keys at hand.
      const part: BoundShape = {
        ...shape,
        queries: shape.queries.map((n) => Math.max(0, n - 10)),
        part: { batch: 0, head: 0, row: 10, heads: shape.heads, queries: shape.queries },
        window: { lo: Math.floor(p.keys[0] / 4), hi: Math.ceil(p.keys[0] / 2) },
      };
      const expected = trueMultiplicity(pattern, shape, inputs);
      for (const schedule of candidateSchedules(optimised)) {
        const wrong = firstDifference(
          scheduledMultiplicity(schedule, shape, inputs, p.rows),
          expected,
          shape,
        );
        if (wrong) throw new Error(`${schedule.name}: ${wrong}`);
        full += fullTiles(schedule, shape, inputs);
      }
      const own = trueMultiplicity(pattern, part, inputs);
      own.forEach((matrix, n) => {
        const keys = shape.keys[Math.floor(n / shape.heads)];
        const { lo, hi } = part.window ?? { lo: 0, hi: keys };
        for (let at = 0; at < matrix.length; at++) if (at % keys < lo || at % keys >= hi) matrix[at] = 0;
      });
      for (const schedule of candidateSchedules(optimised, true)) {
        const wrong = firstDifference(scheduledMultiplicity(schedule, part, inputs, p.rows), own, part);
        if (wrong) throw new Error(`${schedule.name}, a part: ${wrong}`);
      }
      if (divideGraph(graph).boxes.colIdx.length > 0) dense++;
    }),
    { numRuns: RUNS, seed: 20261128 },
  );
  t.log(`${RUNS} problems, ${dense} graphs with dense boxes, ${full} full tiles`);
  t.true(dense > RUNS / 4 && full > 0);
});

/** Full tiles of the schedule that divides graphs. */
function fullTiles(schedule: Schedule, shape: BoundShape, inputs: BoundInputs): number {
  let full = 0;
  if (schedule.name !== 'divided') return 0;
  for (const pass of schedule.passes) {
    if (pass.kind !== 'tiles' || pass.plan === 'kernel') continue;
    const planner = planTiles(pass, shape, inputs);
    for (let n = 0; n < planner.tiles * planner.classes; n++) {
      const [cls, tile] = [Math.floor(n / planner.tiles), n % planner.tiles];
      planner.tile(0, 0, cls, tile, (_, __, count, isFull) => (full += isFull ? count : 0));
    }
  }
  return full;
}

test('a box of pairs is full where each of them is an edge', (t) => {
  let full = 0;
  let others = 0;
  fc.assert(
    fc.property(problems, fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat(6), fc.nat(6))), (p, boxes) => {
      const graph = graphOf(p);
      for (const [x, y, height, width] of boxes) {
        // Past the last row and column, too.
        const [a, b] = [x % (graph.rows + 2), y % (graph.cols + 2)];
        let all = true;
        for (let i = a; i <= a + height; i++) {
          for (let j = b; j <= b + width; j++) all &&= findEdge(graph, 0, 0, i, j) >= 0;
        }
        if (everyEdge(graph, 0, 0, a, a + height, b, b + width) !== all) throw new Error(`${a}, ${b}`);
        if (all) full++;
        else others++;
      }
    }),
    { numRuns: RUNS },
  );
  t.log(`${full} full boxes, ${others} others`);
  t.true(full > RUNS / 10 && others > RUNS / 10);
});

test('every edge is in a dense box or in the rest', (t) => {
  let boxes = 0;
  fc.assert(
    fc.property(problems, (p) => {
      const graph = graphOf(p);
      const divided = divideGraph(graph);
      const counts = new Map<string, number>();
      const all = edgesOf(graph);
      for (const e of all) counts.set(boxOf(e), (counts.get(boxOf(e)) ?? 0) + 1);
      const dense = new Set([...counts].filter(([, n]) => n >= DENSE).map(([box]) => box));
      boxes += dense.size;
      const text = (edges: readonly Edge[]): string => edges.map((e) => e.join()).join(' ');
      const isTiled = (e: Edge): boolean => dense.has(boxOf(e));
      if (text(edgesOf(divided.tiled)) !== text(all.filter(isTiled))) throw new Error('tiled');
      if (text(edgesOf(divided.rest)) !== text(all.filter((e) => !isTiled(e)))) throw new Error('rest');
      const found = edgesOf(divided.boxes).map((e) => e.join());
      if (found.length !== dense.size || !found.every((b) => dense.has(b))) throw new Error('boxes');
      if (text(edgesOfBits(graph)) !== text(edgesOf(divided.tiled).toSorted(byBox))) throw new Error('bits');
    }),
    { numRuns: RUNS },
  );
  t.log(`${boxes} boxes`);
  t.true(boxes > RUNS);
});

type Edge = readonly [graph: number, row: number, column: number];

const boxOf = ([g, a, b]: Edge): string => [g, Math.floor(a / TILE), Math.floor(b / TILE)].join();

/** Box after box, in each row after row. */
const byBox = (a: Edge, b: Edge): number => {
  const order = ([g, i, j]: Edge): readonly number[] => [g, i >> 6, j >> 6, i, j];
  const [x, y] = [order(a), order(b)];
  const n = x.findIndex((v, at) => v !== y[at]);
  return n < 0 ? 0 : x[n] - y[n];
};

/** As kernels read them. */
function edgesOfBits(graph: BoundGraph): readonly Edge[] {
  const bits = boxBits(graph);
  return edgesOf(divideGraph(graph).boxes).flatMap(([g, block, column], box) =>
    Array.from({ length: TILE * TILE }, (_, n): Edge => {
      return [g, TILE * block + Math.floor(n / TILE), TILE * column + (n % TILE)];
    }).filter((_, n) => (bits[2 * TILE * box + Math.floor(n / 32)] >>> (n % 32)) & 1),
  );
}

function edgesOf({ batches, heads, rows, rowPtr, colIdx }: BoundGraph): readonly Edge[] {
  const edges: Edge[] = [];
  for (let g = 0; g < batches * heads; g++) {
    for (let a = 0; a < rows; a++) {
      const at = g * (rows + 1) + a;
      for (const b of colIdx.subarray(rowPtr[at], rowPtr[at + 1])) edges.push([g, a, b]);
    }
  }
  return edges;
}
