import { readFileSync } from 'node:fs';
import test from 'ava';
import { diagnosticsFile, diagnosticsPage } from './diagnostics-page.js';

test(`${diagnosticsFile} holds every code; npm run golden rewrites it`, async (t) => {
  t.is(readFileSync(diagnosticsFile, 'utf8'), await diagnosticsPage());
});
