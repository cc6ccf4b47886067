import test from 'ava';
import { codes, lineAndColumn, parse } from '../../grammar/index.js';

/** `line:column-code message [help]` of each error. */
function errors(text: string): string[] {
  const source = { file: 'x.attn', text };
  return parse(source).diagnostics.map((d) => {
    const { line, column } = lineAndColumn(source, d.span!.start);
    return `${line}:${column} ${d.code.slice(4)} ${d.message}${d.help === undefined ? '' : ` [${d.help}]`}`;
  });
}

/** What stands in a pattern, and the errors; the column counts from the text's first character. */
const inPattern: readonly (readonly [text: string, ...errors: string[]])[] = [
  ['i -> j wen j < 3', '2:8 1009 expected `when`, `in` or the next rule, found `wen` [did you mean `when`?]'],
  [
    'i -> j where j < 3',
    '2:8 1009 expected `when`, `in` or the next rule, found `where` [did you mean `when`?]',
  ],
  ['i -> j foo', '2:8 1009 expected `when`, `in` or the next rule, found `foo` [did you mean `for`?]'],
  ['i -> j zzzz', '2:8 1009 expected `when`, `in` or the next rule, found `zzzz`'],
  ['i => j', '2:3 1005 `=>` is not an operator here [an edge is written `i -> j`; a comparison `>=`]'],
  [
    'k -> j',
    '2:1 1013 an edge is written `i -> j`, not `k -> j` [`i` is the position of the query, `j` that of the key it attends to]',
  ],
  [
    'j -> i',
    '2:1 1013 an edge is written `i -> j`, not `j -> i` [`i` is the position of the query, `j` that of the key it attends to]',
  ],
  ['-> j', '2:1 1009 expected `i` before `->`, found `->` [an edge is written `i -> j`]'],
  ['i ->', '3:1 1013 expected `j` after `->`, found `}`'],
  ['i -> j when', '3:1 1010 expected an expression, found `}`'],
  [
    'i -> j when a && b || !c',
    '2:15 1005 `&&` is not an operator here [write `and`]',
    '2:20 1005 `||` is not an operator here [write `or`]',
    '2:23 1005 `!` is not an operator here [write `not`]',
  ],
  ['i -> j when i = j', '2:15 1005 `=` does not compare [write `==`]'],
  ['restrict i = j let y = 3', '2:12 1005 `=` does not compare [write `==`]'],
  ['i -> j when i mod 3 == 0', '2:15 1005 `mod` is not an operator here [write `%`]'],
  ['i -> j when i ≤ j', '2:15 1005 `≤` is not an operator here [write `<=`]'],
  ['i -> j when a <> b', '2:15 1005 `<>` is not an operator here [write `!=`]'],
  ['let x = a << 3', '2:11 1005 `<<` is not an operator here [write `shl(a, n)`]'],
  [
    'let x = a & b',
    '2:11 1005 `&` is not an operator here [write `and` between conditions, `bitand(a, b)` between integers]',
  ],
  [
    'i -> j when x not in [1]',
    '2:15 1009 expected an operator, the next rule or `}`, found `not` [write `not (x in …)`]',
  ],
  [
    'i -> j when a < x in [3]',
    "2:19 1014 `in` can't be chained with another comparison [put one of them in parentheses, or join them with `and`]",
  ],
  [
    'i -> j when 1 + not a',
    '2:17 1014 `not` binds less than the operator before it [put it in parentheses: `(not …)`]',
  ],
  [
    'i -> j when i < j when j < i',
    '2:19 1009 expected the next rule or `}`, found `when` [a rule is written `i -> j in A .. B step S when COND`, each part at most once]',
  ],
  [
    'i -> j in 1, 3',
    '2:12 1009 expected an operator, `..` or `..<`, found `,` [a range is written `0 .. 3` or `0 ..< 4`]',
  ],
  ['i -> j when (i - j < 3\n l: i -> j', '3:2 1011 expected an operator or `)`, found `l`'],
  ['i -> j when i # j', '2:15 1001 unexpected character `#` [a comment starts with `//`]'],
  ['i -> j when @@ i', '2:13 1001 unexpected characters `@@`'],
  [
    'let é = 3',
    '2:5 1001 unexpected character `é` [names are made of the letters a to z, A to Z, digits and `_`]',
  ],
  ['let x = \0', '2:9 1001 unexpected character U+0000'],
  ['let x = \ud800', '2:9 1001 unexpected character U+D800'],
  ['let step = 3', "2:5 1006 `step` is a reserved word and can't be a name [choose another name]"],
  ['in: i -> j', "2:1 1006 `in` is a reserved word and can't be a name [choose another name]"],
  ['for in in [1] {}', "2:5 1006 `in` is a reserved word and can't be a name [choose another name]"],
  ['for when in [1] {}', "2:5 1006 `when` is a reserved word and can't be a name [choose another name]"],
  ['include for(3)', "2:9 1006 `for` is a reserved word and can't be a name [choose another name]"],
  ['let x 3', '2:7 1009 expected `=`, found `3`'],
  ['let x: int = 3', '2:6 1009 expected `=`, found `:` [types are not written here]'],
  ['let x = 1.', '3:1 1009 expected digits after the point, found `}` [as in `1.0`]'],
  ['let x = .5', '2:9 1010 expected an expression, found `.` [write `0.5`]'],
  ['let x = 12ab', '2:9 1003 `12ab` is not a number [numbers look like 12, 1_000, 0xff, 1.5 or 1e-3]'],
  ['let x = 1__0', '2:9 1003 `1__0` is not a number [numbers look like 12, 1_000, 0xff, 1.5 or 1e-3]'],
  [
    'let x = 9007199254740992',
    '2:9 1004 `9007199254740992` is too large for an exact integer [the largest is 9007199254740991]',
  ],
  [
    'let x = 0xffffffffffffff',
    '2:9 1004 `0xffffffffffffff` is too large for an exact integer [the largest is 9007199254740991]',
  ],
  ['let x = 1e999', '2:9 1004 `1e999` is too large for a float'],
  ['let x = [1,,2]', '2:12 1010 expected an expression, found `,`'],
  ['let x = f(1 2)', '2:13 1009 expected an operator, `,` or `)`, found `2`'],
  ['let x = a[]', '2:10 1010 an index is missing between `[` and `]`'],
  [
    'let x = 3 = 4',
    '2:11 1009 expected an operator, the next rule or `}`, found `=` [a comparison is written `==`; a name is given with `let`]',
  ],
  [
    'i -> j when j in 0 .. 4',
    '2:20 1009 expected an operator, the next rule or `}`, found `..` [a range follows `in`, as in `i -> j in 0 .. i`]',
  ],
  ['include f(window = 3)', '2:18 1005 a named argument is written with `:` [write `window: …`]'],
  ['overlaps mergee', '2:10 1012 `mergee` is not a way to join overlaps [did you mean `merge`?]'],
  ['align left', '2:7 1012 `left` is not an alignment [write `end` or `start`]'],
  ['input x: flot[keys]', '2:10 1012 `flot` is not a type [did you mean `float`?]'],
  ['input x', '2:7 1009 expected a name followed by `:`, found `x`'],
  ['x: y', '2:4 1009 expected `i -> j`, `include` or `{` after the label, found `y`'],
  ['local i -> j', '2:1 1009 expected a rule or `}`, found `local` [a label is written `local:`]'],
  ['foo bar baz\n i -> j', '2:1 1009 expected a rule or `}`, found `foo` [did you mean `for`?]'],
  ['tokens (y: )', '2:12 1010 expected a size or `?`, found `)`'],
  ['mix =', '3:1 1009 expected a name, found `}`'],
  ['for x [1] {}', '2:7 1009 expected `in`, found `[`'],
];

for (const [text, ...expected] of inPattern) {
  test(`in a pattern: ${JSON.stringify(text)}`, (t) => {
    // What follows must be read as if nothing had happened.
    const whole = `pattern p {\n${text}\n}\npattern q { i -> k }`;
    const line = whole.split('\n').length;
    const last = `${line}:13 1013 an edge is written \`i -> j\`, not \`i -> k\` [\`i\` is the position of the query, \`j\` that of the key it attends to]`;
    t.deepEqual(errors(whole), [...expected, last]);
  });
}

const files: readonly (readonly [text: string, ...errors: string[]])[] = [
  [
    'patern p { i -> j }',
    '1:1 1009 expected `pattern` or `import`, found `patern` [did you mean `pattern`?]',
  ],
  [
    'pattern p { i -> j } }',
    '1:22 1009 expected `pattern` or `import`, found `}` [there is one `}` too many]',
  ],
  ['pattern p { i -> j', '1:19 1011 expected `}`, found the end of the file'],
  ['pattern p { i -> j pattern q { i -> j }', '1:20 1011 expected `}`, found `pattern`'],
  ['pattern p(x: int = (1 { i -> j }', '1:23 1011 expected an operator or `)`, found `{`'],
  [
    'pattern p(x int = 3) { i -> j }',
    '1:11 1009 expected a name followed by `:`, found `x` [a parameter is written `name: type = default`]',
  ],
  [
    'pattern p(x: int) {}',
    '1:17 1009 expected `=` and the default of the parameter, found `)` [every parameter has a default, as in `window: int = 256`]',
  ],
  [
    'pattern p(x: it = 3, y: bool[] = 3) {}',
    '1:14 1012 `it` is not a type [did you mean `int`?]',
    '1:25 1012 `bool[]` is not a type [did you mean `bool`?]',
  ],
  [
    'pattern p(step: int = 3) {}',
    "1:11 1006 `step` is a reserved word and can't be a name [choose another name]",
  ],
  ['pattern for {}', "1:9 1006 `for` is a reserved word and can't be a name [choose another name]"],
  ['import base', '1:8 1009 expected a path in quotes, found `base`'],
  ['import "base', '1:8 1002 this text is never closed [add `"`]'],
  [
    "import 'base.attn'",
    "1:8 1001 unexpected character `'` [a path is written in double quotes]",
    "1:18 1001 unexpected character `'` [a path is written in double quotes]",
  ],
  ['pattern p { i -> j /* and', '1:20 1002 this comment is never closed [add `*/`]'],
];

for (const [text, ...expected] of files) {
  test(`file: ${JSON.stringify(text)}`, (t) => {
    t.deepEqual(errors(text), expected);
  });
}

test('all errors of a file are reported in one run, in the order of the text', (t) => {
  const text = `pattern a {
  i -> j wen i < j
  x: i -> j when i && j
  let let = 3
  i -> j when (i +
  y: i -> j when i < 1_
  score = * 3
}
patern b { }
pattern c(x: int) {
  overlaps maybe
}`;
  t.deepEqual(
    errors(text).map((e) => e.split(' ', 2).join(' ')),
    [
      '2:10 1009',
      '3:20 1005',
      '4:7 1006',
      '6:3 1010',
      '6:22 1003',
      '7:11 1010',
      '9:1 1009',
      '10:17 1009',
      '11:12 1012',
    ],
  );
});

test('what is not broken is in the tree', (t) => {
  const text = `pattern a { one: i -> j wen 3  two: i -> j  let x =  three: { i -> j when ) four: i -> j } }
    pattern b { i -> j }`;
  const { ast } = parse({ file: 'x', text });
  t.deepEqual(
    ast.patterns.map((pattern) => pattern.name.text),
    ['a', 'b'],
  );
  const labels = ast.patterns[0]!.items.map((item) => ('label' in item ? item.label?.text : item.kind));
  t.deepEqual(labels, ['one', 'two', 'three']);
});

test('an open bracket is shown where it was opened', (t) => {
  const text = 'pattern a {\n  i -> j when max(i, j\n}';
  const [first] = parse({ file: 'x', text }).diagnostics;
  t.is(first!.related[0]!.message, '`(` is opened here');
  t.is(first!.related[0]!.span.start, text.indexOf('('));
});

test('every code that parsing uses has a title', (t) => {
  for (const [text] of [...inPattern, ...files]) {
    for (const d of parse({ file: 'x', text: `pattern p { ${text} }` }).diagnostics) {
      t.true(Object.hasOwn(codes, d.code), d.code);
    }
  }
});

const hostile: readonly string[] = [
  '(',
  '[',
  '{',
  '-',
  'not ',
  'a ',
  '1 ** ',
  'a.',
  'a[1]',
  '# a',
  'i -> j ',
  'a: ',
  ';',
  '}',
  ')',
  'when ',
  'pattern ',
  'let x = ',
  '/*',
  'f(',
  'if(1, ',
  '"\n',
  '=',
  '\0',
  '\ud800',
  '1',
  'x ',
  '///\n',
  'pattern a { ',
  'for x in l { ',
  'a + ',
  '&&',
];

for (const piece of hostile) {
  test(`a megabyte of ${JSON.stringify(piece)} is refused in order`, (t) => {
    const size = piece === '(' || piece === '-' ? 1_000_000 : 100_000;
    const text = `pattern p { let x = ${piece.repeat(size / piece.length)}`;
    const { ast, diagnostics } = parse({ file: 'x', text });
    t.true(diagnostics.length > 0);
    t.true(diagnostics.length <= 1001);
    t.true(
      diagnostics.every(
        ({ span }) => span!.start >= 0 && span!.start <= span!.end && span!.end <= text.length,
      ),
    );
    // A tree that is nested deeper would overflow the stack of whoever walks it.
    t.notThrows(() => JSON.stringify(ast));
  });
}

test('a sum of many terms is refused, a list of many is not', (t) => {
  const sum = `pattern p { let x = ${'a + '.repeat(600)} a }`;
  t.is(parse({ file: 'x', text: sum }).diagnostics[0]!.code, 'ATTN1007');
  const list = `pattern p { let x = [${'1, '.repeat(60_000)}] }`;
  t.deepEqual(parse({ file: 'x', text: list }).diagnostics, []);
});
