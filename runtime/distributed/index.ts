/** Runs on several devices, a shard of the sequence each. Not part of what a page loads. */
export { gatherValues, type Ranks } from './ranks.js';
export { shardCuts } from './shards.js';
export {
  planTraffic,
  trafficNumbers,
  trafficPairs,
  type Parcel,
  type Traffic,
  type TrafficPair,
} from './traffic.js';
export {
  arrivalsOf,
  departuresOf,
  deviceBytesOf,
  planDistributed,
  type DistributedOptions,
  type DistributedPlan,
} from './plan.js';
export { pickForRanks, runDistributed, type RankResult, type RankStats } from './run.js';
