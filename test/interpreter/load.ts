import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FileAst } from '../../grammar/ast.js';
import { hasErrors, parse } from '../../grammar/index.js';

/** Parses a file and all that it imports, its own tree first. Paths are relative to the package's root. */
export function loadFiles(path: string): readonly FileAst[] {
  const files = new Map<string, FileAst>();
  const load = (file: string): void => {
    if (files.has(file)) return;
    const tree = parseText(readFileSync(file, 'utf8'), file);
    files.set(file, tree);
    for (const i of tree.imports) load(join(dirname(file), i.path));
  };
  load(path);
  return [...files.values()];
}

/** Parses a text that must be right. */
export function parseText(text: string, file = 'test.attn'): FileAst {
  const { ast, diagnostics } = parse({ file, text });
  if (hasErrors(diagnostics)) {
    throw new Error(
      `${file}: ${diagnostics.map((d) => `${d.code} ${d.message} at ${d.span?.start}`).join('; ')}`,
    );
  }
  return ast;
}
