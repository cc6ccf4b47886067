import { readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { hasErrors, parse } from '../../grammar/index.js';
import { rank } from '../interpreter/permutation.js';
import { fencedBlocks, picturesOf, redraw } from './pictures.js';

const path = 'docs/language.md';
const document = readFileSync(path, 'utf8');

test('every pattern of the reference parses', (t) => {
  const blocks = fencedBlocks(document).filter((b) => b.language === 'attn');
  t.true(blocks.length >= 25);
  for (const { text } of blocks) {
    const { diagnostics } = parse({ file: path, text });
    t.false(hasErrors(diagnostics), `${text}\n${diagnostics.map((d) => d.message).join('\n')}`);
  }
});

/** `UPDATE_PICTURES=1 npm test` draws them anew; `git diff` is the review. */
test('every picture is what the pattern beside it means, every message what the parser says', (t) => {
  t.true(picturesOf(document).length >= 20);
  const drawn = redraw(document);
  if (process.env['UPDATE_PICTURES'] !== undefined && drawn !== document) writeFileSync(path, drawn);
  else t.is(drawn, document);
});

test('the test vectors of the permutation hold', (t) => {
  const rows = [...document.matchAll(/^\| (\d+) +\| (-?\d+) +\| ([-\d, ]*?|none) +\| ([\d ]+?) *\|$/gm)];
  t.true(rows.length >= 8);
  for (const [line, below, seed, keys, values] of rows) {
    const list = keys === 'none' ? [] : keys.split(',').map(Number);
    values.split(' ').forEach((x, n) => t.is(rank(Number(x), Number(below), Number(seed), list), n, line));
  }
});
