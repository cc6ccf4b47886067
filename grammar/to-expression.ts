/**
 * Flat operands and operators → a tree, by precedence (ast.ts lists it). A part that recovery left broken makes the
 * whole expression `undefined`; its error has been reported.
 */
import type { IToken } from 'chevrotain';
import type { ArgumentAst, BinaryOperator, CompareOperator, ExprAst } from './ast.js';
import { given, nodeSpan, report, tokenEnd, tokenName, tokenSpan, type Builder } from './builder.js';
import type {
  CallArgumentsCstNode,
  ExpressionCstNode,
  ListCstNode,
  OperandCstNode,
  PostfixCstNode,
} from './generated/cst.js';
import { readNumber } from './literals.js';

/** Operators inside each other on one path of a tree; what walks trees recursively relies on it. */
export const maxOperators = 500;

/** Binding strengths; a larger number binds tighter. */
const level = { or: 1, and: 2, not: 3, compare: 4, add: 5, multiply: 6, minus: 7, power: 8 } as const;

const levels: Readonly<Record<string, number>> = {
  or: level.or,
  and: level.and,
  '<': level.compare,
  '<=': level.compare,
  '>': level.compare,
  '>=': level.compare,
  '==': level.compare,
  '!=': level.compare,
  in: level.compare,
  '+': level.add,
  '-': level.add,
  '*': level.multiply,
  '/': level.multiply,
  div: level.multiply,
  '%': level.multiply,
  '**': level.power,
};

/** An expression being read: operand k is followed by operator k. */
interface Reader {
  readonly builder: Builder;
  readonly operands: readonly OperandCstNode[];
  readonly operators: readonly IToken[];
  /** The next operand, and how many of its prefix operators have been read. */
  operand: number;
  prefixes: number;
  /** Operators around this expression and in it. */
  readonly depth: number;
}

export function toExpression(
  builder: Builder,
  node: ExpressionCstNode | undefined,
  depth = 0,
): ExprAst | undefined {
  if (node === undefined) return undefined;
  const operands = node.children.operand ?? [];
  const operators = node.children.BinaryOperator ?? [];
  if (operands.length !== operators.length + 1) return undefined;
  if (operands.length === 1 && operands[0]!.children.PrefixOperator === undefined) {
    return toOperand(builder, operands[0]!, depth);
  }
  let count = operators.length;
  for (const operand of operands) count += operand.children.PrefixOperator?.length ?? 0;
  if (depth + count > maxOperators) {
    const message = `more than ${maxOperators} operators in one expression`;
    const help = 'give parts of it names with `let`, or use `x in [a, b, …]` for many values';
    report(builder, 'ATTN1007', message, nodeSpan(builder, node), help);
    return undefined;
  }
  return readOperators(
    { builder, operands, operators, operand: 0, prefixes: 0, depth: depth + count },
    level.or,
  );
}

/** Precedence climbing: reads while operators bind at least as tightly as `least`. */
function readOperators(reader: Reader, least: number): ExprAst | undefined {
  let left = readPrefixed(reader, least);
  while (left !== undefined) {
    // Operator k stands before operand k + 1, which is the next.
    const token = reader.operators[reader.operand - 1];
    if (token === undefined) return left;
    const binds = levels[token.image]!;
    if (binds < least) return left;
    if (binds === level.compare) {
      left = readComparisons(reader, left);
    } else {
      // `**` groups to the right, and `2 ** -x` is fine; all else groups to the left.
      const right = readOperators(reader, binds === level.power ? level.minus : binds + 1);
      if (right === undefined) return undefined;
      left = {
        kind: 'binary',
        op: token.image as BinaryOperator,
        left,
        right,
        span: { file: left.span.file, start: left.span.start, end: right.span.end },
      };
    }
  }
  return left;
}

function readPrefixed(reader: Reader, least: number): ExprAst | undefined {
  const node = reader.operands[reader.operand]!;
  const token = node.children.PrefixOperator?.[reader.prefixes];
  if (token === undefined) {
    reader.operand++;
    reader.prefixes = 0;
    return toOperand(reader.builder, node, reader.depth);
  }
  reader.prefixes++;
  const op = token.image as '-' | 'not';
  if (op === 'not' && least > level.not) {
    const help = 'put it in parentheses: `(not …)`';
    report(
      reader.builder,
      'ATTN1014',
      '`not` binds less than the operator before it',
      tokenSpan(reader.builder, token),
      help,
    );
  }
  const value = readOperators(reader, op === 'not' ? level.not : level.minus);
  if (value === undefined) return undefined;
  return { kind: 'unary', op, value, span: { ...value.span, start: token.startOffset } };
}

/** `a < b <= c`, or one `x in SET`. */
function readComparisons(reader: Reader, first: ExprAst): ExprAst | undefined {
  const operands = [first];
  const operators: CompareOperator[] = [];
  let membership: IToken | undefined;
  for (;;) {
    const token = reader.operators[reader.operand - 1];
    if (token === undefined || levels[token.image] !== level.compare) break;
    const right = readOperators(reader, level.add);
    if (right === undefined) return undefined;
    if (token.image === 'in') membership ??= token;
    else operators.push(token.image as CompareOperator);
    operands.push(right);
  }
  const last = operands[operands.length - 1]!;
  const span = { file: first.span.file, start: first.span.start, end: last.span.end };
  if (membership === undefined) return { kind: 'compare', operands, operators, span };
  if (operands.length > 2) {
    const where = tokenSpan(reader.builder, membership);
    const help = 'put one of them in parentheses, or join them with `and`';
    report(reader.builder, 'ATTN1014', "`in` can't be chained with another comparison", where, help);
    return undefined;
  }
  return { kind: 'in', value: first, set: last, span };
}

function toOperand(builder: Builder, node: OperandCstNode, depth: number): ExprAst | undefined {
  const { children } = node;
  let value = toAtom(builder, children, depth);
  for (const postfix of children.postfix ?? []) {
    if (value === undefined) return undefined;
    depth++;
    value = toPostfix(builder, value, postfix, depth);
  }
  return value;
}

function toAtom(builder: Builder, children: OperandCstNode['children'], depth: number): ExprAst | undefined {
  const number = given(children.NumberLiteral);
  if (number !== undefined) return toNumber(builder, number);
  const identifier = given(children.Identifier);
  if (identifier !== undefined) {
    const call = children.callArguments?.[0];
    if (call === undefined)
      return { kind: 'name', text: identifier.image, span: tokenSpan(builder, identifier) };
    const args = toArguments(builder, call, depth + 1);
    if (args === undefined) return undefined;
    const name = tokenName(builder, identifier);
    return { kind: 'call', name, args, span: { ...name.span, end: nodeSpan(builder, call).end } };
  }
  const boolean = given(children.Boolean);
  if (boolean !== undefined) {
    return { kind: 'bool', value: boolean.image === 'true', span: tokenSpan(builder, boolean) };
  }
  const list = children.list?.[0];
  if (list !== undefined) {
    const items = toList(builder, list, depth + 1);
    return items && { kind: 'list', items, span: nodeSpan(builder, list) };
  }
  const inner = toExpression(builder, children.expression?.[0], depth + 1);
  const open = given(children.LeftParen);
  const close = given(children.RightParen);
  if (inner === undefined || open === undefined) return inner;
  // The parentheses belong to the span: what is said of `(a + b) * c` is said of all of it.
  const end = close === undefined ? inner.span.end : tokenEnd(close);
  return { ...inner, span: { ...inner.span, start: open.startOffset, end } };
}

function toPostfix(
  builder: Builder,
  object: ExprAst,
  node: PostfixCstNode,
  depth: number,
): ExprAst | undefined {
  const list = node.children.list?.[0];
  if (depth > maxOperators) {
    report(
      builder,
      'ATTN1007',
      `more than ${maxOperators} operators in one expression`,
      nodeSpan(builder, node),
    );
    return undefined;
  }
  if (list !== undefined) {
    const indices = toList(builder, list, depth);
    const span = { ...object.span, end: nodeSpan(builder, node).end };
    if (indices === undefined) return undefined;
    if (indices.length === 0) {
      report(builder, 'ATTN1010', 'an index is missing between `[` and `]`', nodeSpan(builder, list));
      return undefined;
    }
    return { kind: 'index', object, indices, span };
  }
  const token = given(node.children.Identifier);
  if (token === undefined) return undefined;
  const member = tokenName(builder, token);
  return { kind: 'member', object, member, span: { ...object.span, end: member.span.end } };
}

function toNumber(builder: Builder, token: IToken): ExprAst {
  const read = readNumber(token.image);
  const span = tokenSpan(builder, token);
  if (read.kind !== 'wrong') return { kind: read.kind, value: read.value, text: token.image, span };
  report(builder, read.code, read.message, span, read.help);
  return { kind: 'int', value: 0, text: '0', span };
}

/** The expressions between brackets; an empty list is one. */
export function toList(builder: Builder, node: ListCstNode, depth = 0): readonly ExprAst[] | undefined {
  const items: ExprAst[] = [];
  let broken = node.recoveredNode === true;
  for (const child of node.children.expression ?? []) {
    const item = toExpression(builder, child, depth);
    if (item === undefined) broken = true;
    else items.push(item);
  }
  return broken ? undefined : items;
}

export function toArguments(
  builder: Builder,
  node: CallArgumentsCstNode,
  depth = 0,
): readonly ArgumentAst[] | undefined {
  const args: ArgumentAst[] = [];
  let broken = node.recoveredNode === true;
  for (const child of node.children.argument ?? []) {
    const value = toExpression(builder, child.children.expression?.[0], depth);
    const key = given(child.children.Key);
    if (value === undefined) broken = true;
    else args.push({ name: key && tokenName(builder, key), value, span: nodeSpan(builder, child) });
  }
  return broken ? undefined : args;
}
