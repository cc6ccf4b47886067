import test from 'ava';
import { LENGTHS, QUERY_KEY_PAIRS, SAMPLES } from '../shapes.js';
import { asked, EXPECTED, EXPECTED_SCORES, EXPECTED_SINKS, type Asked } from './expected.js';
import { compilePattern, type Interpreted, type Shape, type Tables } from './interpret.js';
import { loadFiles, parseText } from './load.js';

for (const { file, pattern, settings, tables, heads, moreQueries } of SAMPLES) {
  test(`${pattern} is the pattern of the conformance list`, (t) => {
    const files = loadFiles(file);
    let edges = 0;
    for (const { set, lengths } of settings) {
      for (const [queries, keys] of sizes(lengths, moreQueries)) {
        const shape: Shape = { batch: 2, heads: Math.max(heads, 3), queries, keys, dim: 16 };
        const bound = tables(shape, keys, set);
        const it = compilePattern(files, pattern, { set, tables: bound, shape });
        t.is(it.base(0), moreQueries ? 0 : keys - queries);
        const compared = compare(it, pattern, shape, {
          ...asked(set, bound, keys, shape.heads),
          b: 0,
          h: 0,
          i: 0,
          j: 0,
        });
        if (typeof compared === 'string') {
          t.fail(`${JSON.stringify(set)}, ${queries} × ${keys}: ${compared}`);
          return;
        }
        edges += compared;
      }
    }
    t.true(edges > 0);
  });
}

/** [queries, keys] for a setting. Grids need whole rows of keys: their own lengths serve. */
function sizes(lengths: readonly number[], moreQueries: boolean): readonly (readonly [number, number])[] {
  if (lengths !== LENGTHS)
    return lengths.flatMap((n) =>
      n > 203
        ? []
        : ([
            [n, n],
            [Math.ceil(n / 3), n],
          ] as const),
    );
  const crossed = moreQueries ? QUERY_KEY_PAIRS.map(([q, k]) => [k, q] as const) : [];
  return [...[1, 2, 65, 127].map((n) => [n, n] as const), ...QUERY_KEY_PAIRS, ...crossed];
}

/** The number of edges, or what was found where interpreter and formula differ. `a` is overwritten. */
function compare(
  it: Interpreted,
  pattern: string,
  shape: Shape,
  a: { -readonly [Field in keyof Asked]: Asked[Field] },
): number | string {
  const expected = EXPECTED[pattern];
  const expectedScore = EXPECTED_SCORES[pattern] ?? ((_: Asked, x: number) => x);
  let edges = 0;
  for (a.b = 0; a.b < shape.batch; a.b++) {
    for (a.h = 0; a.h < shape.heads; a.h++) {
      for (a.i = it.base(a.b); a.i < it.base(a.b) + shape.queries; a.i++) {
        for (a.j = 0; a.j < shape.keys; a.j++) {
          const { b, h, i, j } = a;
          const found = it.multiplicity(b, h, i, j);
          const wanted = Number(expected(a));
          if (found !== wanted) return `m(${b}, ${h}, ${i}, ${j}) = ${found}, not ${wanted}`;
          if (found === 0) continue;
          edges += found;
          const dot = ((i * 7 + j * 3) % 11) - 5;
          const score = expectedScore(a, dot / 4);
          const own = it.score(b, h, i, j, dot);
          if (!(Math.abs(own - score) <= 1e-12 * Math.max(1, Math.abs(score)))) {
            return `score(${b}, ${h}, ${i}, ${j}) = ${own}, not ${score}`;
          }
        }
        const [sink, wanted] = [it.sink?.(a.b, a.h, a.i), EXPECTED_SINKS[pattern]?.(a)];
        if (sink !== wanted) return `sink(${a.b}, ${a.h}, ${a.i}) = ${sink}, not ${wanted}`;
      }
    }
  }
  return edges;
}

/** m of every pair of an N × N problem with one head, a row of the matrix a text. */
function matrix(text: string, n: number, tables: Tables = {}, name = 'p'): readonly string[] {
  const it = compilePattern([parseText(text)], name, {
    tables,
    shape: { batch: 1, heads: 1, queries: n, keys: n },
  });
  return Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => it.multiplicity(0, 0, i, j)).join(''),
  );
}

const constructs: readonly (readonly [
  name: string,
  text: string,
  rows: readonly string[],
  tables?: Tables,
])[] = [
  [
    'a range with its end, one without, a step',
    'pattern p { i -> j in i - 3 .. i step 3 i -> j in i + 1 ..< i + 2 }',
    ['1100', '0110', '0011', '1001'],
  ],
  [
    'floored div and %',
    'pattern p { i -> j when (i - 2) div 2 == -1 and (j - 3) % 2 == 0 }',
    ['0101', '0101', '0000', '0000'],
  ],
  ['chained comparisons', 'pattern p { i -> j when 0 <= i - j < 2 }', ['1000', '1100', '0110', '0011']],
  ['merge counts once', 'pattern p { i -> j when j == 0 i -> j when i == 0 }', ['111', '100', '100']],
  [
    'add counts each rule',
    'pattern p { overlaps add i -> j when j == 0 i -> j when i == 0 }',
    ['211', '100', '100'],
  ],
  [
    'restrict wherever it stands',
    'pattern p { i -> j restrict j <= i restrict j > 0 }',
    ['000', '010', '011'],
  ],
  [
    'lets see those before them',
    'pattern p { let a = 1 let b = a + 1 x: { let c = b - 1 i -> j when i - j == c } }',
    ['000', '100', '010'],
  ],
  [
    'an include keeps its own overlaps',
    'pattern p { overlaps add include q include q(2) } pattern q(d: int = 1) { i -> j when j == d i -> j when i == d }',
    ['011', '112', '121'].map((r) => r),
  ],
  [
    'for over a list, a range and a zip',
    'pattern p { overlaps add for x in [0, 2] { i -> j when j == x } for n in 0 ..< 2 { i -> j when i == n } for (a, b) in zip([1], [2]) { i -> j when i == a and j == b } }',
    ['212', '213', '101'],
  ],
  [
    'a list as a parameter, and its entries',
    'pattern p(l: int[] = [2, 0]) { i -> j when j in l and i == l[0] }',
    ['000', '000', '101'],
  ],
  [
    'tables read 0 outside',
    'pattern p { input t: int[keys] i -> j when t[i - 1] == j }',
    ['100', '010', '100'],
    { t: { shape: [3], data: [1, 0, 2] } },
  ],
  [
    'a table by query row',
    'pattern p { align start input t: bool[queries] i -> j when t[i] }',
    ['000', '111', '000'],
    { t: { shape: [3], data: [0, 1, 0] } },
  ],
  [
    'float32 in conditions',
    'pattern p { i -> j when 0.1 + 0.2 == 0.3 i -> j when i * 1.0 < j / 2 }',
    ['111', '111', '111'],
  ],
  [
    'float32 leaves small parts out',
    'pattern p { i -> j when 16777216.0 + i == 16777216.0 }',
    ['111', '111', '000'],
  ], // 2^24 + 1 rounds to even
  [
    'bits',
    'pattern p { i -> j when shl(i, 1) == bitor(j, 2) and shr(-1, 3) == -1 and popcount(-1) == 32 }',
    ['0000', '1010', '0000', '0000'],
  ],
  [
    'if, min, max and clamp',
    'pattern p { i -> j when if(i > 1, min(i, j), max(i, j)) == clamp(j, 1, 2) }',
    ['011', '111', '011'],
  ],
  [
    'sample of nothing',
    'pattern p { i -> j when j in sample(3, i - 5, 0) i -> j when j in sample(0, 4, 0) }',
    ['000', '000', '000'],
  ],
  ['sample of all', 'pattern p { i -> j when j in sample(9, i, 0, i) }', ['000', '100', '110']],
];

for (const [name, text, rows, tables] of constructs) {
  test(name, (t) => t.deepEqual(matrix(text, rows.length, tables), rows));
}

test('lengths that differ within a batch', (t) => {
  const lengths = [
    { queries: 2, keys: 4 },
    { queries: 3, keys: 3 },
  ];
  const shape = { batch: 2, heads: 1, queries: 3, keys: 4, lengths };
  const it = compilePattern([parseText('pattern p { i -> j when i - j == keys - 3 }')], 'p', { shape });
  const edges = [0, 1].map((b) =>
    [0, 1, 2, 3].flatMap((i) =>
      [0, 1, 2, 3].filter((j) => it.multiplicity(b, 0, i, j) > 0).map((j) => `${i}${j}`),
    ),
  );
  t.deepEqual([it.base(0), it.base(1)], [2, 0]);
  // keys = 4: i - j = 1, only queries 2 and 3; keys = 3: the diagonal.
  t.deepEqual(edges, [
    ['21', '32'],
    ['00', '11', '22'],
  ]);
});
