import test from 'ava';
import { existsSync, readFileSync } from 'node:fs';
import { hasErrors } from '../../grammar/index.js';
import { checkSource } from '../../compiler/check/index.js';
import { renderErrors, resolveSource } from '../tools/golden-errors.js';

for (const { name, file, rendered } of renderErrors()) {
  test(`samples/errors/${name} says what ${file} has`, (t) => {
    t.true(existsSync(file), `${file} is missing: run npm run golden`);
    t.is(rendered, readFileSync(file, 'utf8'));
    t.not(rendered, '');
  });
}

test('there are at least 30 broken files, and together they show nearly every code', (t) => {
  const golden = renderErrors();
  t.true(golden.length >= 30, `${golden.length}`);
  const codes = new Set(golden.flatMap((g) => [...g.rendered.matchAll(/\[(ATTN\d+)\]/g)].map((m) => m[1])));
  t.true(codes.size >= 40, `${codes.size}`);
});

test('every diagnostic has a place inside its file', (t) => {
  for (const { name } of renderErrors()) {
    const file = `samples/errors/${name}`;
    const { diagnostics, sources, pattern } = checkSource(
      { file, text: readFileSync(file, 'utf8') },
      { resolve: resolveSource },
    );
    t.true(diagnostics.length > 0, name);
    t.is(pattern === undefined, hasErrors(diagnostics), name);
    for (const d of diagnostics) {
      const spans = [d.span, ...d.related.map((r) => r.span)];
      for (const span of spans) {
        t.truthy(span, `${name}: ${d.message}`);
        const text = sources.get(span!.file)?.text;
        t.true(
          text !== undefined && 0 <= span!.start && span!.start <= span!.end && span!.end <= text.length,
          name,
        );
      }
    }
  }
});
