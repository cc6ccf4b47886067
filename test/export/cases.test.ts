// What no sample shows: other forms of samples and graphs, scores, sinks, odd names, many rules, deep expressions.

import test from 'ava';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ProblemShape } from '../differential/problems.js';
import { randomGraph, wholeNumbers, type Tables } from '../sample-tables.js';
import { allPairs, checkModules, defaultsOf, exported, noPython, type ModuleCase } from './python.js';

const why = noPython();
const withPython = why === null ? test : test.skip;
const note = why === null ? '' : ` (${why})`;

interface Case {
  readonly name: string;
  /** Items of the pattern, and its parameters. */
  readonly items: string;
  readonly parameters?: string;
  readonly tables?: Tables;
  readonly shape?: Partial<ProblemShape>;
  /** What the module's text must hold. */
  readonly holds?: RegExp;
}

const nth = (n: number, of: (x: number) => string, joint: string): string =>
  Array.from({ length: n }, (_, x) => of(x)).join(joint);

const coo: Tables = {
  'e.row': { shape: [5], data: [0, 3, 3, 9, 3] },
  'e.col': { shape: [5], data: [1, 31, 2, 33, 31] },
  'e.weight': { shape: [5], data: [0.5, 2, -1, 4, 9] },
};
const byBoth: Tables = {
  ...coo,
  'e.batch': { shape: [5], data: [0, 1, 0, 1, 1] },
  'e.head': { shape: [5], data: [1, 0, 0, 1, 1] },
};
const lengths = { batch: 2, queries: 20, keys: 40, lengths: { queries: [20, 7], keys: [40, 33] } };

const CASES: readonly Case[] = [
  {
    name: 'a sample of each query',
    items: 'i -> j when j in sample(5, keys, 3, batch, head, i)',
    shape: { batch: 2 },
  },
  {
    name: 'a sample of each key',
    items: 'i -> j when i in sample(5, keys, 3, j div 2)',
    holds: /keys, device\)/,
  },
  {
    name: 'one sample for all',
    items: 'i -> j when j in sample(5, 30, 9)',
    holds: /draw\(sample_1, 1, 1, 1, device\)/,
  },
  {
    name: 'a large sample',
    items: 'i -> j when j in sample(50, 70, 3, head, i)',
    shape: { queries: 70, keys: 70 },
  },
  {
    name: 'a large sample for all',
    items: 'i -> j when j - 3 in sample(40, 66, 3)',
    shape: { queries: 60, keys: 60 },
  },
  { name: 'counts and bounds of their own', items: 'i -> j when j in sample(i - 5, 3 * i - 20, 3, -i)' },
  { name: 'an empty sample', items: 'i -> j when j in sample(3, keys - 100, 3) or i == j' },
  {
    name: 'two samples alike',
    items: 'a: i -> j when j in sample(3, 9, 1, i)\nb: i -> j when i in sample(3, 9, 1, i)',
  },
  { name: 'a sample with lengths', items: 'i -> j when j in sample(4, keys, 3, i)', shape: lengths },
  {
    name: 'a sample of the key with lengths',
    items: 'i -> j when i in sample(4, keys, queries, j)',
    shape: lengths,
  },
  {
    name: 'a sample of a table',
    items: 'input t: int[keys]\ni -> j when t[j] in sample(4, 30, t[i])',
    tables: { t: wholeNumbers([40], 30, 3) },
  },
  {
    name: 'a graph as a list of edges',
    items: 'input e: edges\ni -> j when e[i, j]\nscore = dot(q, k) * scale + e.weight[i, j]',
    tables: coo,
  },
  {
    name: 'a graph for each batch and head',
    items:
      'input e: edges[batch, heads]\ni -> j when e[i, j] or i == j\nscore = dot(q, k) * scale + e.weight[i, j]',
    tables: byBoth,
    shape: { batch: 2 },
  },
  {
    name: 'a graph for each batch',
    items: 'input e: edges[batch]\ni -> j when e[j, i - 1]',
    tables: byBoth,
    shape: { batch: 2 },
  },
  {
    name: 'graphs in CSR that count on',
    items: 'input e: edges[batch, heads]\ni -> j when e[i, j]',
    tables: randomGraph('e', { rows: 40, columns: 40, degree: 4, graphs: [2, 2], empty: [1] }, 3),
    shape: { batch: 2 },
  },
  {
    name: 'an index that is a number',
    items:
      'input e: edges\ninput t: int[keys]\ni -> j when e[3, j] or e[i, keys - 9] or t[2] == j or t[keys - 1] == j',
    tables: { 'e.row': coo['e.row'], 'e.col': coo['e.col'], t: wholeNumbers([40], 39, 5) },
  },
  {
    name: 'a graph without an edge',
    items: 'input e: edges\ni -> j when e[i, j]\nscore = e.weight[i, j]',
    tables: {
      'e.row_ptr': { shape: [41], data: new Array<number>(41).fill(0) },
      'e.col_idx': { shape: [0], data: [] },
      'e.weight': { shape: [0], data: [] },
    },
  },
  {
    name: 'a table of queries',
    items: 'input t: int[batch, queries]\ni -> j when j <= t[batch, i]',
    tables: { t: wholeNumbers([2, 20], 40, 5) },
    shape: lengths,
    holds: /t\[b, i - base_of\(b\)\]/,
  },
  {
    name: 'a table of a table',
    items: 'input t: int[keys]\ni -> j when t[t[i]] == t[j + 1]',
    tables: { t: wholeNumbers([40], 60, 5) },
  },
  {
    name: 'a score of the raw product',
    items: 'i -> j when j <= i\nscore = tanh(dot(q, k)) / sqrt(3.0)',
    holds: /score_mod, block_mask, 1\.0, None, block_size/,
  },
  {
    name: 'a score with scale apart',
    items: 'i -> j when j <= i\nscore = dot(q, k) * scale + dot(q, k) * 0.1 * scale',
  },
  { name: 'a score without the product', items: 'i -> j when j <= i\nscore = 0.1 * (i - j)' },
  {
    name: 'a score that is a number',
    parameters: 'c: float = 0.25',
    items: 'i -> j when j <= i\nscore = c * 3.0 + log(c)',
    holds: /torch\.full_like/,
  },
  {
    name: 'a score that grows with the length',
    items: 'i -> j\nscore = dot(q, k) * scale * log(keys)',
    shape: lengths,
  },
  {
    name: 'a score and multiplicities',
    items:
      'overlaps add\na: i -> j when j <= i\nb: i -> j when j % 2 == 0\nscore = dot(q, k) * scale - 0.1 * abs(i - j)',
  },
  {
    name: 'a sink of the query',
    items: 'i -> j when j < i\nmix = softmax(sink: 0.1 * i + 0.01 * keys + head)',
    shape: lengths,
  },
  { name: 'a sink that is a number', parameters: 'c: float = 0.5', items: 'i -> j\nmix = softmax(sink: c)' },
  {
    name: 'every pair twice',
    items: 'overlaps add\na: i -> j\nb: i -> j\nc: i -> j when j == 3',
    holds: /mask_mod = within_lengths\(None, of\)/,
  },
  { name: 'no pair', items: 'i -> j when i - j == keys' },
  {
    name: 'parameters alone',
    parameters: 'both: bool = false, n: int = 4',
    items: 'a: i -> j when both\nb: i -> j when n > 3 and head == 1\nc: i -> j when keys > 39',
  },
  {
    name: 'more queries than keys',
    items: 'align start\ni -> j when abs(i - 2 * j) <= 1',
    shape: { queries: 50, keys: 20 },
  },
  {
    name: 'more queries, with lengths',
    items: 'align start\ninput t: int[keys]\ni -> j when t[i] == t[j]',
    tables: { t: wholeNumbers([20], 3, 5) },
    shape: { batch: 2, queries: 50, keys: 20, lengths: { queries: [50, 30], keys: [20, 11] } },
  },
  { name: 'a grid of one axis', items: 'tokens (x: ?)\ni -> j when abs(i.x - j.x) < x.size div 8' },
  {
    name: 'nested lists',
    items: 'overlaps add\ninclude inner\na: i -> j when j == i\nrestrict j <= i',
    holds: /part_1/,
  },
  {
    name: 'many rules',
    items: `overlaps add\nfor n in 0 ..< 30 { i -> j when (i - j) % (n + 2) == 0 }`,
    holds: /for rule in/,
  },
  { name: 'a long list', items: `i -> j when j in [${nth(300, (n) => String(3 * n), ', ')}]` },
  {
    name: 'a deep expression',
    items: `${nth(60, (n) => `let x${n + 1} = (${n === 0 ? 'i' : `x${n}`} + j) div 2 + ${n === 0 ? 'j' : `x${n}`} % 7`, '\n')}\ni -> j when x60 % 3 == 0`,
  },
  {
    name: 'deep numbers',
    parameters: 'p: int in 1 .. 9 = 3',
    items: `${nth(40, (n) => `let x${n + 1} = (${n === 0 ? 'p' : `x${n}`} + keys) % 97 + ${n === 0 ? 'p' : `x${n}`} % 7`, '\n')}\ni -> j when (i + x40) % 3 == 0`,
  },
  {
    name: 'ints past 32 bits at great lengths',
    items: 'i -> j when (i * i * 7 + j * j * j) % 5 == 0',
    holds: /INTEGER = torch\.int64/,
  },
  {
    name: 'odd names',
    parameters:
      'def: int = 3, torch: int = 2, mask: int = 1, b: int = 5, n1: int = 4, sum: int = 6, i_y: int = 2, position: int = 1',
    items:
      'input h: int[keys]\nlambda: i -> j when i - j == def or h[i] == torch\nmask_mod: i -> j when i - j == mask + b\nof: i -> j when i - j == n1 * sum\nNAME: i -> j when i - j == i_y - position',
    tables: { h: wholeNumbers([40], 5, 5) },
  },
];

const INNER =
  'pattern inner(p: int in 1 .. 9 = 3) {\n  overlaps merge\n  restrict i % 2 == 0\n  a: i -> j when j % 2 == 0\n  b: i -> j when j % p == 0\n}\n\n';

function caseOf({ name, items, parameters, tables = {}, shape = {}, holds }: Case): ModuleCase & {
  readonly holds: RegExp | undefined;
} {
  const text = `${INNER}pattern p${parameters ? `(${parameters})` : ''} {\n${items}\n}\n`;
  const { pattern, module } = exported(text, 'p');
  const full: ProblemShape = { batch: 1, heads: 2, queries: 40, keys: 40, ...shape };
  const made = allPairs({ name, module, pattern, shape: full, tables, parameters: defaultsOf(pattern) });
  return { ...made, holds };
}

withPython(`what no sample shows is as defined${note}`, (t) => {
  const cases = CASES.map(caseOf);
  for (const { name, text, holds } of cases) if (holds) t.true(holds.test(text), name);
  t.deepEqual(checkModules(cases), []);
});

/** Modules that refuse what they are given, in the words of a ValueError. */
const REFUSED: readonly {
  readonly items: string;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly fails: string;
}[] = [
  { items: 'input t: int[keys]\ni -> j when t[i] == j', asked: {}, fails: "p: the input 't' is missing" },
  {
    items: 'input t: int[heads, keys]\ni -> j when t[head, i] == j',
    asked: { inputs: { t: { shape: [8], data: [0, 0, 0, 0, 0, 0, 0, 0] } } },
    fails: "p: 't' must have shape [2, 8], not [8]",
  },
  {
    items: 'i -> j when j <= i',
    asked: { shape: [1, 2, 9, 8] },
    fails: 'p: more queries than keys; only patterns with `align start` take them',
  },
  {
    items: 'i -> j when j <= i',
    asked: { parameters: { w: 3 } },
    fails: "p: there is no parameter 'w'; there are s, n",
  },
  { items: 'i -> j when j % s == 0', asked: { parameters: { s: 0 } }, fails: "p: 's' is 0, outside 1 .. 9" },
  {
    items: 'i -> j when j % s == 0',
    asked: { parameters: { s: 1.5 } },
    fails: "p: 's' must be a whole number, not 1.5",
  },
  { items: 'i -> j when j % n == 0', asked: { parameters: { n: 0 } }, fails: 'p: a divisor is below 1' },
  {
    items: 'i -> j when j in [LIST]',
    asked: { parameters: { l: 0 } },
    fails: "p: 'l' is fixed in this module; export it with --set l=...",
  },
  {
    items: 'tokens (y: ?, x: 3)\ni -> j when i.x == j.x',
    asked: {},
    fails: "p: 8 keys don't fill a grid of 2 x 3",
  },
  {
    items: 'input e: edges\ni -> j when e[i, j]',
    asked: {},
    fails: "p: the graph 'e' takes e.row_ptr and e.col_idx, or .row and .col",
  },
  { items: 'i -> j', asked: { lengths: { keys: [9] } }, fails: 'p: lengths lie outside of q or k' },
  {
    items: 'i -> j',
    asked: { lengths: { keys: [7, 7] } },
    fails: 'p: lengths must hold 1 numbers, one for each sequence',
  },
];

withPython(`modules refuse what does not fit${note}`, (t) => {
  const cases = REFUSED.map(({ items, asked, fails }): ModuleCase => {
    const list = items.includes('LIST') ? ', l: int[] = [1, 2]' : '';
    const text = `pattern p(s: int in 1 .. 9 = 2, n: int = 1${list}) {\n${items.replace('[LIST]', 'l')}\n}\n`;
    const { module } = exported(text);
    return { name: fails, text: module, asked: { shape: [1, 2, 8, 8], dim: 16, ...asked, fails } };
  });
  t.deepEqual(checkModules(cases), []);
});

/** Modules kept whole, to be read: UPDATE_EXPORTS=1 rewrites them. */
const GOLDENS = {
  'test/export/goldens/window.py': `/// A causal window.
pattern window(
  /// Keys in all.
  reach: int in 1 .. 4096 = 64,
) {
  i -> j when 0 <= i - j < reach
}
`,
  'test/export/goldens/branches.py': `/// Two branches that add up, a bias on the edges of a graph, a sink.
pattern branches(w: int[] = [16, 64], r: int[] = [1, 4]) {
  overlaps add
  input bonds: edges
  input sinks: float[heads]
  restrict j <= i
  for (segment, rate) in zip(w, r) {
    branch: i -> j when i div segment == j div segment and i % rate == head % rate and j % rate == head % rate
  }
  random: i -> j when j div 16 in sample(2, keys div 16, 0, head, i div 16)
  score = dot(q, k) * scale + bonds.weight[i, j]
  mix = softmax(sink: sinks[head])
}
`,
};

for (const [file, text] of Object.entries(GOLDENS)) {
  test(`${file} is what is printed (UPDATE_EXPORTS=1 rewrites it)`, (t) => {
    const { module } = exported(text);
    if (process.env.UPDATE_EXPORTS) {
      mkdirSync('test/export/goldens', { recursive: true });
      writeFileSync(file, module);
    }
    t.is(module, readFileSync(file, 'utf8'));
  });
}
