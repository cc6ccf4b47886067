import {
  all,
  and,
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
  not,
  or,
  read,
  select,
  TRUE,
  ZERO,
} from './build.js';
import { some, type Expr, type Operation } from './expr.js';
import { partOf } from './graph-boxes.js';
import {
  below,
  bits,
  bitwise,
  exact,
  greatest,
  I32_MAX,
  I32_MIN,
  INFINITE,
  isInfinite,
  least,
  plus,
  product,
  quotient,
  range,
  remainder,
  scaled,
  unbounded,
  type Range,
} from './interval.js';
import { divides, linear, reduceModulo } from './linear.js';

/**
 * `cover`: what an expression can be over a box of pairs, as expressions over the box itself, so that the host and the
 * kernels evaluate the same answer. The domain is intervals with a congruence; known bits come from intervals, whose
 * common leading bits are known.
 */

/** A condition over a box: may it hold somewhere, must it hold everywhere? */
export interface Truth {
  readonly any: Expr;
  readonly all: Expr;
}

/** Ranges of the variables that the box bounds; every other variable has one value. */
export type Box = ReadonlyMap<string, Range>;

/** Computes ranges and truths over one box; equal nodes are computed once. */
export class Cover {
  readonly #box: Box;
  readonly #ranges = new Map<Expr, Range>();
  readonly #truths = new Map<Expr, Truth>();
  readonly #free = new Map<Expr, boolean>();

  constructor(box: Box) {
    this.#box = box;
  }

  /** True if the expression has one value in the box. */
  #isFree(e: Expr): boolean {
    let known = this.#free.get(e);
    if (known === undefined) {
      known =
        e.op === 'var' ? !this.#box.has(e.name) : !('args' in e) || e.args.every((a) => this.#isFree(a));
      this.#free.set(e, known);
    }
    return known;
  }

  range(e: Expr): Range {
    let known = this.#ranges.get(e);
    if (known === undefined) {
      known = this.#isFree(e) ? exact(e) : this.#rangeOf(e);
      this.#ranges.set(e, known);
    }
    return known;
  }

  truth(e: Expr): Truth {
    let known = this.#truths.get(e);
    if (known === undefined) {
      known = this.#isFree(e) ? { any: e, all: e } : this.#truthOf(e);
      this.#truths.set(e, known);
    }
    return known;
  }

  /** The range of a sum: equal terms cancel before their ranges are added. */
  sum(e: Expr): Range {
    const { terms, constant } = linear(e);
    let lo: Expr = int(constant);
    let hi: Expr = int(constant);
    let modulus: Expr | undefined;
    let congruent = true;
    let residue: Expr = int(constant);
    for (const { term, coefficient: c } of terms) {
      const r = this.range(term);
      lo = plus(lo, c > 0 ? scaled(r.lo, c) : scaled(r.hi, c));
      hi = plus(hi, c > 0 ? scaled(r.hi, c) : scaled(r.lo, c));
      if (r.lo === r.hi) residue = plus(residue, scaled(r.lo, c));
      else {
        const m = scaled(r.modulus, Math.abs(c));
        residue = plus(residue, scaled(r.residue, c));
        if (isConst(r.modulus, 1)) congruent &&= false;
        else if (modulus === undefined || divides(m, modulus)) modulus = m;
        else if (!divides(modulus, m)) congruent = false;
      }
    }
    if (!congruent || modulus === undefined) return range(lo, hi);
    return range(lo, hi, modulus, reduceModulo(residue, modulus));
  }

  #rangeOf(e: Expr): Range {
    switch (e.op) {
      case 'const':
      case 'param':
        return exact(e);
      case 'var':
        return this.#box.get(e.name) ?? exact(e);
      case 'table': {
        const ends = e.args.flatMap((a) => {
          const r = this.range(a);
          return [r.lo, r.hi];
        });
        if (ends.some(isInfinite)) return unbounded(e.type as 'int' | 'float');
        return range(read('table_min', e.type, e.name, ends), read('table_max', e.type, e.name, ends));
      }
      case 'table_min':
      case 'table_max':
      case 'edge':
      case 'edges_any':
      case 'edges_all':
      case 'weight':
      case 'sample':
        return unbounded(e.type as 'int' | 'float');
      default:
        return this.#operation(e);
    }
  }

  #operation(e: Operation): Range {
    const type = e.type as 'int' | 'float';
    const r = (n: number): Range => this.range(e.args[n]);
    const monotone = (a: Range): Range =>
      isInfinite(a.lo) || isInfinite(a.hi)
        ? unbounded(type)
        : range(make(e.op, type, [a.lo]), make(e.op, type, [a.hi]));
    switch (e.op) {
      case 'add':
      case 'sub':
      case 'neg':
        if (type === 'int') return this.sum(e);
        return this.#floatSum(e);
      case 'mul':
        if (type === 'int' && isConst(e.args[1])) return this.sum(e);
        return product(r(0), r(1), type);
      case 'fdiv': {
        const d = r(1);
        if (!isConst(d.lo) || d.lo !== d.hi || d.lo.value === 0) return unbounded(type);
        const a = r(0);
        const ends = [make('fdiv', type, [a.lo, d.lo]), make('fdiv', type, [a.hi, d.lo])];
        return isInfinite(a.lo) || isInfinite(a.hi)
          ? unbounded(type)
          : range(min(ends[0], ends[1]), max(ends[0], ends[1]));
      }
      case 'abs': {
        const a = r(0);
        const zero = type === 'int' ? ZERO : float(0);
        const negated = (x: Expr): Expr => (isInfinite(x) ? INFINITE[type][1] : make('neg', type, [x]));
        return range(greatest(zero, greatest(a.lo, negated(a.hi))), greatest(negated(a.lo), a.hi));
      }
      case 'min':
        return range(least(r(0).lo, r(1).lo), least(r(0).hi, r(1).hi));
      case 'max':
        return range(greatest(r(0).lo, r(1).lo), greatest(r(0).hi, r(1).hi));
      case 'div':
        return quotient(r(0), r(1));
      case 'mod':
        return remainder(r(0), r(1));
      case 'bitand':
      case 'bitor':
      case 'bitxor':
        return bitwise(e.op, r(0), r(1));
      case 'shl':
      case 'shr': {
        const [a, s] = [r(0), r(1)];
        if (s.lo !== s.hi || isInfinite(a.lo) || isInfinite(a.hi)) return range(I32_MIN, I32_MAX);
        return range(make(e.op, 'int', [a.lo, s.lo]), make(e.op, 'int', [a.hi, s.lo]));
      }
      case 'popcount': {
        const a = r(0);
        if (isInfinite(a.lo) || isInfinite(a.hi)) return range(ZERO, int(32));
        const { known, unknown } = bits(a);
        return range(
          make('popcount', 'int', [known]),
          make('popcount', 'int', [make('bitor', 'int', [known, unknown])]),
        );
      }
      case 'floor':
      case 'ceil':
      case 'exp':
      case 'log':
      case 'sqrt':
      case 'tanh':
      case 'to_float':
      case 'ones':
        return monotone(r(0));
      case 'if': {
        const c = this.truth(e.args[0]);
        const [a, b] = [r(1), r(2)];
        const pick = (f: (x: Expr, y: Expr) => Expr, x: Expr, y: Expr): Expr => {
          const both = f(x, y);
          if (isInfinite(x) || isInfinite(y) || isInfinite(both)) return both;
          return select(c.all, x, select(c.any, both, y));
        };
        return range(pick(least, a.lo, b.lo), pick(greatest, a.hi, b.hi));
      }
      case 'sample_at':
        return range(int(-1), I32_MAX);
      case 'pow':
        return unbounded(type);
      case 'and':
      case 'or':
      case 'not':
      case 'lt':
      case 'le':
      case 'eq':
      case 'sample':
        throw new Error(`${e.op} is a condition, not a number`);
    }
  }

  #floatSum(e: Operation): Range {
    const a = this.range(e.args[0]);
    const negate = (x: Expr): Expr => (isConst(x) ? float(-x.value) : make('neg', 'float', [x]));
    if (e.op === 'neg') return range(negate(a.hi), negate(a.lo));
    const b = this.range(e.args[1]);
    if ([a.lo, a.hi, b.lo, b.hi].some(isInfinite)) return unbounded('float');
    return e.op === 'add'
      ? range(make('add', 'float', [a.lo, b.lo]), make('add', 'float', [a.hi, b.hi]))
      : range(make('sub', 'float', [a.lo, b.hi]), make('sub', 'float', [a.hi, b.lo]));
  }

  #truthOf(e: Expr): Truth {
    if (e.type !== 'bool') throw new Error(`${e.op} is a number, not a condition`);
    switch (e.op) {
      case 'and':
      case 'or': {
        const parts = e.args.map((a) => this.truth(a));
        const join = e.op === 'and' ? and : or;
        return { any: parts.map((p) => p.any).reduce(join), all: parts.map((p) => p.all).reduce(join) };
      }
      case 'not': {
        const t = this.truth(e.args[0]);
        // Whether a box lacks an edge is not worth a look by the host.
        if (some(t.all, (n) => n.op === 'edges_all')) return { any: TRUE, all: not(t.any) };
        return { any: not(t.all), all: not(t.any) };
      }
      case 'if': {
        const [c, a, b] = e.args.map((x) => this.truth(x));
        return {
          any: or(and(c.any, a.any), and(not(c.all), b.any)),
          all: and(or(not(c.any), a.all), or(c.all, b.all)),
        };
      }
      case 'lt':
      case 'le':
        return this.#ordered(e.args[0], e.args[1], e.op === 'lt');
      case 'eq':
        return this.#equal(e.args[0], e.args[1]);
      case 'table': {
        const ends = e.args.flatMap((a) => {
          const r = this.range(a);
          return [r.lo, r.hi];
        });
        if (ends.some(isInfinite)) return { any: TRUE, all: FALSE };
        return { any: read('table_max', 'bool', e.name, ends), all: read('table_min', 'bool', e.name, ends) };
      }
      case 'edge': {
        const [batch, head, a, b] = e.args.map((x) => this.range(x));
        if ([a.lo, a.hi, b.lo, b.hi].some(isInfinite) || batch.lo !== batch.hi || head.lo !== head.hi) {
          return { any: TRUE, all: FALSE };
        }
        const box = [batch.lo, head.lo, a.lo, a.hi, b.lo, b.hi];
        const possible = read('edges_any', 'bool', e.name, box);
        // Of graphs on tokens only dense boxes are likely to be full.
        if (partOf(e.name).part === 'tiled') {
          return { any: possible, all: read('edges_all', 'bool', e.name, box) };
        }
        const single = and(eq(a.lo, a.hi), eq(b.lo, b.hi));
        return {
          any: possible,
          all: and(single, read('edge', 'bool', e.name, [batch.lo, head.lo, a.lo, b.lo])),
        };
      }
      case 'sample': {
        const [x, count, limit, ...keys] = e.args.map((a) => this.range(a));
        const ends = [x, count, limit, ...keys];
        if (ends.some((r) => isInfinite(r.lo) || isInfinite(r.hi))) return { any: TRUE, all: FALSE };
        const single = all(ends.map((r) => eq(r.lo, r.hi)));
        const there = make(
          'sample',
          'bool',
          ends.map((r) => r.lo),
        );
        const possible = all([lt(ZERO, count.hi), le(ZERO, x.hi), lt(x.lo, limit.hi)]);
        const everyone = all([le(ZERO, x.lo), lt(x.hi, limit.lo), le(limit.hi, count.lo)]);
        return { any: select(single, there, possible), all: select(single, there, everyone) };
      }
      default:
        return { any: TRUE, all: FALSE };
    }
  }

  #ordered(a: Expr, b: Expr, strict: boolean): Truth {
    if (a.type === 'float') {
      const [x, y] = [this.range(a), this.range(b)];
      return { any: below(x.lo, y.hi, strict), all: below(x.hi, y.lo, strict) };
    }
    // a ≤ b where a − b ≤ 0, so that terms on both sides cancel.
    const d = this.sum({ op: 'sub', type: 'int', args: [a, b] });
    return { any: below(d.lo, ZERO, strict), all: below(d.hi, ZERO, strict) };
  }

  #equal(a: Expr, b: Expr): Truth {
    if (a.type === 'bool') {
      const [x, y] = [this.truth(a), this.truth(b)];
      const both = (p: Truth, q: Truth): Expr => and(p.any, q.any);
      const none = (p: Truth, q: Truth): Expr => and(not(p.all), not(q.all));
      const sure = or(and(x.all, y.all), and(not(x.any), not(y.any)));
      return { any: or(both(x, y), none(x, y)), all: sure };
    }
    if (a.type === 'float') {
      const [x, y] = [this.range(a), this.range(b)];
      const overlap = and(below(x.lo, y.hi, false), below(y.lo, x.hi, false));
      const infinite = [x.lo, x.hi, y.lo, y.hi].some(isInfinite);
      return { any: overlap, all: infinite ? FALSE : all([eq(x.lo, x.hi), eq(y.lo, y.hi), eq(x.lo, y.lo)]) };
    }
    const d = this.sum({ op: 'sub', type: 'int', args: [a, b] });
    const congruent = isConst(d.modulus, 1) ? TRUE : eq(reduceModulo(d.residue, d.modulus), ZERO);
    return {
      any: all([below(d.lo, ZERO, false), below(ZERO, d.hi, false), congruent]),
      all: isInfinite(d.lo) || isInfinite(d.hi) ? FALSE : and(eq(d.lo, ZERO), eq(d.hi, ZERO)),
    };
  }
}

/** The box of one query tile and one key tile, in the variables that schedules use. */
export function tileBox(axes: number, i: Partial<Range> = {}, j: Partial<Range> = {}): Box {
  const box = new Map<string, Range>();
  const side = (name: 'i' | 'j', given: Partial<Range>): void => {
    const v = (suffix: string): Expr => ({ op: 'var', type: 'int', name: `${name}.${suffix}` });
    box.set(name, range(given.lo ?? v('lo'), given.hi ?? v('hi'), given.modulus, given.residue));
    for (let n = 0; n < axes; n++) box.set(`${name}.${n}`, range(v(`${n}.lo`), v(`${n}.hi`)));
  };
  side('i', i);
  side('j', j);
  return box;
}
