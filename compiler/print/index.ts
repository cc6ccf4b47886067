/** Every stage as text. */
export { printAst } from './ast.js';
export { inputText, parameterText, parameterValue, printEdges, printPattern } from './edges.js';
export { printExpr, printShared, type ExpressionOptions } from './expression.js';
export { printSchedule, printSchedules } from './schedule.js';
