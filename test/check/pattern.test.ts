import test from 'ava';
import { rulesOf } from '../../compiler/ir/edges.js';
import { some } from '../../compiler/ir/expr.js';
import { check, codesOf, lowered } from './harness.js';

const labels = (text: string): string[] => rulesOf(lowered(text, { pattern: 'p' }).edges).map((r) => r.label);

test('parameters that shape the program are fixed, through lets and includes too', (t) => {
  const { parameters } = lowered(
    `pattern inner(times: int = 1, width: int = 1) { for n in 0 ..< times { i -> j when i - j == n * width } }
     pattern p(a: int = 2, b: int = 3, c: int = 4, d: int = 5, e: int = 6, w: int[] = [7, 8], s: float = 1, f: bool = false) {
       input table: float[2 * a + 1]
       tokens (y: ?, x: b)
       let twice = 2 * c
       include inner(twice, d)
       i -> j when j in [e] or j in w or table[i.x] > s or f
     }`,
    { pattern: 'p' },
  );
  const fixed = parameters.filter((p) => p.fixed).map((p) => p.name);
  t.deepEqual(fixed, ['a', 'b', 'c', 'e', 'w']);
  t.deepEqual(
    parameters.filter((p) => !p.fixed).map((p) => [p.name, p.type, p.value]),
    [
      ['d', 'int', 5],
      ['s', 'float', 1],
      ['f', 'bool', 0],
    ],
  );
});

test('a fixed parameter is folded, a dynamic one stays', (t) => {
  const { edges } = lowered(
    'pattern p(n: int = 3, w: int = 4) { for x in 0 ..< n { i -> j when j < n + w } }',
  );
  for (const { when } of rulesOf(edges)) {
    t.false(some(when, (e) => e.op === 'param' && e.name === 'n'));
    t.true(some(when, (e) => e.op === 'param' && e.name === 'w'));
  }
});

test('settings take the place of defaults', (t) => {
  const text = `/// About p.
    pattern p(
      /// How far.
      w: int in 1 .. 64 = 3, l: int[] = [1], on: bool = true, f: float = 1) {
      i -> j when j < w and (i in l or on) and j < f
    }`;
  const pattern = lowered(text, { set: { w: 64, l: [2, 3], on: false, f: 2 } });
  t.is(pattern.doc, 'About p.');
  t.deepEqual(
    pattern.parameters.map((p) => p.value),
    [64, [2, 3], 0, 2],
  );
  t.deepEqual(pattern.parameters[0].range, { lo: 1, hi: 64 });
  t.is(pattern.parameters[0].doc, 'How far.');
});

for (const [set, code, help] of [
  [{ wimdow: 3 }, '2042', 'did you mean `window`?'],
  [{ zebra: 3 }, '2042', 'its parameters are window, l, on, f'],
  [{ window: 2.5 }, '2043', undefined],
  [{ window: true }, '2043', undefined],
  [{ window: [1] }, '2043', undefined],
  [{ window: NaN }, '2043', undefined],
  [{ window: 65 }, '2040', 'the range is 1 .. 64'],
  [{ window: 2 ** 31 }, '2031', undefined],
  [{ l: 3 }, '2043', 'a list is written `l=[1,2,3]`'],
  [{ l: [1.5] }, '2043', 'a list is written `l=[1,2,3]`'],
  [{ on: 1 }, '2043', undefined],
  [{ f: false }, '2043', undefined],
] as const) {
  test(`bad setting ${JSON.stringify(set)}`, (t) => {
    const text =
      'pattern p(window: int in 1 .. 64 = 3, l: int[] = [1], on: bool = true, f: float = 1) { i -> j when j < window and (i in l or on) and j < f }';
    const checked = check(text, { set });
    t.is(codesOf(checked), code);
    t.is(checked.diagnostics[0].span, undefined);
    t.is(checked.diagnostics[0].help, help);
    t.is(checked.pattern, undefined);
  });
}

test('which pattern is lowered', (t) => {
  const text = 'pattern a { i -> j } pattern test { i -> j } pattern b { i -> j }';
  t.is(lowered(text).name, 'test');
  t.is(lowered(text, { pattern: 'a' }).name, 'a');
  t.is(lowered('pattern a { i -> j } pattern b { i -> j }').name, 'b');
  t.deepEqual(check(text).patterns, ['a', 'test', 'b']);
  const unknown = check(text, { pattern: 'tset' });
  t.is(codesOf(unknown), '2044');
  t.is(unknown.diagnostics[0].help, 'did you mean `test`?');
  t.is(codesOf(check('// nothing')), '2044');
});

test('labels are unique and say where a rule stands', (t) => {
  t.deepEqual(
    labels(`pattern inner { near: i -> j when i == j  i -> j when j == 0 }
      pattern p {
        i -> j when j == 1
        a: i -> j when j == 2
        block: { i -> j when j == 3  b: i -> j when j == 4 }
        { c: i -> j when j == 5 }
        for x in [1, 2] { for y in [3, 4] { d: i -> j when j == x * y } i -> j when j == x }
        include inner
        include inner
        other: include inner
        for z in [1, 2] { loop: include inner }
      }`),
    [
      'rule1',
      'a',
      'block.rule3',
      'block.b',
      'c',
      'd[0][0]',
      'd[0][1]',
      'rule7[0]',
      'd[1][0]',
      'd[1][1]',
      'rule7[1]',
      'inner.near',
      'inner.rule2',
      'inner_2.near',
      'inner_2.rule2',
      'other.near',
      'other.rule2',
      'loop.near[0]',
      'loop.rule2[0]',
      'loop.near[1]',
      'loop.rule2[1]',
    ],
  );
  t.deepEqual(labels('pattern p { rule2: i -> j when j == 0 i -> j when j == 1 }'), ['rule2', 'rule2_2']);
});

test("a rule's origin is its text on one line", (t) => {
  const text = 'pattern p {\n  a: i -> j\n    // far\n    when j <= i /* or so */\n}';
  const [{ origin }] = rulesOf(lowered(text).edges);
  t.is(origin.text, 'a: i -> j when j <= i');
  t.is(text.slice(origin.start, origin.end).startsWith('a: i -> j'), true);
});

test('inputs of a pattern and of what it includes are merged', (t) => {
  const pattern = lowered(
    `pattern docs { input doc: int[keys] input extra: bool[heads, 3] i -> j when doc[i] == doc[j] and extra[head, 0] }
     pattern p {
       /// Where each token belongs.
       input doc: int[tokens]
       input bonds: edges[batch, heads]
       include docs
       i -> j when bonds[i, j]
       score = dot(q, k) + bonds.weight[i, j]
     }`,
    { pattern: 'p' },
  );
  t.deepEqual(
    pattern.inputs.map((x) => [x.name, x.type, x.axes.map((a) => a.kind).join(), x.weighted, x.doc]),
    [
      ['doc', 'int', 'keys', false, 'Where each token belongs.'],
      ['bonds', 'edges', 'batch,heads', true, undefined],
      ['extra', 'bool', 'heads,size', false, undefined],
    ],
  );
});

test('score, sink, grid and alignment', (t) => {
  const grid = 'pattern image(w: int = 4) { tokens (y: ?, x: w) i -> j when i.y == j.y and x.size > 3 }';
  const pattern = lowered(
    `${grid} pattern p { align start include image(8) input s: float[heads] mix = softmax(sink: s[head]) score = 2 }`,
    { pattern: 'p' },
  );
  t.deepEqual(
    pattern.grid?.map((a) => [a.name, a.size?.op === 'const' ? a.size.value : a.size]),
    [
      ['y', undefined],
      ['x', 8],
    ],
  );
  t.is(pattern.align, 'start');
  t.is(pattern.score?.type, 'float');
  t.is(pattern.mix.kind === 'softmax' ? pattern.mix.sink?.op : '', 'table');
  t.is(lowered('pattern p { i -> j }').score, undefined);
});

test('what binding must check: dynamic divisors, and integers that may leave 32 bits', (t) => {
  const { checks } = lowered(
    `pattern p(a: int = 2, b: int = 3, n: int = 4) {
       for x in 0 ..< n { i -> j when (i * i + j) div a == x and i % 8 == 0 }
       i -> j in 0 .. i step b
       score = dot(q, k) - abs(i - j) * 3
     }`,
  );
  const divisors = checks.filter((c) => c.kind === 'divisor');
  t.deepEqual(
    divisors.map((c) => [c.expr.op === 'param' ? c.expr.name : '?', c.lo, c.hi, c.origin.text]),
    [
      ['a', 1, 2 ** 31 - 1, '(i * i + j) div a'],
      ['b', 1, 2 ** 31 - 1, '0 .. i step b'],
    ],
  );
  const ints = checks.filter((c) => c.kind === 'int32');
  t.deepEqual(
    ints.map((c) => c.origin.text),
    ['i * i', '(i * i + j)', 'i - j', 'abs(i - j) * 3'],
  );
  for (const c of ints) t.deepEqual([c.lo, c.hi], [-(2 ** 31), 2 ** 31 - 1]);
});

test('an included input and a parameter of one name are told apart by an error', (t) => {
  const text =
    'pattern a { input x: int[keys] i -> j when x[j] == 0 } pattern p(x: int = 1) { include a i -> j when j == x }';
  t.is(codesOf(check(text, { pattern: 'p' })), '2054');
});

test('imports: once each, however they are reached', (t) => {
  const files = {
    'a.attn': 'import "c.attn" pattern a { include c }',
    'b.attn': 'import "c.attn" pattern b { include c }',
    'c.attn': 'pattern c { i -> j when j <= i }',
  };
  const text = 'import "a.attn" import "b.attn" pattern p { include a include b include c }';
  const checked = check(text, {}, files);
  t.is(codesOf(checked), '');
  t.deepEqual([...checked.sources.keys()].sort(), ['a.attn', 'b.attn', 'c.attn', 'test.attn']);
  t.deepEqual(checked.patterns, ['p']);
  t.deepEqual(
    rulesOf(checked.pattern!.edges).map((r) => r.label),
    ['a.c.rule1', 'b.c.rule1', 'c.rule1'],
  );
});

test('errors of imported files are reported with their file', (t) => {
  const files = { 'a.attn': 'pattern a { i -> j when x }', 'b.attn': 'pattern b { i -> }' };
  const checked = check(
    'import "a.attn" import "b.attn" pattern p { include a include b include c i -> j when y }',
    {},
    files,
  );
  const places = checked.diagnostics.map((d) => `${d.span?.file} ${d.code}`);
  t.true(places[0].startsWith('b.attn ATTN1'), places[0]);
  t.deepEqual(places.slice(-2), ['test.attn ATTN2001', 'a.attn ATTN2001']);
  t.false(places.includes('test.attn ATTN2003'), 'the pattern may have been in the broken file');
});
