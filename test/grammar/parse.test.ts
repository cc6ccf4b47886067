import test from 'ava';
import { parse, type ExprAst, type ItemAst } from '../../grammar/index.js';
import { correctTexts } from './corpus.js';

function items(text: string): readonly ItemAst[] {
  const { ast, diagnostics } = parse({ file: 'x.attn', text: `pattern p { ${text} }` });
  if (diagnostics.length > 0) throw new Error(`${text}: ${diagnostics.map((d) => d.message).join('; ')}`);
  return ast.patterns[0]!.items;
}

function expression(text: string): ExprAst {
  const [item] = items(`let x = ${text}`);
  if (item?.kind !== 'let') throw new Error(`${text}: no expression`);
  return item.value;
}

/** With every parenthesis. */
function show(e: ExprAst): string {
  switch (e.kind) {
    case 'int':
    case 'float':
      return `${e.value}`;
    case 'bool':
      return `${e.value}`;
    case 'name':
      return e.text;
    case 'list':
      return `[${e.items.map(show).join(' ')}]`;
    case 'member':
      return `${show(e.object)}.${e.member.text}`;
    case 'index':
      return `${show(e.object)}[${e.indices.map(show).join(' ')}]`;
    case 'call': {
      const args = e.args.map((arg) => (arg.name === undefined ? '' : `${arg.name.text}:`) + show(arg.value));
      return `${e.name.text}(${args.join(' ')})`;
    }
    case 'unary':
      return `(${e.op} ${show(e.value)})`;
    case 'binary':
      return `(${show(e.left)} ${e.op} ${show(e.right)})`;
    case 'compare':
      return `(${e.operands.map((operand, k) => (k === 0 ? '' : `${e.operators[k - 1]} `) + show(operand)).join(' ')})`;
    case 'in':
      return `(${show(e.value)} in ${show(e.set)})`;
  }
}

const expressions: readonly (readonly [text: string, meaning: string])[] = [
  ['a or b and c', '(a or (b and c))'],
  ['a and b or c and d', '((a and b) or (c and d))'],
  ['not a and b', '((not a) and b)'],
  ['not a == b', '(not (a == b))'],
  ['a and not b or c', '((a and (not b)) or c)'],
  ['not not a', '(not (not a))'],
  ['0 <= i - j < n', '(0 <= (i - j) < n)'],
  ['a < b == c', '(a < b == c)'],
  ['(a < b) == c', '((a < b) == c)'],
  ['a + b - c', '((a + b) - c)'],
  ['a - (b - c)', '(a - (b - c))'],
  ['a + b * c div d % e', '(a + (((b * c) div d) % e))'],
  ['-a * b', '((- a) * b)'],
  ['a * -b', '(a * (- b))'],
  ['a - -b', '(a - (- b))'],
  ['-a ** 2', '(- (a ** 2))'],
  ['a ** b ** c', '(a ** (b ** c))'],
  ['a ** -b * c', '((a ** (- b)) * c)'],
  ['2 ** -a ** b', '(2 ** (- (a ** b)))'],
  ['-a.b[c] + 1', '((- a.b[c]) + 1)'],
  ['x in [3, 5, 8,]', '(x in [3 5 8])'],
  ['not x in []', '(not (x in []))'],
  ['i + 1 in s and j in sample(3, keys, 1, head)', '(((i + 1) in s) and (j in sample(3 keys 1 head)))'],
  ['f()', 'f()'],
  ['f(1, window: 3,)', 'f(1 window:3)'],
  ['graph.weight[a, b].c[0]', 'graph.weight[a b].c[0]'],
  ['[1, 2][0]', '[1 2][0]'],
  ['f(x)[0].y', 'f(x)[0].y'],
  ['if(a < b, a, b)', 'if((a < b) a b)'],
  ['true or false', '(true or false)'],
  ['truest or notable', '(truest or notable)'],
  ['0x1F + 1_000', '(31 + 1000)'],
  ['1.5 + 1e-3 + 2E+2 + 1_0.2_5', '(((1.5 + 0.001) + 200) + 10.25)'],
  ['1e3', '1000'],
  ['9007199254740991', '9007199254740991'],
  // Words with a meaning in one place are names in others.
  [
    'tokens + i + sample + softmax + merge + add + end + int + keys',
    '((((((((tokens + i) + sample) + softmax) + merge) + add) + end) + int) + keys)',
  ],
];

for (const [text, meaning] of expressions) {
  test(`expression: ${text}`, (t) => {
    t.is(show(expression(text)), meaning);
  });
}

test('an integer and a float are told apart', (t) => {
  t.is(expression('1000').kind, 'int');
  t.is(expression('1e3').kind, 'float');
  t.is(expression('1.0').kind, 'float');
});

test('`0..4` is a range of integers', (t) => {
  const [rule] = items('i -> j in 0..4');
  if (rule?.kind !== 'rule' || rule.range === undefined) return t.fail();
  t.like(rule.range, { from: { value: 0 }, to: { value: 4 }, inclusive: true, step: undefined });
});

test('a rule has a label, a range, a step and a condition, each if it wants', (t) => {
  const rules = items(`i -> j
    a: i -> j
    i -> j in 0 ..< n step 2
    b: i -> j in 0 .. n when i < j
    i -> j when i < j`);
  const parts = rules.map((rule) =>
    rule.kind === 'rule'
      ? [rule.label?.text, rule.range?.inclusive, rule.range?.step?.kind, rule.when?.kind]
      : [],
  );
  t.deepEqual(parts, [
    [undefined, undefined, undefined, undefined],
    ['a', undefined, undefined, undefined],
    [undefined, false, 'int', undefined],
    ['b', true, undefined, 'compare'],
    [undefined, undefined, undefined, 'compare'],
  ]);
});

test('items keep the order of the text', (t) => {
  const kinds = items(`let a = 1; i -> j restrict a; { i -> j } include f for x in l {} overlaps add
    score = 1 mix = softmax input t: int[keys] tokens (y: ?) align end let b = 2`).map((item) => item.kind);
  t.deepEqual(kinds, [
    'let',
    'rule',
    'restrict',
    'block',
    'include',
    'for',
    'overlaps',
    'score',
    'mix',
    'input',
    'tokens',
    'align',
    'let',
  ]);
});

test('parameters: types, ranges, defaults and docs', (t) => {
  const text = 'pattern p(a: int in 1 .. 9 = 3, /// list\n b: float[] = [1.0], c: bool = true) {}';
  const { ast, diagnostics } = parse({ file: 'x', text });
  t.deepEqual(diagnostics, []);
  t.like(ast.patterns[0]!.parameters, [
    { name: { text: 'a' }, type: 'int', range: { to: { value: 9 } }, value: { value: 3 }, doc: undefined },
    { name: { text: 'b' }, type: 'float[]', range: undefined, doc: 'list' },
    { name: { text: 'c' }, type: 'bool', value: { value: true } },
  ]);
});

test('doc comments are those right before a node', (t) => {
  const text = `/// one
///
///  two
pattern p {
  /// lost

  // between
  i -> j
  /// rule
  a: i -> j
  //// no doc
  i -> j
  /// table
  input t: int
}`;
  const { ast, diagnostics } = parse({ file: 'x', text });
  t.deepEqual(diagnostics, []);
  t.is(ast.patterns[0]!.doc, 'one\n\n two');
  t.deepEqual(
    ast.patterns[0]!.items.map((item) => ('doc' in item ? item.doc : '')),
    [undefined, 'rule', undefined, 'table'],
  );
  t.is(ast.comments.length, 8);
});

test('for: a list, a range, lists side by side', (t) => {
  const loops = items('for x in l {} for n in 0 ..< 4 step 2 {} for (a, b,) in zip(l, [1, 2]) { i -> j }');
  t.like(loops, [
    { names: [{ text: 'x' }], over: { kind: 'each' } },
    { names: [{ text: 'n' }], over: { kind: 'range', inclusive: false, step: { value: 2 } } },
    {
      names: [{ text: 'a' }, { text: 'b' }],
      over: { kind: 'zip', lists: [{ kind: 'name' }, { kind: 'list' }] },
    },
  ]);
});

test('tokens, inputs, mix and includes', (t) => {
  t.like(items('tokens (y: 4 * h, x: ?)')[0]!, {
    axes: [
      { name: { text: 'y' }, size: { kind: 'binary' } },
      { name: { text: 'x' }, size: undefined },
    ],
  });
  t.like(items('input t: float[heads, 2 * m + 1]')[0]!, {
    type: 'float',
    axes: [{ text: 'heads' }, { kind: 'binary' }],
  });
  t.like(items('input g: edges')[0]!, { type: 'edges', axes: [] });
  t.like(items('mix = softmax(sink: 1)')[0]!, {
    name: { text: 'softmax' },
    args: [{ name: { text: 'sink' } }],
  });
  t.like(items('a: include f(1, b: 2)')[0]!, {
    label: { text: 'a' },
    pattern: { text: 'f' },
    args: [{ name: undefined }, { name: { text: 'b' } }],
  });
});

test('spans hold the text of their nodes', (t) => {
  const text = 'pattern p { a: i -> j in 0 .. n when (x + 1) * f(y)[2] in [1, 2]  }  ';
  const { ast } = parse({ file: 'x', text });
  const [pattern] = ast.patterns;
  const [rule] = pattern!.items;
  if (rule?.kind !== 'rule' || rule.when?.kind !== 'in' || rule.when.value.kind !== 'binary') return t.fail();
  const slice = (span: { start: number; end: number }): string => text.slice(span.start, span.end);
  t.is(slice(pattern!.span), text.trim());
  t.is(slice(pattern!.name.span), 'p');
  t.is(slice(rule.span), 'a: i -> j in 0 .. n when (x + 1) * f(y)[2] in [1, 2]');
  t.is(slice(rule.range!.span), '0 .. n');
  t.is(slice(rule.when.span), '(x + 1) * f(y)[2] in [1, 2]');
  t.is(slice(rule.when.value.left.span), '(x + 1)');
  t.is(slice(rule.when.value.right.span), 'f(y)[2]');
  t.is(slice(rule.when.set.span), '[1, 2]');
});

test('every construct parses without errors', (t) => {
  for (const text of correctTexts) t.deepEqual(parse({ file: 'x', text }).diagnostics, [], text);
});

test('a byte order mark, Windows line ends and no line end at all are fine', (t) => {
  const { ast, diagnostics } = parse({
    file: 'x',
    text: '\ufeffpattern p {\r\n  // c\r\n  /// d\r\n  i -> j\r\n}',
  });
  t.deepEqual(diagnostics, []);
  t.like(ast.patterns[0]!.items[0]!, { kind: 'rule', doc: 'd' });
});
