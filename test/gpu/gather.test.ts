// Gathers in every family that the device can run, against the oracle: rows of every length, parts of long rows and their
// merging, passes that merge, sinks, storage types, what is not finite. Graphs with dense boxes: those as tiles.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
import { divideGraph } from '../../compiler/ir/graph-boxes.js';
import { STORAGE_TYPES, type Family, type Program, type StorageType } from '../../compiler/ir/program.js';
import { run, type HostTensors } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { fromNumbers, toFloat32 } from '../../runtime/tensor.js';
import { asList, graphInputs, joinGraphs, makeGraph, type Csr, type GraphKind } from '../gather/graphs.js';
import { qkv, type Qkv, type Sizes } from '../runtime/data.js';
import type { FloatTensor } from '../runtime/lend.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ features: 'offered', limits: 'offered' });
});
test.after.always(() => opened?.close());

const ONE = 'pattern one() {\n  input bonds: edges\n  i -> j when bonds[i, j]\n}';
const BY_HEAD = 'pattern heads() {\n  input bonds: edges[heads]\n  i -> j when bonds[i, j]\n}';
const SCORED =
  'pattern scored() {\n  input bonds: edges\n  i -> j when bonds[i, j] and (i + j) % 3 != 1\n  score = 2.0 * tanh(dot(q, k) * scale) - 0.1 * (abs(i - j) % 5)\n}';
const MIXED =
  'pattern mixed() {\n  input bonds: edges\n  overlaps add\n  near: i -> j when abs(i - j) <= 3\n  far: i -> j when bonds[i, j]\n}';
const SINK =
  'pattern drained() {\n  input bonds: edges\n  input sinks: float[heads]\n  i -> j when bonds[i, j]\n  mix = softmax(sink: sinks[head])\n}';
const WEIGHTED =
  'pattern weighted() {\n  input bonds: edges\n  i -> j when bonds[i, j] and j <= i\n  score = dot(q, k) * scale + bonds.weight[i, j]\n}';
const BUTTERFLY = 'pattern butterfly() {\n  i -> j when popcount(bitxor(i, j)) <= 1\n}';

interface Row {
  readonly title: string;
  readonly text: string;
  readonly size: Sizes;
  readonly kinds?: readonly GraphKind[];
  readonly list?: boolean;
  readonly lengths?: HostTensors['lengths'];
  readonly inputs?: HostTensors['inputs'];
  readonly type?: StorageType;
  /** Run the schedule that divides graphs, instead of the one that gathers every edge. */
  readonly divided?: boolean;
}

const long = { heads: 1, queries: 130, dim: 64 };
const ROWS: readonly Row[] = [
  { title: 'uniform', text: ONE, size: long, kinds: ['uniform'] },
  {
    title: 'power law',
    text: ONE,
    size: { heads: 4, keyHeads: 2, queries: 130, dim: 16 },
    kinds: ['power law'],
  },
  {
    title: 'one long row',
    text: ONE,
    size: { batch: 2, heads: 2, queries: 131, dim: 32 },
    kinds: ['one long row'],
  },
  { title: 'all long', text: ONE, size: { ...long, heads: 2, keyHeads: 1 }, kinds: ['all long'] },
  { title: 'no edge', text: ONE, size: { queries: 33 }, kinds: ['none'] },
  {
    title: 'one query, many keys',
    text: ONE,
    size: { heads: 3, queries: 1, keys: 900 },
    kinds: ['all long'],
  },
  {
    title: 'edges as a list, some twice',
    text: ONE,
    size: { queries: 100 },
    kinds: ['power law'],
    list: true,
  },
  {
    title: 'a graph a head',
    text: BY_HEAD,
    size: { batch: 2, heads: 3, queries: 70, dim: 24 },
    kinds: ['one long row', 'none', 'power law'],
  },
  {
    title: 'batches of two lengths',
    text: ONE,
    size: { batch: 2, heads: 2, queries: 90, keys: 90 },
    kinds: ['one long row'],
    lengths: { queries: [90, 40], keys: [90, 90] },
  },
  { title: 'score and condition', text: SCORED, size: { heads: 2, queries: 120 }, kinds: ['one long row'] },
  { title: 'passes that merge', text: MIXED, size: { heads: 2, queries: 120 }, kinds: ['all long'] },
  {
    title: 'sink',
    text: SINK,
    size: { heads: 2, queries: 120 },
    kinds: ['one long row'],
    inputs: { sinks: Float32Array.of(0.5, -1) },
  },
  { title: 'butterfly', text: BUTTERFLY, size: { batch: 2, heads: 2, queries: 150 } },
  { title: 'butterfly, few queries', text: BUTTERFLY, size: { heads: 2, queries: 5, keys: 77 } },
  ...[
    { title: 'communities', text: ONE, size: { ...long, heads: 2, keyHeads: 1 } },
    { title: 'communities, no dense box', text: ONE, size: { queries: 100 }, kinds: ['power law'] as const },
    { title: 'communities, fewer queries', text: ONE, size: { heads: 2, queries: 150, keys: 200 } },
    {
      title: 'communities of two heads',
      text: BY_HEAD,
      size: { batch: 2, heads: 3, queries: 140, dim: 24 },
      kinds: ['communities', 'power law', 'all long'] as const,
    },
    {
      title: 'communities, batches of two lengths',
      text: ONE,
      size: { batch: 2, heads: 2, queries: 180 },
      lengths: { queries: [180, 90], keys: [180, 180] },
    },
    { title: 'communities, weights and condition', text: WEIGHTED, size: { heads: 2, queries: 200 } },
    { title: 'communities, score and condition', text: SCORED, size: { heads: 2, queries: 200 } },
    { title: 'communities, with near ones', text: MIXED, size: { heads: 2, queries: 200 } },
    {
      title: 'communities, sink',
      text: SINK,
      size: { heads: 2, queries: 130 },
      inputs: { sinks: Float32Array.of(0.5, -1) },
    },
    { title: 'communities, f16', text: ONE, size: { heads: 2, queries: 130 }, type: 'f16' as const },
  ].map((row): Row => ({ kinds: ['communities'], ...row, divided: true })),
  ...[16, 40, 184, 256].map((dim): Row => ({
    title: `head size ${dim}, of values ${272 - dim}`,
    text: ONE,
    size: { heads: 2, queries: 70, dim, valueDim: 272 - dim },
    kinds: ['one long row'],
  })),
  ...STORAGE_TYPES.map((type): Row => ({
    title: type,
    text: ONE,
    size: { ...long, heads: 2 },
    kinds: ['one long row'],
    type,
  })),
];

const FAMILIES: readonly Family[] = ['portable', 'subgroup'];

function programOf(text: string, dim: number, valueDim: number): Program {
  const { program, diagnostics } = compile(text, { dim, valueDim });
  if (!program) throw new Error(JSON.stringify(diagnostics));
  return program;
}

/** The schedule that gathers every edge, or the one that divides graphs. */
const gatherOf = (program: Program, divided = false): number =>
  program.schedules.findIndex(
    (s) => s.passes.some((p) => p.kind === 'gather') && (s.name === 'divided') === divided,
  );

/** The last rows of the graph are those of the queries. */
function graphOf({ size: { queries, keys = queries }, kinds }: Row): Csr | undefined {
  return kinds && joinGraphs(kinds.map((kind, n) => makeGraph(kind, keys, keys, n + 1)));
}

/** What is gathered of graphs of so many nodes that are divided. */
function restOf(graph: Csr, keys: number): Csr {
  const graphs = graph.rowPtr.length / (keys + 1);
  const sizes = { rows: keys, cols: keys, batches: 1, heads: graphs };
  return divideGraph({ kind: 'graph', ...sizes, ...graph, weight: undefined }).rest;
}

function tensorsOf(row: Row, graph: Csr | undefined): HostTensors {
  const { size, type = 'f32' } = row;
  const all = qkv(size, 3);
  const bonds = graph && (row.list === true ? asList('bonds', graph) : graphInputs('bonds', graph));
  const weights = Float32Array.from(graph?.colIdx ?? [], (_, n) => ((n % 9) - 4) / 4);
  const weighted: HostTensors['inputs'] = row.text === WEIGHTED ? { 'bonds.weight': weights } : {};
  const stored = (t: Qkv['q']): FloatTensor => fromNumbers(type, t.shape, t.data) as FloatTensor;
  return {
    ...{ q: stored(all.q), k: stored(all.k), v: stored(all.v) },
    inputs: { ...bonds, ...weighted, ...row.inputs },
    ...(row.lengths ? { lengths: row.lengths } : {}),
  };
}

for (const row of ROWS) {
  test.serial(`gather: ${row.title}`, async (t) => {
    const { dim = 16, valueDim = dim } = row.size;
    const program = programOf(row.text, dim, valueDim);
    const schedule = gatherOf(program, row.divided);
    const graph = graphOf(row);
    const { queries, keys = queries } = row.size;
    const gathered = graph && row.divided === true ? restOf(graph, keys) : graph;
    const degrees = gathered ? Array.from(gathered.rowPtr.subarray(1), (x, n) => x - gathered.rowPtr[n]) : [];
    const longest = Math.max(0, ...degrees.filter((_, n) => n % (keys + 1) >= keys - queries));
    const tensors = tensorsOf(row, graph);
    const expected = reference(program.pattern, tensors);
    for (const family of FAMILIES) {
      if (family === 'subgroup' && !opened.device.features.has('subgroups')) {
        t.log(`skipped: ${opened.name} has no subgroups`);
        continue;
      }
      const output = row.type ?? 'f32';
      const { out, lse, stats } = await run(opened.device, program, tensors, {
        schedule,
        family,
        out: output,
      });
      t.is(stats.family, family);
      t.is(stats.schedule, row.divided === true ? 'divided' : program.schedules[schedule].name);
      // All of these have few edges: rows of more than 32 are divided.
      t.is(
        stats.kernels.some((k) => k.includes('gather_merge')),
        longest > 32,
        stats.kernels.join(),
      );
      const c = compare({ out: toFloat32(out), lse: lse.data }, expected, { input: 'f32', output });
      t.true(c.pass, `${family}: ${JSON.stringify(c)}`);
    }
  });
}

test.serial('graphs with enough dense boxes are divided, all others gathered', async (t) => {
  const size = { heads: 4, queries: 600, dim: 16 };
  const program = programOf(ONE, size.dim, size.dim);
  t.deepEqual(
    program.schedules.map((s) => s.name),
    ['own', 'divided'],
  );
  for (const [kind, schedule] of [
    ['communities', 'divided'],
    ['uniform', 'own'],
    ['power law', 'own'],
    ['none', 'own'],
  ] as const) {
    const tensors = { ...qkv(size, 3), inputs: graphInputs('bonds', makeGraph(kind, 600, 600, 1)) };
    const { out, lse, stats } = await run(opened.device, program, tensors);
    t.is(stats.schedule, schedule, kind);
    const c = compare({ out: out.data, lse: lse.data }, reference(program.pattern, tensors), {
      input: 'f32',
      output: 'f32',
    });
    t.true(c.pass, `${kind}: ${JSON.stringify(c)}`);
  }
});

test.serial('NaN and infinity reach the rows with an edge to them, and no others', async (t) => {
  const queries = 120;
  const program = programOf(ONE, 16, 16);
  const graph = makeGraph('one long row', queries, queries, 1);
  const values = [NaN, Infinity, -Infinity];
  for (const [n, name] of (['q', 'k', 'v'] as const).entries()) {
    const tensors = { ...qkv({ queries }, 3), inputs: graphInputs('bonds', graph) };
    // Rows 40 and 41 of q, k or v; 41 has no edge of its own.
    for (const bad of [40, 41]) tensors[name].data[bad * 16 + 5 + n] = values[(bad + n) % 3];
    const expected = Array.from({ length: queries }, (_, row) => {
      const list = [...graph.colIdx.subarray(graph.rowPtr[row], graph.rowPtr[row + 1])];
      if (name === 'q') return list.length > 0 && (row === 40 || row === 41);
      return list.includes(40) || list.includes(41);
    });
    t.true(expected.some((x) => x) && expected.some((x) => !x));
    for (const family of FAMILIES) {
      if (family === 'subgroup' && !opened.device.features.has('subgroups')) continue;
      const { out, lse } = await run(opened.device, program, tensors, {
        schedule: gatherOf(program),
        family,
      });
      for (let row = 0; row < queries; row++) {
        const own = out.data.subarray(row * 16, row * 16 + 16);
        t.is(Number.isNaN(lse.data[row]), expected[row], `${family}, ${name}: lse of row ${row}`);
        t.true(
          expected[row] ? own.every(Number.isNaN) : own.every(Number.isFinite),
          `${family}, ${name}: ${row}`,
        );
      }
    }
  }
});
