// `attnc tune`: what it prints and keeps, what `run` and `bench` make of it, and what is never kept.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { compile } from '../../compiler/index.js';
import { packProgram } from '../../compiler/ir/pack.js';
import type { Program, Variant } from '../../compiler/ir/program.js';
import type { TunedChoices } from '../../runtime/tuned.js';
import { attnc, DEVICE, isTidy, scratch } from '../cli/harness.js';

const SIZE = `--length 100 --heads 2 --head-size 16 --device ${DEVICE}`;
const FEW = '--runs 2 --warm-up 0';
const SLIDING = `samples/sliding.attn --pattern sliding --set window=3 ${SIZE}`;

interface Tuned {
  readonly candidates: readonly {
    readonly schedule: string;
    readonly family: string;
    readonly tiling: string;
    readonly milliseconds: { readonly median: number } | null;
    readonly problem: string | null;
    readonly kept: boolean;
    readonly usual: boolean;
  }[];
  readonly kept: TunedChoices['choices'][string];
  readonly key: string;
  readonly cache: string;
}

const choicesIn = (file: string): TunedChoices['choices'] =>
  (JSON.parse(readFileSync(file, 'utf8')) as TunedChoices).choices;

test.serial('tune keeps the fastest; run and bench take it, unless told not to', async (t) => {
  const file = scratch(t)('tuned.json');
  const { status, stdout, stderr } = await attnc(`tune ${SLIDING} ${FEW} --cache ${file} --json`);
  t.is(status, 0, stderr);
  const { candidates, kept, key, cache } = JSON.parse(stdout) as Tuned;
  t.is(cache, file);
  t.true(['portable', 'subgroup'].every((family) => candidates.some((c) => c.family === family)));
  t.true(candidates.every((c) => c.milliseconds !== null && c.problem === null));
  const best = [...candidates].sort((a, b) => a.milliseconds!.median - b.milliseconds!.median)[0];
  t.like(kept, { family: best.family, tiling: best.tiling, milliseconds: best.milliseconds!.median });
  t.deepEqual(
    candidates.filter((c) => c.kept),
    [best],
  );
  t.is(candidates.filter((c) => c.usual).length, 1);
  t.deepEqual(choicesIn(file), { [key]: kept });

  // Whichever was faster: the other one is what the file says now, and what runs.
  const other = candidates.find((c) => !c.usual)!;
  const usual = candidates.find((c) => c.usual)!;
  const forced = { schedule: other.schedule, family: other.family, tiling: other.tiling, milliseconds: 1 };
  writeFileSync(file, JSON.stringify({ format: 'attnc-tuned', version: 1, choices: { [key]: forced } }));
  const env = { ATTNC_TUNED: file };
  for (const [options, around, family, tuned] of [
    [`--cache ${file}`, {}, other.family, true],
    ['', { env }, other.family, true],
    ['--no-tuned', { env }, usual.family, false],
    [`--family ${usual.family}`, { env }, usual.family, false],
    [`--tiling`, { env }, usual.family, false],
    ['', {}, usual.family, false],
  ] as const) {
    const args = `bench ${SLIDING} ${FEW} --json ${options === '--tiling' ? '' : options}`.trim().split(/ +/);
    const forcing = options === '--tiling' ? ['--tiling', usual.tiling, '--family', usual.family] : [];
    const bench = await attnc([...args, ...forcing], around);
    t.is(bench.status, 0, bench.stderr);
    t.like(JSON.parse(bench.stdout), { family, tuned });
    if (options.startsWith('--family') || options === '--tiling') continue;
    const run = await attnc(`run ${SLIDING} --random --json ${options}`, around);
    t.is(run.status, 0, run.stderr);
    t.like((JSON.parse(run.stdout) as { stats: unknown }).stats, { family, tuned });
  }
  const words = await attnc(`run ${SLIDING} --random`, { env });
  t.regex(words.stdout, new RegExp(`^kernels .*\\(${other.family}, tuned, schedule`, 'm'));
});

test.serial('tune in words; another shape is another choice, and a broken file is told of', async (t) => {
  const file = scratch(t)('tuned.json');
  writeFileSync(file, 'broken');
  const first = await attnc(`tune ${SLIDING} ${FEW} --cache ${file}`);
  t.is(first.status, 0);
  t.regex(first.stderr, /tuned\.json: it is no JSON; it is ignored\n$/);
  t.true(isTidy(first.stdout) && isTidy(first.stderr));
  t.regex(first.stdout, /^sliding: window = 3\nshape .*\ntypes .*f32 in, f32 out\ndevice /);
  t.regex(first.stdout, /^ {2}portable +rows +64 queries +\S+ ms \(80 % between/m);
  t.is([...first.stdout.matchAll(/, kept\b/g)].length, 1);
  t.is([...first.stdout.matchAll(/chosen without tuning/g)].length, 1);
  t.is(Object.keys(choicesIn(file)).length, 1);
  const second = await attnc(`tune ${SLIDING} ${FEW} --cache ${file} --dtype f16`);
  t.is(second.status, 0, second.stderr);
  t.is(second.stderr, '');
  t.is(Object.keys(choicesIn(file)).length, 2);

  writeFileSync(file, 'broken again');
  const run = await attnc(`run ${SLIDING} --random --cache ${file}`);
  t.is(run.status, 0);
  t.regex(run.stderr, /tuned\.json: it is no JSON; it is ignored\n$/);
});

/** The program with the kernels of one family taken from a program of another meaning. */
function wrongIn(families: readonly string[]): Program {
  const of = (window: number): Program =>
    compile(`pattern p { i -> j when abs(i - j) <= ${window} }`, { dim: 16 }).program!;
  const [right, wrong] = [of(3), of(4)];
  const variants = right.variants.map((v, n): Variant =>
    families.includes(v.family) ? wrong.variants[n] : v,
  );
  return { ...right, variants };
}

test.serial('what is wrong is reported and never kept', async (t) => {
  const path = scratch(t);
  const [program, file] = [path('program.json'), path('tuned.json')];
  writeFileSync(program, packProgram(wrongIn(['subgroup', 'matrix'])));
  const { status, stdout, stderr } = await attnc(`tune ${program} ${SIZE} ${FEW} --cache ${file} --json`);
  t.is(status, 0, stderr);
  const { candidates, kept } = JSON.parse(stdout) as Tuned;
  t.is(kept.family, 'portable');
  for (const c of candidates.filter((x) => x.family !== 'portable')) {
    t.is(c.milliseconds, null);
    t.regex(c.problem ?? '', /differs from the oracle by/);
  }

  const nothing = path('nothing.json');
  writeFileSync(program, packProgram(wrongIn(['portable', 'subgroup', 'matrix'])));
  const failed = await attnc(`tune ${program} ${SIZE} ${FEW} --cache ${nothing}`);
  t.is(failed.status, 1);
  t.is(failed.stdout, '');
  t.regex(failed.stderr, /^attnc: error\[ATTN4006\]: none of \d+ candidates ran: (out|lse) differs/);
  t.false(existsSync(nothing));
});

test.serial('what runs the same kernels is measured once', async (t) => {
  const path = scratch(t);
  const [program, file] = [path('program.json'), path('tuned.json')];
  const { program: made } = compile('pattern p { i -> j when abs(i - j) <= 3 }', {
    dim: 16,
    target: 'portable',
  });
  const [variant] = made!.variants;
  writeFileSync(program, packProgram({ ...made!, variants: [variant, { ...variant, tiling: 'as before' }] }));
  const { status, stdout, stderr } = await attnc(`tune ${program} ${SIZE} ${FEW} --cache ${file} --json`);
  t.is(status, 0, stderr);
  const { candidates } = JSON.parse(stdout) as Tuned;
  t.is(candidates.length, 1);
  t.like(candidates[0], { family: 'portable', kept: true, usual: true });
  t.not(candidates[0].tiling, 'as before');
});
