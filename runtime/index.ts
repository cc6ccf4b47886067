/**
 * Runs compiled programs on a GPUDevice, in Node and in browsers: `prepare` and `encode` for apps with buffers of their
 * own, `run` for tensors. Devices in Node: 'attnc/node'. The float64 oracle: 'attnc/reference'.
 */
export { prepare, requirements, type Prepared, type PrepareOptions } from './prepare.js';
export { describeAdapter } from './adapters.js';
export { encode, type Encoded, type EncodeStats } from './encode.js';
export { runStream, type StreamStats } from './stream/pipeline.js';
export {
  planStream,
  type PlannedStream,
  type StreamOptions,
  type StreamProgress,
  type StreamSources,
} from './stream/plan.js';
export { tensorRows } from './stream/tensor-rows.js';
export { tensorSink } from './stream/tensor-sink.js';
export { randomRows } from './stream/random-rows.js';
export { checksumSink } from './stream/checksum-sink.js';
export type { RowSink, RowSource, SinkSummary } from './stream/rows.js';
export { run, type RunOptions, type RunResult, type RunStats } from './run.js';
export type { ChooseOptions } from './pick-variant.js';
export type { TunedChoice, TunedChoices } from './tuned.js';
export type {
  Bindings,
  HostInput,
  HostTensors,
  Inputs,
  Lengths,
  LentTensor,
  LongBindings,
  Settings,
  TableBinding,
  TensorBinding,
  TensorPieces,
} from './bindings.js';
export { AttncError, errorTable, isAttncError, type ErrorKind } from './errors.js';
export { fromNumbers, tensor, zeros, type DType, type Tensor, type TensorOf } from './tensor.js';
export { unpackProgram } from '../compiler/ir/pack.js';
export { shaderText } from '../compiler/ir/shader-text.js';
export type { Family, Program, StorageType, StorageTypes } from '../compiler/ir/program.js';
