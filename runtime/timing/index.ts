/** How long work takes on a device. Not part of the execution path. */
export { record, type Recording } from './record.js';
export { quantile, spreadOf, type Spread } from './spread.js';
export { CLOCK_UP, timeRuns, type Timing, type TimingOptions } from './time-runs.js';
