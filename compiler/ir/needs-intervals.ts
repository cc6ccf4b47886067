import { regionsOf, runsOfRegion, type Region } from './digits.js';
import { joinIntervals, type KeyInterval } from './key-runs.js';
import { keyRegions, queryRegions, type CompiledNeed } from './needs-compile.js';
import type { Family } from './needs-families.js';
import type { SearchState } from './needs-search.js';

/** Keys are divided no finer than this for intervals, ends apart. */
const MOST_PIECES = 4096;
const BUDGET = 200_000;
/** Members of drawn families that are looked at; of more, the span is taken. */
const MOST_MEMBERS = 200_000;

/** Intervals that hold every key that the queries first … last need of one term. */
export function coarseKeys(
  need: CompiledNeed,
  first: number,
  last: number,
  keys: number,
  gap: number,
): readonly KeyInterval[] {
  const state: SearchState = {
    steps: 0,
    budget: BUDGET,
    exact: true,
    grain: Math.max(1, gap, Math.ceil(keys / MOST_PIECES)),
  };
  const queries = queryRegions(need, first, last, state);
  if (queries.length === 0) return [];
  const found: KeyInterval[] = [];
  const emit = (r: Region): void =>
    runsOfRegion(need.keys, r, ({ lo, hi, step }) => {
      if (step <= state.grain) found.push({ lo: Math.max(lo, 0), hi: Math.min(hi + 1, keys) });
      else for (let k = lo; k <= hi; k += step) found.push({ lo: k, hi: k + 1 });
    });
  const search = need.coarse();
  search.begin(first, last);
  const starts = need.family ? memberIntervals(need.family, first, last, keys, gap) : [{ lo: 0, hi: keys }];
  for (const { lo, hi } of starts) {
    let rest = keyRegions(need, lo, hi - 1, MOST_PIECES, state);
    for (const q of queries) rest = rest.flatMap((r) => search.find(q, r, emit, state));
  }
  const any = (lo: number, hi: number): boolean =>
    regionsOf(need.keys, lo, hi).some((k) => queries.some((q) => search.possible(q, k, state)));
  return joinIntervals(found, gap).flatMap((x) => {
    const lo = tightened(x.lo, x.hi - 1, any);
    const hi = 1 - tightened(1 - x.hi, -lo, (a, b) => any(-b, -a));
    return any(lo, hi - 1) ? [{ lo, hi }] : [];
  });
}

/** The first of lo … hi before which nothing is possible, as far as halving tells. */
function tightened(lo: number, hi: number, any: (lo: number, hi: number) => boolean): number {
  while (lo < hi) {
    const middle = Math.floor((lo + hi) / 2);
    if (any(lo, middle)) hi = middle;
    else lo = middle + 1;
  }
  return lo;
}

/** Where members' keys lie, to the nearest `gap`. */
function memberIntervals(
  family: Family,
  first: number,
  last: number,
  keys: number,
  gap: number,
): readonly KeyInterval[] {
  const width = Math.max(1, gap);
  const buckets = new Map<number, { lo: number; hi: number }>();
  const drawn = !Number.isFinite(family.members);
  let members = 0;
  let complete = true;
  family.each(first, last, (member) => {
    if (drawn && ++members > MOST_MEMBERS) {
      complete = false;
      return true;
    }
    const n = Math.floor(member / width);
    const b = buckets.get(n);
    if (!b) buckets.set(n, { lo: member, hi: member });
    else if (member < b.lo) b.lo = member;
    else if (member > b.hi) b.hi = member;
    return false;
  });
  const spans = complete ? [...buckets.values()] : [family.span(first, last)];
  const found = spans.flatMap((s) => {
    const { lo, hi } = family.keysOf(s.lo, s.hi, first, last);
    return lo <= hi && hi >= 0 && lo < keys ? [{ lo: Math.max(lo, 0), hi: Math.min(hi + 1, keys) }] : [];
  });
  return joinIntervals(found, gap);
}
