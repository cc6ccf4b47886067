/** Rows that are larger than memory: where they come from and where results go. Files of them, in Node: 'node/'. */
export type {
  BandResult,
  BufferPart,
  KeptRow,
  RowPlace,
  RowSink,
  RowSource,
  SinkSummary,
  SourceIdentity,
} from './rows.js';
export { randomRows } from './random-rows.js';
export { tensorRows } from './tensor-rows.js';
export { checksumSink } from './checksum-sink.js';
export { deviceSummer, type DeviceSummer, type SummedRows } from './device-sum.js';
export { journaledSink, type CheckpointOptions, type Journal } from './journaled-sink.js';
export { hashBytes, hashText, type RunIdentity } from './journal.js';
export { addSums, sumFromText, sumText, type RowSum } from './row-sum.js';
export { keptResults, summaryJson, type SummaryJson } from './summary.js';
export type { Band, DoneBand, TallyOptions } from './tally.js';
