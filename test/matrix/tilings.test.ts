// Every way to divide a matrix kernel's work that the emitter knows, on this device's matrices, against the oracle.

import { emitVariants } from '../../compiler/emit/index.js';
import { targetOf } from '../../compiler/emit/variant.js';
import { emitMatrixVariants } from '../../compiler/emit/matrix-variant.js';
import type { MatrixTiling } from '../../compiler/emit/matrix-layout.js';
import type { StorageType, Variant } from '../../compiler/ir/program.js';
import { run, type HostTensors } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { CASES, type Case } from '../emit/patterns.js';
import { programFor } from '../emit/programs.js';
import { toFloat32 } from '../../runtime/tensor.js';
import { storedAs } from '../gpu/tensors.js';
import { qkv } from '../runtime/data.js';
import { matrixTest, opened } from './matrix-device.js';
import { unitHere } from './unit.js';

const tiling = (change: Partial<MatrixTiling>): MatrixTiling => ({
  subgroups: 8,
  blocks: 1,
  keys: 16,
  chunk: 16,
  prefetch: true,
  lone: false,
  steady: false,
  retries: false,
  ...change,
});

const steady = (change: Partial<MatrixTiling>): MatrixTiling =>
  tiling({ subgroups: 4, lone: true, steady: true, ...change });

interface Way {
  readonly tiling: MatrixTiling;
  readonly cases: readonly string[];
  readonly output?: StorageType;
}

/** A list, several passes that merge, a score, a sink, a grid: each tiling has some of them. */
const WAYS: readonly Way[] = [
  { tiling: tiling({ subgroups: 8, lone: true }), cases: ['dense'] },
  { tiling: tiling({ subgroups: 4, lone: true }), cases: ['longnet of odd rates'] },
  { tiling: tiling({ subgroups: 4 }), cases: ['longformer'] },
  { tiling: tiling({ subgroups: 8, keys: 32, chunk: 32 }), cases: ['alibi'] },
  { tiling: tiling({ subgroups: 8 }), cases: ['sink over passes'] },
  { tiling: steady({ blocks: 2, keys: 32 }), cases: ['window', 'neighbourhood'] },
  { tiling: steady({ blocks: 2, keys: 32, retries: true }), cases: ['dense', 'longnet of odd rates'] },
  { tiling: steady({ retries: true, lone: false }), cases: ['sink over passes'] },
  { tiling: steady({ lone: false, keys: 32, chunk: 32 }), cases: ['window'] },
  { tiling: steady({}), cases: ['boxes'] },
  { tiling: steady({ subgroups: 8, keys: 32 }), cases: ['sink over passes'] },
  { tiling: steady({ lone: false, blocks: 2, keys: 32 }), cases: ['longformer'] },
  { tiling: tiling({ blocks: 2, subgroups: 2 }), cases: ['longformer'] },
  { tiling: tiling({ blocks: 2, subgroups: 4, lone: true }), cases: ['sink over passes', 'neighbourhood'] },
  { tiling: tiling({ subgroups: 8, prefetch: false }), cases: ['boxes', 'four axes'] },
  { tiling: tiling({ subgroups: 4, blocks: 2, keys: 32 }), cases: ['boxes of documents'] },
  { tiling: tiling({ keys: 64, subgroups: 2 }), cases: ['window'], output: 'bf16' },
  { tiling: tiling({}), cases: ['window and graph'] },
  { tiling: tiling({ keys: 32, subgroups: 3, lone: true }), cases: ['alibi'] },
  { tiling: tiling({ keys: 64, prefetch: false, subgroups: 4 }), cases: ['longformer'], output: 'f16' },
  { tiling: tiling({ keys: 16, prefetch: false, subgroups: 1, lone: true }), cases: ['window'] },
];

const caseOf = (name: string): Case => {
  const found = CASES.find((c) => c.pattern.name === name);
  if (!found) throw new Error(`no case ${name}`);
  return found;
};

const [DIM, VALUE_DIM] = [16, 40];

/** Plain numbers, and with scores that rise along the keys and NaN and infinity in two values. */
function tensorsFor({ settings, tokens }: Case): readonly HostTensors[] {
  const queries = tokens?.[0] ?? 130;
  const sizes = { heads: 2, keyHeads: tokens ? 2 : 1, queries, dim: DIM, valueDim: VALUE_DIM };
  const plain = { ...qkv(sizes), ...settings?.(queries, 2) };
  const rising = { ...qkv(sizes, 5), ...settings?.(queries, 2) };
  rising.k.data.forEach((x, n) => (rising.k.data[n] = x + (n % DIM === 0 ? Math.floor(n / DIM) / 4 : 0)));
  rising.q.data.forEach((x, n) => (rising.q.data[n] = n % DIM === 0 ? 4 : x));
  rising.v.data[VALUE_DIM * 40 + 3] = NaN;
  rising.v.data[VALUE_DIM * (queries - 2) + 39] = Infinity;
  return [plain, rising].map((tensors) => storedAs('f16', tensors));
}

for (const { tiling, cases, output = 'f32' } of WAYS) {
  for (const name of cases) {
    matrixTest(`${name}: ${JSON.stringify(tiling)}, out ${output}`, async (t) => {
      const found = caseOf(name);
      const { pattern } = found;
      const whole = programFor(pattern, DIM, VALUE_DIM);
      const sizes = { dim: DIM, valueDim: VALUE_DIM };
      const target = targetOf({ ...sizes, pattern });
      const portable = emitVariants(whole.schedules, { ...sizes, pattern }, 'portable');
      // The last schedule that has tiles is the one with lists, classes or a grid.
      const variants = whole.schedules
        .flatMap((s, n) => emitMatrixVariants(portable[n], s, target, [{ unit: unitHere(), tiling }]))
        .slice(-1)
        // Subgroups of lavapipe do run in lockstep, which the runtime isn't told of it.
        .map((v): Variant => ({ ...v, matrix: v.matrix && { ...v.matrix, lockstep: false } }));
      t.is(variants.length, 1);
      const program = { ...whole, variants };
      for (const tensors of tensorsFor(found)) {
        const expected = reference(pattern, tensors);
        const [{ schedule }] = variants;
        const options = { schedule, family: 'matrix', decode: false, out: output } as const;
        const result = await run(opened.device, program, tensors, options);
        const actual = { out: toFloat32(result.out), lse: result.lse.data };
        const c = compare(actual, expected, { input: 'f16', output });
        t.true(c.pass, `${program.schedules[schedule].name}: ${JSON.stringify(c)}`);
      }
    });
  }
}
