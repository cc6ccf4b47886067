import { readdirSync } from 'node:fs';
import test from 'ava';
import { loadFiles } from './interpreter/load.js';
import { SAMPLES } from './shapes.js';

test('the table names every pattern of samples/, and sets parameters that exist', (t) => {
  const files = readdirSync('samples').filter((f) => f.endsWith('.attn'));
  const patterns = files.flatMap((f) => loadFiles(`samples/${f}`)[0].patterns.map((p) => ({ file: f, p })));
  t.deepEqual(
    SAMPLES.map((s) => `${s.file} ${s.pattern}`).sort(),
    patterns.map(({ file, p }) => `samples/${file} ${p.name.text}`).sort(),
  );
  for (const { p } of patterns) {
    t.truthy(p.doc, `${p.name.text} has a doc comment`);
    const names = p.parameters.map((x) => x.name.text);
    const sample = SAMPLES.find((s) => s.pattern === p.name.text);
    for (const { set } of sample?.settings ?? []) {
      for (const key of Object.keys(set))
        t.true(names.includes(key), `${p.name.text} has a parameter ${key}`);
    }
  }
});

test('tables are as large as their shapes say, and the same for the same seed', (t) => {
  const shape = { batch: 2, heads: 3, queries: 70, keys: 70 };
  for (const { pattern, settings, tables } of SAMPLES) {
    for (const { set } of settings) {
      const made = tables(shape, 7, set);
      for (const [name, { shape: sizes, data }] of Object.entries(made)) {
        t.is(
          data.length,
          sizes.reduce((a, b) => a * b, 1),
          `${pattern} ${name}`,
        );
      }
      t.deepEqual(made, tables(shape, 7, set));
    }
  }
});

test('graphs of the table are unsorted, repeat entries and have empty rows', (t) => {
  const graph = SAMPLES.find((s) => s.pattern === 'graph_weighted');
  const made = graph?.tables({ batch: 1, heads: 1, queries: 200, keys: 200 }, 1, {}) ?? {};
  const pointers = made['bonds.row_ptr'].data;
  const rows = pointers.slice(1).map((end, row) => made['bonds.col_idx'].data.slice(pointers[row], end));
  t.true(rows.some((r) => r.length === 0));
  t.true(rows.some((r) => new Set(r).size < r.length));
  t.true(rows.some((r) => r.some((c, n) => n > 0 && c < r[n - 1])));
});
