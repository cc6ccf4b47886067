import {
  eq,
  FALSE,
  float,
  int,
  isConst,
  le,
  lt,
  make,
  max,
  min,
  mul,
  ONE,
  select,
  TRUE,
  ZERO,
} from './build.js';
import type { Expr } from './expr.js';
import { divides, reduceModulo } from './linear.js';

/** Arithmetic of intervals with a congruence, whose ends are expressions. */

/** An inclusive interval of numbers; every value ≡ residue (mod modulus). Ends may be ±∞ constants. */
export interface Range {
  readonly lo: Expr;
  readonly hi: Expr;
  readonly modulus: Expr;
  readonly residue: Expr;
}

export const INFINITE = {
  int: [int(-Infinity), int(Infinity)],
  float: [float(-Infinity), float(Infinity)],
} as const;
export const I32_MIN = int(-(2 ** 31));
export const I32_MAX = int(2 ** 31 - 1);

export const range = (lo: Expr, hi: Expr, modulus: Expr = ONE, residue: Expr = ZERO): Range => ({
  lo,
  hi,
  modulus,
  residue,
});
export const exact = (e: Expr): Range => range(e, e);
export const unbounded = (type: 'int' | 'float'): Range => range(INFINITE[type][0], INFINITE[type][1]);

export const isInfinite = (e: Expr): boolean => e.op === 'const' && !Number.isFinite(e.value);

/** Arithmetic with infinite ends. */
export function plus(a: Expr, b: Expr): Expr {
  if (isInfinite(a)) return a;
  if (isInfinite(b)) return b;
  return make('add', a.type, [a, b]);
}

export function scaled(a: Expr, c: number): Expr {
  if (isConst(a) && !Number.isFinite(a.value)) return int(a.value * c);
  return mul(a, int(c));
}

export function least(a: Expr, b: Expr): Expr {
  if (isConst(a, -Infinity) || isConst(b, Infinity)) return a;
  if (isConst(b, -Infinity) || isConst(a, Infinity)) return b;
  return min(a, b);
}

export function greatest(a: Expr, b: Expr): Expr {
  if (isConst(a, Infinity) || isConst(b, -Infinity)) return a;
  if (isConst(b, Infinity) || isConst(a, -Infinity)) return b;
  return max(a, b);
}

export function below(a: Expr, b: Expr, strict: boolean): Expr {
  if (isConst(a, -Infinity) || isConst(b, Infinity)) return TRUE;
  if (isConst(a, Infinity) || isConst(b, -Infinity)) return FALSE;
  return strict ? lt(a, b) : le(a, b);
}

/** Of a · b. */
export function product(a: Range, b: Range, type: 'int' | 'float'): Range {
  if ([a.lo, a.hi, b.lo, b.hi].some(isInfinite)) return unbounded(type);
  const times = (x: Expr, y: Expr): Expr => make('mul', type, [x, y]);
  const corners = [times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi)];
  return range(corners.reduce(min), corners.reduce(max));
}

/** Of ⌊a / m⌋. */
export function quotient(a: Range, m: Range): Range {
  const over = (x: Expr, d: Expr): Expr => (isInfinite(x) ? x : make('div', 'int', [x, d]));
  if (m.lo === m.hi) return range(over(a.lo, m.lo), over(a.hi, m.lo));
  if ([a.lo, a.hi, m.lo, m.hi].some(isInfinite)) return unbounded('int');
  const corners = [over(a.lo, m.lo), over(a.lo, m.hi), over(a.hi, m.lo), over(a.hi, m.hi)];
  return range(corners.reduce(min), corners.reduce(max));
}

/** Of a mod m. */
export function remainder(a: Range, m: Range): Range {
  if (m.lo !== m.hi) return range(ZERO, isInfinite(m.hi) ? m.hi : make('sub', 'int', [m.hi, ONE]));
  const modulus = m.lo;
  if (!isConst(a.modulus, 1) && divides(modulus, a.modulus)) return exact(reduceModulo(a.residue, modulus));
  const top = make('sub', 'int', [modulus, ONE]);
  const keeps = !isConst(a.modulus, 1) && divides(a.modulus, modulus);
  const congruence = keeps ? ([a.modulus, a.residue] as const) : ([ONE, ZERO] as const);
  if (isInfinite(a.lo) || isInfinite(a.hi)) return range(ZERO, top, ...congruence);
  // Without a wrap-around inside the interval the remainder rises with the value.
  const unwrapped = eq(make('div', 'int', [a.lo, modulus]), make('div', 'int', [a.hi, modulus]));
  return range(
    select(unwrapped, make('mod', 'int', [a.lo, modulus]), ZERO),
    select(unwrapped, make('mod', 'int', [a.hi, modulus]), top),
    ...congruence,
  );
}

/** Of bits combined. */
export function bitwise(op: 'bitand' | 'bitor' | 'bitxor', a: Range, b: Range): Range {
  if ([a.lo, a.hi, b.lo, b.hi].some(isInfinite)) return range(I32_MIN, I32_MAX);
  const x = bits(a);
  const y = bits(b);
  const or2 = (p: Expr, q: Expr): Expr => make('bitor', 'int', [p, q]);
  const and2 = (p: Expr, q: Expr): Expr => make('bitand', 'int', [p, q]);
  let sure: Expr;
  let possible: Expr;
  if (op === 'bitxor') {
    const unknown = or2(x.unknown, y.unknown);
    sure = and2(make('bitxor', 'int', [x.known, y.known]), make('bitxor', 'int', [unknown, int(-1)]));
    possible = or2(sure, unknown);
  } else {
    const combine = op === 'bitand' ? and2 : or2;
    sure = combine(x.known, y.known);
    possible = combine(or2(x.known, x.unknown), or2(y.known, y.unknown));
  }
  // With an unknown sign the order of the numbers isn't the order of their bits.
  const signs = lt(make('bitxor', 'int', [sure, possible]), ZERO);
  return range(select(signs, I32_MIN, sure), select(signs, I32_MAX, possible));
}

/** The bits that all numbers of an interval share (`known`, zero elsewhere) and those that may differ. */
export function bits(r: Range): { readonly known: Expr; readonly unknown: Expr } {
  const unknown = make('ones', 'int', [make('bitxor', 'int', [r.lo, r.hi])]);
  return { known: make('bitand', 'int', [r.lo, make('bitxor', 'int', [unknown, int(-1)])]), unknown };
}
