// The plan of gathers: every neighbour of every row is computed once, and long rows are divided evenly.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
import { divideGraph } from '../../compiler/ir/graph-boxes.js';
import { planGather, type GatherPlan } from '../../compiler/ir/gather-plan.js';
import type { GatherPass } from '../../compiler/ir/schedule.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import type { BoundGraph, BoundInputs } from '../../compiler/ir/inputs.js';
import { joinGraphs, makeGraph, type Csr, type GraphKind } from './graphs.js';

const passOf = (text: string): GatherPass => {
  const { program } = compile(text, { dim: 16 });
  const pass = program?.schedules.flatMap((s) => s.passes).find((p) => p.kind === 'gather');
  if (pass?.kind !== 'gather') throw new Error('no gather');
  return pass;
};

/** What the schedule that divides graphs gathers. */
const restOf = (text: string): GatherPass => {
  const { program } = compile(text, { dim: 16 });
  const pass = program?.schedules.find((s) => s.name === 'divided')?.passes.find((p) => p.kind === 'gather');
  if (pass?.kind !== 'gather') throw new Error('no gather of a divided graph');
  return pass;
};

const SHARED = passOf('pattern one() {\n  input bonds: edges\n  i -> j when bonds[i, j]\n}');
const BY_HEAD = passOf('pattern heads() {\n  input bonds: edges[heads]\n  i -> j when bonds[i, j]\n}');
const REST = restOf('pattern one() {\n  input bonds: edges\n  i -> j when bonds[i, j]\n}');
const REST_BY_HEAD = restOf('pattern heads() {\n  input bonds: edges[heads]\n  i -> j when bonds[i, j]\n}');
const HALVES = passOf('pattern halves() {\n  input bonds: edges\n  i -> j when bonds[i div 2, j]\n}');

const shapeOf = (queries: readonly number[], keys: readonly number[], heads: number): BoundShape => ({
  batch: queries.length,
  heads,
  keyHeads: 1,
  dim: 16,
  queries,
  keys,
  grid: [],
  align: 'end',
  parameters: new Map(),
});

const bound = (graph: Csr, rows: number, cols: number, heads = 1): BoundInputs =>
  new Map([
    ['bonds', { kind: 'graph', rows, cols, batches: 1, heads, ...graph, weight: undefined } as BoundGraph],
  ]);

const restGraph = (graph: Csr, rows: number): Csr =>
  divideGraph(bound(graph, rows, rows).get('bonds') as BoundGraph).rest;

/** How often each neighbour (by number in its row's list) is computed, by row number. */
function visits(plan: GatherPlan, queries: number, degree: (row: number) => number): number[][] {
  const found: number[][] = [];
  const add = (row: number, first: number, count: number): void => {
    const list = (found[row] ??= new Array<number>(degree(row)).fill(0));
    for (let n = first; n < first + count; n++) list[n] += 1;
  };
  for (let r = 0; r < plan.repeats; r++) {
    for (let p = 0; p < plan.parts.length; p += 3) {
      add(r * queries + plan.parts[p], plan.parts[p + 1], plan.parts[p + 2]);
    }
    for (let n = 0; n < plan.rows; n++) {
      const row = r * queries + (plan.order?.[n] ?? n);
      add(row, 0, degree(row));
    }
  }
  return found;
}

interface Row {
  readonly title: string;
  readonly pass: GatherPass;
  readonly kinds: readonly GraphKind[];
  readonly queries: readonly number[];
  readonly keys: readonly number[];
  readonly heads: number;
  /** Graph row of a row number. */
  readonly rowOf?: (i: number) => number;
  /** Only what dense boxes leave is gathered. */
  readonly divided?: boolean;
}

const ROWS: readonly Row[] = [
  ...(['uniform', 'power law', 'one long row', 'all long', 'none'] as const).map((kind) => ({
    title: `${kind}, shared by heads`,
    pass: SHARED,
    kinds: [kind],
    queries: [150],
    keys: [150],
    heads: 3,
  })),
  {
    title: 'two batches alike',
    pass: SHARED,
    kinds: ['power law'],
    queries: [90, 90],
    keys: [90, 90],
    heads: 2,
  },
  {
    title: 'two lengths',
    pass: SHARED,
    kinds: ['one long row'],
    queries: [90, 41],
    keys: [90, 60],
    heads: 2,
  },
  { title: 'last queries', pass: SHARED, kinds: ['all long'], queries: [20], keys: [120], heads: 2 },
  {
    title: 'a graph a head',
    pass: BY_HEAD,
    kinds: ['power law', 'none', 'one long row'],
    queries: [70],
    keys: [70],
    heads: 3,
  },
  {
    title: 'rows shared by two queries',
    pass: HALVES,
    kinds: ['power law'],
    queries: [120],
    keys: [120],
    heads: 1,
    rowOf: (i) => i >> 1,
  },
  {
    title: 'what dense boxes leave',
    pass: REST,
    kinds: ['communities'],
    queries: [300, 290],
    keys: [300, 300],
    heads: 2,
    divided: true,
  },
  {
    title: 'what dense boxes leave, a graph a head',
    pass: REST_BY_HEAD,
    kinds: ['communities', 'one long row', 'all long'],
    queries: [200],
    keys: [200],
    heads: 3,
    divided: true,
  },
];

for (const row of ROWS) {
  const { title, pass, kinds, queries, keys, heads, rowOf = (i: number): number => i } = row;
  test(`every neighbour once: ${title}`, (t) => {
    const [most, cols] = [Math.max(...queries), Math.max(...keys)];
    const graphs = kinds.map((kind, n) => makeGraph(kind, cols, cols, n + 1));
    const plan = planGather(
      pass,
      shapeOf(queries, keys, heads),
      bound(joinGraphs(graphs), cols, cols, kinds.length),
    );
    const gathered = row.divided === true ? graphs.map((g) => restGraph(g, cols)) : graphs;
    const degree = (row: number): number => {
      const line = Math.floor(row / most);
      const batch = Math.floor(line / heads);
      const q = row % most;
      if (q >= queries[batch]) return 0;
      const graph = gathered[kinds.length > 1 ? line % heads : 0];
      const at = rowOf(q + keys[batch] - queries[batch]);
      return graph.rowPtr[at + 1] - graph.rowPtr[at];
    };
    const found = visits(plan, most, degree);
    const lines = queries.length * heads;
    for (let row = 0; row < lines * most; row++) {
      t.true(found[row] !== undefined, `row ${row} is computed`);
      t.true(found[row].every((n) => n === 1) && found[row].length === degree(row), `row ${row}`);
    }
    const long = new Set<number>();
    for (let n = 0; n < plan.longRows.length; n += 3) {
      const [row, first, count] = plan.longRows.subarray(n, n + 3);
      long.add(row);
      t.true(count >= 2 && degree(row) > plan.longest);
      for (let p = first; p < first + count; p++) {
        t.is(plan.parts[3 * p], row);
        t.true(plan.parts[3 * p + 2] > 0 && plan.parts[3 * p + 2] <= plan.longest);
      }
    }
    const rows = plan.repeats > 1 ? most : lines * most;
    for (let row = 0; row < rows; row++) t.is(long.has(row), degree(row) > plan.longest);
    if (plan.order) {
      const degrees = Array.from(plan.order, degree);
      t.true(degrees.every((d, n) => n === 0 || degrees[n - 1] >= d));
      t.is(new Set(plan.order).size, plan.rows);
    }
  });
}

test('uniform graphs need no lists, skewed ones are sorted', (t) => {
  const plan = (kind: GraphKind): GatherPlan =>
    planGather(SHARED, shapeOf([400], [400], 1), bound(makeGraph(kind, 400, 400, 1), 400, 400));
  t.is(plan('uniform').order, undefined);
  t.is(plan('uniform').parts.length, 0);
  t.true(plan('power law').order !== undefined);
  t.true(plan('one long row').longRows.length === 3);
});

test('a table that lies on the device leaves rows whole', (t) => {
  const pass = passOf(
    'pattern moved() {\n  input bonds: edges\n  input place: int[keys]\n  i -> j when bonds[place[i], j]\n}',
  );
  const plan = planGather(
    pass,
    shapeOf([50, 50], [50, 50], 2),
    bound(makeGraph('all long', 50, 50, 1), 50, 50),
  );
  t.is(plan.rows * plan.repeats, 200);
  t.is(plan.parts.length, 0);
});

test('a million rows are planned in linear time', (t) => {
  const rows = 2 ** 20;
  const rowPtr = new Int32Array(rows + 1);
  for (let n = 0; n < rows; n++) rowPtr[n + 1] = rowPtr[n] + (n % 1000 === 0 ? 5000 : n % 23);
  const graph = bound({ rowPtr, colIdx: new Int32Array(0) }, rows, rows);
  const shape = shapeOf([rows], [rows], 1);
  const times = Array.from({ length: 7 }, () => {
    const start = performance.now();
    planGather(SHARED, shape, graph);
    return performance.now() - start;
  });
  t.log(`${times.map((x) => x.toFixed(1)).join(', ')} ms`);
  // Far above what it takes, on any machine: only growth with the square would fail.
  t.true(Math.min(...times) < 500);
});

test('graphs of four million edges are divided in linear time', (t) => {
  const rows = 2 ** 18;
  const degree = 16;
  const rowPtr = Int32Array.from({ length: rows + 1 }, (_, n) => n * degree);
  // Every second block of 64 rows is linked to 64 columns, the others to columns far apart.
  const dense = (row: number): boolean => row % 128 < 64;
  const column = (row: number, n: number): number =>
    dense(row) ? (row & ~63) + 4 * n + (row % 4) : (row % 64) + 16384 * n;
  const colIdx = Int32Array.from({ length: rows * degree }, (_, at) =>
    column(Math.floor(at / degree), at % degree),
  );
  const graph = bound({ rowPtr, colIdx }, rows, rows).get('bonds') as BoundGraph;
  const start = performance.now();
  const { tiled, rest, boxes } = divideGraph(graph);
  const time = performance.now() - start;
  t.log(`${time.toFixed(0)} ms`);
  t.is(boxes.colIdx.length, rows / 128);
  t.is(tiled.colIdx.length, (rows * degree) / 2);
  t.is(rest.colIdx.length, (rows * degree) / 2);
  // Far above what it takes, on any machine: only growth with the square would fail.
  t.true(time < 5000);
});
