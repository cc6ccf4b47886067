/** Text ↔ tree, and diagnostics in print. */
export type * from './ast.js';
export { codes, type Code } from './codes.js';
export { diagnostic, hasErrors, type Diagnostic } from './diagnostics.js';
export { lineAndColumn, type LineAndColumn } from './line-column.js';
export { nearest } from './nearest.js';
export { parse, type Parsed } from './parse.js';
export { print } from './print.js';
export { printExpression, printRange } from './print-expression.js';
export { render, type RenderOptions } from './render.js';
