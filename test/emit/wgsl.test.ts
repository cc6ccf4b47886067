// The template tag that joins kernels' text, and how the whole is indented.

import test from 'ava';
import { tidy, wgsl, type Piece } from '../../compiler/emit/wgsl.js';
import { randomNumbers } from '../../cli/random.js';

test('indentation is that of the open brackets, and empty lines are left out', (t) => {
  const inner = wgsl`
        if (a) {
      b(
        c,
          d[0],
      );
    } else {
        e();
            }`;
  const none = '';
  t.is(
    tidy(wgsl`
    fn f() {
      ${inner}
      ${none}

      ${['x();', '', '  y(', 'z)', '']}
      let z = ${1};
    }
    `),
    [
      'fn f() {',
      '  if (a) {',
      '    b(',
      '      c,',
      '      d[0],',
      '    );',
      '  } else {',
      '    e();',
      '  }',
      '  x();',
      '  y(',
      '    z)',
      '  let z = 1;',
      '}',
    ].join('\n'),
  );
});

test('pieces inside a line are left as they are', (t) => {
  t.is(wgsl`let x = ${' y '}+${['a', 'b']} ${0};`, 'let x =  y +a\nb 0;');
});

test('every bracket counts', (t) => {
  t.is(tidy('f(g(\nx\n)\n)[\n{\n}]'), 'f(g(\n    x\n  )\n)[\n  {\n}]');
});

test('brackets in comments are words', (t) => {
  const text = 'a { // from [0, 1) to (2\n// {\n  b / c;\n}';
  t.is(tidy(text), 'a { // from [0, 1) to (2\n  // {\n  b / c;\n}');
  t.is(tidy('//   kept: (\nd'), '//   kept: (\nd');
});

test('a template ends where its text does', (t) => {
  t.is(
    wgsl`
    let a = ${1};
    `,
    'let a = 1;',
  );
  t.is(wgsl``, '');
  t.is(
    wgsl`
    ${''}
    `,
    '',
  );
  t.is(tidy(wgsl`${['a', '  b ', '', '   ', 'c']}`), 'a\nb\nc');
  t.is(
    `let x = ${wgsl`
    y`};`,
    'let x = y;',
  );
});

const linesOf = (text: string): readonly string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

test('random templates: what is tidied inside makes no difference outside', (t) => {
  const random = randomNumbers(11);
  const below = (n: number): number => Math.floor(random() * n);
  const PARTS = ['\n', '\n', '  ', 'a', 'b c', ' ', 'x();', '{\n', '}', '(', ')', '[0]', '\n\n', '// d (\n'];
  const text = (): string => Array.from({ length: below(9) }, () => PARTS[below(PARTS.length)]).join('');
  const template = (strings: readonly string[]): TemplateStringsArray =>
    Object.assign([...strings], { raw: strings }) as unknown as TemplateStringsArray;
  const ownLines = (s: string): string => `\n${s}\n`;
  const made = (depth: number, done: (s: string) => string, source: () => number): string => {
    const count = 1 + (source() % 3);
    const strings = Array.from({ length: count + 1 }, () => ownLines(texts[source() % texts.length]));
    const pieces = strings.slice(1).map((): Piece => {
      const kind = source() % 4;
      if (kind === 0) return source() % 100;
      if (kind === 1) return [texts[source() % texts.length], texts[source() % texts.length]];
      return depth > 0 ? made(depth - 1, done, source) : texts[source() % texts.length];
    });
    return done(wgsl(template(strings), ...pieces));
  };
  const texts = Array.from({ length: 200 }, text);
  for (let n = 0; n < 2000; n++) {
    const draws = Array.from({ length: 400 }, () => below(1 << 20));
    const from = (): (() => number) => {
      let at = 0;
      return () => draws[at++ % draws.length];
    };
    const whole = tidy(made(3, (s) => s, from()));
    t.is(tidy(made(3, tidy, from())), whole);
    t.is(tidy(whole), whole);
    t.notRegex(whole, /^$|[ \t]$/m);
    t.deepEqual(linesOf(whole), linesOf(made(3, (s) => s, from())));
  }
});
