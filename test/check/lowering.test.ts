import test from 'ava';
import { permute } from '../../compiler/ir/sample.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import { everyPair, lowered, type SmallShape } from './harness.js';

type Pair = { batch: number; head: number; i: number; j: number; keys: number; heads: number };

interface Case {
  readonly name: string;
  /** Items of a pattern, or whole patterns if it starts with `pattern`. */
  readonly text: string;
  readonly m: (p: Pair) => number | boolean;
  readonly shape?: SmallShape;
  readonly inputs?: BoundInputs;
  readonly set?: Readonly<Record<string, number | boolean | readonly number[]>>;
}

const square: SmallShape = { queries: 13, keys: 13, heads: 3 };
const decode: SmallShape = { queries: 3, keys: 11, heads: 2 };
const mod = (a: number, b: number): number => ((a % b) + b) % b;
const div = (a: number, b: number): number => Math.floor(a / b);
const bits = (x: number): number => (x === 0 ? 0 : (x & 1) + bits(x >>> 1));

const doc = new Int32Array([0, 0, 1, 1, 1, 0, 2, 2, 2, 2, 3, 3, 3]);
const inputs: BoundInputs = new Map([
  ['doc', { kind: 'table', type: 'int', sizes: [13], data: doc }],
  ['own', { kind: 'table', type: 'int', sizes: [3], data: new Int32Array([5, 6, 7]) }],
  [
    'flag',
    {
      kind: 'table',
      type: 'bool',
      sizes: [3, 5],
      data: new Uint8Array([1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1]),
    },
  ],
  [
    'bonds',
    {
      kind: 'graph',
      rows: 13,
      cols: 13,
      batches: 1,
      heads: 1,
      rowPtr: new Int32Array([0, 2, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5]),
      colIdx: new Int32Array([1, 12, 0, 2, 4]),
      weight: undefined,
    },
  ],
] as const);

const flagged = (a: number, b: number): boolean =>
  a >= 0 &&
  a < 3 &&
  b >= 0 &&
  b < 5 &&
  inputs.get('flag')!.kind === 'table' &&
  [1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1][a * 5 + b] === 1;
const linked = (a: number, b: number): boolean =>
  (a === 0 && (b === 1 || b === 12)) || (a === 1 && b === 0) || (a === 4 && (b === 2 || b === 4));

const cases: readonly Case[] = [
  { name: 'every pair', text: 'i -> j', m: () => 1 },
  {
    name: 'chained comparison',
    text: 'i -> j when 0 <= i - j < 4',
    m: ({ i, j }) => i - j >= 0 && i - j < 4,
  },
  {
    name: 'a longer chain',
    text: 'i -> j when 1 < j <= i != 5 < 9',
    m: ({ i, j }) => 1 < j && j <= i && i !== 5,
  },
  { name: '> and >=', text: 'i -> j when i > j and i - 4 >= j', m: ({ i, j }) => i - 4 >= j },
  { name: 'not', text: 'i -> j when not (i == j or j > i)', m: ({ i, j }) => j < i },
  { name: 'equal conditions', text: 'i -> j when (i < 5) == (j < 5)', m: ({ i, j }) => i < 5 === j < 5 },
  { name: 'unlike conditions', text: 'i -> j when (i < 5) != (j < 5)', m: ({ i, j }) => i < 5 !== j < 5 },
  {
    name: 'floored div and %',
    text: 'i -> j when (i - j) div 4 == -1 or (i - j - 20) % 7 == 3',
    m: ({ i, j }) => div(i - j, 4) === -1 || mod(i - j - 20, 7) === 3,
  },
  { name: 'float division', text: 'i -> j when i / 2 == 3.5 and j <= i', m: ({ i, j }) => i === 7 && j <= i },
  { name: 'power', text: 'i -> j when i == floor(2 ** 3) and j < 2', m: ({ i, j }) => i === 8 && j < 2 },
  {
    name: 'floor and ceil',
    text: 'i -> j when floor(i / 3) == ceil(j / 3)',
    m: ({ i, j }) => div(i, 3) === Math.ceil(j / 3),
  },
  {
    name: 'clamp, min, max',
    text: 'i -> j when clamp(i - j, -2, 3) == min(3, max(j, 1, 2), 9)',
    m: ({ i, j }) => Math.min(Math.max(i - j, -2), 3) === Math.min(3, Math.max(j, 1, 2)),
  },
  { name: 'if', text: 'i -> j when if(i < 5, j == 1, j == 2)', m: ({ i, j }) => (i < 5 ? j === 1 : j === 2) },
  {
    name: 'if of numbers',
    text: 'i -> j when if(i < 5, 1, 2.5) < j',
    m: ({ i, j }) => (i < 5 ? 1 : 2.5) < j,
  },
  {
    name: 'bits',
    text: 'i -> j when popcount(bitxor(i, j)) <= 1 and bitand(i, 3) != bitor(shl(j, 1), shr(i, 2))',
    m: ({ i, j }) => bits(i ^ j) <= 1 && (i & 3) !== ((j << 1) | (i >> 2)),
  },
  {
    name: 'a list',
    text: 'i -> j when j in [1, 5, 99] or i in [3]',
    m: ({ i, j }) => j === 1 || j === 5 || i === 3,
  },
  {
    name: 'a list with positions',
    text: 'i -> j when j in [i, i + 2, 0]',
    m: ({ i, j }) => j === i || j === i + 2 || j === 0,
  },
  { name: 'a list of floats', text: 'i -> j when j in [1.5, 2.0]', m: ({ j }) => j === 2 },
  {
    name: 'an empty list',
    text: 'pattern p(g: int[] = []) { i -> j when j in g or i == j }',
    m: ({ i, j }) => i === j,
  },
  {
    name: 'an item of a list',
    text: 'let w = [3, 1, 4] i -> j when i - j == w[1] or j == w[head]',
    m: ({ i, j, head }) => i - j === 1 || j === [3, 1, 4][head],
  },
  {
    name: 'a sample',
    text: 'i -> j when j in sample(3, length, 7, head, i)',
    m: ({ i, j, head, keys }) => [0, 1, 2].some((n) => permute(n, keys, 7, [head, i]) === j),
  },
  { name: 'a range', text: 'i -> j in i - 2 .. i + 1', m: ({ i, j }) => j >= i - 2 && j <= i + 1 },
  {
    name: 'a range without its end',
    text: 'i -> j in i - 2 ..< i when j != 4',
    m: ({ i, j }) => j >= i - 2 && j < i && j !== 4,
  },
  {
    name: 'a range with a step',
    text: 'i -> j in i - 7 .. i step 3',
    m: ({ i, j }) => [i - 7, i - 4, i - 1].includes(j),
  },
  {
    name: 'let',
    text: 'let I = i div 4 let J = j div 4 let near = abs(I - J) <= 1 i -> j when near and I != 2',
    m: ({ i, j }) => Math.abs(div(i, 4) - div(j, 4)) <= 1 && div(i, 4) !== 2,
  },
  { name: 'merge', text: 'i -> j when j < 3 i -> j when j < 5', m: ({ j }) => j < 5 },
  {
    name: 'add',
    text: 'overlaps add i -> j when j < 3 i -> j when j < 5',
    m: ({ j }) => Number(j < 3) + Number(j < 5),
  },
  {
    name: 'restrict, twice',
    text: 'i -> j restrict j <= i restrict j > 2',
    m: ({ i, j }) => j <= i && j > 2,
  },
  {
    name: 'a block of names',
    text: 'near: { let d = i - j i -> j when d == 1 } far: { let d = j - i i -> j when d == 3 }',
    m: ({ i, j }) => i - j === 1 || j - i === 3,
  },
  {
    name: 'for over a list',
    text: 'overlaps add for w in [2, 4, 4] { i -> j when i div w == j div w }',
    m: ({ i, j }) => [2, 4, 4].filter((w) => div(i, w) === div(j, w)).length,
  },
  {
    name: 'for over lists',
    text: 'overlaps add for (a, b) in zip([2, 5], [1, 3]) { let d = i - j i -> j when d < a and d > -b }',
    m: ({ i, j }) =>
      [
        [2, 1],
        [5, 3],
      ].filter(([a, b]) => i - j < a && i - j > -b).length,
  },
  {
    name: 'for over a range with a step, in another',
    text: 'overlaps add for a in 0 .. 4 step 2 { for b in a ..< 4 { i -> j when i == a and j == b } }',
    m: ({ i, j }) => [0, 2].includes(i) && j >= i && j < 4,
  },
  {
    name: 'parameters in for',
    text: 'pattern p(n: int = 3) { for x in 0 ..< n { i -> j when j == 2 * x } }',
    m: ({ j }) => [0, 2].includes(j),
    set: { n: 2 },
  },
  {
    name: 'for that repeats nothing',
    text: 'pattern p(n: int = 0) { for x in 0 ..< n { i -> j when j == x } i -> j when i == j }',
    m: ({ i, j }) => i === j,
  },
  {
    name: 'dynamic parameters',
    text: 'pattern p(w: int = 2, both: bool = true, f: float = 1.5) { i -> j when i - j <= w and (both or j < f) }',
    m: ({ i, j }) => i - j <= 4 && j < 2.5,
    set: { w: 4, both: false, f: 2.5 },
  },
  {
    name: 'heads',
    text: 'i -> j when j % heads == head and head < heads - 1',
    m: ({ j, head, heads }) => j % heads === head && head < heads - 1,
  },
  {
    name: 'lengths',
    text: 'i -> j when j == keys - 1 or i == length - queries or dim == 15',
    m: ({ i, j, keys }) => j === keys - 1 || i === keys - 3,
    shape: decode,
  },
  {
    name: 'aligned at the end',
    text: 'i -> j when j <= i',
    m: ({ i, j }) => i >= 8 && j <= i,
    shape: decode,
  },
  {
    name: 'aligned at the start',
    text: 'align start i -> j when j <= i',
    m: ({ i, j }) => j <= i,
    shape: { queries: 11, keys: 4 },
  },
  {
    name: 'a table',
    text: 'input doc: int[tokens] i -> j when doc[i] == doc[j]',
    m: ({ i, j }) => doc[i] === doc[j],
    inputs,
  },
  {
    name: 'a table outside',
    text: 'input doc: int[keys] i -> j when doc[i - 5] == doc[j + 3]',
    m: ({ i, j }) => (doc[i - 5] ?? 0) === (doc[j + 3] ?? 0),
    inputs,
  },
  {
    name: 'a table of queries is read by row',
    text: 'input own: int[queries] i -> j when own[i] == j or own[j] == 7',
    m: ({ i, j }) => i - 3 === j || j === 10,
    shape: decode,
    inputs,
  },
  {
    name: 'a bool table of sizes',
    text: 'pattern p(n: int = 4) { input flag: bool[n - 1, n + 1] i -> j when flag[i - 2, j] }',
    m: ({ i, j }) => flagged(i - 2, j),
    inputs,
  },
  {
    name: 'a graph',
    text: 'input bonds: edges i -> j when bonds[i, j] or bonds[j - 1, i]',
    m: ({ i, j }) => linked(i, j) || linked(j - 1, i),
    inputs,
  },
  {
    name: 'a grid',
    text: 'tokens (y: ?, x: 4) i -> j when i.y == j.y and abs(i.x - j.x) <= 1 or x.size == 5 or y.size == 4',
    m: ({ i, j }) => div(i, 4) === div(j, 4) && Math.abs((i % 4) - (j % 4)) <= 1,
    shape: { queries: 12, keys: 12, grid: [3, 4] },
  },
  {
    name: 'include with arguments',
    text: 'pattern w(a: int = 1, b: int = 0) { i -> j when -b <= i - j <= a } pattern p(n: int = 2) { include w(n + 1) other: include w(b: j) }',
    m: ({ i, j }) => (i - j >= 0 && i - j <= 3) || (-j <= i - j && i - j <= 1),
  },
  {
    name: 'an include keeps its overlaps and restriction',
    text: 'pattern w { overlaps add restrict j <= i i -> j i -> j when j == 0 } pattern p { overlaps add include w i -> j when j > i }',
    m: ({ i, j }) => (j <= i ? 1 + Number(j === 0) : 1),
  },
  {
    name: 'add under merge',
    text: 'pattern w { overlaps add i -> j i -> j } pattern p { include w }',
    m: () => 1,
  },
  {
    name: 'an include used at compile time',
    text: 'pattern w(s: int[] = [1], n: int = 1) { for x in s { for y in 0 ..< n { i -> j when i - j == x + y } } } pattern p(m: int = 1) { include w([1, 5], m + 1) }',
    m: ({ i, j }) => [1, 2, 5, 6].includes(i - j),
  },
];

for (const c of cases) {
  test(`means what it says: ${c.name}`, (t) => {
    const text = c.text.startsWith('pattern') ? c.text : `pattern p { ${c.text} }`;
    const pattern = lowered(text, { pattern: 'p', ...(c.set ? { set: c.set } : {}) });
    const shape = c.shape ?? square;
    const wrong: string[] = [];
    everyPair(pattern, shape, c.inputs ?? new Map(), (m, batch, head, i, j) => {
      const expected = Number(c.m({ batch, head, i, j, keys: shape.keys, heads: shape.heads ?? 1 }));
      if (m !== expected) wrong.push(`(${head}, ${i}, ${j}): ${m}, not ${expected}`);
    });
    t.deepEqual(wrong.slice(0, 5), []);
  });
}
