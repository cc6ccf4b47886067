import { add, int, isConst, mod, mul, sub, ZERO } from './build.js';
import { argsOf, same, type Expr } from './expr.js';

/** An integer expression as Σ coefficient · term + constant, where terms are not sums themselves. */
export interface Linear {
  readonly terms: readonly { readonly term: Expr; readonly coefficient: number }[];
  readonly constant: number;
}

export function linear(e: Expr): Linear {
  const terms: { term: Expr; coefficient: number }[] = [];
  let constant = 0;
  const go = (x: Expr, c: number): void => {
    if (x.op === 'const') constant += c * x.value;
    else if (x.op === 'add') argsOf(x).forEach((a) => go(a, c));
    else if (x.op === 'sub') {
      go(x.args[0], c);
      go(x.args[1], -c);
    } else if (x.op === 'neg') go(x.args[0], -c);
    else if (x.op === 'mul' && isConst(x.args[1])) go(x.args[0], c * x.args[1].value);
    else {
      const known = terms.find((t) => same(t.term, x));
      if (known) known.coefficient += c;
      else terms.push({ term: x, coefficient: c });
    }
  };
  go(e, 1);
  return { terms: terms.filter((t) => t.coefficient !== 0), constant };
}

/** The expression of a linear form: positive terms first. */
export function fromLinear(l: Linear): Expr {
  const ordered = [...l.terms.filter((t) => t.coefficient > 0), ...l.terms.filter((t) => t.coefficient < 0)];
  let sum: Expr = ZERO;
  for (const { term, coefficient } of ordered) {
    const scaled = mul(term, int(Math.abs(coefficient)));
    sum = coefficient > 0 ? add(sum, scaled) : sub(sum, scaled);
  }
  return add(sum, int(l.constant));
}

/** True if m divides n by their form alone: constants, equal expressions, or a product with m as a factor. */
export function divides(m: Expr, n: Expr): boolean {
  if (isConst(m, 1) || isConst(n, 0)) return true;
  if (isConst(m) && isConst(n)) return n.value % m.value === 0;
  if (same(m, n)) return true;
  return n.op === 'mul' && n.args.some((a) => divides(m, a));
}

/** e mod m, with terms that vanish or simplify modulo m taken out: (x mod 16) mod 4 = x mod 4, (a + m·b) mod m = a mod m. */
export function reduceModulo(e: Expr, m: Expr): Expr {
  const expand = (l: Linear): Linear => {
    let changed = false;
    let sum: Expr = int(l.constant);
    for (const { term, coefficient } of l.terms) {
      let inner = term;
      if (term.op === 'mod' && divides(m, term.args[1])) inner = term.args[0];
      else if (divides(m, mul(term, int(coefficient)))) inner = ZERO;
      changed ||= inner !== term;
      sum = add(sum, mul(inner, int(coefficient)));
    }
    return changed ? expand(linear(sum)) : l;
  };
  const reduced = expand(linear(e));
  const constant =
    isConst(m) && m.value > 0
      ? reduced.constant - m.value * Math.floor(reduced.constant / m.value)
      : reduced.constant;
  const terms = isConst(m)
    ? reduced.terms
        .map((t) => ({ term: t.term, coefficient: t.coefficient % m.value }))
        .filter((t) => t.coefficient !== 0)
    : reduced.terms;
  return mod(fromLinear({ terms, constant }), m);
}
