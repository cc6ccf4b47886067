// Which variant runs: storage types, layouts, families; and what is said where none fits.

import test from 'ava';
import { packProgram, unpackProgram } from '../../compiler/ir/pack.js';
import type { Family, Program, StorageType, Variant } from '../../compiler/ir/program.js';
import { shaderText } from '../../compiler/ir/shader-text.js';
import { bind } from '../../runtime/bind.js';
import { isAttncError, type ErrorKind } from '../../runtime/errors.js';
import {
  encode,
  prepare,
  requirements,
  run,
  type Bindings,
  type TensorBinding,
} from '../../runtime/index.js';
import { chooseVariant } from '../../runtime/pick-variant.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { choose } from '../../runtime/prepare.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { fromNumbers, type TensorOf } from '../../runtime/tensor.js';
import { CASES } from '../emit/patterns.js';
import { programFor } from '../emit/programs.js';
import { qkv } from '../runtime/data.js';
import { handProgram } from '../runtime/hand-program.js';
import { bufferOf } from '../runtime/lend.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

const whole = programFor(CASES[0].pattern);
/** Without the families that only some devices have: tests add their own. */
const dense: Program = { ...whole, variants: whole.variants.filter((v) => v.family === 'portable') };

/** The program with the same kernels under another family's name, that take f16 alone, `components` numbers at once. */
function withFamily(
  program: Program,
  family: Family,
  change: Partial<Variant> = {},
  components = 4,
): Program {
  const made = program.variants.map((v): Variant => {
    const kernels = v.kernels.map((k) => ({
      ...k,
      bindings: k.bindings.map((b) =>
        b.name === 'q' || b.name === 'k' || b.name === 'v' ? { ...b, components } : b,
      ),
    }));
    return { ...v, family, inputs: ['f16'], kernels, ...change };
  });
  return { ...program, variants: [...program.variants, ...made] };
}

interface Layout {
  readonly offset?: number;
  readonly row?: number;
}

const SHAPE = [1, 2, 8, 16];

function bindings(dtype: StorageType, { offset = 0, row = 16 }: Layout = {}, room = 4096): Bindings {
  const strides = { batch: 2 * 8 * row, head: 8 * row, row };
  const lend = (): TensorBinding => ({ buffer: bufferOf(opened.device, room), shape: SHAPE, dtype });
  const q = { ...lend(), offset, strides };
  return { q, k: lend(), v: lend(), out: { ...lend(), dtype: 'f32' } };
}

const chosen = (program: Program, given: Bindings, input: StorageType, family?: Family): string => {
  const prepared = choose(opened.device, program);
  const bound = bind(program, { q: SHAPE, k: SHAPE, v: SHAPE }, {});
  return chooseVariant(prepared, bound, { input, output: 'f32', tensors: given }, { family }).family;
};

const CHOICES: readonly (readonly [
  name: string,
  program: Program,
  input: StorageType,
  layout: Layout,
  family: Family | undefined,
  expected: Family,
])[] = [
  ['the fastest family', withFamily(dense, 'matrix'), 'f16', {}, undefined, 'matrix'],
  ['subgroup before portable', withFamily(dense, 'subgroup'), 'f16', {}, undefined, 'subgroup'],
  [
    'matrix before subgroup',
    withFamily(withFamily(dense, 'subgroup'), 'matrix'),
    'f16',
    {},
    undefined,
    'matrix',
  ],
  ['one that takes the type', withFamily(dense, 'matrix'), 'bf16', {}, undefined, 'portable'],
  ['the family asked for', withFamily(dense, 'matrix'), 'f16', {}, 'portable', 'portable'],
  [
    '8 numbers at once: rows of 24',
    withFamily(dense, 'matrix', {}, 8),
    'f16',
    { row: 24 },
    undefined,
    'matrix',
  ],
  [
    '8 numbers at once: rows of 20',
    withFamily(dense, 'matrix', {}, 8),
    'f16',
    { row: 20 },
    undefined,
    'portable',
  ],
  [
    '8 numbers at once: 16 bytes in',
    withFamily(dense, 'matrix', {}, 8),
    'f16',
    { offset: 16 },
    undefined,
    'matrix',
  ],
  [
    '8 numbers at once: 8 bytes in',
    withFamily(dense, 'matrix', {}, 8),
    'f16',
    { offset: 8 },
    undefined,
    'portable',
  ],
];

for (const [name, program, input, layout, family, expected] of CHOICES) {
  test.serial(`chosen: ${name}`, (t) => {
    t.is(chosen(program, bindings(input, layout), input, family), expected);
  });
}

const ERRORS: readonly (readonly [
  name: string,
  kind: ErrorKind,
  says: RegExp,
  go: () => Promise<unknown>,
])[] = [
  [
    'q and k of two types',
    'wrong-type',
    /'q' is f16, but 'k' is bf16; q, k and v must have one type/,
    async () => encodeOn(dense, { ...bindings('f16'), k: bindings('bf16').k }),
  ],
  [
    'a type that there is not',
    'wrong-type',
    /'v' must be f32 or f16 or bf16, not f64/,
    async () => encodeOn(dense, { ...bindings('f32'), v: { ...bindings('f32').v, dtype: 'f64' as 'f32' } }),
  ],
  [
    'lse that is not f32',
    'wrong-type',
    /'lse' must be f32, not f16/,
    async () =>
      encodeOn(dense, {
        ...bindings('f32'),
        lse: { buffer: bufferOf(opened.device, 64), shape: SHAPE.slice(0, 3), dtype: 'f16' },
      }),
  ],
  [
    'types that were not prepared',
    'usage',
    /not prepared for q, k and v in f16 and out in f32; pass \{ inputs: \['f16'\], outputs: \['f32'\] \} to prepare/,
    async () => encodeOn(dense, bindings('f16'), []),
  ],
  [
    'an offset that is no multiple of 4 halves',
    'usage',
    /the offset of 'q' is 4 bytes; it must be a multiple of 8/,
    async () => encodeOn(dense, bindings('f16', { offset: 4 })),
  ],
  [
    'an offset that is no multiple of 8 halves, with the family asked for',
    'usage',
    /the offset of 'q' is 8 bytes; it must be a multiple of 16/,
    async () =>
      encodeOn(withFamily(dense, 'matrix', {}, 8), bindings('f16', { offset: 8 }), ['f16'], 'matrix'),
  ],
  [
    'strides that are no multiple of 4',
    'usage',
    /stride of 'q' is \d+; strides count elements and must be multiples of 4/,
    async () => encodeOn(dense, bindings('bf16', { row: 17 })),
  ],
  [
    'a buffer that is too small for f32, not for f16',
    'wrong-shape',
    /'q' of shape \[1, 2, 8, 16\] takes 1024 bytes from offset 0, but there are 512/,
    async () => {
      const { q } = bindings('f16', {}, 128);
      await encodeOn(dense, { ...bindings('f16'), q });
      await encodeOn(dense, { ...bindings('f32'), q: { ...q, dtype: 'f32' } });
    },
  ],
  [
    'a family that the program does not have',
    'usage',
    /no kernels of family matrix; it has portable/,
    () => run(opened.device, dense, qkv({ queries: 8 }), { family: 'matrix' }),
  ],
  [
    'a family that the device does not have',
    'missing-feature',
    /does not have the feature 'flux-capacitor'/,
    () =>
      run(opened.device, withFamily(dense, 'matrix', { features: ['flux-capacitor'] }), qkv({ queries: 8 }), {
        family: 'matrix',
      }),
  ],
  [
    'a family that does not take the types',
    'wrong-type',
    /no kernels of family matrix for q, k and v in f32 and out in f32/,
    () => run(opened.device, withFamily(dense, 'matrix'), qkv({ queries: 8 }), { family: 'matrix' }),
  ],
  [
    'types that the program has no kernels for',
    'wrong-type',
    /no kernels for q, k and v in bf16 and out in f32/,
    () => prepare(opened.device, handProgram(), { inputs: ['f32', 'bf16'] }),
  ],
  [
    'preparing for a type that there is not',
    'wrong-type',
    /'a storage type' must be f32 or f16 or bf16, not f8/,
    () => prepare(opened.device, dense, { inputs: ['f8' as 'f16'] }),
  ],
  [
    'a result of a type that there is not',
    'wrong-type',
    /'out' must be f32 or f16 or bf16, not i32/,
    () => run(opened.device, dense, qkv({ queries: 8 }), { out: 'i32' as 'f32' }),
  ],
];

async function encodeOn(
  program: Program,
  given: Bindings,
  inputs: readonly StorageType[] = ['f32', 'f16', 'bf16'],
  family?: Family,
): Promise<void> {
  const prepared = await prepare(opened.device, program, inputs.length > 0 ? { inputs } : {});
  encode(opened.device.createCommandEncoder(), prepared, given, { family }).release();
}

for (const [name, kind, says, go] of ERRORS) {
  test.serial(`${kind}: ${name}`, async (t) => {
    const error = await t.throwsAsync(go());
    t.true(isAttncError(error, kind), String(error?.stack));
    t.regex(error?.message ?? '', says);
    t.notRegex(error?.message ?? '', /\n/);
  });
}

test.serial('bf16 on kernels for f16: where it fits, and only there', async (t) => {
  const f32 = qkv({ heads: 2, queries: 40 });
  const bf16 = (x: TensorOf<'f32'>, factor = 1): TensorOf<'bf16'> =>
    fromNumbers(
      'bf16',
      x.shape,
      x.data.map((y) => factor * y),
    ) as TensorOf<'bf16'>;
  const fitting = { q: bf16(f32.q), k: bf16(f32.k), v: bf16(f32.v) };
  const large = { ...fitting, v: bf16(f32.v, 1e6) };
  const both = withFamily(dense, 'matrix');
  for (const [tensors, program, family, expected] of [
    [fitting, both, undefined, ['matrix', 'f16']],
    [fitting, both, 'matrix', ['matrix', 'f16']],
    [fitting, both, 'portable', ['portable', 'bf16']],
    [fitting, dense, undefined, ['portable', 'bf16']],
    [large, both, undefined, ['portable', 'bf16']],
    // Kernels that take bf16 themselves.
    [fitting, withFamily(dense, 'matrix', { inputs: ['f16', 'bf16'] }), undefined, ['matrix', 'bf16']],
    // And a result that they don't give.
    [fitting, withFamily(dense, 'matrix', { outputs: ['f16'] }), undefined, ['portable', 'bf16']],
  ] as const) {
    const { out, lse, stats } = await run(opened.device, program, tensors, { family });
    t.deepEqual([stats.family, stats.input], expected);
    const c = compare({ out: out.data, lse: lse.data }, reference(program.pattern, tensors));
    t.true(c.pass, JSON.stringify(c));
  }
  const error = await t.throwsAsync(run(opened.device, both, large, { family: 'matrix' }));
  t.regex(error?.message ?? '', /no kernels of family matrix for q, k and v in bf16/);
});

test.serial('each pair of types has pipelines of its own, compiled once', async (t) => {
  const prepared = await prepare(opened.device, dense, { inputs: ['f16', 'bf16'], outputs: ['f32', 'f16'] });
  const keys = new Set([...prepared.pipelines.values()].flatMap((made) => [...made.keys()]));
  t.deepEqual([...keys].sort(), ['bf16/f16', 'bf16/f32', 'f16/f16', 'f16/f32']);
  const kernels = prepared.variants.flatMap((v) => v.kernels);
  t.is(prepared.pipelines.size, kernels.length);
  // A kernel that merges parts does not read q, k or v: its text, and so its pipeline, is the same for both.
  const merge = kernels.find((k) => k.role === 'merge');
  const made = merge && prepared.pipelines.get(merge);
  t.truthy(made);
  t.is(made?.get('f16/f32'), made?.get('bf16/f32'));
  t.not(made?.get('f16/f32'), made?.get('f16/f16'));
});

test('requirements count the bytes of each type', (t) => {
  const shapes = { q: [1, 8, 65536, 128], out: [1, 8, 65536, 128], lse: [1, 8, 65536] };
  const bytes = (input: StorageType, output: StorageType): number | undefined =>
    requirements(dense, shapes, { input, output }).limits.maxStorageBufferBindingSize;
  t.is(requirements(dense, shapes).limits.maxStorageBufferBindingSize, 2 ** 28);
  t.is(bytes('f16', 'f32'), 2 ** 28);
  t.is(bytes('f16', 'bf16'), undefined);
  t.is(bytes('f32', 'f16'), 2 ** 28);
});

test('shaderText: directives, then the preludes that the kernel uses, then the kernel', (t) => {
  const program = unpackProgram(packProgram(dense));
  t.deepEqual(program.preludes, dense.preludes);
  const types = { input: 'f16', output: 'bf16' } as const;
  const { inputs, outputs } = program.preludes;
  const kernel = (wgsl: string, directives = ''): string => shaderText(program, { directives, wgsl }, types);
  t.is(kernel('fn main() {}\n'), 'fn main() {}\n');
  t.is(kernel('let x = read_quad(q[0]);'), `${inputs.f16}\n\nlet x = read_quad(q[0]);\n`);
  t.is(kernel('out[0] = write_out(x);'), `${outputs.bf16}\n\nout[0] = write_out(x);\n`);
  t.is(
    kernel('out[0] = write_out(read_quad(q[0]));', 'enable f16;\nrequires x;'),
    `enable f16;\nrequires x;\n\n${inputs.f16}\n\n${outputs.bf16}\n\nout[0] = write_out(read_quad(q[0]));\n`,
  );
  // Part of another name is no use.
  t.is(kernel('let MyQuad = 1; let read_outer = 2;'), 'let MyQuad = 1; let read_outer = 2;\n');
});
