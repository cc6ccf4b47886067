import { same, type Expr, type InputOperator, type Operator, type Type, type VariableName } from './expr.js';
import { permute, sampleContains } from './sample.js';

/** Constructors of expressions. They fold constants and apply identities that hold for every value. */

export const TRUE: Expr = { op: 'const', type: 'bool', value: 1 };
export const FALSE: Expr = { op: 'const', type: 'bool', value: 0 };
export const ZERO: Expr = { op: 'const', type: 'int', value: 0 };
export const ONE: Expr = { op: 'const', type: 'int', value: 1 };

export const int = (value: number): Expr => ({ op: 'const', type: 'int', value });
export const float = (value: number): Expr => ({ op: 'const', type: 'float', value });
export const bool = (value: boolean): Expr => (value ? TRUE : FALSE);
export const variable = (name: VariableName, type: Type = 'int'): Expr => ({ op: 'var', type, name });
export const parameter = (name: string, type: Type): Expr => ({ op: 'param', type, name });
export const read = (op: InputOperator, type: Type, name: string, args: readonly Expr[]): Expr => ({
  op,
  type,
  name,
  args,
});

export function isConst(e: Expr, value?: number): e is Expr & { op: 'const' } {
  return e.op === 'const' && (value === undefined || e.value === value);
}

const floorDiv = (a: number, b: number): number => Math.floor(a / b);
export const floorMod = (a: number, b: number): number => a - b * Math.floor(a / b);

export function popcount32(x: number): number {
  let v = x >>> 0;
  let n = 0;
  for (; v !== 0; v = (v & (v - 1)) >>> 0) n++;
  return n;
}

/** 2^bitlength(x) − 1 for x ≥ 0, −1 for negative x. */
export function ones32(x: number): number {
  return x < 0 ? -1 : x === 0 ? 0 : (0xffffffff >>> Math.clz32(x)) | 0;
}

/** The meaning of every operator but `sample`: one number in, one number out; booleans are 0 and 1. */
export function apply(op: Operator, type: Type, x: readonly number[]): number {
  const [a, b, c] = x;
  switch (op) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'mul':
      return a * b + 0;
    case 'neg':
      return 0 - a;
    case 'abs':
      return Math.abs(a);
    case 'min':
      return Math.min(a, b);
    case 'max':
      return Math.max(a, b);
    case 'div':
      return floorDiv(a, b);
    case 'mod':
      return floorMod(a, b);
    case 'bitand':
      return a & b;
    case 'bitor':
      return a | b;
    case 'bitxor':
      return a ^ b;
    case 'shl':
      return b < 0 || b > 31 ? 0 : a << b;
    case 'shr':
      return a >> Math.min(Math.max(b, 0), 31);
    case 'popcount':
      return popcount32(a);
    case 'ones':
      return ones32(a);
    case 'fdiv':
      return a / b;
    case 'pow':
      return a ** b;
    case 'floor':
      return Math.floor(a);
    case 'ceil':
      return Math.ceil(a);
    case 'exp':
      return Math.exp(a);
    case 'log':
      return Math.log(a);
    case 'sqrt':
      return Math.sqrt(a);
    case 'tanh':
      return Math.tanh(a);
    case 'to_float':
      return a;
    case 'and':
      return a && b;
    case 'or':
      return a || b;
    case 'not':
      return a ? 0 : 1;
    case 'lt':
      return a < b ? 1 : 0;
    case 'le':
      return a <= b ? 1 : 0;
    case 'eq':
      return a === b ? 1 : 0;
    case 'if':
      return a ? b : c;
    case 'sample':
      return sampleContains(x[0], x[1], x[2], x[3], x.slice(4)) ? 1 : 0;
    case 'sample_at':
      return permute(x[0], x[1], x[2], x.slice(3));
  }
  void type;
}

/** Any operator, with folding. Float results in conditions are rounded to float32 at every step. */
export function make(op: Operator, type: Type, args: readonly Expr[]): Expr {
  switch (op) {
    case 'add':
      return type === 'int' ? add(args[0], args[1]) : folded(op, type, args);
    case 'sub':
      return type === 'int' ? sub(args[0], args[1]) : folded(op, type, args);
    case 'mul':
      return type === 'int' ? mul(args[0], args[1]) : folded(op, type, args);
    case 'neg':
      return type === 'int' ? sub(ZERO, args[0]) : folded(op, type, args);
    case 'min':
      return min(args[0], args[1]);
    case 'max':
      return max(args[0], args[1]);
    case 'div':
      return div(args[0], args[1]);
    case 'mod':
      return mod(args[0], args[1]);
    case 'and':
      return and(args[0], args[1]);
    case 'or':
      return or(args[0], args[1]);
    case 'not':
      return not(args[0]);
    case 'lt':
      return lt(args[0], args[1]);
    case 'le':
      return le(args[0], args[1]);
    case 'eq':
      return eq(args[0], args[1]);
    case 'if':
      return select(args[0], args[1], args[2]);
    default:
      return folded(op, type, args);
  }
}

function folded(op: Operator, type: Type, args: readonly Expr[]): Expr {
  // Transcendental functions of constants are left to run time: a score is float64 in the oracle, float32 in WGSL.
  const foldable = type !== 'float' && args.every((a) => a.op === 'const' && a.type !== 'float');
  if (foldable) {
    const value = apply(
      op,
      type,
      args.map((a) => (a as { value: number }).value),
    );
    if (Number.isFinite(value)) return { op: 'const', type, value };
  }
  return { op, type, args };
}

export function add(a: Expr, b: Expr): Expr {
  if (isConst(a, 0)) return b;
  if (isConst(b, 0)) return a;
  if (isConst(a) && isConst(b)) return int(a.value + b.value);
  // (x + c1) + c2 = x + (c1 + c2); constants on the right.
  if (isConst(a)) return add(b, a);
  if (isConst(b)) {
    if (a.op === 'add' && isConst(a.args[1])) return add(a.args[0], int(a.args[1].value + b.value));
    if (a.op === 'sub' && isConst(a.args[1])) return add(a.args[0], int(b.value - a.args[1].value));
    if (b.value < 0) return { op: 'sub', type: 'int', args: [a, int(-b.value)] };
  }
  // Integers are exact: x + −y = x − y.
  if (b.op === 'neg') return sub(a, b.args[0]);
  if (a.op === 'neg') return sub(b, a.args[0]);
  // (x − y) + y = x, in either order.
  if (a.op === 'sub' && same(a.args[1], b)) return a.args[0];
  if (b.op === 'sub' && same(b.args[1], a)) return b.args[0];
  return { op: 'add', type: 'int', args: [a, b] };
}

export function sub(a: Expr, b: Expr): Expr {
  if (isConst(b, 0)) return a;
  if (isConst(a) && isConst(b)) return int(a.value - b.value);
  if (same(a, b)) return ZERO;
  if (isConst(b)) {
    if (a.op === 'add' && isConst(a.args[1])) return add(a.args[0], int(a.args[1].value - b.value));
    if (a.op === 'sub' && isConst(a.args[1])) return sub(a.args[0], int(a.args[1].value + b.value));
    if (b.value < 0) return add(a, int(-b.value));
  }
  if (a.op === 'add' && same(a.args[1], b)) return a.args[0];
  if (a.op === 'add' && same(a.args[0], b)) return a.args[1];
  if (b.op === 'neg') return add(a, b.args[0]);
  if (isConst(a, 0)) {
    // −(x − y) = y − x
    return b.op === 'sub' ? sub(b.args[1], b.args[0]) : { op: 'neg', type: 'int', args: [b] };
  }
  return { op: 'sub', type: 'int', args: [a, b] };
}

export function mul(a: Expr, b: Expr): Expr {
  if (isConst(a) && isConst(b)) return int(a.value * b.value);
  if (isConst(a)) return mul(b, a);
  if (isConst(b, 0)) return ZERO;
  if (isConst(b, 1)) return a;
  if (isConst(b, -1)) return sub(ZERO, a);
  return { op: 'mul', type: 'int', args: [a, b] };
}

/** Floored division; the divisor is at least 1 (checked). */
export function div(a: Expr, b: Expr): Expr {
  if (isConst(b, 1)) return a;
  if (isConst(a) && isConst(b) && b.value > 0) return int(floorDiv(a.value, b.value));
  if (isConst(a, 0)) return ZERO;
  return { op: 'div', type: 'int', args: [a, b] };
}

/** Floored modulus; the modulus is at least 1 (checked). */
export function mod(a: Expr, b: Expr): Expr {
  if (isConst(b, 1)) return ZERO;
  if (isConst(a) && isConst(b) && b.value > 0) return int(floorMod(a.value, b.value));
  if (isConst(a, 0)) return ZERO;
  if (a.op === 'mod') {
    const inner = a.args[1];
    // (x mod w) mod r = x mod r where r divides w.
    if (same(inner, b)) return a;
    if (isConst(inner) && isConst(b) && b.value > 0 && inner.value % b.value === 0) return mod(a.args[0], b);
  }
  return { op: 'mod', type: 'int', args: [a, b] };
}

export function min(a: Expr, b: Expr): Expr {
  if (isConst(a) && isConst(b)) return a.value <= b.value ? a : b;
  if (same(a, b)) return a;
  return { op: 'min', type: a.type, args: [a, b] };
}

export function max(a: Expr, b: Expr): Expr {
  if (isConst(a) && isConst(b)) return a.value >= b.value ? a : b;
  if (same(a, b)) return a;
  return { op: 'max', type: a.type, args: [a, b] };
}

export function and(a: Expr, b: Expr): Expr {
  if (isConst(a)) return a.value ? b : FALSE;
  if (isConst(b)) return b.value ? a : FALSE;
  if (same(a, b)) return a;
  return { op: 'and', type: 'bool', args: [a, b] };
}

export function or(a: Expr, b: Expr): Expr {
  if (isConst(a)) return a.value ? TRUE : b;
  if (isConst(b)) return b.value ? TRUE : a;
  if (same(a, b)) return a;
  return { op: 'or', type: 'bool', args: [a, b] };
}

export const all = (parts: readonly Expr[]): Expr => parts.reduce(and, TRUE);
export const any = (parts: readonly Expr[]): Expr => parts.reduce(or, FALSE);

export function not(a: Expr): Expr {
  if (isConst(a)) return bool(!a.value);
  if (a.op === 'not') return a.args[0];
  // Integers are totally ordered; float comparisons keep their `not`, because of NaN.
  if (a.op === 'lt' && a.args[0].type === 'int') return le(a.args[1], a.args[0]);
  if (a.op === 'le' && a.args[0].type === 'int') return lt(a.args[1], a.args[0]);
  return { op: 'not', type: 'bool', args: [a] };
}

export function lt(a: Expr, b: Expr): Expr {
  if (isConst(a) && isConst(b)) return bool(a.value < b.value);
  if (a.type === 'int' && same(a, b)) return FALSE;
  return { op: 'lt', type: 'bool', args: [a, b] };
}

export function le(a: Expr, b: Expr): Expr {
  if (isConst(a) && isConst(b)) return bool(a.value <= b.value);
  if (a.type === 'int' && same(a, b)) return TRUE;
  return { op: 'le', type: 'bool', args: [a, b] };
}

export function eq(a: Expr, b: Expr): Expr {
  if (isConst(a) && isConst(b)) return bool(a.value === b.value);
  if (a.type !== 'float' && same(a, b)) return TRUE;
  return { op: 'eq', type: 'bool', args: [a, b] };
}

export function select(c: Expr, a: Expr, b: Expr): Expr {
  if (isConst(c)) return c.value ? a : b;
  if (same(a, b)) return a;
  return { op: 'if', type: a.type, args: [c, a, b] };
}

export const toFloat = (a: Expr): Expr => {
  if (a.type === 'float') return a;
  if (isConst(a)) return float(a.value);
  return { op: 'to_float', type: 'float', args: [a] };
};

/** Any operator without folding beyond what `make` does; for integer operators that have no constructor here. */
export const op = (operator: Operator, type: Type, ...args: readonly Expr[]): Expr =>
  make(operator, type, args);
