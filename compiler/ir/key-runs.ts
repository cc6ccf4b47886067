/** Sets of keys as runs with steps. */

/** Keys lo, lo + step, … ≤ hi; hi is one of them. */
export interface KeyRun {
  readonly lo: number;
  readonly hi: number;
  readonly step: number;
}

export interface KeyInterval {
  readonly lo: number;
  /** The first key past the interval. */
  readonly hi: number;
}

export const keysInRun = (r: KeyRun): number => Math.floor((r.hi - r.lo) / r.step) + 1;

export const countKeys = (runs: readonly KeyRun[]): number => runs.reduce((n, r) => n + keysInRun(r), 0);

/** The part of a run in lo … hi (inclusive), if it has any. */
export function clipRun(r: KeyRun, lo: number, hi: number): KeyRun | undefined {
  const first = lo <= r.lo ? r.lo : r.lo + Math.ceil((lo - r.lo) / r.step) * r.step;
  const last = hi >= r.hi ? r.hi : r.lo + Math.floor((hi - r.lo) / r.step) * r.step;
  if (first > last) return undefined;
  return { lo: first, hi: last, step: first === last ? 1 : r.step };
}

/** Intervals that touch, or that are less than `gap` keys apart, become one. Sorts in place. */
export function joinIntervals(intervals: KeyInterval[], gap: number): KeyInterval[] {
  intervals.sort((a, b) => a.lo - b.lo);
  const joined: { lo: number; hi: number }[] = [];
  for (const { lo, hi } of intervals) {
    const last = joined.at(-1);
    if (last && (lo <= last.hi || lo < last.hi + gap)) last.hi = Math.max(last.hi, hi);
    else joined.push({ lo, hi });
  }
  return joined;
}

/** Runs of fewer keys are taken apart. */
const SHORTEST_LATTICE = 3;
/** Evenly spaced single keys that are worth a run. */
const EVEN_KEYS = 4;

/**
 * The union of runs as runs that share no key, ascending by their first key; equal sets give equal runs mostly, and
 * as few as is easily found. Runs of different steps may lie between each other.
 */
export function unionOfRuns(runs: readonly KeyRun[]): readonly KeyRun[] {
  const dense: KeyInterval[] = [];
  const lattices: KeyRun[] = [];
  for (const r of runs) {
    if (r.step === 1) dense.push({ lo: r.lo, hi: r.hi + 1 });
    else if (keysInRun(r) >= SHORTEST_LATTICE) lattices.push(r);
    else for (let k = r.lo; k <= r.hi; k += r.step) dense.push({ lo: k, hi: k + 1 });
  }
  const sparse = lattices.length === 0 ? [] : disjointLattices(lattices, dense);
  const intervals = joinIntervals(dense, 0);
  const out = sparse.length === 0 ? [] : sparse.flatMap((r) => without(r, intervals));
  evenly(intervals, out);
  return out.sort((a, b) => a.lo - b.lo);
}

/** Dense intervals as runs; single keys at even distances become one run. */
function evenly(intervals: readonly KeyInterval[], out: KeyRun[]): void {
  const single = (n: number): boolean => n < intervals.length && intervals[n].hi === intervals[n].lo + 1;
  for (let n = 0; n < intervals.length; n++) {
    const { lo, hi } = intervals[n];
    let end = n;
    if (single(n) && single(n + 1)) {
      const step = intervals[n + 1].lo - lo;
      while (single(end + 1) && intervals[end + 1].lo - intervals[end].lo === step) end++;
      if (end - n + 1 >= EVEN_KEYS) {
        out.push({ lo, hi: intervals[end].lo, step });
        n = end;
        continue;
      }
    }
    out.push({ lo, hi: hi - 1, step: 1 });
  }
}

/** A run less the keys of ascending intervals. */
function without(r: KeyRun, intervals: readonly KeyInterval[]): readonly KeyRun[] {
  const out: KeyRun[] = [];
  let from = r.lo;
  for (let n = firstEndingAfter(intervals, r.lo); n < intervals.length && intervals[n].lo <= r.hi; n++) {
    const first = r.lo + Math.ceil((intervals[n].lo - r.lo) / r.step) * r.step;
    // Between two keys of the run nothing is taken away.
    if (first >= intervals[n].hi) continue;
    const piece = clipRun(r, from, intervals[n].lo - 1);
    if (piece) out.push(piece);
    from = intervals[n].hi;
  }
  const rest = clipRun(r, from, r.hi);
  if (rest) out.push(rest);
  return out;
}

function firstEndingAfter(intervals: readonly KeyInterval[], key: number): number {
  let lo = 0;
  let hi = intervals.length;
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (intervals[middle].hi <= key) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}

/** Residues by step: keys ≡ residue (mod step). */
type Classes = Map<number, Set<number>>;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/**
 * Lattices that overlap taken apart where the set of residue classes changes, and each such set made disjoint.
 * Stretches without gaps, and keys that fit no class, go to `dense`.
 */
function disjointLattices(lattices: readonly KeyRun[], dense: KeyInterval[]): readonly KeyRun[] {
  // A class holds nothing between its run and the multiples of its step around it, so classes of a step share ends.
  const events = lattices
    .flatMap((r) => {
      const residue = r.lo % r.step;
      const at = { step: r.step, residue };
      return [
        { ...at, key: r.lo - residue, by: 1 },
        { ...at, key: r.hi - residue + r.step, by: -1 },
      ];
    })
    .sort((a, b) => a.key - b.key);
  const active = new Map<string, { step: number; residue: number; count: number }>();
  const open = new Map<string, { step: number; residue: number; from: number; to: number }>();
  const out: KeyRun[] = [];
  const close = (name: string): void => {
    const o = open.get(name);
    if (!o) return;
    open.delete(name);
    if (o.step === 1) {
      dense.push({ lo: o.from, hi: o.to });
      return;
    }
    const lo = o.residue + Math.ceil((o.from - o.residue) / o.step) * o.step;
    const hi = o.residue + Math.floor((o.to - 1 - o.residue) / o.step) * o.step;
    if (lo <= hi) out.push({ lo, hi, step: lo === hi ? 1 : o.step });
  };
  for (let n = 0; n < events.length;) {
    const from = events[n].key;
    for (; n < events.length && events[n].key === from; n++) {
      const { step, residue, by } = events[n];
      const name = `${step}:${residue}`;
      const a = active.get(name) ?? { step, residue, count: 0 };
      a.count += by;
      if (a.count > 0) active.set(name, a);
      else active.delete(name);
    }
    const to = n < events.length ? events[n].key : from;
    const classes = disjointClasses([...active.values()], from, to, dense);
    for (const [name, o] of open) if (!classes.get(o.step)?.has(o.residue)) close(name);
    for (const [step, residues] of classes) {
      for (const residue of residues) {
        const name = `${step}:${residue}`;
        const o = open.get(name);
        if (o) o.to = to;
        else open.set(name, { step, residue, from, to });
      }
    }
  }
  for (const name of [...open.keys()]) close(name);
  return out;
}

/** Disjoint classes for the keys from … to − 1; single keys that would take too many classes go to `dense`. */
function disjointClasses(
  active: readonly { readonly step: number; readonly residue: number }[],
  from: number,
  to: number,
  dense: KeyInterval[],
): Classes {
  const classes: Classes = new Map();
  if (active.length === 1) return classes.set(active[0].step, new Set([active[0].residue]));
  const holds = (key: number): boolean => {
    for (const [step, residues] of classes) if (residues.has(key % step)) return true;
    return false;
  };
  const put = (step: number, residue: number): void => {
    let other = 0;
    for (const [s, residues] of classes) {
      if (step % s === 0) {
        if (residues.has(residue % s)) return;
      } else if (other === 0) {
        const g = gcd(s, step);
        for (const r of residues) {
          if ((r - residue) % g !== 0) continue;
          other = s;
          break;
        }
      }
    }
    if (other === 0) {
      const residues = classes.get(step);
      if (residues) residues.add(residue);
      else classes.set(step, new Set([residue]));
      return;
    }
    // Neither contains the other: classes of a common multiple are either inside the other one or apart from it.
    const common = (step / gcd(step, other)) * other;
    if (common <= to - from) {
      for (let r = residue; r < common; r += step) put(common, r);
      return;
    }
    for (let k = residue + Math.ceil((from - residue) / step) * step; k < to; k += step) {
      if (!holds(k)) dense.push({ lo: k, hi: k + 1 });
    }
  };
  const sorted = [...active].sort((a, b) => a.step - b.step);
  for (const { step, residue } of sorted) put(step, residue);
  return coarsened(classes);
}

/** Classes whose residues repeat with a divisor of the step take that divisor as their step. */
function coarsened(classes: Classes): Classes {
  const out: Classes = new Map();
  for (const [step, residues] of classes) {
    let [m, set] = [step, residues];
    for (let p = 2, left = step; left > 1 && set.size > 1; p = p * p > left ? left : p + 1) {
      while (left % p === 0) {
        left /= p;
        const finer = m / p;
        if (set.size % p !== 0 || ![...set].every((r) => set.has((r + finer) % m))) continue;
        set = new Set([...set].map((r) => r % finer));
        m = finer;
      }
    }
    const known = out.get(m);
    if (known) for (const r of set) known.add(r);
    else out.set(m, set);
  }
  return out;
}
