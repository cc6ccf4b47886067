// Gathers in every family that the device can run, against the oracle: rows of every length, parts of long rows and their
// merging, passes that merge, sinks, storage types, what is not finite.

import test from 'ava';
import { compile } from '../../compiler/compile.js';
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

/** The first schedule with a gather. */
const gatherOf = (program: Program): number =>
  program.schedules.findIndex((s) => s.passes.some((p) => p.kind === 'gather'));

/** The last rows of the graph are those of the queries. */
function graphOf({ size: { queries, keys = queries }, kinds }: Row): Csr | undefined {
  return kinds && joinGraphs(kinds.map((kind, n) => makeGraph(kind, keys, keys, n + 1)));
}

function tensorsOf(row: Row, graph: Csr | undefined): HostTensors {
  const { size, type = 'f32' } = row;
  const all = qkv(size, 3);
  const bonds = graph && (row.list === true ? asList('bonds', graph) : graphInputs('bonds', graph));
  const stored = (t: Qkv['q']): FloatTensor => fromNumbers(type, t.shape, t.data) as FloatTensor;
  return {
    ...{ q: stored(all.q), k: stored(all.k), v: stored(all.v) },
    inputs: { ...bonds, ...row.inputs },
    ...(row.lengths ? { lengths: row.lengths } : {}),
  };
}

for (const row of ROWS) {
  test.serial(`gather: ${row.title}`, async (t) => {
    const { dim = 16, valueDim = dim } = row.size;
    const program = programOf(row.text, dim, valueDim);
    const schedule = gatherOf(program);
    const graph = graphOf(row);
    const { queries, keys = queries } = row.size;
    const degrees = graph ? Array.from(graph.rowPtr.subarray(1), (x, n) => x - graph.rowPtr[n]) : [];
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
