import { add, div, int, isConst, make, mul } from './build.js';
import { rewrite, type Expr } from './expr.js';
import { fromLinear, linear, reduceModulo } from './linear.js';

/**
 * Expressions written more plainly, with the same value everywhere: sums whose terms cancel, `mod` without what its
 * modulus divides, `div` with whole multiples of its divisor taken out. Substitution makes many of these.
 */
export function simplify(e: Expr, memo = new Map<Expr, Expr>()): Expr {
  return rewrite(e, tidy, memo);
}

/** Moduli are kept to what positions are. */
const LARGEST = 2 ** 31;

function tidy(e: Expr): Expr {
  if (!('args' in e) || 'name' in e) return e;
  const n = make(e.op, e.type, e.args);
  if (n.type !== 'int' || !('args' in n)) return n;
  switch (n.op) {
    case 'add':
    case 'sub':
    case 'neg':
    case 'mul':
      return fromLinear(linear(n));
    case 'mod': {
      const [x, m] = n.args;
      if (!isConst(m) || m.value < 1) return n;
      // (x div a) mod m = (x mod a·m) div a, in which x loses whole multiples: grid coordinates.
      if (x.op === 'div' && isConst(x.args[1]) && x.args[1].value > 0 && x.args[1].value * m.value <= LARGEST)
        return div(reduceModulo(x.args[0], int(x.args[1].value * m.value)), x.args[1]);
      return reduceModulo(x, m);
    }
    case 'div': {
      const [x, m] = n.args;
      return isConst(m) && m.value > 0 ? quotient(x, m.value) : n;
    }
    case 'bitxor': {
      // (x xor y) xor x = y, in any order.
      const [a, b] = n.args;
      for (const [p, q] of [
        [a, b],
        [b, a],
      ]) {
        if (p.op !== 'bitxor') continue;
        const [x, y] = p.args;
        if (x === q || isSame(x, q)) return y;
        if (y === q || isSame(y, q)) return x;
      }
      return n;
    }
    default:
      return n;
  }
}

const isSame = (a: Expr, b: Expr): boolean => a.op === 'var' && b.op === 'var' && a.name === b.name;

/** (m·x + y) div m = x + y div m */
function quotient(x: Expr, m: number): Expr {
  const { terms, constant } = linear(x);
  const whole = terms.filter((t) => t.coefficient % m === 0);
  const steps = Math.floor(constant / m);
  if (whole.length === 0 && steps === 0) return div(x, int(m));
  const rest = fromLinear({
    terms: terms.filter((t) => t.coefficient % m !== 0),
    constant: constant - steps * m,
  });
  const out = whole.map((t) => mul(t.term, int(t.coefficient / m))).reduce(add, int(steps));
  return add(out, div(rest, int(m)));
}
