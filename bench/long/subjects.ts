import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveImport } from '../../cli/files.js';
import { compile } from '../../compiler/index.js';
import type { Program } from '../../compiler/ir/program.js';
import { render } from '../../grammar/render.js';
import { packageRoot } from '../package-root.js';

/** What long runs are measured with: one head of 64, f16. */

export const DIM = 64;
export const DTYPE = 'f16';
export const SEED = 7;

export interface Subject {
  readonly id: 'window' | 'dilated' | 'longnet';
  readonly title: string;
  readonly file: string;
  readonly pattern: string;
  readonly set: Readonly<Record<string, number | readonly number[]>>;
}

export const SUBJECTS: readonly Subject[] = [
  { id: 'window', title: 'window ±32', file: 'sliding.attn', pattern: 'sliding', set: { window: 32 } },
  {
    id: 'dilated',
    title: 'dilated, 32 keys each side, step 8',
    file: 'dilated.attn',
    pattern: 'dilated_1d',
    set: { window: 32, gap: 7 },
  },
  {
    id: 'longnet',
    title: 'LongNet 2048, 8192, 32768, 131072, 1048576 / 1, 4, 16, 64, 512',
    file: 'longnet.attn',
    pattern: 'longnet',
    set: { w: [2048, 8192, 32768, 131072, 1048576], r: [1, 4, 16, 64, 512] },
  },
];

/** Compiled for runs in parts, also where one part will do: what is compared is the same kernels. */
export function compileSubject({ file, pattern, set }: Subject): Program {
  const path = join(packageRoot(), 'samples', file);
  const source = { file: path, text: readFileSync(path, 'utf8') };
  const options = { pattern, set, dim: DIM, valueDim: DIM, windows: true, resolve: resolveImport };
  const { program, diagnostics, sources } = compile(source, options);
  if (program) return program;
  throw new Error(render(diagnostics, sources, { format: 'plain', color: false }));
}
