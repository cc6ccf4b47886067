import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveImport } from '../cli/files.js';
import { checkSource } from '../compiler/check/index.js';
import { exportFlex } from '../compiler/export/index.js';
import { render } from '../grammar/render.js';
import { packageRoot } from './package-root.js';
import type { Row } from './rows.js';

/** Writes what `attnc export --to flex` prints of a row's pattern, or says why there is no such module. */
export function writeFlex(folder: string, row: Row): { readonly module: string } | { readonly why: string } {
  const file = join(packageRoot(), 'samples', row.file);
  const source = { file, text: readFileSync(file, 'utf8') };
  const checked = checkSource(source, { pattern: row.pattern, set: row.set, resolve: resolveImport });
  const exported = checked.pattern && exportFlex(checked.pattern);
  if (exported?.text === undefined) {
    const said = [...checked.diagnostics, ...(exported?.diagnostics ?? [])];
    const text = render(said, checked.sources, { format: 'plain', color: false });
    return { why: text.split('\n')[0] };
  }
  const module = `${row.id.replaceAll('-', '_')}.py`;
  writeFileSync(join(folder, module), exported.text);
  return { module };
}
