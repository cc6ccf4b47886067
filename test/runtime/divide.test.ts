// When keys are divided among workgroups, in how many parts, and which rows share a workgroup.

import test from 'ava';
import { divisionPays, packingFor, splitsFor, type PassWork } from '../../runtime/divide.js';

const work = (rest: Partial<PassWork>): PassWork => ({
  heads: 8,
  keyHeads: 8,
  queries: 1,
  keys: 131072,
  workgroups: 8,
  keyTiles: 2048,
  ...rest,
});

const PAYS: readonly (readonly [string, Partial<PassWork>, boolean])[] = [
  ['one query on many keys', {}, true],
  ['64 queries', { queries: 64 }, true],
  ['few queries on few keys', { keys: 2047, keyTiles: 32 }, false],
  ['a window of few queries', { keyTiles: 3 }, true],
  ['many query tiles', { queries: 65536, workgroups: 8192, keyTiles: 1024 }, false],
  ['a few global rows', { queries: 65536, workgroups: 8, keyTiles: 1024 }, true],
  ['a few short rows', { queries: 65536, workgroups: 8, keyTiles: 63 }, false],
  ['as many workgroups as fill a device', { queries: 4096, workgroups: 512 }, false],
];

for (const [name, rest, pays] of PAYS) test(`divided? ${name}`, (t) => t.is(divisionPays(work(rest)), pays));

const PACKED = { rows: 16, pack: { set: 4, heads: true } };
const APART = { rows: 16, pack: { set: 4, heads: false } };

const PACKINGS: readonly (readonly [
  typeof PACKED | { readonly rows: number },
  heads: number,
  keyHeads: number,
  queries: number,
  expected: ReturnType<typeof packingFor>,
])[] = [
  [PACKED, 1, 1, 1, { heads: 1, blocks: 1, queries: 4, sets: 1, rows: 4 }],
  [PACKED, 32, 8, 1, { heads: 4, blocks: 1, queries: 1, sets: 1, rows: 4 }],
  [PACKED, 32, 8, 2, { heads: 4, blocks: 1, queries: 2, sets: 2, rows: 8 }],
  [PACKED, 32, 8, 64, { heads: 4, blocks: 1, queries: 4, sets: 4, rows: 16 }],
  [PACKED, 3, 1, 1, { heads: 3, blocks: 1, queries: 1, sets: 1, rows: 4 }],
  [PACKED, 3, 1, 17, { heads: 3, blocks: 1, queries: 5, sets: 4, rows: 16 }],
  [PACKED, 20, 1, 1, { heads: 10, blocks: 2, queries: 1, sets: 4, rows: 16 }],
  [APART, 8, 2, 1, { heads: 1, blocks: 4, queries: 4, sets: 1, rows: 4 }],
  [APART, 8, 2, 64, { heads: 1, blocks: 4, queries: 16, sets: 4, rows: 16 }],
  // Kernels that don't pack: whatever number of rows they have.
  [{ rows: 64 }, 8, 2, 1, { heads: 1, blocks: 4, queries: 64, sets: 1, rows: 64 }],
  [{ rows: 16 }, 8, 8, 1, { heads: 1, blocks: 1, queries: 16, sets: 1, rows: 16 }],
];

for (const [kernel, heads, keyHeads, queries, expected] of PACKINGS) {
  const kind = 'pack' in kernel ? (kernel.pack.heads ? 'packed' : 'packed apart') : `${kernel.rows} rows`;
  test(`rows of a workgroup: ${kind}, ${heads} heads on ${keyHeads}, ${queries} queries`, (t) => {
    const packing = packingFor(kernel, work({ heads, keyHeads, queries }));
    t.deepEqual(packing, expected);
    t.true(packing.heads * packing.queries <= packing.rows);
    t.true(packing.heads * packing.blocks >= heads / keyHeads, 'every head has a workgroup');
  });
}

test('parts: they fill a device, hold a few tiles each and fit in a buffer', (t) => {
  // 32 heads on 8: 131072 keys are 2048 tiles.
  const row = 4 * 132 * 4;
  t.is(splitsFor(8, 2048, 8 * row), 48);
  t.is(splitsFor(1, 16384, row), 384);
  t.is(splitsFor(8, 32, 8 * row), 8);
  t.is(splitsFor(8, 5, 8 * row), 1);
  t.is(splitsFor(8, 0, 8 * row), 1);
  t.is(splitsFor(2000, 2048, 2000 * row), 1);
  t.is(splitsFor(256, 2048, 2 ** 25), 2);
  t.is(splitsFor(0, 0, 0), 1);
});
