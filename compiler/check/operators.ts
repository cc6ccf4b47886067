import type { BinaryOperator, CompareOperator, Span } from '../../grammar/ast.js';
import { all, and, any, eq, isConst, le, lt, make, not, or, toFloat } from '../ir/build.js';
import type { Expr, Operator } from '../ir/expr.js';
import type { Body } from './context.js';
import { asBool, asInt, asNumber, asScalar, promote } from './types.js';
import { INT32_MAX, INT32_MIN, scalar, typeName, UNKNOWN, type Value } from './values.js';

/** An evaluated operand with its place. */
export interface Operand {
  readonly value: Value;
  readonly span: Span;
}

/** An int operation, remembered with its place for the checks at binding. */
export function intOperation(body: Body, op: Operator, args: readonly Expr[], span: Span): Expr | undefined {
  const result = make(op, 'int', args);
  if (isConst(result) && !(result.value >= INT32_MIN && result.value <= INT32_MAX)) {
    body.report.error('ATTN2031', `the value ${result.value} does not fit into 32 bits`, span, {
      help: `integers run from ${INT32_MIN} to ${INT32_MAX}; write a float, as in \`2.0\`, where one will do`,
    });
    return undefined;
  }
  const { origins } = body.lowering;
  if (!origins.has(result)) origins.set(result, span);
  return result;
}

/** False, and an error, if the divisor is known to be below 1. */
export function validDivisor(body: Body, divisor: Expr, what: string, span: Span): boolean {
  if (!isConst(divisor) || divisor.value >= 1) return true;
  body.report.error('ATTN2032', `${what} must be at least 1; this one is ${divisor.value}`, span);
  return false;
}

/** Floored `div` or `%`. */
export function division(
  body: Body,
  op: 'div' | 'mod',
  args: readonly [Expr, Expr],
  place: { readonly span: Span; readonly divisor: Span },
): Expr | undefined {
  if (!validDivisor(body, args[1], op === 'div' ? 'a divisor' : 'a modulus', place.divisor)) return undefined;
  const result = make(op, 'int', args);
  const { origins } = body.lowering;
  if (!origins.has(result)) origins.set(result, place.span);
  return result;
}

const arithmetic = { '+': 'add', '-': 'sub', '*': 'mul' } as const;

export function binaryOperation(
  body: Body,
  op: BinaryOperator,
  left: Operand,
  right: Operand,
  span: Span,
): Value {
  const { report } = body;
  switch (op) {
    case 'and':
    case 'or': {
      const a = asBool(report, left.value, left.span);
      const b = asBool(report, right.value, right.span);
      return a && b ? scalar(op === 'and' ? and(a, b) : or(a, b)) : UNKNOWN;
    }
    case 'div':
    case '%': {
      const a = asInt(report, left.value, left.span);
      const b = asInt(report, right.value, right.span);
      // A bad divisor is an error whatever is divided.
      if (!a) {
        if (b) validDivisor(body, b, op === 'div' ? 'a divisor' : 'a modulus', right.span);
        return UNKNOWN;
      }
      const result = b && division(body, op === 'div' ? 'div' : 'mod', [a, b], { span, divisor: right.span });
      return result ? scalar(result) : UNKNOWN;
    }
    case '/':
    case '**': {
      const a = asNumber(report, left.value, left.span);
      const b = asNumber(report, right.value, right.span);
      if (!a || !b) return UNKNOWN;
      return scalar(make(op === '/' ? 'fdiv' : 'pow', 'float', [toFloat(a), toFloat(b)]));
    }
    case '+':
    case '-':
    case '*': {
      const a = asNumber(report, left.value, left.span);
      const b = asNumber(report, right.value, right.span);
      if (!a || !b) return UNKNOWN;
      const args = promote(a, b);
      const result =
        args[0].type === 'int'
          ? intOperation(body, arithmetic[op], args, span)
          : make(arithmetic[op], 'float', args);
      return result ? scalar(result) : UNKNOWN;
    }
  }
}

export function unaryOperation(body: Body, op: '-' | 'not', operand: Operand, span: Span): Value {
  if (op === 'not') {
    const value = asBool(body.report, operand.value, operand.span);
    return value ? scalar(not(value)) : UNKNOWN;
  }
  const value = asNumber(body.report, operand.value, operand.span);
  if (!value) return UNKNOWN;
  if (isConst(value) && value.type === 'float') return scalar({ ...value, value: -value.value });
  const result =
    value.type === 'int' ? intOperation(body, 'neg', [value], span) : make('neg', 'float', [value]);
  return result ? scalar(result) : UNKNOWN;
}

/** `a < b <= c`: every neighbouring pair. */
export function comparison(
  body: Body,
  operators: readonly CompareOperator[],
  operands: readonly Operand[],
): Value {
  const exprs = operands.map((o) => asScalar(body.report, o.value, o.span));
  const parts: Expr[] = [];
  let failed = false;
  operators.forEach((op, n) => {
    const a = exprs[n];
    const b = exprs[n + 1];
    const part =
      a && b && comparePair(body, op, { expr: a, ...operands[n] }, { expr: b, ...operands[n + 1] });
    if (part) parts.push(part);
    else failed = true;
  });
  return failed ? UNKNOWN : scalar(all(parts));
}

function comparePair(
  body: Body,
  op: CompareOperator,
  left: Operand & { readonly expr: Expr },
  right: Operand & { readonly expr: Expr },
): Expr | undefined {
  const isBool = [left.expr.type === 'bool', right.expr.type === 'bool'];
  if (isBool[0] !== isBool[1]) {
    const wrong = isBool[0] ? left : right;
    const other = isBool[0] ? right : left;
    body.report.error(
      'ATTN2020',
      `a bool is compared with ${typeName(other.value) === 'int' ? 'an int' : 'a float'}`,
      wrong.span,
      {
        help: 'a bool is a condition already; join conditions with `and`',
      },
    );
    return undefined;
  }
  if (isBool[0] && op !== '==' && op !== '!=') {
    body.report.error('ATTN2020', `bools have no order, so \`${op}\` can't compare them`, left.span, {
      help: 'use `==`, `!=`, `and`, `or` or `not`',
    });
    return undefined;
  }
  const [a, b] = isBool[0] ? [left.expr, right.expr] : promote(left.expr, right.expr);
  switch (op) {
    case '<':
      return lt(a, b);
    case '<=':
      return le(a, b);
    case '>':
      return lt(b, a);
    case '>=':
      return le(b, a);
    case '==':
      return eq(a, b);
    case '!=':
      return not(eq(a, b));
  }
}

/** `x in [a, b, …]`. */
export function membership(body: Body, value: Operand, items: readonly Expr[]): Value {
  const x = asNumber(body.report, value.value, value.span);
  if (!x) return UNKNOWN;
  return scalar(
    any(
      items.map((item) => {
        const [a, b] = promote(x, item);
        return eq(a, b);
      }),
    ),
  );
}
