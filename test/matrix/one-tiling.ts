// A pattern's program in one tiling of matrix kernels.

import { compile } from '../../compiler/compile.js';
import { emitVariants } from '../../compiler/emit/index.js';
import type { MatrixTiling } from '../../compiler/emit/matrix-layout.js';
import { emitMatrixVariants } from '../../compiler/emit/matrix-variant.js';
import { targetOf } from '../../compiler/emit/variant.js';
import type { Program, Variant } from '../../compiler/ir/program.js';
import type { HeadSizes } from '../gpu/samples.js';
import { unitHere } from './unit.js';

export interface Tiled extends HeadSizes {
  readonly text: string;
  readonly tiling: Partial<MatrixTiling>;
  readonly windows?: boolean;
}

const STEADY: MatrixTiling = {
  subgroups: 4,
  blocks: 1,
  keys: 16,
  chunk: 16,
  prefetch: true,
  lone: true,
  steady: true,
  retries: false,
};

/** The program's last schedule with tiles, in a steady tiling with these changes. */
export function inTiling({ text, tiling, windows = false, dim, valueDim }: Tiled): Program {
  const made = compile(text, { dim, valueDim, windows }).program;
  if (!made) throw new Error(text);
  const info = { dim, valueDim, pattern: made.pattern, windows };
  const portable = emitVariants(made.schedules, info, 'portable');
  const whole = { ...STEADY, ...tiling };
  const variants = made.schedules
    .flatMap((s, n) =>
      emitMatrixVariants(portable[n], s, targetOf(info), [{ unit: unitHere(), tiling: whole }]),
    )
    .slice(-1)
    // Subgroups of lavapipe do run in lockstep, which the runtime isn't told of it.
    .map((v): Variant => ({ ...v, matrix: v.matrix && { ...v.matrix, lockstep: false } }));
  return { ...made, variants };
}
