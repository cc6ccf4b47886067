import type { Span } from '../../grammar/ast.js';
import { nearest } from '../../grammar/nearest.js';
import { float, make, select, toFloat } from '../ir/build.js';
import type { Expr, Operator } from '../ir/expr.js';
import type { Body } from './context.js';
import { intOperation, type Operand } from './operators.js';
import { asBool, asFloat, asInt, asNumber, asScalar, promote } from './types.js';
import { count, scalar, typeName, UNKNOWN, type Value } from './values.js';

/** How each function is written, and how many arguments it takes. */
const signatures: Readonly<
  Record<string, { readonly text: string; readonly least: number; readonly most: number }>
> = {
  abs: { text: 'abs(x)', least: 1, most: 1 },
  min: { text: 'min(a, b, …)', least: 2, most: Infinity },
  max: { text: 'max(a, b, …)', least: 2, most: Infinity },
  clamp: { text: 'clamp(x, lo, hi)', least: 3, most: 3 },
  floor: { text: 'floor(x)', least: 1, most: 1 },
  ceil: { text: 'ceil(x)', least: 1, most: 1 },
  exp: { text: 'exp(x)', least: 1, most: 1 },
  log: { text: 'log(x)', least: 1, most: 1 },
  sqrt: { text: 'sqrt(x)', least: 1, most: 1 },
  tanh: { text: 'tanh(x)', least: 1, most: 1 },
  sigmoid: { text: 'sigmoid(x)', least: 1, most: 1 },
  softcap: { text: 'softcap(x, c)', least: 2, most: 2 },
  if: { text: 'if(c, a, b)', least: 3, most: 3 },
  bitand: { text: 'bitand(a, b)', least: 2, most: 2 },
  bitor: { text: 'bitor(a, b)', least: 2, most: 2 },
  bitxor: { text: 'bitxor(a, b)', least: 2, most: 2 },
  shl: { text: 'shl(x, bits)', least: 2, most: 2 },
  shr: { text: 'shr(x, bits)', least: 2, most: 2 },
  popcount: { text: 'popcount(x)', least: 1, most: 1 },
};

/** Functions that expressions.ts looks after itself. */
const special = ['dot', 'sample'];

/** Functions of other languages that go by another name here. */
const otherNames: Readonly<Record<string, string>> = {
  mod: 'write `a % b`',
  div: 'write `a div b`',
  pow: 'write `a ** b`',
  xor: 'write `bitxor(a, b)`',
  round: 'write `floor(x + 0.5)`',
  minimum: 'write `min(a, b)`',
  maximum: 'write `max(a, b)`',
  select: 'write `if(c, a, b)`',
  where: 'write `if(c, a, b)`',
  len: 'the number of keys is `length`',
};

export function reportUnknownFunction(body: Body, name: string, span: Span): void {
  const like = nearest(name, [...Object.keys(signatures), ...special]);
  const help = otherNames[name] ?? (like ? `did you mean \`${like}\`?` : undefined);
  body.report.error('ATTN2002', `unknown function \`${name}\``, span, { help });
}

export const isFunction = (name: string): boolean =>
  Object.hasOwn(signatures, name) || special.includes(name);

/** A function's value from its arguments'. */
export function callFunction(body: Body, name: string, args: readonly Operand[], span: Span): Value {
  const signature = signatures[name];
  if (args.length < signature.least || args.length > signature.most) {
    const wanted =
      signature.most === Infinity
        ? `${signature.least} or more arguments`
        : count(signature.least, 'argument');
    body.report.error('ATTN2027', `\`${name}\` takes ${wanted}, not ${args.length}`, span, {
      help: `it is written \`${signature.text}\``,
    });
    return UNKNOWN;
  }
  const result = compute(body, name, args, span);
  return result ? scalar(result) : UNKNOWN;
}

type Checked = Expr | undefined;

function compute(body: Body, name: string, args: readonly Operand[], span: Span): Checked {
  const { report } = body;
  const numberAt = (n: number): Checked => asNumber(report, args[n].value, args[n].span);
  const floatAt = (n: number): Checked => asFloat(report, args[n].value, args[n].span);
  switch (name) {
    case 'abs': {
      const x = numberAt(0);
      return x && make('abs', x.type, [x]);
    }
    case 'min':
    case 'max':
      return fold(body, name, args);
    case 'clamp': {
      const [x, lo, hi] = sameType([numberAt(0), numberAt(1), numberAt(2)]);
      return x && lo && hi && make('min', x.type, [make('max', x.type, [x, lo]), hi]);
    }
    case 'floor':
    case 'ceil': {
      const x = numberAt(0);
      return x?.type === 'float' ? make(name, 'int', [x]) : x;
    }
    case 'exp':
    case 'log':
    case 'sqrt':
    case 'tanh': {
      const x = floatAt(0);
      return x && make(name, 'float', [x]);
    }
    case 'sigmoid': {
      // 1 / (1 + exp(−x))
      const x = floatAt(0);
      const e = x && make('exp', 'float', [make('neg', 'float', [x])]);
      return e && make('fdiv', 'float', [float(1), make('add', 'float', [float(1), e])]);
    }
    case 'softcap': {
      // c · tanh(x / c)
      const x = floatAt(0);
      const c = floatAt(1);
      return x && c && make('mul', 'float', [c, make('tanh', 'float', [make('fdiv', 'float', [x, c])])]);
    }
    case 'if':
      return choose(body, args);
    default:
      return bits(body, name as Operator, args, span);
  }
}

function sameType(exprs: readonly Checked[]): readonly Checked[] {
  const mixed = exprs.some((e) => e?.type === 'float');
  return mixed ? exprs.map((e) => e && toFloat(e)) : exprs;
}

function fold(body: Body, op: 'min' | 'max', args: readonly Operand[]): Checked {
  const exprs = sameType(args.map((a) => asNumber(body.report, a.value, a.span)));
  return exprs.reduce((a, b) => a && b && make(op, a.type, [a, b]));
}

function choose(body: Body, args: readonly Operand[]): Checked {
  const { report } = body;
  const condition = asBool(report, args[0].value, args[0].span, 'ATTN2021');
  const a = asScalar(report, args[1].value, args[1].span);
  const b = asScalar(report, args[2].value, args[2].span);
  if (!a || !b) return undefined;
  if ((a.type === 'bool') !== (b.type === 'bool')) {
    report.error(
      'ATTN2020',
      `the two values of \`if\` are of unlike types: ${typeName(args[1].value)} and ${typeName(args[2].value)}`,
      args[2].span,
    );
    return undefined;
  }
  const [x, y] = a.type === 'bool' ? [a, b] : promote(a, b);
  return condition && select(condition, x, y);
}

function bits(body: Body, op: Operator, args: readonly Operand[], span: Span): Checked {
  const exprs = args.map((a) => asInt(body.report, a.value, a.span));
  if (exprs.includes(undefined)) return undefined;
  const ints = exprs as readonly Expr[];
  return op === 'shl' ? intOperation(body, op, ints, span) : make(op, 'int', ints);
}
