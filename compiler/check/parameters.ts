import type { ExprAst, ParameterAst, PatternAst } from '../../grammar/ast.js';
import { float, int, bool, isConst } from '../ir/build.js';
import type { ParameterDeclaration } from '../ir/edges.js';
import type { Expr, Type } from '../ir/expr.js';
import type { Bounds } from './bounds.js';
import type { Body } from './context.js';
import { evaluate } from './expressions.js';
import { createScope } from './scope.js';
import { evaluateKnown, namesIn } from './static.js';
import { asType } from './types.js';
import { aType, typeName, type Value } from './values.js';

/** A parameter's type, default and range, read. */
export interface Parameter {
  readonly ast: ParameterAst;
  /** Undefined after an error. Of lists, several. */
  readonly value: number | readonly number[] | undefined;
  readonly range: Bounds | undefined;
}

export const isListType = (type: ParameterAst['type']): type is 'int[]' | 'float[]' => type.endsWith('[]');
export const itemType = (type: ParameterAst['type']): Type => type.replace('[]', '') as Type;

/** Reads the parameters of a pattern; `body` is only there to report and to evaluate in. */
export function readParameters(body: Body, pattern: PatternAst): readonly Parameter[] {
  const names = new Set(pattern.parameters.map((p) => p.name.text));
  return pattern.parameters.map((ast) => {
    const range = readRange(body, ast, names);
    const value = readDefault(body, ast, names);
    if (value !== undefined && range) {
      for (const item of typeof value === 'number' ? [value] : value) {
        if (inRange(item, range)) continue;
        const message = `the default ${item} of \`${ast.name.text}\` lies outside of its range`;
        const help = `the range is ${range.lo} .. ${range.hi}`;
        body.report.error('ATTN2040', message, ast.value.span, { help });
        return { ast, value: undefined, range };
      }
    }
    return { ast, value, range };
  });
}

export const inRange = (value: number, range: Bounds): boolean => value >= range.lo && value <= range.hi;

function readDefault(body: Body, ast: ParameterAst, names: ReadonlySet<string>): Parameter['value'] {
  const value = constant(body, ast.value, names);
  return value && toNumbers(body, ast, value);
}

/** The value as numbers of the parameter's type. */
function toNumbers(body: Body, ast: ParameterAst, value: Value): Parameter['value'] {
  if (isListType(ast.type)) {
    const list = asListOf(body, value, ast.type, ast.value);
    return list?.map((e) => known(body, e)!);
  }
  if (value.kind === 'list') {
    body.report.error('ATTN2020', `expected ${aType(ast.type)}, found a list`, ast.value.span, {
      help: `the type of a list parameter is \`${value.type}[]\``,
    });
    return undefined;
  }
  const expr = asType(body.report, value, ast.value.span, itemType(ast.type));
  return expr && known(body, expr);
}

const known = (body: Body, e: Expr): number | undefined => {
  const result = evaluateKnown(body.lowering, e);
  return result.kind === 'known' ? result.value : undefined;
};

/** The items of a list as a list type wants them. */
export function asListOf(
  body: Body,
  value: Value,
  type: 'int[]' | 'float[]',
  ast: ExprAst,
): readonly Expr[] | undefined {
  if (value.kind === 'unknown') return undefined;
  if (value.kind === 'scalar') {
    body.report.error('ATTN2023', `expected ${aType(type)}, found ${aType(value.expr.type)}`, ast.span, {
      help: 'a list of one item is written `[x]`',
    });
    return undefined;
  }
  if (type === 'int[]' && value.type === 'float') {
    body.report.error('ATTN2020', `expected an int[], found a ${typeName(value)}`, ast.span);
    return undefined;
  }
  return type === 'float[]' ? value.items.map((e) => (isConst(e) ? float(e.value) : e)) : value.items;
}

/** A value made of literals only; `undefined` after an error. */
function constant(body: Body, ast: ExprAst, names: ReadonlySet<string>): Value | undefined {
  const other = namesIn(ast).find((n) => names.has(n.text));
  if (other) {
    body.report.error('ATTN2030', `a parameter can't depend on another one (\`${other.text}\`)`, other.span, {
      help: 'write its value out, or compute it with `let` inside the pattern',
    });
    return undefined;
  }
  const value = evaluate({ body, scope: createScope(undefined), place: 'static' }, ast);
  if (value.kind === 'unknown') return undefined;
  if (value.kind === 'scalar') {
    const result = evaluateKnown(body.lowering, value.expr);
    if (result.kind === 'open') {
      body.report.error('ATTN2030', 'a parameter needs a value that is known', ast.span, {
        help: `this one depends on \`${result.on}\``,
      });
      return undefined;
    }
  }
  return value;
}

function readRange(body: Body, ast: ParameterAst, names: ReadonlySet<string>): Bounds | undefined {
  const { range } = ast;
  if (!range) return undefined;
  const type = itemType(ast.type);
  const wrong = (message: string, help?: string): undefined => {
    body.report.error('ATTN2041', message, range.span, { help });
    return undefined;
  };
  if (type === 'bool') return wrong('a bool has no range');
  if (range.step) return wrong('the range of a parameter has no step');
  if (!range.inclusive && type === 'float') {
    return wrong('the range of a float includes its end', 'write `..` instead of `..<`');
  }
  const ends = [range.from, range.to].map((end) => {
    const value = constant(body, end, names);
    const expr = value && asType(body.report, value, end.span, type);
    return expr && known(body, expr);
  });
  const [lo, to] = ends;
  if (lo === undefined || to === undefined) return undefined;
  const hi = range.inclusive ? to : to - 1;
  if (lo > hi) return wrong(`nothing lies between ${lo} and ${hi}`, 'the smaller end comes first');
  return { lo, hi };
}

/** A number as a constant of a type. */
export const constantOf = (type: Type, value: number): Expr =>
  type === 'bool' ? bool(value !== 0) : type === 'int' ? int(value) : float(value);

export function declareParameter(
  p: Parameter,
  value: number | readonly number[],
  fixed: boolean,
): ParameterDeclaration {
  return {
    name: p.ast.name.text,
    type: p.ast.type,
    value,
    range: p.range,
    fixed,
    doc: p.ast.doc,
  };
}
