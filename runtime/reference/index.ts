/** The float64 oracle, and the comparison of results with it. Not part of the execution path. */
export { reference, type Reference, type ReferenceOptions, type RowIndex } from './reference.js';
export { rowReference, type RowReference, type RowReferenceOptions, type StreamedTensors } from './rows.js';
export { sampledReference, sampleRows, type SampleOptions } from './sample.js';
export {
  compare,
  pickRows,
  SCORE_TERM,
  toleranceOf,
  TOLERANCES,
  type Actual,
  type Comparison,
  type Measure,
  type Precision,
  type Tolerance,
} from './compare.js';
