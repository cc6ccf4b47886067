/** The broken files of samples/errors and what the compiler says of each: `NAME.attn` beside `NAME.txt`. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { posix } from 'node:path';
import type { Source } from '../../grammar/index.js';
import { render } from '../../grammar/index.js';
import { checkSource } from '../../compiler/check/index.js';

export const errorsFolder = 'samples/errors';

/** Reads an imported file; names are relative to the package's root, with `/`. */
export function resolveSource(path: string, from: string): Source | undefined {
  const file = posix.normalize(posix.join(posix.dirname(from), path));
  return existsSync(file) ? { file, text: readFileSync(file, 'utf8') } : undefined;
}

export interface ErrorGolden {
  readonly name: string;
  /** Where the golden stands. */
  readonly file: string;
  readonly rendered: string;
}

/** What the compiler says today of every broken file. The working folder is the package's root. */
export function renderErrors(): readonly ErrorGolden[] {
  const names = readdirSync(errorsFolder)
    .filter((name) => name.endsWith('.attn'))
    .sort();
  return names.map((name) => {
    const file = `${errorsFolder}/${name}`;
    const source = { file, text: readFileSync(file, 'utf8') };
    const { diagnostics, sources } = checkSource(source, { resolve: resolveSource });
    return {
      name,
      file: file.replace(/\.attn$/, '.txt'),
      rendered: render(diagnostics, sources, { format: 'pretty', color: false }),
    };
  });
}

/** Rewrites the goldens that changed; returns their names. `git diff` is the review. */
export function updateErrorGoldens(): readonly string[] {
  const changed = renderErrors().filter(
    ({ file, rendered }) => !existsSync(file) || readFileSync(file, 'utf8') !== rendered,
  );
  for (const { file, rendered } of changed) writeFileSync(file, rendered);
  return changed.map(({ name }) => name);
}
