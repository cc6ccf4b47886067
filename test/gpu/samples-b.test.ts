import test from 'ava';
import { testSamples } from './test-samples.js';

testSamples(test, 1);
