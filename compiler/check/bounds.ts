import type { Expr } from '../ir/expr.js';

/** Inclusive bounds of a value, from its form alone: what is true of every length, head and position. */
export interface Bounds {
  readonly lo: number;
  readonly hi: number;
}

export type ParameterRanges = ReadonlyMap<string, Bounds>;

const ANY: Bounds = { lo: -Infinity, hi: Infinity };
const between = (lo: number, hi: number): Bounds => ({ lo, hi });

/** 0 · ∞ is 0 here: a factor of 0 makes 0. */
const times = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b);

export function boundsOf(e: Expr, ranges: ParameterRanges): Bounds {
  const known = new Map<Expr, Bounds>();
  const go = (x: Expr): Bounds => {
    const before = known.get(x);
    if (before) return before;
    const bounds = compute(x, ranges, go);
    known.set(x, bounds);
    return bounds;
  };
  return go(e);
}

function compute(e: Expr, ranges: ParameterRanges, of: (e: Expr) => Bounds): Bounds {
  if (e.type === 'bool') return between(0, 1);
  switch (e.op) {
    case 'const':
      return between(e.value, e.value);
    case 'var':
      return e.type === 'float' ? ANY : between(/^(heads|dim|size\.\d+)$/.test(e.name) ? 1 : 0, Infinity);
    case 'param':
      return ranges.get(e.name) ?? ANY;
    case 'table':
    case 'weight':
      return ANY;
    default:
      break;
  }
  if (!('args' in e)) return ANY;
  const args = e.args.map(of);
  const [a, b, c] = args;
  switch (e.op) {
    case 'add':
      return between(a.lo + b.lo, a.hi + b.hi);
    case 'sub':
      return between(a.lo - b.hi, a.hi - b.lo);
    case 'neg':
      return between(-a.hi, -a.lo);
    case 'mul': {
      const ends = [times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi)];
      return between(Math.min(...ends), Math.max(...ends));
    }
    case 'abs':
      return between(Math.max(a.lo, -a.hi, 0), Math.max(-a.lo, a.hi));
    case 'min':
      return between(Math.min(a.lo, b.lo), Math.min(a.hi, b.hi));
    case 'max':
      return between(Math.max(a.lo, b.lo), Math.max(a.hi, b.hi));
    case 'div': {
      if (b.lo < 1) return a.lo >= 0 ? between(0, a.hi) : ANY;
      const lo = a.lo >= 0 ? a.lo / b.hi : a.lo / b.lo;
      const hi = a.hi >= 0 ? a.hi / b.lo : a.hi / b.hi;
      return between(Math.floor(Number.isNaN(lo) ? 0 : lo), Math.floor(Number.isNaN(hi) ? Infinity : hi));
    }
    case 'mod':
      return between(0, Math.max(0, a.lo >= 0 ? Math.min(a.hi, b.hi - 1) : b.hi - 1));
    case 'popcount':
      return between(0, 32);
    case 'if':
      return between(Math.min(b.lo, c.lo), Math.max(b.hi, c.hi));
    default:
      return ANY;
  }
}
