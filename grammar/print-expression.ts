/** Expressions in the text form, with as few parentheses as their precedence allows. */
import type { ArgumentAst, BinaryOperator, ExprAst, RangeAst } from './ast.js';

/** Binding strengths; a larger number binds tighter. */
const level = {
  or: 1,
  and: 2,
  not: 3,
  compare: 4,
  add: 5,
  multiply: 6,
  minus: 7,
  power: 8,
  postfix: 9,
} as const;

function levelOf(expr: ExprAst): number {
  switch (expr.kind) {
    case 'binary':
      return levelOfOperator(expr.op);
    case 'compare':
    case 'in':
      return level.compare;
    case 'unary':
      return expr.op === 'not' ? level.not : level.minus;
    default:
      return level.postfix;
  }
}

function levelOfOperator(op: BinaryOperator): number {
  switch (op) {
    case 'or':
      return level.or;
    case 'and':
      return level.and;
    case '+':
    case '-':
      return level.add;
    case '*':
    case '/':
    case 'div':
    case '%':
      return level.multiply;
    case '**':
      return level.power;
  }
}

function atLeast(expr: ExprAst, least: number): string {
  const text = printExpression(expr);
  return levelOf(expr) < least ? `(${text})` : text;
}

/** `a + b * (c - d)` */
export function printExpression(expr: ExprAst): string {
  switch (expr.kind) {
    case 'int':
    case 'float':
    case 'name':
      return expr.text;
    case 'bool':
      return String(expr.value);
    case 'list':
      return `[${expr.items.map(printExpression).join(', ')}]`;
    case 'member':
      return `${atLeast(expr.object, level.postfix)}.${expr.member.text}`;
    case 'index':
      return `${atLeast(expr.object, level.postfix)}[${expr.indices.map(printExpression).join(', ')}]`;
    case 'call':
      return `${expr.name.text}${printArguments(expr.args)}`;
    case 'unary': {
      if (expr.op === 'not') return `not ${atLeast(expr.value, level.not)}`;
      const value = atLeast(expr.value, level.minus);
      return value.startsWith('-') ? `- ${value}` : `-${value}`;
    }
    case 'binary': {
      const own = levelOfOperator(expr.op);
      // `**` groups to the right and takes a sign there: `2 ** -x`.
      const [left, right] = expr.op === '**' ? [level.postfix, level.minus] : [own, own + 1];
      return `${atLeast(expr.left, left)} ${expr.op} ${atLeast(expr.right, right)}`;
    }
    case 'compare': {
      const operands = expr.operands.map((operand) => atLeast(operand, level.add));
      return operands.reduce((text, operand, k) => `${text} ${expr.operators[k - 1]} ${operand}`);
    }
    case 'in':
      return `${atLeast(expr.value, level.add)} in ${atLeast(expr.set, level.add)}`;
  }
}

/** `(a, window: 3)` */
export function printArguments(args: readonly ArgumentAst[]): string {
  const texts = args.map(({ name, value }) => {
    const text = printExpression(value);
    return name === undefined ? text : `${name.text}: ${text}`;
  });
  return `(${texts.join(', ')})`;
}

/** `0 ..< n step 2` */
export function printRange(range: RangeAst): string {
  const dots = range.inclusive ? '..' : '..<';
  const step = range.step === undefined ? '' : ` step ${printExpression(range.step)}`;
  return `${printExpression(range.from)} ${dots} ${printExpression(range.to)}${step}`;
}
