// Rules that read tables, on matrix kernels, which read for each row and key alone what one of them decides: against the
// oracle, with tables of every type, indices outside of them, tables read by tables, and more of them than are kept.

import { run, type HostTensors } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { tensor, toFloat32, type Tensor } from '../../runtime/tensor.js';
import { storedAs } from '../gpu/tensors.js';
import { generator, qkv } from '../runtime/data.js';
import { matrixTest, opened } from './matrix-device.js';
import { inTiling } from './one-tiling.js';

const [DIM, VALUE_DIM] = [16, 24];
const HEADS = 2;
const TOKENS = 100;

const random = generator(3);
const ints = (most: number, shape: readonly number[]): Tensor =>
  tensor(
    'i32',
    shape,
    Int32Array.from({ length: shape.reduce((a, b) => a * b) }, () => Math.floor(random() * most)),
  );

const TABLES: Readonly<Record<string, Tensor>> = {
  doc: tensor(
    'i32',
    [TOKENS],
    Int32Array.from({ length: TOKENS }, (_, n) => Math.floor(n / 23)),
  ),
  level: ints(4, [HEADS, TOKENS]),
  next: ints(TOKENS, [TOKENS]),
  weight: tensor('f32', [TOKENS], Float32Array.from({ length: TOKENS }, random)),
  open: tensor(
    'bool',
    [TOKENS],
    Uint8Array.from({ length: TOKENS }, () => Number(random() < 0.3)),
  ),
};

interface Case {
  readonly name: string;
  readonly text: string;
  readonly tables: readonly string[];
}

const CASES: readonly Case[] = [
  {
    name: 'one of each side',
    text: 'pattern p() { input doc: int[tokens] i -> j when doc[i] == doc[j] and j <= i }',
    tables: ['doc'],
  },
  {
    // Five of a key's: one of them is read for each pair. And indices past the ends, where tables are 0.
    name: 'every type, by head, outside, nested',
    text: `pattern p() {
      input doc: int[tokens]
      input level: int[heads, tokens]
      input next: int[tokens]
      input weight: float[tokens]
      input open: bool[tokens]
      i -> j when doc[i + 30] == doc[j + 30] and level[head, j] < 3 and weight[i] < weight[j]
        or open[j] and (open[i] or doc[next[j]] == 2)
        or next[j - 60] == i
    }`,
    tables: ['doc', 'level', 'next', 'weight', 'open'],
  },
];

for (const { name, text, tables } of CASES) {
  for (const steady of [false, true]) {
    matrixTest(`${name}, ${steady ? 'steady' : 'rescaling'}`, async (t) => {
      const tiling = steady ? { blocks: 2 } : { steady: false, lone: false };
      const program = inTiling({ text, tiling, dim: DIM, valueDim: VALUE_DIM });
      const [{ schedule, kernels }] = program.variants;
      t.true(kernels.some((k) => k.wgsl.includes('key_reads')));
      const sizes = { heads: HEADS, queries: TOKENS, dim: DIM, valueDim: VALUE_DIM };
      const tensors: HostTensors = {
        ...storedAs('f16', qkv(sizes)),
        inputs: Object.fromEntries(tables.map((table) => [table, TABLES[table]])),
      };
      const options = { schedule, family: 'matrix', decode: false } as const;
      const { out, lse } = await run(opened.device, program, tensors, options);
      const c = compare({ out: toFloat32(out), lse: lse.data }, reference(program.pattern, tensors), 'f16');
      t.true(c.pass, JSON.stringify(c));
    });
  }
}
