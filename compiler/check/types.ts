import type { Span } from '../../grammar/ast.js';
import { toFloat } from '../ir/build.js';
import type { Expr, Type } from '../ir/expr.js';
import type { CheckCode } from './codes.js';
import type { Report } from './report.js';
import { aType, typeName, type Value } from './values.js';

/**
 * From values to expressions of a wanted type; `undefined` after an error, which is reported here unless the value is
 * unknown (then it has been reported where it arose).
 */
export function asScalar(report: Report, value: Value, span: Span): Expr | undefined {
  switch (value.kind) {
    case 'scalar':
      return value.expr;
    case 'unknown':
      return undefined;
    case 'list':
      report.error('ATTN2023', `a list (${typeName(value)}) stands where a single value is needed`, span, {
        help: 'take one item with `list[0]`, or test membership with `x in list`',
      });
      return undefined;
  }
}

export function asNumber(report: Report, value: Value, span: Span): Expr | undefined {
  const expr = asScalar(report, value, span);
  if (expr?.type !== 'bool') return expr;
  report.error('ATTN2020', 'expected a number, found a bool', span, {
    help: '`if(condition, 1, 0)` makes a number of it',
  });
  return undefined;
}

export function asInt(
  report: Report,
  value: Value,
  span: Span,
  code: CheckCode = 'ATTN2020',
): Expr | undefined {
  const expr = asNumber(report, value, span);
  if (expr?.type !== 'float') return expr;
  report.error(code, 'expected an int, found a float', span, {
    help: 'round it with `floor(…)` or `ceil(…)`',
  });
  return undefined;
}

export function asFloat(report: Report, value: Value, span: Span): Expr | undefined {
  const expr = asNumber(report, value, span);
  return expr && toFloat(expr);
}

export function asBool(
  report: Report,
  value: Value,
  span: Span,
  code: CheckCode = 'ATTN2020',
): Expr | undefined {
  const expr = asScalar(report, value, span);
  if (!expr || expr.type === 'bool') return expr;
  report.error(code, `expected a bool, found ${aType(expr.type)}`, span, {
    help: 'compare it with something, as in `x != 0`',
  });
  return undefined;
}

/** The value as a declared type; ints become floats. */
export function asType(report: Report, value: Value, span: Span, type: Type): Expr | undefined {
  switch (type) {
    case 'int':
      return asInt(report, value, span);
    case 'float':
      return asFloat(report, value, span);
    case 'bool':
      return asBool(report, value, span);
  }
}

/** Two numbers as numbers of one type. */
export function promote(a: Expr, b: Expr): readonly [Expr, Expr] {
  return a.type === b.type ? [a, b] : [toFloat(a), toFloat(b)];
}
