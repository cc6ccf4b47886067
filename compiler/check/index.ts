/** Names, types, parameters → diagnostics, and the lowered pattern. */
export { checkSource, type Checked, type CheckOptions } from './check-source.js';
export type { CheckCode } from './codes.js';
export type { Resolve } from './files.js';
export type { Settings } from './settings.js';
