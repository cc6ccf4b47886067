import test from 'ava';
import {
  diagnostic,
  lineAndColumn,
  nearest,
  render,
  type Diagnostic,
  type RenderOptions,
} from '../../grammar/index.js';

function show(text: string, d: Diagnostic, options: Partial<RenderOptions> = {}): string {
  return render([d], new Map([['a.attn', { file: 'a.attn', text }]]), {
    format: 'pretty',
    color: false,
    ...options,
  });
}

function at(start: number, end: number, extra: Parameters<typeof diagnostic>[4] = {}): Diagnostic {
  return diagnostic('ATTN1009', 'error', 'wrong', { file: 'a.attn', start, end }, extra);
}

const frames: readonly (readonly [what: string, text: string, marked: string, lines: readonly string[]])[] = [
  ['a word', 'ab cd ef', 'cd', ['1 | ab cd ef', '  |    ^^']],
  ['the tenth line', `${'\n'.repeat(9)}ab`, 'ab', ['10 | ab', '   | ^^']],
  ['a tab', '\tab\tcd', 'cd', ['1 |     ab  cd', '  |         ^^']],
  ['wide characters', '日本 x 日', '日', ['1 | 日本 x 日', '  | ^^']],
  ['behind wide characters', '日本🙂 x', 'x', ['1 | 日本🙂 x', '  |        ^']],
  ['behind a combining mark', 'e\u0301 x', 'x', ['1 | e\u0301 x', '  |   ^']],
  ['control characters', 'a\0\ud800 x', 'x', ['1 | a\ufffd\ufffd x', '  |     ^']],
  ['several lines', 'a (b\n c) d', '(b\n c)', ['1 | a (b', '  |   ^^…']],
  ['Windows line ends', 'ab\r\ncd\r\n', 'cd', ['2 | cd', '  | ^^']],
];

for (const [what, text, marked, lines] of frames) {
  test(`frame: ${what}`, (t) => {
    const start = text.indexOf(marked);
    const shown = show(text, at(start, start + marked.length)).split('\n');
    t.deepEqual(shown.slice(3, 5), lines);
  });
}

test('the whole frame, with help and notes', (t) => {
  const text = 'let a = 1\nlet a = 2\n';
  const first = { message: 'first here', span: { file: 'a.attn', start: 4, end: 5 } };
  t.is(
    show(text, at(14, 15, { help: 'name it otherwise', related: [first] })),
    `error[ATTN1009]: wrong
 --> a.attn:2:5
  |
2 | let a = 2
  |     ^
  = help: name it otherwise
note: first here
 --> a.attn:1:5
  |
1 | let a = 1
  |     ^
`,
  );
});

test('a place at the end of the file has a caret', (t) => {
  t.deepEqual(show('ab', at(2, 2)).split('\n').slice(3, 5), ['1 | ab', '  |   ^']);
  t.deepEqual(show('', at(0, 0)).split('\n').slice(3, 5), ['1 |', '  | ^']);
  t.deepEqual(show('ab\n', at(3, 3)).split('\n').slice(3, 5), ['2 |', '  | ^']);
});

test('long lines are cut round the span', (t) => {
  const text = `${'x '.repeat(400_000)}here${' y'.repeat(400_000)}`;
  const [, , , line, carets] = show(text, at(800_000, 800_004)).split('\n');
  t.true(line!.length < 120);
  t.regex(line!, /^1 \| ….*here.*…$/);
  t.is(line!.slice(carets!.indexOf('^'), carets!.lastIndexOf('^') + 1), 'here');
});

test('without a place, or without the text', (t) => {
  t.is(
    show('', diagnostic('ATTN5001', 'warning', 'odd', undefined, { help: 'look' })),
    'warning[ATTN5001]: odd\n  = help: look\n',
  );
  const elsewhere = diagnostic('ATTN5001', 'error', 'odd', { file: 'b.attn', start: 3, end: 4 });
  t.is(show('', elsewhere), 'error[ATTN5001]: odd\n --> b.attn\n');
  t.is(show('', elsewhere, { format: 'plain' }), 'b.attn: error ATTN5001: odd\n');
});

test('spans outside the text do no harm', (t) => {
  for (const [start, end] of [
    [5, 9],
    [-3, 1],
    [2, 0],
  ] as const)
    t.regex(show('ab', at(start, end)), /\^/);
});

test('plain: a line each', (t) => {
  t.is(
    show('a\nb', at(2, 3, { help: 'do' }), { format: 'plain' }),
    'a.attn:2:1: error ATTN1009: wrong (do)\n',
  );
});

test('json: an array with lines and columns', (t) => {
  t.is(render([], new Map(), { format: 'json', color: false }), '[]\n');
  t.deepEqual(JSON.parse(show('a\nbc', at(2, 4), { format: 'json' })), [
    {
      code: 'ATTN1009',
      severity: 'error',
      message: 'wrong',
      span: { file: 'a.attn', start: 2, end: 4, line: 2, column: 1, endLine: 2, endColumn: 3 },
      help: null,
      related: [],
    },
  ]);
});

test('colour changes nothing but the colours', (t) => {
  const d = at(3, 5, { help: 'do' });
  const colored = show('ab cd', d, { color: true });
  t.true(colored.includes('\u001b[1;31m'));
  t.is(colored.replaceAll(/\u001b\[[\d;]*m/g, ''), show('ab cd', d));
});

test('several diagnostics are apart by an empty line', (t) => {
  const text = render([at(0, 1), at(1, 2)], new Map(), { format: 'pretty', color: false });
  t.is(text.split('\n\n').length, 2);
  t.is(render([], new Map(), { format: 'pretty', color: false }), '');
});

test('lines and columns', (t) => {
  const source = { file: 'x', text: 'ab\n\ncd' };
  const places = [0, 2, 3, 4, 6, 99].map((offset) => Object.values(lineAndColumn(source, offset)).join(':'));
  t.deepEqual(places, ['1:1', '1:3', '2:1', '3:1', '3:3', '3:3']);
});

const names = ['window', 'globals', 'length', 'i', 'j', 'keys'];
const misspelt: readonly (readonly [name: string, nearest: string | undefined])[] = [
  ['windw', 'window'],
  ['wnidow', 'window'],
  ['Window', 'window'],
  ['I', 'i'],
  ['lenght', 'length'],
  ['key', 'keys'],
  ['global', 'globals'],
  ['x', undefined],
  ['banana', undefined],
  ['', undefined],
];

for (const [name, expected] of misspelt) {
  test(`nearest to ${JSON.stringify(name)}`, (t) => {
    t.is(nearest(name, names), expected);
  });
}
