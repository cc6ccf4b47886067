// Which tiling runs: the rules on facts, the facts of patterns, and what the adapter offers.

import test from 'ava';
import { compile } from '../../compiler/index.js';
import type { Program, Variant } from '../../compiler/ir/program.js';
import { bind } from '../../runtime/bind.js';
import { unlikeLaunches } from '../../runtime/launches.js';
import { chooseTiling, tileRows, tilingFacts, tilingLabel } from '../../runtime/choose-tiling.js';

const compiled = (text: string, set: Record<string, number> = {}): Program => {
  const { program } = compile({ file: 'test.attn', text }, { dim: 64, set });
  if (program === undefined) throw new Error(text);
  return program;
};

const WINDOW = 'pattern p { i -> j when abs(i - j) <= 256 }';
const DENSE = compiled('pattern p { i -> j when j >= 0 }');

/** The matrix variants with matrices of 16 x 16 x 16, in the program's order. */
const matrix = compiled(WINDOW).variants.filter((v) => v.matrix?.m === 16 && v.matrix.n === 16);

test('the variants that there is a choice of, told apart by their labels', (t) => {
  t.true(matrix.some((v) => tileRows(v) === 128) && matrix.some((v) => tileRows(v) === 64));
  for (const schedule of DENSE.schedules.keys()) {
    const labels = DENSE.variants
      .filter((v) => v.schedule === schedule)
      .map((v) => `${v.family} ${v.matrix?.lanes} ${tilingLabel(v)}`);
    t.is(new Set(labels).size, labels.length, labels.join('\n'));
  }
});

const facts = (queryTiles: number, keyTiles: number, growth = 1) => ({ queryTiles, keyTiles, growth });

const RULES: readonly (readonly [
  name: string,
  facts: ReturnType<typeof facts> | undefined,
  rows: number,
  subgroups: number,
])[] = [
  ['dense, 16384 x 16 heads', facts(4096, 256), 128, 4],
  ['32 key tiles', facts(4096, 32), 128, 4],
  ['a window of 17 key tiles', facts(4096, 17, 1.1), 128, 4],
  ['a window of 9 key tiles, by subgroups', facts(8192, 9, 1.1), 128, 8],
  ['a window of 3 key tiles, by subgroups', facts(8192, 3, 1.5), 64, 4],
  ['many key tiles, others for each query tile', facts(8192, 64, 1.9), 64, 4],
  ['few workgroups', facts(1022, 256), 64, 4],
  ['enough workgroups', facts(1024, 256), 128, 4],
  ['nothing known: the first', undefined, 128, 4],
];

for (const [name, given, rows, subgroups] of RULES) {
  test(`rule: ${name}`, (t) => {
    const chosen = chooseTiling(matrix, () => given);
    t.is(tileRows(chosen), rows);
    // Of those with the same rows and subgroups the first.
    const alike = matrix.filter((v) =>
      v.tiling?.includes(`${rows} queries x 32 keys, ${subgroups} subgroups`),
    );
    t.true(alike.length > 0);
    t.is(chosen, alike[0]);
  });
}

test('tiles whose subgroups all visit the same keys are large only where rows are long', (t) => {
  const alike = matrix.map((v): Variant => ({ ...v, kernels: v.kernels.map(({ apart: _, ...k }) => k) }));
  t.is(tileRows(chooseTiling(alike, () => facts(8192, 9, 1.1))), 64);
  t.is(tileRows(chooseTiling(alike, () => facts(8192, 32, 1.1))), 128);
});

test('nothing is counted where there is no choice, and what is missing is made do without', (t) => {
  const never = (): never => t.fail() as never;
  const narrow = matrix.filter((v) => tileRows(v) === 64);
  const wide = matrix.filter((v) => tileRows(v) === 128);
  t.is(chooseTiling(narrow, never), narrow[0]);
  t.is(chooseTiling(wide, never), wide[0]);
  const at = (rows: number): Variant => ({
    ...wide[0],
    kernels: wide[0].kernels.map((k) => (k.role === 'tiles' ? { ...k, rows } : k)),
  });
  const large = [at(128), at(256)];
  t.is(
    chooseTiling(large, () => facts(4096, 9)),
    large[0],
  );
  t.is(
    chooseTiling(large, () => facts(4096, 256)),
    large[0],
  );
});

const PATTERNS: readonly {
  readonly name: string;
  readonly program: Program;
  readonly length: number;
  readonly heads: number;
  /** Key tiles of 64 that a tile of 64 queries visits. */
  readonly keyTiles: readonly [least: number, most: number];
  readonly growth: readonly [least: number, most: number];
  readonly rows: number;
}[] = [
  {
    name: 'dense',
    program: DENSE,
    length: 16384,
    heads: 16,
    keyTiles: [256, 256],
    growth: [1, 1],
    rows: 128,
  },
  {
    name: 'dense, small',
    program: DENSE,
    length: 2048,
    heads: 4,
    keyTiles: [32, 32],
    growth: [1, 1],
    rows: 64,
  },
  {
    name: 'causal',
    program: compiled('pattern p { i -> j when j <= i }'),
    length: 16384,
    heads: 16,
    // (1 + 256) / 2
    keyTiles: [100, 160],
    growth: [0.9, 1.1],
    rows: 128,
  },
  {
    name: 'window',
    program: compiled(WINDOW),
    length: 65536,
    heads: 8,
    keyTiles: [7, 9],
    growth: [1.05, 1.2],
    rows: 128,
  },
  {
    name: 'dilated',
    program: compiled('pattern p { i -> j when abs(i - j) <= 2048 and (i - j) % 16 == 0 }'),
    length: 65536,
    heads: 8,
    keyTiles: [3, 5],
    growth: [1, 1.5],
    rows: 128,
  },
];

for (const { name, program, length, heads, keyTiles, growth, rows } of PATTERNS) {
  test(`facts: ${name}`, (t) => {
    const shape = [1, heads, length, 64];
    const { binding, inputs } = bind(program, { q: shape, k: shape, v: shape }, {});
    const [schedule] = program.schedules;
    const found = tilingFacts(schedule, binding.shape, inputs.host);
    if (found === undefined) return t.fail();
    t.is(found.queryTiles, (length / 64) * heads);
    t.true(keyTiles[0] <= found.keyTiles && found.keyTiles <= keyTiles[1], JSON.stringify(found));
    t.true(growth[0] <= found.growth && found.growth <= growth[1], JSON.stringify(found));
    const variants = program.variants.filter((v) => v.schedule === 0 && v.matrix?.m === 16);
    t.is(tileRows(chooseTiling(variants, () => found)), rows);
    // Kept: asking again costs nothing.
    t.is(tilingFacts(schedule, binding.shape, inputs.host), found);
    const shorter = { ...binding.shape, keys: [length / 2] };
    t.not(tilingFacts(schedule, shorter, inputs.host), found);
  });
}

test('segments of 2048 keys are long rows, wherever the sequence ends', (t) => {
  const program = compiled(`
    pattern p {
      overlaps add
      for (w, r) in zip([2048, 8192, 32768, 131072, 1048576], [1, 4, 16, 64, 512]) {
        branch: i -> j when i div w == j div w and i % w % r == 0 and j % w % r == 0
      }
    }`);
  const index = program.schedules.findIndex((s) => s.name === 'own');
  t.true(index >= 0);
  const variants = program.variants.filter((v) => v.schedule === index && v.matrix?.m === 16);
  for (const length of [1_000_000, 6_291_456, 14_500_000, 160_000_000]) {
    const shape = [1, 1, length, 64];
    const { binding, inputs } = bind(program, { q: shape, k: shape, v: shape }, {});
    const found = tilingFacts(program.schedules[index], binding.shape, inputs.host);
    if (found === undefined) return t.fail();
    t.log(length, found);
    t.regex(chooseTiling(variants, () => found).tiling ?? '', /^128 queries x 32 keys, 4 subgroups/);
  }
});

test('kernels that take a part of the keys have tiles of 64 rows, and all that go with them too', (t) => {
  const program = compiled('pattern p { i -> j when abs(i - j) <= 256 or i < 100 }');
  let found = 0;
  for (const variant of program.variants.filter((v) => v.matrix?.m === 16)) {
    const { passes } = program.schedules[variant.schedule];
    passes.forEach((pass, n) => {
      if (pass.kind !== 'tiles' || pass.complete) return;
      const own = variant.kernels.filter((k) => k.pass === n && /^(decode|decode_again|merge)$/.test(k.role));
      t.deepEqual([...new Set(own.map((k) => k.rows))], [64], `${variant.tiling}`);
      found += own.length;
    });
  }
  t.true(found > 0);
});

test('what would run the same kernels is measured once', (t) => {
  const shapes = (queries: number) => ({ q: [1, 8, queries, 64], k: [1, 8, 8192, 64], v: [1, 8, 8192, 64] });
  // Kernels for subgroups of another size are left out, as for a device.
  const there = DENSE.variants
    .filter((v) => v.matrix === undefined || v.matrix.m === 16)
    .map((v) => ({ ...v, kernels: v.kernels.filter((k) => (k.subgroups?.least ?? 8) === 8) }));
  const left = (queries: number) => {
    const { q, k, v } = shapes(queries);
    return unlikeLaunches(there, bind(DENSE, { q, k, v }, {})).map(({ family }) => family);
  };
  // Whole tiles: every tiling has kernels of its own.
  t.is(left(8192).length, there.length);
  // Decoding: matrix kernels don't pay for few rows, so all tilings have those for subgroups.
  t.true(there.length > 6);
  t.deepEqual(left(1), ['portable', 'subgroup']);
});
