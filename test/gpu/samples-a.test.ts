import test from 'ava';
import { HEAD_SIZES, SAMPLES } from '../shapes.js';
import { compileSample } from './samples.js';
import { testSamples } from './test-samples.js';

testSamples(test, 0);

test('every head size has its turn', (t) => {
  const used = SAMPLES.flatMap((s) => compileSample(s, 1).flatMap((c) => [c.dim, c.valueDim]));
  t.deepEqual(
    [...new Set(used)].sort((a, b) => a - b),
    [...HEAD_SIZES],
  );
});
