export { compile, compilePattern, type Compiled, type CompileOptions } from './compile.js';
export { packProgram, unpackProgram } from './ir/pack.js';
export type { Program } from './ir/program.js';
export type { Pattern } from './ir/edges.js';
export type { Diagnostic } from '../grammar/diagnostics.js';
export type { Source } from '../grammar/ast.js';
export { render } from '../grammar/index.js';
