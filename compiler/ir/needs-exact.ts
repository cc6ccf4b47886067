import { runsOfRegion, type Region } from './digits.js';
import { clipRun, joinIntervals, unionOfRuns, type KeyInterval, type KeyRun } from './key-runs.js';
import { keyRegions, MOST_KEY_TESTS, queryRegions, type CompiledNeed } from './needs-compile.js';
import type { Family } from './needs-families.js';
import { MOST_JOINED } from './needs-join.js';
import type { SearchState } from './needs-search.js';

/** Pieces of keys not found so far, past which they aren't kept apart. */
const MOST_PIECES = 256;
/** Runs collected before they are united. */
const MOST_RUNS = 1_000_000;

/** The keys that the queries first … last attend to by any of the terms. */
export function exactKeys(
  needs: readonly CompiledNeed[],
  first: number,
  last: number,
  keys: KeyInterval,
  state: SearchState,
): readonly KeyRun[] {
  let runs: KeyRun[] = [];
  let most = MOST_RUNS;
  const collect = (run: KeyRun): void => {
    const inside = clipRun(run, keys.lo, keys.hi - 1);
    if (!inside) return;
    runs.push(inside);
    if (runs.length < most) return;
    runs = [...unionOfRuns(runs)];
    most = Math.max(MOST_RUNS, 2 * runs.length);
  };
  let open: readonly KeyInterval[] = [keys];
  for (const need of needs) {
    // Whatever a family adds, it is there already.
    if (open.length === 0) break;
    if (need.family) {
      familyKeys(need, need.family, first, last, keys, collect, state);
      continue;
    }
    const dense: KeyInterval[] = [];
    termKeys(need, first, last, open, state, (run) => {
      collect(run);
      if (run.step === 1) dense.push({ lo: run.lo, hi: run.hi + 1 });
    });
    const left = subtract(open, joinIntervals(dense, 0));
    if (left.length <= MOST_PIECES) open = left;
  }
  return unionOfRuns(runs);
}

/** Steps after which a join is taken to be faster: at most so many, and this part of the budget. */
const BEFORE_A_JOIN = 100_000;
const PART_BEFORE_A_JOIN = 0.05;

/** The keys of `open` that the queries first … last attend to by one term that is no family. */
function termKeys(
  need: CompiledNeed,
  first: number,
  last: number,
  open: readonly KeyInterval[],
  state: SearchState,
  emit: (run: KeyRun) => void,
): void {
  const queries = queryRegions(need, first, last, state);
  if (queries.length === 0) return;
  const keys = open.map(({ lo, hi }) => keyRegions(need, lo, hi - 1, MOST_KEY_TESTS, state));
  const looks = last - first + 1 + open.reduce((n, x) => n + x.hi - x.lo, 0);
  const join = looks <= MOST_JOINED ? need.join : undefined;
  // Conditions on one side alone are tested once for all: that isn't what the budget is for.
  const tried: SearchState = {
    steps: 0,
    exact: true,
    grain: 0,
    budget: join ? Math.min(BEFORE_A_JOIN, state.budget * PART_BEFORE_A_JOIN) : state.budget,
  };
  const found: Region[] = [];
  need.search.begin(first, last);
  for (const regions of keys) {
    let rest = regions;
    for (const q of queries) {
      if (rest.length === 0) break;
      rest = rest.flatMap((r) => need.search.find(q, r, (k) => found.push(k), tried));
    }
  }
  state.steps += tried.steps;
  if (join && !tried.exact) {
    state.steps += join.find(first, last, keys.flat(), emit);
    return;
  }
  state.exact &&= tried.exact;
  for (const r of found) runsOfRegion(need.keys, r, emit);
}

/** Ascending intervals less others. */
function subtract(from: readonly KeyInterval[], what: readonly KeyInterval[]): readonly KeyInterval[] {
  const out: KeyInterval[] = [];
  let n = 0;
  for (const { lo, hi } of from) {
    let at = lo;
    while (n < what.length && what[n].hi <= at) n++;
    for (let m = n; m < what.length && what[m].lo < hi; m++) {
      if (what[m].lo > at) out.push({ lo: at, hi: what[m].lo });
      at = Math.max(at, what[m].hi);
    }
    if (at < hi) out.push({ lo: at, hi });
  }
  return out;
}

/** What a member of a family may cost to look at, besides the budget. */
const STEPS_FOR_A_MEMBER = 16;
/** Edges are given, however many they are; of what is drawn, so many members are looked at. */
const MOST_DRAWN = 5_000_000;

function familyKeys(
  need: CompiledNeed,
  family: Family,
  first: number,
  last: number,
  keys: KeyInterval,
  collect: (run: KeyRun) => void,
  state: SearchState,
): void {
  if (family.certain && Number.isFinite(family.members)) {
    state.steps += certainKeys(family, first, last, keys, collect);
    return;
  }
  const seen = Number.isFinite(family.members) && family.fixed ? bitsFor(family.members) : undefined;
  const emit = (r: Region): void => runsOfRegion(need.keys, r, collect);
  let drawn = 0;
  family.each(first, last, (member, row, from, to) => {
    state.steps++;
    state.budget += STEPS_FOR_A_MEMBER;
    if (!Number.isFinite(family.members) && ++drawn > MOST_DRAWN) {
      const span = family.span(first, last);
      const all = family.keysOf(span.lo, span.hi, first, last);
      state.exact = false;
      collect({ lo: Math.max(all.lo, keys.lo), hi: Math.min(all.hi, keys.hi - 1), step: 1 });
      return true;
    }
    if (seen?.has(member) || from > to) return false;
    const found = family.keysOf(member, member, from, to);
    const [lo, hi] = [Math.max(found.lo, keys.lo), Math.min(found.hi, keys.hi - 1)];
    if (lo > hi) return false;
    if (family.certain) {
      collect({ lo, hi, step: 1 });
      return false;
    }
    // A member is drawn for these queries and no others.
    need.search.begin(from, to);
    need.search.set('member', member);
    need.search.set('row', row);
    const left = need.search.find({ lo: [from], hi: [to] }, { lo: [lo], hi: [hi] }, emit, state);
    if (left.length === 0) seen?.add(member);
    return false;
  });
}

/** The keys of members that are theirs for certain, in order; returns the number of members looked at. */
function certainKeys(
  family: Family,
  first: number,
  last: number,
  keys: KeyInterval,
  collect: (run: KeyRun) => void,
): number {
  const seen = bitsFor(family.members);
  let steps = 0;
  family.each(first, last, (member) => {
    steps++;
    seen.add(member);
    return false;
  });
  let [lo, hi] = [0, -1];
  const flush = (): void => collect({ lo, hi: Math.min(hi, keys.hi - 1), step: 1 });
  seen.each((member) => {
    const own = family.keysOf(member, member, first, last);
    if (own.lo > hi + 1) {
      if (lo <= hi) flush();
      lo = own.lo;
    }
    hi = own.hi;
  });
  if (lo <= hi) flush();
  return steps;
}

/** A set of whole numbers below `count`. */
function bitsFor(count: number): {
  has(n: number): boolean;
  add(n: number): void;
  /** In ascending order. */
  each(visit: (n: number) => void): void;
} {
  const words = new Uint32Array(Math.ceil(count / 32));
  return {
    has: (n) => ((words[n >>> 5] >>> (n & 31)) & 1) === 1,
    add: (n) => {
      words[n >>> 5] |= 1 << (n & 31);
    },
    each: (visit) => {
      for (let w = 0; w < words.length; w++) {
        for (let rest = words[w]; rest !== 0; rest &= rest - 1) {
          visit(32 * w + 31 - Math.clz32(rest & -rest));
        }
      }
    },
  };
}
