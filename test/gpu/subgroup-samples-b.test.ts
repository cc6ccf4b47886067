import { testSubgroupSamples } from './subgroup-samples.js';

testSubgroupSamples(1);
