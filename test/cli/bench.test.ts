/** `attnc bench`: what it tells, that it tells nothing of wrong results, and what it computes from what it counts. */
import { writeFileSync } from 'node:fs';
import test from 'ava';
import { ratesOf, countWork } from '../../cli/bench/index.js';
import { copyWgsl, fmaWgsl, matrixWgsl } from '../../cli/bench/ceiling-kernels.js';
import { setsFor } from '../../cli/bench/buffers.js';
import { compile } from '../../compiler/index.js';
import { packProgram } from '../../compiler/ir/pack.js';
import type { Program } from '../../compiler/ir/program.js';
import { bind } from '../../runtime/bind.js';
import { validateWgsl } from '../../runtime/node/index.js';
import { attnc, DEVICE, isTidy, scratch } from './harness.js';

interface Report {
  readonly pattern: string;
  readonly shape: Readonly<Record<string, unknown>>;
  readonly dtype: unknown;
  readonly device: { readonly kind: string; readonly robustness: boolean };
  readonly family: string;
  readonly checked: Readonly<
    Record<'rows' | 'totalRows' | 'relativeError' | 'worstRow' | 'tolerance', number>
  >;
  readonly milliseconds: Readonly<Record<'median' | 'p10' | 'p90' | 'least' | 'runs', number>> & {
    readonly clock: string;
    readonly why: string | null;
  };
  readonly warmUp: { readonly milliseconds: number };
  readonly buffers: { readonly sets: number; readonly bytesASet: number };
  readonly pairs: Readonly<Record<'needed' | 'issued' | 'waste', number>> & { readonly exact: boolean };
  readonly flops: number;
  readonly bytes: number;
  readonly perSecond: { readonly flops: number; readonly bytes: number };
  readonly ceilings: Readonly<Record<'copy' | 'f32', number>>;
  readonly ofCeiling: { readonly arithmetic: number; readonly copy: number; readonly ofBound: number };
  readonly doneAgain: unknown;
}

const SMALL = `--length 100 --heads 2 --head-size 16 --device ${DEVICE} --runs 3 --warm-up 0`;

/** Window of 3 keys a side on 100 tokens and 2 heads. */
const NEEDED = 2 * (7 * 100 - 2 * (1 + 2 + 3));

const cases: readonly {
  readonly options: string;
  readonly bytes: number;
  readonly input: string;
  readonly clock: string;
  readonly robustness: boolean;
}[] = [
  // q, k, v and out of 3,200 numbers each, and lse.
  { options: '', bytes: 4 * 3200 * 4 + 200 * 4, input: 'f32', clock: 'timestamps', robustness: true },
  {
    options: '--dtype f16 --no-robustness',
    bytes: 4 * 3200 * 2 + 200 * 4,
    input: 'f16',
    clock: 'timestamps',
    robustness: false,
  },
  {
    options: '--dtype f16 --out-dtype f32 --wall-clock',
    bytes: 3 * 3200 * 2 + 3200 * 4 + 200 * 4,
    input: 'f16',
    clock: 'wall',
    robustness: true,
  },
];

for (const { options, bytes, input, clock, robustness } of cases) {
  test.serial(`bench --json ${options}`, async (t) => {
    const command = `bench samples/sliding.attn --pattern sliding --set window=3 ${SMALL} --json ${options}`;
    const { status, stdout, stderr } = await attnc(command);
    t.is(status, 0, stderr);
    const r = JSON.parse(stdout) as Report;
    t.is(r.pattern, 'sliding');
    t.like(r.shape, { batch: 1, heads: 2, keyHeads: 2, queries: 100, keys: 100, dim: 16, valueDim: 16 });
    t.like(r.dtype, { input });
    t.is(r.device.robustness, robustness);
    t.true(r.checked.rows > 100 && r.checked.rows <= 200 && r.checked.totalRows === 200);
    t.true(r.checked.worstRow <= 1.1 * r.checked.tolerance);
    const { least, p10, median, p90, runs, why } = r.milliseconds;
    t.true(0 < least && least <= p10 && p10 <= median && median <= p90 && runs >= 3);
    t.is(r.milliseconds.clock, clock);
    t.is(why === null, clock === 'timestamps');
    t.true(r.buffers.sets >= 2);
    t.is(r.buffers.bytesASet, bytes);
    t.is(r.pairs.needed, NEEDED);
    t.true(r.pairs.exact);
    t.is(r.pairs.waste, r.pairs.issued / NEEDED);
    t.is(r.flops, NEEDED * 4 * 16);
    t.is(r.bytes, bytes);
    t.true(Math.abs(r.perSecond.flops / ((1000 * r.flops) / median) - 1) < 1e-9);
    t.true(r.ceilings.copy > 0 && r.ceilings.f32 > 0);
    t.true(Math.abs(r.ofCeiling.copy / (r.perSecond.bytes / r.ceilings.copy) - 1) < 1e-9);
    t.is(r.ofCeiling.ofBound, Math.max(r.ofCeiling.arithmetic, r.ofCeiling.copy));
    // Only kernels of matrices estimate anything.
    if (r.family !== 'matrix') t.is(r.doneAgain, null);
  });
}

test.serial('bench in words', async (t) => {
  const { status, stdout, stderr } = await attnc(`bench samples/dense.attn --pattern causal ${SMALL}`);
  t.is(status, 0, stderr);
  t.true(isTidy(stdout));
  const names = ['shape', 'made up', 'device', 'kernels', 'checked', 'time', 'warm-up', 'pairs'];
  for (const name of [...names, 'arithmetic', 'bandwidth', 'bound', 'before it']) {
    t.regex(stdout, new RegExp(`^${name}  `, 'm'));
  }
  t.regex(stdout, /^time .*ms median of 3 runs by timestamps/m);
  // 2 heads × 100 · 101 / 2
  t.regex(stdout, /^pairs +10,100 needed/m);
});

test.serial('a wrong result has an error and no time', async (t) => {
  // Kernels of one window, the meaning of another.
  const of = (window: number): Program =>
    compile(`pattern p { i -> j when abs(i - j) <= ${window} }`, { dim: 16 }).program!;
  const file = scratch(t)('wrong.json');
  writeFileSync(file, packProgram({ ...of(3), pattern: of(4).pattern }));
  for (const json of ['', ' --json']) {
    const { status, stdout, stderr } = await attnc(`bench ${file} ${SMALL}${json}`);
    t.is(status, 1);
    t.is(stdout, '');
    t.regex(
      stderr,
      /^attnc: error\[ATTN4006\]: (out|lse) differs from the oracle by \d\.\d\de.\d+ in batch 0, head \d, row \d+, which may be/,
    );
    t.true(isTidy(stderr));
  }
});

const refused: readonly (readonly [args: string, status: number, message: RegExp])[] = [
  ['--schedule none', 2, /ATTN5004.*no schedule 'none'; it has rows/],
  ['--family cubic', 2, /ATTN5004.*portable, subgroup, matrix/],
  ['--runs 0', 2, /whole number from 1/],
  ['--warm-up never', 2, /number from 0 to 60000/],
  ['--out-dtype i32', 2, /f32, f16, bf16/],
];

for (const [args, status, message] of refused) {
  test.serial(`bench ${args}`, async (t) => {
    const result = await attnc(`bench samples/sliding.attn --pattern sliding ${SMALL} ${args}`);
    t.is(result.status, status);
    t.regex(result.stderr, message);
    t.is(result.stdout, '');
  });
}

const work = { needed: 100, issued: 200, waste: 2, exact: true, flops: 8e9, bytes: 2e9 };
const ceilings = { copy: 4e12, f32: 40e12, matrix: 400e12, matrixShape: '16×16×16' };

test('rates are held against the ceiling of the arithmetic that is used', (t) => {
  // 1 ms: 8 TFLOP/s, 2 TB/s.
  const portable = ratesOf(work, 1, ceilings, 'portable');
  t.deepEqual([portable.flops, portable.bytes], [8e12, 2e12]);
  t.deepEqual([portable.ofArithmetic, portable.ofCopy, portable.ofBound], [0.2, 0.5, 0.5]);
  t.is(portable.bound, 'bandwidth');
  const matrix = ratesOf({ ...work, flops: 80e9 }, 1, ceilings, 'matrix');
  t.deepEqual([matrix.ofArithmetic, matrix.bound, matrix.arithmetic], [0.2, 'bandwidth', 'matrix']);
  const without = ratesOf({ ...work, flops: 80e9 }, 1, { ...ceilings, matrix: undefined }, 'matrix');
  t.deepEqual([without.ofArithmetic, without.bound, without.arithmetic], [2, 'arithmetic', 'f32']);
});

const counted: readonly {
  readonly source: string;
  readonly heads: number;
  readonly length: number;
  readonly needed: number;
  readonly inputs?: Readonly<Record<string, readonly number[]>>;
}[] = [
  { source: 'i -> j', heads: 3, length: 130, needed: 3 * 130 * 130 },
  { source: 'i -> j when j <= i', heads: 1, length: 130, needed: (130 * 131) / 2 },
  // Twice where both hold: multiplicities count.
  {
    source: 'overlaps add i -> j when abs(i - j) <= 1 i -> j when i == j',
    heads: 2,
    length: 64,
    needed: 2 * 254,
  },
  {
    source: 'input g: edges i -> j when g[i, j]',
    heads: 2,
    length: 4,
    needed: 2 * 5,
    inputs: { 'g.row_ptr': [0, 2, 2, 3, 5], 'g.col_idx': [0, 3, 1, 2, 3] },
  },
];

test('needed pairs are counted exactly where there are few', (t) => {
  for (const { source, heads, length, needed, inputs = {} } of counted) {
    const { program } = compile(`pattern p { ${source} }`, { dim: 16 });
    t.truthy(program, source);
    const shape = [1, heads, length, 16];
    const bound = bind(program!, { q: shape, k: shape, v: shape }, { inputs });
    for (const schedule of program!.schedules) {
      const counts = countWork(schedule, bound, { input: 'f16', output: 'f32' });
      t.is(counts.needed, needed, `${source}, ${schedule.name}`);
      t.true(counts.exact && counts.issued >= needed);
      t.is(counts.flops, needed * 64);
    }
  }
});

test('buffers in turn go past any cache, and are two at least', (t) => {
  for (const [bytes, sets] of [
    [100, 16],
    [2 ** 27, 8],
    [2 ** 29 + 1, 2],
    [2 ** 33, 2],
  ]) {
    t.is(setsFor(bytes), sets);
  }
});

test.serial('kernels that measure ceilings are valid', async (t) => {
  const square = (n: number) => ({ componentType: 'f16', resultComponentType: 'f32', m: n, n, k: n });
  for (const [entry, code] of [
    ['copy', copyWgsl()],
    ['multiply_add', fmaWgsl()],
    ['multiply', matrixWgsl(square(16))],
    ['multiply', matrixWgsl(square(8))],
    ['multiply', matrixWgsl({ ...square(16), n: 8 })],
  ]) {
    const messages = await validateWgsl(code, { entryPoints: [entry], limits: 'offered' });
    t.deepEqual(messages, [], entry);
  }
});
