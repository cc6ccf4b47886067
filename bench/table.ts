/**
 * `node dist/bench/table.js COMPARISON.json`: keeps the results of a run as bench/results.json, and writes their tables
 * into docs/performance.md between its marks. `--check`: only says whether the page shows the results that are kept.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { oneLine } from './messages.js';
import { packageRoot } from './package-root.js';
import { markdown } from './report.js';
import type { Results } from './results.js';

const BEGIN = '<!-- comparison -->';
const END = '<!-- end of comparison -->';

function read(file: string): Results {
  const results = JSON.parse(readFileSync(file, 'utf8')) as Results;
  if (results.format !== 'attnc-comparison') throw new Error(`${file} holds no results of a comparison`);
  if (results.small) throw new Error(`${file} was run with --small: such times are not for the page`);
  return results;
}

function filled(page: string, results: Results): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} before ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${markdown(results)}\n\n${page.slice(end)}`;
}

function main(): number {
  const root = packageRoot();
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      check: { type: 'boolean', default: false },
      page: { type: 'string', default: join(root, 'docs/performance.md') },
      results: { type: 'string', default: join(root, 'bench/results.json') },
    },
  });
  const page = readFileSync(values.page, 'utf8');
  if (values.check) {
    if (filled(page, read(values.results)) === page) return 0;
    throw new Error(`${values.page} is stale: run node dist/bench/table.js ${values.results}`);
  }
  const [file] = positionals;
  if (file === undefined) throw new Error('which results? node dist/bench/table.js COMPARISON.json');
  const results = read(file);
  writeFileSync(values.page, filled(page, results));
  writeFileSync(values.results, `${JSON.stringify(results, undefined, 1)}\n`);
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`${oneLine(error)}\n`);
  process.exitCode = 1;
}
