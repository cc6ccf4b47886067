// Every sample on kernels for subgroups, in a type of storage that takes turns: what other samples' tests do with
// portable kernels, at fewer shapes.

import { STORAGE_TYPES, type StorageType } from '../../compiler/ir/program.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import type { ChooseOptions } from '../../runtime/index.js';
import { sizesFor } from '../differential/problems.js';
import { FULL } from '../differential/settings.js';
import { SAMPLES, type SampleCase } from '../shapes.js';
import { compileSample, type CompiledSample, type HeadSizes } from './samples.js';
import { DATA_KINDS } from './tensors.js';
import { opened, variantTest } from './subgroup-device.js';
import { checkSample, type Point } from './test-samples.js';

const MOST_LENGTH = 230;

/** Whole and ragged chunks of 16, values of one block of 64 columns and of two. */
const SIZES: readonly HeadSizes[] = [
  { dim: 16, valueDim: 24 },
  { dim: 64, valueDim: 40 },
  { dim: 72, valueDim: 16 },
  { dim: 24, valueDim: 72 },
];

const compileOne = (sample: SampleCase): CompiledSample =>
  compileSample(sample, 1, SIZES[SAMPLES.indexOf(sample) % SIZES.length])[0];

/**
 * Schedules with kernels for subgroups. Kernels are slow to compile on a CPU, so `npm test` takes one of them a sample,
 * without dividing the keys.
 */
function waysFor(
  { program, sample }: CompiledSample,
  fits: (s: Schedule) => boolean = () => true,
): readonly ChooseOptions[] {
  const there = program.schedules.flatMap((s, schedule) => {
    const has = program.variants.some((v) => v.family === 'subgroup' && v.schedule === schedule);
    return has && fits(s) ? [schedule] : [];
  });
  const turn = there.slice(SAMPLES.indexOf(sample) % Math.max(1, there.length)).slice(0, 1);
  return (FULL ? there : turn).flatMap((schedule) =>
    (FULL ? [false, true] : [false]).map((decode) => ({ schedule, family: 'subgroup', decode }) as const),
  );
}

const dtypeOf = (sample: SampleCase): StorageType =>
  STORAGE_TYPES[SAMPLES.indexOf(sample) % STORAGE_TYPES.length];

/** Two shapes: as many queries as keys, and fewer; batches of two with lengths of their own. */
function pointsFor({ sample, settings, dim }: CompiledSample): readonly Point[] {
  const turn = SAMPLES.indexOf(sample);
  // Scores of ten thousand take numbers past f16 at head sizes from 64.
  const kinds = DATA_KINDS.filter((k) => k !== 'large' || dtypeOf(sample) !== 'f16' || dim < 64);
  return [true, false].map((square, n): Point => {
    const setting = n % settings.length;
    const sizes = sizesFor(sample, settings[setting].setting);
    const fitting = sizes.flatMap(([queries, keys], at) =>
      keys <= MOST_LENGTH && (queries === keys) === square ? [at] : [],
    );
    return {
      setting,
      size: fitting[fitting.length - 1] ?? 0,
      heads: sample.heads > 3 || n === 1 ? [8, 2] : [3, 1],
      batch: 'uneven',
      kind: kinds[(turn + n) % kinds.length],
      way: 'all',
    };
  });
}

/** Tests of every other sample that has tiles: files a and b share them, so that two processes do. */
export function testSubgroupSamples(part: 0 | 1): void {
  for (const sample of SAMPLES.filter((_, n) => n % 2 === part)) {
    const compiled = compileOne(sample);
    if (waysFor(compiled).length === 0) continue;
    const variants = compiled.program.variants.filter((v) => v.family === 'subgroup');
    variantTest(`${sample.pattern} on subgroups`, variants, async (t) => {
      await checkSample(t, opened.device, compiled, { dtype: dtypeOf(sample), waysFor, pointsFor });
    });
  }
}
