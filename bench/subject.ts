import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveImport } from '../cli/files.js';
import { compile } from '../compiler/index.js';
import type { Program } from '../compiler/ir/program.js';
import { render } from '../grammar/render.js';
import type { HostTensors } from '../runtime/bindings.js';
import type { RowIndex } from '../runtime/reference/index.js';
import { benchTensor } from './inputs.js';
import type { Job } from './jobs.js';
import { packageRoot } from './package-root.js';
import type { Row, Shape } from './rows.js';

/** A row of the table as attnc runs it. */

export function compileRow(row: Row): Program {
  const file = join(packageRoot(), 'samples', row.file);
  const { shape, pattern, set } = row;
  const source = { file, text: readFileSync(file, 'utf8') };
  const options = { pattern, set, dim: shape.dim, valueDim: shape.valueDim, resolve: resolveImport };
  const { program, diagnostics, sources } = compile(source, options);
  if (program) return program;
  throw new Error(render(diagnostics, sources, { format: 'plain', color: false }));
}

export function shapesOf(s: Shape): { readonly [name in 'q' | 'k' | 'v']: readonly number[] } {
  return {
    q: [s.batch, s.heads, s.queries, s.dim],
    k: [s.batch, s.keyHeads, s.keys, s.dim],
    v: [s.batch, s.keyHeads, s.keys, s.valueDim],
  };
}

export function tensorsOf(job: Job, dtype: 'f16' | 'f32', tables: HostTensors['inputs']): HostTensors {
  const shapes = shapesOf(job.row.shape);
  const of = (name: 'q' | 'k' | 'v') => benchTensor(name, dtype, shapes[name]);
  return { q: of('q'), k: of('k'), v: of('v'), inputs: tables };
}

/** The sampled rows of every head, in the order in which all sides write them. */
export function rowIndices(job: Job): readonly RowIndex[] {
  const { batch, heads } = job.row.shape;
  return Array.from({ length: batch * heads }, (_, n) => n).flatMap((n) =>
    job.rows.map((row) => ({ batch: Math.floor(n / heads), head: n % heads, row })),
  );
}
