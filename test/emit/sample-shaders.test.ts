// Every kernel of every sample is valid WGSL: all families, schedules and tilings, over head sizes and storage types.
// `npm test` takes two head sizes a sample, in turn, and of storage types, which make a part of the text that knows of
// nothing else, all pairs for some samples and one for the others; ATTNC_FULL=1 takes everything.

import test from 'ava';
import { FULL } from '../differential/settings.js';
import { compileSample } from '../gpu/samples.js';
import { SAMPLES } from '../shapes.js';
import { shadersOf, typesInTurn } from './shaders.js';
import { validator } from './validate.js';

/** Of q and k, and of v. */
const SIZES = [
  [16, 16],
  [24, 200],
  [64, 64],
  [128, 128],
  [256, 256],
] as const;

/** Every so manieth sample is printed for all pairs of storage types. */
const ALL_TYPES = 8;

const { problemsOf, close } = validator();
test.after.always(close);

for (const [number, sample] of SAMPLES.entries()) {
  test.serial(`valid: ${sample.pattern}`, async (t) => {
    const found = new Set<string>();
    const families = new Map<string, number>();
    for (const [n, [dim, valueDim]] of SIZES.entries()) {
      if (!FULL && (n + SIZES.length - (number % SIZES.length)) % SIZES.length > 1) continue;
      for (const { program } of compileSample(sample, 1, { dim, valueDim })) {
        const all = FULL || number % ALL_TYPES === 0;
        const wanted = all ? undefined : typesInTurn(number + n);
        for (const shader of shadersOf(program, wanted)) {
          if (found.has(shader.code)) continue;
          found.add(shader.code);
          const { family } = shader.variant;
          families.set(family, (families.get(family) ?? 0) + 1);
          t.deepEqual(await problemsOf(shader), [], `${dim} and ${valueDim}`);
        }
      }
    }
    t.log([...families].map(([family, count]) => `${count} ${family}`).join(', '));
    t.true((families.get('portable') ?? 0) > 0 && (families.get('matrix') ?? 0) > 0);
  });
}
