import test from 'ava';
import { readTensors } from '../../runtime/files/node.js';
import { toFloat32 } from '../../runtime/tensor.js';

interface Case {
  readonly file: string;
  /** batch, heads, key heads, queries, keys, dim */
  readonly shape: readonly [number, number, number, number, number, number];
  readonly tables?: Readonly<Record<string, readonly [string, number]>>;
  readonly edges: number;
}

const cases: readonly Case[] = [
  { file: 'causal_gqa', shape: [1, 8, 2, 200, 200, 64], edges: 160800 },
  { file: 'sliding16', shape: [1, 3, 3, 257, 257, 32], edges: 24627 },
  { file: 'longformer8', shape: [1, 2, 2, 200, 200, 64], tables: { g: ['i32', 200] }, edges: 9632 },
  { file: 'documents_causal', shape: [2, 2, 1, 300, 300, 80], tables: { doc: ['i32', 300] }, edges: 26606 },
  {
    file: 'alibi_softcap20_causal',
    shape: [1, 4, 4, 130, 130, 64],
    tables: { slope: ['f32', 4] },
    edges: 34060,
  },
  { file: 'decode_1_300', shape: [1, 8, 2, 1, 300, 128], edges: 2400 },
  { file: 'decode_17_129', shape: [1, 8, 2, 17, 129, 128], edges: 16456 },
  { file: 'longnet', shape: [1, 4, 4, 512, 512, 32], edges: 245760 },
  { file: 'longnet_causal', shape: [1, 8, 8, 512, 512, 32], edges: 232960 },
  {
    file: 'karate_club',
    shape: [1, 2, 2, 34, 34, 16],
    tables: { 'bonds.row_ptr': ['i32', 35], 'bonds.col_idx': ['i32', 190] },
    edges: 380,
  },
];

for (const { file, shape, tables = {}, edges } of cases) {
  test(file, async (t) => {
    const [batch, heads, keyHeads, queries, keys, dim] = shape;
    const { tensors, metadata } = await readTensors(`test/data/reference/${file}.safetensors`);
    const found = Object.fromEntries([...tensors].map(([name, x]) => [name, [x.dtype, ...x.shape]]));
    t.deepEqual(found, {
      q: ['f32', batch, heads, queries, dim],
      k: ['f32', batch, keyHeads, keys, dim],
      v: ['f32', batch, keyHeads, keys, dim],
      out: ['f32', batch, heads, queries, dim],
      lse: ['f32', batch, heads, queries],
      ...tables,
    });
    t.is(metadata.name, file);
    t.is(metadata.edges, String(edges));
    for (const x of tensors.values()) t.true(toFloat32(x).every(Number.isFinite));
    t.true(toFloat32(tensors.get('q')!).some((x) => x !== 0));
  });
}

test('karate_club.mtx is the graph of karate_club.safetensors without its self loops', async (t) => {
  const graph = (await readTensors('test/data/reference/karate_club.mtx')).tensors;
  t.deepEqual([...graph.keys()], ['karate_club.row_ptr', 'karate_club.col_idx']);
  const bonds = (await readTensors('test/data/reference/karate_club.safetensors')).tensors;
  const lists = (name: string, from: typeof graph, loops: boolean): number[][] => {
    const rowPtr = toFloat32(from.get(`${name}.row_ptr`)!);
    const colIdx = toFloat32(from.get(`${name}.col_idx`)!);
    return Array.from({ length: rowPtr.length - 1 }, (_, r) =>
      [...new Set([...colIdx.subarray(rowPtr[r], rowPtr[r + 1]), ...(loops ? [r] : [])])].sort(
        (a, b) => a - b,
      ),
    );
  };
  t.is(graph.get('karate_club.col_idx')?.data.length, 156);
  t.deepEqual(lists('karate_club', graph, true), lists('bonds', bonds, false));
});
