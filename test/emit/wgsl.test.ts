// The template tag that joins kernels' text, against the same said in the plainest way.

import test from 'ava';
import { wgsl, type Piece } from '../../compiler/emit/wgsl.js';
import { randomNumbers } from '../../cli/random.js';

/** What `wgsl` means: pieces are indented like their place, then every line is looked at. */
function plainly(strings: readonly string[], pieces: readonly Piece[]): string {
  let text = strings[0];
  pieces.forEach((piece, n) => {
    const value = typeof piece === 'object' ? piece.join('\n') : String(piece);
    const line = text.slice(text.lastIndexOf('\n') + 1);
    text += value.replaceAll('\n', `\n${/^ */.exec(line)?.[0] ?? ''}`) + strings[n + 1];
  });
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const margin = /^ */.exec(lines[0] ?? '')?.[0].length ?? 0;
  return lines.map((line) => line.slice(Math.min(margin, line.search(/\S/))).trimEnd()).join('\n');
}

const template = (strings: readonly string[]): TemplateStringsArray =>
  Object.assign([...strings], { raw: strings }) as unknown as TemplateStringsArray;

test('indentation is that of the place, and empty lines are left out', (t) => {
  const inner = wgsl`
    if (a) {
      b();
    }`;
  t.is(inner, 'if (a) {\n  b();\n}');
  const none = '';
  t.is(
    wgsl`
    fn f() {
      ${inner}
      ${none}
      ${['x();', '', 'y();']}
      let z = ${1};
    }`,
    'fn f() {\n  if (a) {\n    b();\n  }\n  x();\n  y();\n  let z = 1;\n}',
  );
  t.is(wgsl`${['a', '  b ', '', '   ', 'c']}`, 'a\n  b\nc');
  t.is(wgsl``, '');
});

test('random templates', (t) => {
  const random = randomNumbers(11);
  const below = (n: number): number => Math.floor(random() * n);
  const PARTS = ['\n', '\n', '  ', '    ', 'a', 'b c', ' ', 'x();', '{', '\n\n', '// d'] as const;
  const text = (): string => Array.from({ length: below(9) }, () => PARTS[below(PARTS.length)]).join('');
  const piece = (depth: number): Piece => {
    const kind = below(5);
    if (kind === 0) return below(100);
    if (kind === 1) return Array.from({ length: below(4) }, () => text());
    if (kind === 2 && depth > 0) return made(depth - 1);
    return text();
  };
  const made = (depth: number): string => {
    const strings = Array.from({ length: 1 + below(4) }, () => text());
    const pieces = strings.slice(1).map(() => piece(depth));
    const joined = wgsl(template(strings), ...pieces);
    t.is(joined, plainly(strings, pieces), JSON.stringify({ strings, pieces }));
    return joined;
  };
  for (let n = 0; n < 5000; n++) made(3);
});
