/** How fast programs run on a device, and how fast they could. */
export { readRows, storageType, type Rows } from './buffers.js';
export { measureCeilings, type Ceilings } from './ceilings.js';
export { checkRows } from './check.js';
export { countWork, type WorkCounts } from './count-work.js';
export { makeReady, measure, type Measured, type MeasureOptions, type Subject } from './measure.js';
export { ratesOf, type Rates } from './rates.js';
export { checkMeasurable, sampleOracle, storedTensors, totalRows } from './subject.js';
export { tuneJson, tuneText, type Tried, type TuneReport } from './tune-report.js';
export { reportJson, reportText, type Report } from './report.js';
export { matrixConfigsOf as matricesOf } from '../../runtime/node/adapter.js';
