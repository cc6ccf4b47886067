/** Rewrites every golden: `npm run golden`, then `git diff` is the review. The working folder is the package's root. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { updateDiagnosticsPage } from '../docs/diagnostics-page.js';
import { updatePictures } from '../docs/readme.js';
import { CASES } from '../golden/cases.js';
import { renderCase } from '../golden/render.js';
import { updateErrorGoldens } from './golden-errors.js';

const folder = 'samples/goldens';
mkdirSync(folder, { recursive: true });
const made = CASES.flatMap((c) => renderCase(c).goldens);
const changed = made.filter(({ path, text }) => !existsSync(path) || readFileSync(path, 'utf8') !== text);
for (const { path, text } of changed) writeFileSync(path, text);
const stale = readdirSync(folder).filter((name) => !made.some(({ path }) => path === `${folder}/${name}`));
for (const name of stale) rmSync(`${folder}/${name}`);

const names = [
  ...changed.map(({ path }) => path),
  ...updateErrorGoldens(),
  ...(await updateDiagnosticsPage()),
  ...(await updatePictures()),
];
for (const name of names) console.log(`rewritten: ${name}`);
for (const name of stale) console.log(`removed: ${name}`);
console.log(`${names.length + stale.length} of ${made.length} goldens of samples changed, errors included`);
