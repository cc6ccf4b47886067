// Every sample on subgroup matrices, with f16 tensors: what test/gpu does with f32, at fewer and smaller shapes.

import type { Schedule } from '../../compiler/ir/schedule.js';
import type { ChooseOptions } from '../../runtime/index.js';
import { sizesFor } from '../differential/problems.js';
import { FULL } from '../differential/settings.js';
import { compileSample, type CompiledSample, type HeadSizes } from '../gpu/samples.js';
import { checkSample, type Manner, type Point } from '../gpu/test-samples.js';
import { DATA_KINDS } from '../gpu/tensors.js';
import { SAMPLES, type SampleCase } from '../shapes.js';
import { matrixTest, opened } from './matrix-device.js';

/** Of keys; a workgroup has 64 queries, and a tile 64 keys. */
const MOST_LENGTH = 230;

const SIZES: readonly HeadSizes[] = [
  { dim: 16, valueDim: 24 },
  { dim: 24, valueDim: 40 },
  { dim: 40, valueDim: 16 },
];

/** A program with all of a sample's schedules, at head sizes that take turns. */
export const compileSmall = (sample: SampleCase): CompiledSample =>
  compileSample(sample, 1, SIZES[SAMPLES.indexOf(sample) % SIZES.length])[0];

/** Schedules of gathers have no matrix kernels. */
export function matrixWays(
  { program }: CompiledSample,
  fits: (s: Schedule) => boolean = () => true,
): readonly ChooseOptions[] {
  return program.schedules.flatMap((s, schedule) => {
    const there = program.variants.some((v) => v.family === 'matrix' && v.schedule === schedule);
    return there && fits(s) ? [{ schedule, family: 'matrix', decode: false } as const] : [];
  });
}

/** Two shapes, in every way: as many queries as keys, and fewer; batches of two with lengths of their own. */
function pointsFor({ sample, settings }: CompiledSample): readonly Point[] {
  const turn = SAMPLES.indexOf(sample);
  return [true, false].map((square, n): Point => {
    const setting = n % settings.length;
    const sizes = sizesFor(sample, settings[setting].setting);
    const fitting = sizes.flatMap(([queries, keys], at) =>
      keys <= MOST_LENGTH && (queries === keys) === square ? [at] : [],
    );
    return {
      setting,
      size: fitting[fitting.length - 1],
      heads: sample.heads > 3 || n === 1 ? [8, 2] : [3, 1],
      batch: 'uneven',
      kind: DATA_KINDS[(turn + n) % DATA_KINDS.length],
      way: 'all',
    };
  });
}

/**
 * Kernels take lavapipe ten seconds each: one schedule a sample, mostly the last, which has lists, classes or a grid;
 * ATTNC_FULL=1 takes all of them.
 */
function waysFor(compiled: CompiledSample, fits: (s: Schedule) => boolean): readonly ChooseOptions[] {
  const there = matrixWays(compiled, fits);
  if (FULL) return there;
  return SAMPLES.indexOf(compiled.sample) % 4 === 0 ? there.slice(0, 1) : there.slice(-1);
}

const MANNER: Manner = { dtype: 'f16', waysFor, pointsFor };

/** Tests of every other sample: files a and b share them, so that two processes do. */
export function testSamples(part: 0 | 1): void {
  for (const sample of SAMPLES.filter((_, n) => n % 2 === part)) {
    matrixTest(`${sample.pattern} on subgroup matrices`, async (t) => {
      await checkSample(t, opened.device, compileSmall(sample), MANNER);
    });
  }
}
