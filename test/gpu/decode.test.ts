// Few queries on many keys, where the runtime divides the keys by itself.

import test from 'ava';
import { run } from '../../runtime/index.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import { compilePattern } from '../../compiler/compile.js';
import { lowerSample, settingsFor, type ProblemShape } from '../differential/problems.js';
import { FULL } from '../differential/settings.js';
import { SAMPLES } from '../shapes.js';
import { makeTensors } from './tensors.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice({ limits: 'offered' });
});
test.after.always(() => opened?.close());

/** Full tiles, masks, several passes, listed keys, a gather, a table for each sequence, and a sink. */
const NAMES = ['causal', 'longformer', 'strided', 'graph', 'documents_batch_causal', 'sink', 'speculative'];

const SHAPES: readonly ProblemShape[] = [
  { batch: 1, heads: 2, keyHeads: 1, queries: 1, keys: 4096 },
  {
    batch: 2,
    heads: 2,
    keyHeads: 2,
    queries: 17,
    keys: 3000,
    lengths: { queries: [17, 1], keys: [3000, 2111] },
  },
];

for (const sample of SAMPLES.filter((s) => FULL || NAMES.includes(s.pattern))) {
  // Grids need whole rows of keys.
  if (sample.file.includes('neighbourhood')) continue;
  test.serial(`${sample.pattern}, decoding`, async (t) => {
    const [{ set }] = sample.settings;
    const pattern = lowerSample(sample, set);
    const program = compilePattern(pattern, { dim: 32, valueDim: 24 });
    for (const shape of SHAPES) {
      const tensors = {
        ...makeTensors(shape, 32, 24, 'plain', 3),
        ...settingsFor(sample, pattern, set, shape, 2),
      };
      const result = await run(opened.device, program, tensors);
      const c = compare({ out: result.out.data, lse: result.lse.data }, reference(pattern, tensors));
      t.true(c.pass, JSON.stringify([shape, result.stats.kernels, c]));
      const gathers = result.stats.kernels.every((k) => k.includes('gather'));
      t.true(
        gathers || result.stats.kernels.some((k) => k.includes('decode')),
        'kernels that divide the keys',
      );
      // Rows of a few keys are not worth it.
      if (sample.pattern === 'causal') t.true(result.stats.splits > 1, 'the keys are divided');
    }
  });
}
