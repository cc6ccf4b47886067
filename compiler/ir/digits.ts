import { add, int, isConst, mul, sub, variable, ZERO, le, TRUE, all } from './build.js';
import type { KeyRun } from './key-runs.js';
import { mentions, rewrite, walk, type Expr } from './expr.js';
import { linear } from './linear.js';
import { range, type Range } from './interval.js';
import { simplify } from './simplify.js';
import type { Tape } from './tape.js';

/**
 * Positions written as digits: position = Σ stride·digit, the last stride being 1. With the moduli of a condition for
 * strides, residue classes, grid columns and the sparse rows of segments are boxes of digits.
 */
export interface Digits {
  readonly side: 'i' | 'j';
  /** Descending; the last is 1. */
  readonly strides: readonly number[];
  /** Values of each digit: of the first, endless. */
  readonly counts: readonly number[];
  /** The position, over variables `i.d0`, `i.d1`, … */
  readonly position: Expr;
  /** Holds for digits that are some position's: strides that don't divide one another have others, too. */
  readonly legal: Expr;
}

/** A box of digits, ends included. */
export interface Region {
  readonly lo: readonly number[];
  readonly hi: readonly number[];
}

export function digitsOf(side: 'i' | 'j', strides: readonly number[]): Digits {
  const counts = strides.map((s, n) => (n === 0 ? Infinity : Math.ceil(strides[n - 1] / s)));
  const legal = strides.slice(1).flatMap((s, n) => {
    const above = strides[n];
    return above % s === 0 ? [] : [le(tailOf(side, strides, n + 1), int(above - 1))];
  });
  return {
    side,
    strides,
    counts,
    position: tailOf(side, strides, 0),
    legal: legal.reduce((a, b) => all([a, b]), TRUE),
  };
}

/** Σ of the digits from number `from` on. */
function tailOf(side: 'i' | 'j', strides: readonly number[], from: number): Expr {
  return strides
    .map((s, n) => mul(variable(`${side}.d${n}`), int(s)))
    .slice(from)
    .reduce(add, ZERO);
}

/** The side's position replaced by its digits. */
export function inDigits(e: Expr, d: Digits): Expr {
  // Only what divides the strides above it has digits of its own for quotient and remainder.
  const level = (m: Expr): number => {
    const at = isConst(m) ? d.strides.indexOf(m.value) : -1;
    return d.strides.slice(0, at + 1).every((s) => s % d.strides[at] === 0) ? at : -1;
  };
  const own = (x: Expr): boolean => x.op === 'var' && x.name === d.side;
  const tails = rewrite(e, (n) => {
    if (n.op !== 'mod' && n.op !== 'div') return n;
    const at = own(n.args[0]) ? level(n.args[1]) : -1;
    if (at < 0) return n;
    if (n.op === 'mod') return tailOf(d.side, d.strides, at + 1);
    const head = sub(d.position, tailOf(d.side, d.strides, at + 1));
    return { op: 'div', type: 'int', args: [head, n.args[1]] };
  });
  return simplify(rewrite(tails, (n) => (own(n) ? d.position : n)));
}

/** Ranges of the digits over a region, by variables `i.d0.lo`, `i.d0.hi`, … */
export function digitRanges(d: Digits): readonly (readonly [string, Range])[] {
  return d.strides.map((_, n) => {
    const name = `${d.side}.d${n}`;
    return [name, range(variable(`${name}.lo`), variable(`${name}.hi`))];
  });
}

export const positionAt = (d: Digits, at: readonly number[]): number =>
  at.reduce((p, x, n) => p + x * d.strides[n], 0);

export const regionSize = (r: Region): number => r.lo.reduce((n, x, d) => n * (r.hi[d] - x + 1), 1);

/** Digits of a position. */
function digitsAt(d: Digits, position: number): number[] {
  let rest = position;
  return d.strides.map((s) => {
    const x = Math.floor(rest / s);
    rest -= x * s;
    return x;
  });
}

/** The positions lo … hi as regions that share none. */
export function regionsOf(d: Digits, lo: number, hi: number): readonly Region[] {
  const last = d.strides.length - 1;
  const most = d.counts.map((c) => c - 1);
  const out: Region[] = [];
  const go = (from: readonly number[], to: readonly number[], level: number): void => {
    if (level === last || from[level] === to[level]) {
      if (level === last) out.push({ lo: from, hi: to });
      else go(from, to, level + 1);
      return;
    }
    const rest = Array.from({ length: last - level }, (_, n) => level + 1 + n);
    const fromStart = rest.every((n) => from[n] === 0);
    const toEnd =
      positionAt(
        d,
        to.map((x, n) => (n > level ? x : 0)),
      ) ===
      d.strides[level] - 1;
    const fixed = (at: readonly number[], x: number, fill?: readonly number[]): number[] =>
      at.map((y, n) => (n === level ? x : n > level && fill ? fill[n] : y));
    const zeros = d.strides.map(() => 0);
    if (!fromStart) {
      const end = digitsAt(d, d.strides[level] - 1);
      go(from, fixed(from, from[level], end), level + 1);
    }
    const first = fromStart ? from[level] : from[level] + 1;
    const final = toEnd ? to[level] : to[level] - 1;
    if (first <= final) out.push({ lo: fixed(from, first, zeros), hi: fixed(to, final, most) });
    if (!toEnd) go(fixed(to, to[level], zeros), to, level + 1);
  };
  if (lo <= hi) go(digitsAt(d, lo), digitsAt(d, hi), 0);
  return out;
}

/** How many times longer runs of a larger step must be: small steps stay near to what lies around them. */
const LONGER = 16;

/** A region as few runs: digits that together count on without a gap are one. */
export function runsOfRegion(d: Digits, r: Region, emit: (run: KeyRun) => void): void {
  const dims: { step: number; count: number }[] = [];
  for (let n = d.strides.length - 1; n >= 0; n--) {
    const count = r.hi[n] - r.lo[n] + 1;
    if (count === 1) continue;
    const inner = dims.at(-1);
    if (inner && inner.step * inner.count === d.strides[n]) inner.count *= count;
    else dims.push({ step: d.strides[n], count });
  }
  const start = positionAt(d, r.lo);
  if (dims.length === 0) {
    emit({ lo: start, hi: start, step: 1 });
    return;
  }
  const longest = dims.reduce((a, b) => (b.count > LONGER * a.count ? b : a));
  const others = dims.filter((x) => x !== longest);
  const each = (at: number, n: number): void => {
    if (n === others.length) {
      emit({ lo: at, hi: at + longest.step * (longest.count - 1), step: longest.step });
      return;
    }
    for (let x = 0; x < others[n].count; x++) each(at + x * others[n].step, n + 1);
  };
  each(start, 0);
}

/** The multiple of the largest power of two in lo + 1 … hi: where blocks, segments and bits begin. */
export function roundBetween(lo: number, hi: number): number {
  let p = 1;
  while (Math.floor(hi / (2 * p)) * 2 * p > lo) p *= 2;
  return Math.floor(hi / p) * p;
}

/** Halves of a region along a digit. */
export function halves(r: Region, axis: number): readonly [Region, Region] {
  const at = roundBetween(r.lo[axis], r.hi[axis]);
  const cut = (x: readonly number[], y: number): number[] => x.map((z, n) => (n === axis ? y : z));
  return [
    { lo: r.lo, hi: cut(r.hi, at - 1) },
    { lo: cut(r.lo, at), hi: r.hi },
  ];
}

/** Digits of which a region has several values. */
export const wideAxes = (r: Region): number[] => r.lo.flatMap((x, n) => (r.hi[n] > x ? [n] : []));

/** Sets the ends of a region's digits on a tape. */
export function regionSetter(tape: Tape, d: Digits): (r: Region) => void {
  const slots = d.strides.map((_, n) => [tape.slot(`${d.side}.d${n}.lo`), tape.slot(`${d.side}.d${n}.hi`)]);
  return (r) => {
    for (let n = 0; n < slots.length; n++) {
      const [lo, hi] = slots[n];
      if (lo >= 0) tape.registers[lo] = r.lo[n];
      if (hi >= 0) tape.registers[hi] = r.hi[n];
    }
  };
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const lcm = (a: number, b: number): number => (a / gcd(a, b)) * b;

/** x(position + by) = x(position) + change, wherever the position is. */
interface Shift {
  readonly by: number;
  readonly change: number;
}

/** How x follows a side's position; undefined where that isn't known to be even. */
function shiftOf(x: Expr, side: 'i' | 'j'): Shift | undefined {
  if (!mentions(x, side)) return { by: 1, change: 0 };
  if (x.op === 'var') return { by: 1, change: 1 };
  if (x.op === 'div' || x.op === 'mod') {
    const inner = shiftOf(x.args[0], side);
    const m = x.args[1];
    if (!inner || !isConst(m) || m.value < 1) return undefined;
    const times = m.value / gcd(m.value, Math.abs(inner.change));
    const change = x.op === 'mod' ? 0 : (inner.change * times) / m.value;
    return { by: inner.by * times, change };
  }
  if (x.op !== 'add' && x.op !== 'sub' && x.op !== 'neg' && x.op !== 'mul') return undefined;
  let sum: Shift = { by: 1, change: 0 };
  for (const { term, coefficient } of linear(x).terms) {
    const s = term === x ? undefined : shiftOf(term, side);
    if (!s) return undefined;
    const by = lcm(sum.by, s.by);
    sum = { by, change: (sum.change * by) / sum.by + (coefficient * s.change * by) / s.by };
  }
  return sum;
}

/** Distances after which remainders of a side's position repeat. */
export function periodsOf(
  atoms: readonly Expr[],
  side: 'i' | 'j',
): {
  readonly periods: readonly number[];
  /** `x mod outer mod inner`, where inner does not divide outer. */
  readonly nested: readonly [outer: number, inner: number] | undefined;
} {
  const periods = new Set<number>();
  let nested: readonly [number, number] | undefined;
  walk(atoms, (n) => {
    if (n.op !== 'mod' || !isConst(n.args[1]) || !mentions(n, side)) return;
    const [x, m] = [n.args[0], n.args[1].value];
    const by = shiftOf(n, side)?.by;
    if (by === undefined) return;
    periods.add(by);
    if (x.op !== 'mod' || x.args[0].op !== 'var' || !isConst(x.args[1])) return;
    if (x.args[1].value > m && x.args[1].value % m !== 0) nested ??= [x.args[1].value, m];
  });
  return { periods: [...periods], nested };
}

const MOST_STRIDES = 4;

/** Strides that suit the moduli of conditions, for `length` positions. */
export function stridesFor(atoms: readonly Expr[], side: 'i' | 'j', length: number): readonly number[] {
  const { periods, nested } = periodsOf(atoms, side);
  if (nested && nested[0] < length) return [...nested, 1];
  let common = 1;
  const used = periods
    .toSorted((a, b) => a - b)
    .filter((p) => {
      const next = lcm(common, p);
      if (next >= length) return false;
      common = next;
      return true;
    });
  if (common === 1) return [1];
  const strides = [common];
  for (const p of used.reverse()) {
    if (
      p < strides[strides.length - 1] &&
      strides[strides.length - 1] % p === 0 &&
      strides.length < MOST_STRIDES - 1
    )
      strides.push(p);
  }
  return [...strides, 1];
}
