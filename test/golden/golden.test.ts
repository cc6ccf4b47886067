import test from 'ava';
import { existsSync, readFileSync } from 'node:fs';
import { SAMPLES } from '../shapes.js';
import { CASES } from './cases.js';
import { renderCase } from './render.js';

for (const c of CASES) {
  test(`${c.file}: ${c.pattern}`, (t) => {
    const { goldens, statistics } = renderCase(c);
    for (const { path, text } of goldens) {
      t.true(existsSync(path), `${path} is missing: run npm run golden`);
      t.is(text, readFileSync(path, 'utf8'), `${path}: run npm run golden and look at the difference`);
    }
    for (const s of statistics) {
      t.true(s.edges > 0, `no edges at ${s.tokens} tokens`);
      // Scaled counts of sampled tiles may round below the edges.
      t.true(s.waste > 0.9999, `waste ${s.waste} at ${s.tokens} tokens: pairs are missing`);
      if (c.most !== undefined)
        t.true(s.waste <= c.most, `waste ${s.waste.toFixed(3)} at ${s.tokens} tokens`);
    }
  });
}

test('every sample has its goldens', (t) => {
  const name = (s: { readonly file: string; readonly pattern: string }): string => `${s.file} ${s.pattern}`;
  const samples = SAMPLES.map((s) => name({ ...s, file: s.file.replace(/^samples\/|\.attn$/g, '') }));
  t.deepEqual(CASES.map(name).sort(), samples.sort());
});
