import test from 'ava';
import { readdirSync, readFileSync } from 'node:fs';
import { hasErrors } from '../../grammar/index.js';
import { checkSource } from '../../compiler/check/index.js';
import { randomNumbers } from '../sample-tables.js';
import { resolveSource } from '../tools/golden-errors.js';

const FILES = 1_500;

const folder = (name: string): readonly string[] =>
  readdirSync(name)
    .filter((file) => file.endsWith('.attn'))
    .map((file) => `${name}/${file}`);

/** Words of the language to put in a word's place: most keep the syntax right and break the meaning. */
const WORDS =
  'i j x y w head heads length keys dim scale true false 0 1 2.5 -1 3000000000 [1,2] [] dot(q,k) abs(i) q k doc bonds sample int float bool edges tokens window i.y y.size add start linear'.split(
    ' ',
  );

test(`${FILES} mutated samples: no exception, and every diagnostic has its place`, (t) => {
  const texts = [...folder('samples'), ...folder('samples/errors')].map((file) => ({
    file,
    text: readFileSync(file, 'utf8'),
  }));
  const random = randomNumbers(5);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)];
  let passed = 0;
  let failed = 0;
  let deep = 0;
  for (let n = 0; n < FILES; n++) {
    const { file, text } = pick(texts);
    const pieces = text.split(/(\w+(?:\.\w+)?|[^\s\w])/);
    for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--) {
      const at = 2 * Math.floor((random() * pieces.length) / 2) + 1;
      if (pieces[at] === undefined) continue;
      if (/^\w/.test(pieces[at]))
        pieces[at] = random() < 0.5 ? pick(WORDS) : pick(pieces.filter((p) => /^\w/.test(p)));
      else if (random() < 0.5)
        pieces[at] = pick(['+', '-', '*', '%', '<', '==', 'div', '/', 'in', 'and', '']);
    }
    const source = { file, text: pieces.join('') };
    const { diagnostics, sources, pattern } = checkSource(source, { resolve: resolveSource });
    if (pattern) passed++;
    else failed++;
    if (diagnostics.some((d) => d.code.startsWith('ATTN2'))) deep++;
    const fine =
      (pattern === undefined) === hasErrors(diagnostics) &&
      diagnostics.every((d) => {
        const size = d.span && sources.get(d.span.file)?.text.length;
        return (
          d.span &&
          size !== undefined &&
          0 <= d.span.start &&
          d.span.start <= d.span.end &&
          d.span.end <= size
        );
      });
    if (!fine) {
      t.fail(`${source.text}\n${diagnostics.map((d) => d.message).join('\n')}`);
      return;
    }
  }
  t.true(
    passed > 50 && failed > 500 && deep > 300,
    `${passed} passed, ${failed} failed, ${deep} with errors of checking`,
  );
});

const chain = (length: number, next: (before: string) => string): string =>
  Array.from({ length }, (_, n) => `let a${n + 1} = ${next(`a${n}`)}`).join('\n');

/** Texts that would make a careless checker run out of stack or time. */
const hostile: readonly (readonly [string, string, string])[] = [
  [
    'a long chain of names',
    `pattern p { let a0 = i - j ${chain(5000, (a) => `${a} * j`)} i -> j when a5000 < 3 }`,
    '2075',
  ],
  [
    'squares of squares',
    `pattern p { let a0 = i - j ${chain(60, (a) => `${a} * ${a}`)} i -> j when a60 < 3 }`,
    '',
  ],
  [
    'squares of squares, twice',
    `pattern p { let a0 = i - j ${chain(30, (a) => `${a} * ${a}`)} let b0 = i - j ${chain(
      30,
      (a) => `${a} * ${a}`,
    )
      .replaceAll('a', 'b')
      .replaceAll('lbt', 'let')} i -> j when a30 == b30 }`,
    '',
  ],
  [
    'includes that double',
    `${Array.from({ length: 25 }, (_, n) => `pattern p${n} { include p${n + 1} include p${n + 1} }`).join(' ')} pattern p25 { i -> j }`,
    '2035',
  ],
  [
    'a long chain of includes',
    `${Array.from({ length: 150 }, (_, n) => `pattern p${n} { include p${n + 1} }`).join(' ')} pattern p150 { i -> j }`,
    '2035',
  ],
];

for (const [name, text, code] of hostile) {
  test(`${name} does no harm`, (t) => {
    const { diagnostics, pattern } = checkSource({ file: 'test.attn', text });
    t.is(pattern !== undefined, code === '');
    t.deepEqual([...new Set(diagnostics.map((d) => d.code))], code === '' ? [] : [`ATTN${code}`]);
  });
}
