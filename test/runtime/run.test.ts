// run(): whole results against the oracle, on the device that Node chooses.

import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { prepare, run, type HostTensors, type Program } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { fromNumbers, tensor } from '../../runtime/tensor.js';
import { countingDevice, type CountingDevice } from './counting-device.js';
import { qkv } from './data.js';
import { documentProgram, graphProgram, handProgram, windowProgram } from './hand-program.js';

let opened: OpenedDevice;
let counting: CountingDevice;
test.before(async () => {
  opened = await openDevice();
  counting = countingDevice(opened.device);
});
test.after.always(() => opened?.close());

const f16 = (shape: readonly number[]) =>
  fromNumbers(
    'f16',
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, n) => Math.sin(n)),
  );

const CASES: readonly (readonly [name: string, program: Program, tensors: HostTensors])[] = [
  ['dense', handProgram(), qkv({ queries: 100 })],
  ['one token', handProgram(), qkv({ queries: 1 })],
  ['more than one row of dispatches', handProgram(), qkv({ batch: 2, heads: 3, queries: 130 })],
  ['grouped heads', handProgram(), qkv({ heads: 8, keyHeads: 2, queries: 33 })],
  ['a window', windowProgram(), qkv({ heads: 2, queries: 70 })],
  ['a parameter set', windowProgram(), { ...qkv({ queries: 70 }), parameters: { window: 3 } }],
  ['decoding', windowProgram(), qkv({ queries: 5, keys: 77 })],
  ['more queries than keys', handProgram({ align: 'start' }), qkv({ queries: 77, keys: 5 })],
  [
    'lengths of their own',
    windowProgram(),
    { ...qkv({ batch: 3, queries: 20, keys: 40 }), lengths: { queries: [20, 0, 7], keys: [40, 1, 7] } },
  ],
  [
    'a table',
    documentProgram(),
    { ...qkv({ queries: 50 }), inputs: { doc: Int32Array.from({ length: 50 }, (_, n) => n % 3) } },
  ],
  [
    'a graph, unsorted and with repeated edges',
    graphProgram(),
    {
      ...qkv({ queries: 4 }),
      inputs: { 'bonds.row_ptr': [0, 3, 3, 5, 6], 'bonds.col_idx': [3, 0, 3, 2, 1, 0] },
    },
  ],
  [
    'a graph as rows and columns',
    graphProgram(),
    { ...qkv({ queries: 4 }), inputs: { 'bonds.row': [3, 0, 0, 2], 'bonds.col': [0, 3, 0, 2] } },
  ],
  ['f16', handProgram(), { q: f16([1, 1, 20, 16]), k: f16([1, 1, 20, 16]), v: f16([1, 1, 20, 16]) }],
  ['no queries', handProgram(), qkv({ queries: 0, keys: 5 })],
  ['no keys', handProgram({ align: 'start' }), qkv({ queries: 5, keys: 0 })],
  ['no tokens', handProgram(), qkv({ queries: 0 })],
  ['no batch', handProgram(), qkv({ batch: 0, queries: 5 })],
];

for (const [name, program, tensors] of CASES) {
  test.serial(`right numbers, and nothing left behind: ${name}`, async (t) => {
    const { out, lse, stats } = await run(counting.device, program, tensors);
    const expected = reference(program.pattern, tensors);
    const comparison = compare({ out: out.data, lse: lse.data }, expected);
    t.true(comparison.pass, JSON.stringify(comparison));
    t.deepEqual(counting.live(), []);
    t.is(stats.kernels[0], 'rows');
  });
}

test.serial('prepared once, run many times and side by side', async (t) => {
  const program = windowProgram();
  const prepared = await prepare(counting.device, program);
  const all = [3, 10, 70].map((queries) => qkv({ queries, keys: 80 }, queries));
  const results = await Promise.all(all.map((tensors) => run(counting.device, prepared, tensors)));
  results.forEach(({ out, lse }, n) => {
    t.true(compare({ out: out.data, lse: lse.data }, reference(program.pattern, all[n])).pass);
  });
  t.deepEqual(counting.live(), []);
});

test.serial('a program that was text in between is the same program', async (t) => {
  const program = JSON.parse(JSON.stringify(windowProgram())) as Program;
  const tensors = qkv({ queries: 40 });
  const { out } = await run(counting.device, program, tensors);
  t.true(compare({ out: out.data }, reference(windowProgram().pattern, tensors)).pass);
});

test.serial('values in rows without an edge, and past the end, reach nothing', async (t) => {
  const tensors = qkv({ queries: 30 });
  const clean = await run(counting.device, windowProgram(), {
    ...tensors,
    lengths: { queries: [20], keys: [20] },
  });
  const k = tensor('f32', tensors.k.shape, tensors.k.data.slice());
  const v = tensor('f32', tensors.v.shape, tensors.v.data.slice());
  k.data.fill(NaN, 20 * 16);
  v.data.fill(Infinity, 20 * 16);
  const dirty = await run(counting.device, windowProgram(), {
    ...tensors,
    k,
    v,
    lengths: { queries: [20], keys: [20] },
  });
  t.deepEqual(dirty.out, clean.out);
  t.deepEqual(dirty.lse, clean.lse);
});
