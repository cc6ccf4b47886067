import { testSamples } from './test-samples.js';

testSamples(1);
