import { readFileSync } from 'node:fs';
import test from 'ava';
import { generateGrammar } from '../tools/generate-grammar.js';

for (const { path, text } of generateGrammar()) {
  test(`${path} is what the grammar says (else: npm run build && node dist/test/tools/generate-grammar.js)`, (t) => {
    t.is(readFileSync(path, 'utf8'), text);
  });
}

test('the page of the grammar loads nothing', (t) => {
  const page = generateGrammar().find(({ path }) => path.endsWith('.html'))!.text;
  t.notRegex(page, /<script|<link|src=|https?:/);
  // Every reference leads somewhere.
  for (const [, target] of page.matchAll(/href="#(\w+)"/g)) t.true(page.includes(`id="${target}"`), target);
});
