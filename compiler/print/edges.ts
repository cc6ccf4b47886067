import type { Axis, Edges, InputDeclaration, ParameterDeclaration, Pattern } from '../ir/edges.js';
import { printExpr, printShared, type ExpressionOptions } from './expression.js';

/** A checked pattern as text: what the rules mean once names, includes and repetitions are gone. */
export function printPattern(pattern: Pattern): string {
  const options: ExpressionOptions = { axes: pattern.grid?.map((g) => g.name) ?? [] };
  const lines = [
    `pattern ${pattern.name}`,
    ...pattern.parameters.map((p) => `  ${parameterText(p)}`),
    ...pattern.inputs.map((input) => `  input ${inputText(input, options)}`),
  ];
  if (pattern.grid) {
    const axes = pattern.grid.map((g) => `${g.name}: ${g.size ? printExpr(g.size, options) : '?'}`);
    lines.push(`  tokens (${axes.join(', ')})`);
  }
  if (pattern.align === 'start') lines.push('  align start');
  lines.push(...edgesLines(pattern.edges, '  ', options));
  if (pattern.score)
    lines.push(...printShared([{ name: 'score', expr: pattern.score }], options).map(indent));
  const { sink } = pattern.mix;
  lines.push(sink ? `  mix = softmax(sink: ${printExpr(sink, options)})` : '  mix = softmax');
  for (const check of pattern.checks) {
    lines.push(`  check ${check.kind} ${printExpr(check.expr, options)} in ${check.lo} .. ${check.hi}`);
  }
  return `${lines.join('\n')}\n`;
}

/** The edges alone: for goldens of passes. */
export function printEdges(edges: Edges, options: ExpressionOptions = {}): string {
  return `${edgesLines(edges, '', options).join('\n')}\n`;
}

function edgesLines(edges: Edges, margin: string, options: ExpressionOptions): string[] {
  const inner = `${margin}  `;
  const lines = [`${margin}edges ${edges.overlaps} {`];
  if (edges.restrict) lines.push(`${inner}restrict ${printExpr(edges.restrict, options)}`);
  for (const part of edges.parts) {
    if (part.kind === 'edges') lines.push(...edgesLines(part, inner, options));
    else lines.push(`${inner}${part.label}: ${printExpr(part.when, options)}`);
  }
  return [...lines, `${margin}}`];
}

/** `window: int in 1 .. 4096 = 256 (dynamic)` */
export function parameterText(p: ParameterDeclaration): string {
  const range = p.range ? ` in ${p.range.lo} .. ${p.range.hi}` : '';
  return `parameter ${p.name}: ${p.type}${range} = ${parameterValue(p)} (${p.fixed ? 'fixed' : 'dynamic'})`;
}

/** The value as it is written in .attn. */
export function parameterValue(p: ParameterDeclaration): string {
  if (typeof p.value !== 'number') return `[${p.value.join(', ')}]`;
  return p.type === 'bool' ? String(p.value !== 0) : String(p.value);
}

/** `table: float[heads, 2 * m + 1]` */
export function inputText(input: InputDeclaration, options: ExpressionOptions = {}): string {
  const axes = input.axes.map((a: Axis) => (a.kind === 'size' ? printExpr(a.size, options) : a.kind));
  const weighted = input.weighted ? ' weighted' : '';
  return `${input.name}: ${input.type}${axes.length > 0 ? `[${axes.join(', ')}]` : ''}${weighted}`;
}

const indent = (line: string): string => `  ${line}`;
