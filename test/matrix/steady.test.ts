// Steady tilings on scores that their estimates don't foresee, against the oracle: weights too large for f16, too
// small for it, and as small as is let pass; rows of one edge and of none; keys in windows and in parts.

import type { MatrixTiling } from '../../compiler/emit/matrix-layout.js';
import type { Program } from '../../compiler/ir/program.js';
import { measure, type Redone } from '../../cli/bench/measure.js';
import { MARGIN } from '../../compiler/emit/matrix-steady.js';
import { run, type HostTensors } from '../../runtime/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { toFloat32 } from '../../runtime/tensor.js';
import { storedAs } from '../gpu/tensors.js';
import { generator, qkv } from '../runtime/data.js';
import { matrixTest, opened } from './matrix-device.js';
import { inTiling } from './one-tiling.js';

const [DIM, VALUE_DIM] = [16, 24];
const HEADS = 2;

/** Scores of a row, but for little that is drawn by lot: of key j, times the row's sign. */
interface Profile {
  readonly name: string;
  readonly score: (j: number) => number;
  readonly sign?: (row: number) => number;
}

/** The keys that may be estimated from. */
const isFirst = (j: number): boolean => j % 64 < 32;
const alternating = (row: number): number => (row % 3 === 0 ? -1 : 1);

/** Nats from powers of two above what is estimated from. */
const above = (powers: number): number => (powers + MARGIN) * Math.LN2;

const PROFILES: readonly Profile[] = [
  { name: 'infinite in f16', score: (j) => (isFirst(j) ? 0 : above(18)) },
  { name: 'just what f16 holds', score: (j) => (j % 64 === 63 ? above(15.5) : isFirst(j) ? 0 : -3) },
  { name: 'far below', score: (j) => (isFirst(j) ? 30 : -3) },
  // Weights about 2^-14 and 2^-17, by turns: where f16 had no subnormals, much would be lost.
  { name: 'hardly enough', score: (j) => (isFirst(j) ? 0 : above(-15.2) + (j % 2 === 0 ? 1 : -1)) },
  { name: 'huge', score: (j) => (isFirst(j) ? -1e4 : 1e4) },
  { name: 'huge below nothing', score: () => -1e4 },
  { name: 'rising and falling', score: (j) => j / 3, sign: alternating },
  // What rescales has to at the second and the third of these steps, not at the first.
  { name: 'in steps', score: (j) => Math.LN2 * [0, 14.9, 31.4, 47.9][Math.min(3, Math.floor(j / 32))] },
  { name: 'up and down', score: (j) => ((j * 7) % 16) * 3, sign: alternating },
];

/** Values are about 1, so that lost weight is not made up for by others. */
function tensorsOf(
  { score, sign }: Profile,
  queries: number,
  keys: number,
  batch: number,
  heads = HEADS,
): HostTensors {
  const { q, k, v } = qkv({ batch, heads, keyHeads: 1, queries, keys, dim: DIM, valueDim: VALUE_DIM });
  const random = generator(7);
  q.data.forEach((x, n) => {
    const row = Math.floor(n / DIM) % queries;
    q.data[n] = n % DIM === 0 ? Math.sqrt(DIM) * (sign?.(row) ?? 1) : x / 4;
  });
  k.data.forEach((_, n) => {
    if (n % DIM === 0) k.data[n] = score(Math.floor(n / DIM) % keys);
  });
  v.data.forEach((_, n) => (v.data[n] = 1 + random() / 4));
  return storedAs('f16', { q, k, v });
}

interface Case {
  readonly text: string;
  readonly tiling: Partial<MatrixTiling>;
  readonly windows?: boolean;
  /** Parameters, and queries and keys of each batch. */
  readonly runs: readonly {
    readonly set?: Readonly<Record<string, number>>;
    readonly queries: readonly number[];
    readonly keys: readonly number[];
    readonly decode?: boolean;
    readonly bindingBytes?: number;
  }[];
}

const CASES: readonly Case[] = [
  {
    text: 'pattern p(window: int = 10) { align start i -> j when abs(i - j) <= window }',
    tiling: { blocks: 2, keys: 32, retries: true },
    runs: [
      { queries: [150, 77], keys: [150, 77] },
      // Tiles without masks, whose chunks take turns.
      { set: { window: 100 }, queries: [190], keys: [190] },
      // One edge a row; and none, where there are more queries than keys.
      { set: { window: 0 }, queries: [130], keys: [130] },
      { set: { window: 0 }, queries: [140, 3], keys: [75, 9] },
    ],
  },
  {
    // Residue classes, and subgroups of fewer rows than a chunk; no key but the first ones is for the first rows.
    text: 'pattern p() { i -> j when j <= i and (i - j) % 3 == 0 }',
    tiling: { subgroups: 8, keys: 32 },
    runs: [
      { queries: [201], keys: [201] },
      { queries: [9, 9], keys: [9, 70] },
    ],
  },
  {
    text: 'pattern p() { i -> j when abs(i - j) <= 12 or i < 5 and j % 2 == 0 }',
    tiling: { lone: false, blocks: 2, keys: 32, retries: true },
    windows: true,
    runs: [
      { queries: [180], keys: [180] },
      // In the second sequence there are fewer tiles, in each pass others.
      { queries: [180, 20], keys: [180, 20] },
      { queries: [180], keys: [180], decode: true },
      // Keys in several windows, and rows in bands.
      { queries: [180], keys: [180], bindingBytes: 4096 },
    ],
  },
  {
    text: 'pattern p(window: int = 10) { i -> j when 0 <= i - j <= window }',
    tiling: { blocks: 2 },
    windows: true,
    runs: [
      { set: { window: 70 }, queries: [190], keys: [190], bindingBytes: 4096 },
      { queries: [60], keys: [190], bindingBytes: 2048 },
    ],
  },
];

for (const { text, tiling, windows, runs } of CASES) {
  matrixTest(`${text}: ${JSON.stringify(tiling)}${windows ? ', in windows' : ''}`, async (t) => {
    const program = inTiling({ text, tiling, dim: DIM, valueDim: VALUE_DIM, ...(windows && { windows }) });
    const [{ schedule }] = program.variants;
    for (const { set, queries, keys, decode = false, bindingBytes } of runs) {
      for (const profile of PROFILES) {
        const [rows, columns] = [Math.max(...queries), Math.max(...keys)];
        const tensors = {
          ...tensorsOf(profile, rows, columns, queries.length),
          lengths: { queries, keys },
          ...(set && { parameters: set }),
        };
        const options = { schedule, family: 'matrix', decode, bindingBytes } as const;
        const { out, lse, stats } = await run(opened.device, program, tensors, options);
        const actual = { out: toFloat32(out), lse: lse.data };
        const c = compare(actual, reference(program.pattern, tensors), 'f16');
        const what = `${profile.name}, ${JSON.stringify({ set, queries, keys, decode, bindingBytes })}`;
        t.true(c.pass, `${what}: ${JSON.stringify(c)}`);
        if (bindingBytes !== undefined) t.true(stats.steps > 1, what);
      }
    }
  });
}

/** The program without what its kernels do that do listed work again: it stays undone. */
const withoutRedoing = (program: Program): Program => ({
  ...program,
  variants: program.variants.map((v) => ({
    ...v,
    kernels: v.kernels.map((k) =>
      k.role === 'tiles_again' ? { ...k, wgsl: k.wgsl.replace('n < listed;', 'n < 0u;') } : k,
    ),
  })),
});

/** The same program without trying again, either. */
const withoutRetries = (program: Program): Program => ({
  ...program,
  variants: program.variants.map((v) => ({
    ...v,
    kernels: v.kernels.map((k) => ({ ...k, wgsl: k.wgsl.replace('needs_care == 2u && !again', 'false') })),
  })),
});

matrixTest('a sink: rows of many keys are done once', async (t) => {
  const text = 'pattern p { i -> j when j <= i }';
  const program = inTiling({
    text,
    tiling: { blocks: 2, keys: 32, retries: true },
    dim: DIM,
    valueDim: VALUE_DIM,
  });
  const [{ schedule, kernels }] = program.variants;
  t.true(kernels.some((k) => k.wgsl.includes('needs_care == 2u && !again')));
  const passes = async (sink: number): Promise<boolean> => {
    const profile: Profile = { name: 'sink', score: (j) => (j === sink ? 14 : 0) };
    const tensors = tensorsOf(profile, 8, 16384, 1);
    const once = withoutRetries(withoutRedoing(program));
    const options = { schedule, family: 'matrix', decode: false } as const;
    const { out, lse } = await run(opened.device, once, tensors, options);
    return compare({ out: toFloat32(out), lse: lse.data }, reference(program.pattern, tensors), 'f16').pass;
  };
  // It is among the keys that references are estimated from, of which some come after others; or too large for f16.
  t.true(await passes(0));
  t.true(await passes(20));
  t.false(await passes(40));
});

/** What `attnc bench` says of it, of a run of its own. */
async function counted(text: string, retries: boolean, tensors: HostTensors): Promise<Redone> {
  const program = inTiling({
    text,
    tiling: { keys: 32, retries },
    dim: DIM,
    valueDim: VALUE_DIM,
  });
  const [{ schedule }] = program.variants;
  const choose = { schedule, family: 'matrix', decode: false } as const;
  const { redone } = await measure(
    opened.device,
    { program, tensors, output: 'f32', choose },
    { rows: [], check: () => undefined, timing: { warmUp: 0, runs: 1 }, sets: 1 },
  );
  return redone!;
}

matrixTest('bench counts what is done again', async (t) => {
  const text = 'pattern p { i -> j when abs(i - j) <= 100 }';
  const of = (name: string): HostTensors =>
    tensorsOf(PROFILES.find((p) => p.name === name) ?? { name, score: () => 0 }, 190, 190, 1);
  const [plain, infinite, huge] = [of('plain'), of('infinite in f16'), of('huge')];
  const { workgroups, ...none } = await counted(text, true, plain);
  t.true(workgroups >= HEADS);
  t.deepEqual(none, { retried: 0, rescaled: 0 });
  t.deepEqual(await counted(text, true, infinite), { workgroups, retried: workgroups, rescaled: 0 });
  t.deepEqual(await counted(text, true, huge), { workgroups, retried: 0, rescaled: workgroups });
  t.deepEqual(await counted(text, false, infinite), { workgroups, retried: 0, rescaled: workgroups });
});

matrixTest('run after run, more tiles are done again than workgroups share, in both passes', async (t) => {
  const [heads, rows] = [300, 40];
  const text = 'pattern p { i -> j when abs(i - j) <= 12 or i < 5 and j % 2 == 0 }';
  const program = inTiling({ text, tiling: {}, dim: DIM, valueDim: VALUE_DIM });
  const [{ schedule }] = program.variants;
  const tensors = tensorsOf(
    PROFILES.find((p) => p.name === 'infinite in f16')!,
    rows,
    rows,
    1,
    heads,
  );
  const expected = reference(program.pattern, tensors);
  let checked = 0;
  const { redone } = await measure(
    opened.device,
    { program, tensors, output: 'f32', choose: { schedule, family: 'matrix', decode: false } },
    {
      rows: Array.from({ length: heads * rows }, (_, n) => ({
        batch: 0,
        head: Math.floor(n / rows),
        row: n % rows,
      })),
      check: (actual) => {
        const c = compare(actual, expected, 'f16');
        t.true(c.pass, JSON.stringify(c));
        checked++;
      },
      timing: { warmUp: 0, runs: 5 },
      sets: 1,
    },
  );
  // Before the runs that are timed, and after them.
  t.is(checked, 2);
  t.is(redone!.rescaled, redone!.workgroups);
  t.true(redone!.workgroups >= 2 * heads);
});

/** Which of these need the kernels that do work again, in a tiling that does tiles once more by itself, or doesn't. */
const NEEDS_REDOING: readonly (readonly [name: string, text: string, always: boolean])[] = [
  ['infinite in f16', 'pattern p { i -> j when abs(i - j) <= 100 }', false],
  ['far below', 'pattern p { i -> j when abs(i - j) <= 10 }', false],
  ['rising and falling', 'pattern p { i -> j when j <= i }', false],
  ['huge', 'pattern p { i -> j when abs(i - j) <= 100 }', true],
];

for (const [name, text, always] of NEEDS_REDOING) {
  matrixTest(
    `${name}: done once more by the kernel itself${always ? ', which does not help' : ''}`,
    async (t) => {
      const profile = PROFILES.find((p) => p.name === name)!;
      const passes = async (retries: boolean, change: (program: Program) => Program): Promise<boolean> => {
        const tiling = { keys: 32, retries };
        const program = inTiling({ text, tiling, dim: DIM, valueDim: VALUE_DIM });
        const [{ schedule }] = program.variants;
        const tensors = tensorsOf(profile, 190, 190, 1);
        const options = { schedule, family: 'matrix', decode: false } as const;
        const { out, lse } = await run(opened.device, change(program), tensors, options);
        return compare({ out: toFloat32(out), lse: lse.data }, reference(program.pattern, tensors), 'f16')
          .pass;
      };
      t.true(await passes(true, (program) => program));
      t.is(await passes(true, withoutRedoing), !always);
      t.false(await passes(true, (program) => withoutRetries(withoutRedoing(program))));
      t.false(await passes(false, withoutRedoing));
    },
  );
}
