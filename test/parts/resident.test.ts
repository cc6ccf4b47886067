// Runs in parts of tensors that are on the device: every sample with bindings of a few kilobytes, against the oracle.

import test from 'ava';
import { compilePattern } from '../../compiler/compile.js';
import { openDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { lowerSample, settingsFor, sizesFor, type ProblemShape } from '../differential/problems.js';
import { FULL } from '../differential/settings.js';
import { makeTensors, storedAs } from '../gpu/tensors.js';
import { encoded, LAYOUTS, type FloatTensor } from '../runtime/lend.js';
import { LENGTHS, SAMPLES } from '../shapes.js';

const opened = await openDevice({ features: 'offered', limits: 'offered' });
test.after.always(() => opened.close());

const DIM = 16;
const MATRICES = ['chromium-experimental-subgroup-matrix', 'shader-f16'] as const;
/** Matrix kernels, where there are any, take f16. */
const DTYPE = MATRICES.every((f) => opened.device.features.has(f)) ? 'f16' : 'f32';
/** They take a CPU ten seconds each to compile: so many samples have one that runs. */
const TURNS = FULL || DTYPE === 'f32' ? 1 : 3;
const LONGNET = SAMPLES.findIndex((s) => s.pattern === 'longnet');

/** Of a row of f32 of this size: so many rows with the slack for alignment. */
const bytesFor = (rows: number): number => 4 * DIM * rows + 256;

for (const [number, sample] of SAMPLES.entries()) {
  const title = `${sample.pattern} in bands and windows`;
  if (number % TURNS !== LONGNET % TURNS) {
    test.skip(`${title} (skipped on ${opened.name}: one of ${TURNS} samples, as kernels take long)`, () =>
      undefined);
    continue;
  }
  test.serial(title, async (t) => {
    const [setting] = sample.settings;
    const pattern = lowerSample(sample, setting.set);
    const program = compilePattern(pattern, { dim: DIM, valueDim: DIM, windows: true });
    const own = setting.lengths !== LENGTHS;
    const sizes = own
      ? sizesFor(sample, setting).slice(0, 2)
      : ([
          [200, 200],
          [100, 150],
        ] as const);
    const heads = sample.heads < 4 ? 2 : sample.heads;
    for (const [n, [queries, keys]] of sizes.entries()) {
      const shape: ProblemShape = {
        batch: n === 0 ? 1 : 2,
        heads,
        keyHeads: number % 2 === 0 ? heads : heads / 2,
        queries,
        keys,
      };
      const tensors = {
        ...makeTensors(shape, DIM, DIM, 'plain', 5),
        ...settingsFor(sample, pattern, setting.set, shape, 2),
      };
      const stored = { ...tensors, ...storedAs(DTYPE, tensors) };
      const expected = reference(pattern, stored);
      for (const most of FULL ? [7, 64, 90] : [[90, 37][n % 2]]) {
        const rows = Math.min(most, Math.ceil(keys / 2));
        const layout = LAYOUTS[number % 3 === 0 ? 'batch, row, head' : 'batch, head, row'];
        const bindingBytes = bytesFor(rows * (number % 3 === 0 ? heads : 1));
        const { q, k, v, ...settings } = stored as typeof stored & Record<'q' | 'k' | 'v', FloatTensor>;
        const got = await encoded(
          opened.device,
          program,
          { q, k, v },
          { layout, settings, choose: { bindingBytes }, room: 1 << 16 },
        );
        const report = compare(got, expected, DTYPE);
        t.true(got.stats.steps > 1, `${got.stats.steps} steps`);
        if (DTYPE === 'f16' && sample.pattern === 'longnet') t.is(got.stats.family, 'matrix');
        t.true(report.pass, `${JSON.stringify(shape)}, ${rows} rows: ${JSON.stringify(report)}`);
      }
    }
  });
}
