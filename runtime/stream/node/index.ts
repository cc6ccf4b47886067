/** Rows in files, and runs that can be resumed, for Node. */
export { fileRows } from './file-rows.js';
export { fileSink, partOf, type FileSinkOptions } from './file-sink.js';
export {
  isUnfinished,
  journalOf,
  resumableChecksum,
  resumableFile,
  type ResumableOptions,
  type ResumableRun,
} from './resume.js';
