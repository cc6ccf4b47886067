import test from 'ava';
import { SAMPLES } from '../shapes.js';
import { compileSmall, matrixWays, testSamples } from './test-samples.js';

testSamples(0);

test('every sample has a matrix kernel', (t) => {
  const without = SAMPLES.filter((s) => matrixWays(compileSmall(s)).length === 0);
  t.deepEqual(without, []);
});
