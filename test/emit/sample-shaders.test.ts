// Every kernel of every sample is valid WGSL: all families, schedules and tilings, over head sizes and storage types.
// `npm test` takes two head sizes a sample, in turn; ATTNC_FULL=1 all of them.

import test from 'ava';
import { FULL } from '../differential/settings.js';
import { compileSample } from '../gpu/samples.js';
import { SAMPLES } from '../shapes.js';
import { shadersOf } from './shaders.js';
import { validator } from './validate.js';

/** Of q and k, and of v. */
const SIZES = [
  [16, 16],
  [24, 200],
  [64, 64],
  [128, 128],
  [256, 256],
] as const;

const { problemsOf, close } = validator();
test.after.always(close);

for (const [number, sample] of SAMPLES.entries()) {
  test.serial(`valid: ${sample.pattern}`, async (t) => {
    const found = new Set<string>();
    const families = new Map<string, number>();
    for (const [n, [dim, valueDim]] of SIZES.entries()) {
      if (!FULL && (n + SIZES.length - (number % SIZES.length)) % SIZES.length > 1) continue;
      for (const { program } of compileSample(sample, 1, { dim, valueDim })) {
        // Storage types make one half of the text, sizes the other: all pairs of types at one size, in turn.
        const all = n === number % SIZES.length;
        for (const shader of shadersOf(program, ({ input, output }) => all || input === output)) {
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
