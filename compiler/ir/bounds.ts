import { add, div, int, isConst, make, mul, not, sub, variable, ZERO } from './build.js';
import { some, type Expr } from './expr.js';
import { linear, fromLinear, type Linear } from './linear.js';
import { greatest, isInfinite, least, type Range } from './interval.js';
import type { Cover } from './range.js';

/**
 * `bounds`: where one side's positions can lie, given a range of the other side's: a union of intervals, or of families
 * of intervals that the host enumerates. It works from either side: `target` names the variable solved for.
 */
export type Bound =
  | { readonly kind: 'interval'; readonly lo: Expr; readonly hi: Expr }
  /** For each member of the sample, the interval lo … hi in terms of variable `member`. `args`: count, below, seed, keys…. */
  | { readonly kind: 'sample'; readonly args: readonly Expr[]; readonly lo: Expr; readonly hi: Expr }
  /** For each column of graph rows rowLo … rowHi, the interval lo … hi in terms of variable `member`. */
  | {
      readonly kind: 'edges';
      readonly input: string;
      readonly batch: Expr;
      readonly head: Expr;
      readonly rowLo: Expr;
      readonly rowHi: Expr;
      readonly lo: Expr;
      readonly hi: Expr;
    };

const NEGATIVE = int(-Infinity);
const POSITIVE = int(Infinity);
export const EVERYWHERE: readonly Bound[] = [{ kind: 'interval', lo: NEGATIVE, hi: POSITIVE }];
const MEMBER = variable('member');

/** Intervals past which a union is given up for its hull. */
const MOST_INTERVALS = 64;

const isEverywhere = (b: readonly Bound[]): boolean =>
  b.some((x) => x.kind === 'interval' && isConst(x.lo, -Infinity) && isConst(x.hi, Infinity));

/**
 * Positions of `target` for which `condition` may hold, for any value of the other side in the cover's box.
 * @param target `i`, `j` or a grid coordinate such as `j.0`
 * @param cover over the other side's ranges and over everything that the target's own side can be
 */
export function boundsOf(condition: Expr, target: string, cover: Cover): readonly Bound[] {
  const mine = (e: Expr): boolean => some(e, (n) => n.op === 'var' && n.name === target);
  const own = target[0];
  const ownSide = (e: Expr): boolean =>
    some(e, (n) => n.op === 'var' && (n.name === own || n.name.startsWith(`${own}.`)));

  /** The target's interval where lo ≤ e ≤ hi. */
  const solve = (e: Expr, lo: Expr, hi: Expr): { lo: Expr; hi: Expr } | undefined => {
    if (e.op === 'var' && e.name === target) return { lo, hi };
    const l = linear(e);
    if (e.op === 'add' || e.op === 'sub' || e.op === 'neg' || (e.op === 'mul' && isConst(e.args[1]))) {
      return solveLinear(l, lo, hi);
    }
    switch (e.op) {
      case 'abs':
        return isInfinite(hi) ? undefined : solve(e.args[0], sub(ZERO, hi), hi);
      case 'div': {
        const [x, m] = e.args;
        if (ownSide(m)) return undefined;
        const by = cover.range(m);
        if (by.lo !== by.hi) return undefined;
        const first = isInfinite(lo) ? lo : mul(lo, by.lo);
        const last = isInfinite(hi) ? hi : add(mul(hi, by.lo), sub(by.lo, int(1)));
        return solve(x, first, last);
      }
      case 'max':
      case 'min': {
        // max(x, y) ≤ hi bounds both, min(x, y) ≥ lo likewise.
        const parts = e.args
          .filter(mine)
          .map((x) => (e.op === 'max' ? solve(x, NEGATIVE, hi) : solve(x, lo, POSITIVE)));
        const known = parts.filter((p) => p !== undefined);
        if (known.length === 0) return undefined;
        return known.reduce((a, b) => ({ lo: greatest(a.lo, b.lo), hi: least(a.hi, b.hi) }));
      }
      default:
        return undefined;
    }
  };

  const solveLinear = (l: Linear, lo: Expr, hi: Expr): { lo: Expr; hi: Expr } | undefined => {
    const own = l.terms.filter((t) => mine(t.term));
    if (own.length !== 1) return undefined;
    const [{ term, coefficient: c }] = own;
    const rest: Range = cover.sum(
      fromLinear({ terms: l.terms.filter((t) => t !== own[0]), constant: l.constant }),
    );
    // c · term ∈ [lo − rest.hi, hi − rest.lo]
    let first = isInfinite(lo) || isInfinite(rest.hi) ? NEGATIVE : sub(lo, rest.hi);
    let last = isInfinite(hi) || isInfinite(rest.lo) ? POSITIVE : sub(hi, rest.lo);
    if (c < 0) {
      [first, last] = [
        isInfinite(last) ? NEGATIVE : sub(ZERO, last),
        isInfinite(first) ? POSITIVE : sub(ZERO, first),
      ];
    }
    const by = int(Math.abs(c));
    // ⌈first / by⌉ … ⌊last / by⌋
    if (!isInfinite(first)) first = sub(ZERO, div(sub(ZERO, first), by));
    if (!isInfinite(last)) last = div(last, by);
    return solve(term, first, last);
  };

  const interval = (s: { lo: Expr; hi: Expr } | undefined): readonly Bound[] =>
    s ? [{ kind: 'interval', ...s }] : EVERYWHERE;

  const go = (e: Expr): readonly Bound[] => {
    if (e.op === 'const') return e.value ? EVERYWHERE : [];
    if (!mine(e)) return EVERYWHERE;
    switch (e.op) {
      case 'and':
        return intersect(go(e.args[0]), go(e.args[1]));
      case 'or':
        return unite(go(e.args[0]), go(e.args[1]));
      case 'not': {
        const inner = e.args[0];
        if (inner.op === 'and' || inner.op === 'or') {
          const [a, b] = inner.args.map((x) => go(not(x)));
          return inner.op === 'and' ? unite(a, b) : intersect(a, b);
        }
        return EVERYWHERE;
      }
      case 'if': {
        const [c, a, b] = e.args;
        return unite(intersect(go(c), go(a)), intersect(go(not(c)), go(b)));
      }
      case 'lt':
      case 'le': {
        const [a, b] = e.args;
        if (a.type !== 'int') return EVERYWHERE;
        const difference = linear(make('sub', 'int', [a, b]));
        return interval(solveLinear(difference, NEGATIVE, e.op === 'lt' ? int(-1) : ZERO));
      }
      case 'eq': {
        const [a, b] = e.args;
        if (a.type !== 'int') return EVERYWHERE;
        return interval(solveLinear(linear(make('sub', 'int', [a, b])), ZERO, ZERO));
      }
      case 'sample': {
        const [x, ...args] = e.args;
        if (args.some(ownSide)) return EVERYWHERE;
        const at = solve(x, MEMBER, MEMBER);
        return at ? [{ kind: 'sample', args, ...at }] : EVERYWHERE;
      }
      case 'edge': {
        const [batch, head, a, b] = e.args;
        if (ownSide(a)) return EVERYWHERE;
        const rows = cover.range(a);
        const at = solve(b, MEMBER, MEMBER);
        if (!at || isInfinite(rows.lo) || isInfinite(rows.hi)) return EVERYWHERE;
        return [{ kind: 'edges', input: e.name, batch, head, rowLo: rows.lo, rowHi: rows.hi, ...at }];
      }
      default:
        return EVERYWHERE;
    }
  };
  return go(condition);
}

function unite(a: readonly Bound[], b: readonly Bound[]): readonly Bound[] {
  if (isEverywhere(a) || isEverywhere(b)) return EVERYWHERE;
  const union = [...a, ...b];
  if (union.length <= MOST_INTERVALS) return union;
  if (union.some((x) => x.kind !== 'interval')) return EVERYWHERE;
  return [
    {
      kind: 'interval',
      lo: union.map((x) => x.lo).reduce(least),
      hi: union.map((x) => x.hi).reduce(greatest),
    },
  ];
}

/** Exact where one side is a single interval; otherwise the more selective side stands for both. */
function intersect(a: readonly Bound[], b: readonly Bound[]): readonly Bound[] {
  if (isEverywhere(a)) return b;
  if (isEverywhere(b)) return a;
  const clip = (many: readonly Bound[], lo: Expr, hi: Expr): readonly Bound[] =>
    many.map((x) => ({ ...x, lo: greatest(x.lo, lo), hi: least(x.hi, hi) }));
  if (b.length === 1 && b[0].kind === 'interval') return clip(a, b[0].lo, b[0].hi);
  if (a.length === 1 && a[0].kind === 'interval') return clip(b, a[0].lo, a[0].hi);
  const weight = (x: readonly Bound[]): number => (x.some((y) => y.kind !== 'interval') ? 0 : x.length);
  return weight(a) <= weight(b) ? a : b;
}
