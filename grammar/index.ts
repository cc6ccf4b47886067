/** Text ↔ tree, and diagnostics in print. */
export type * from './ast.js';
export { codes, type Code } from './codes.js';
export { diagnostic, hasErrors, type Diagnostic } from './diagnostics.js';
export { nearest } from './nearest.js';
export { parse, type Parsed } from './parse.js';
