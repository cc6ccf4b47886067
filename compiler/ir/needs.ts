import type { Pattern } from './edges.js';
import type { BoundInputs } from './inputs.js';
import { joinIntervals, type KeyInterval, type KeyRun } from './key-runs.js';
import { compileNeeds, type CompiledNeed } from './needs-compile.js';
import { exactKeys } from './needs-exact.js';
import { coarseKeys } from './needs-intervals.js';
import type { SearchState } from './needs-search.js';
import { edgesMention, termsAt } from './needs-terms.js';
import { baseOf, type BoundShape } from './shape.js';

/**
 * Which keys do a range of queries need? The analysis behind windows over large buffers and behind what ranks send each
 * other. Its cost is that of the answer for structured patterns (a window of a billion keys is a few hundred steps),
 * that of the edges for graphs; only conditions that nothing is known of are searched pair by pair, within a budget.
 */
export type { KeyInterval, KeyRun } from './key-runs.js';

/** Keys that are needed. */
export interface NeededKeys {
  /** Ascending by their first key; no key is in two of them, though runs of steps may lie between each other. */
  readonly runs: readonly KeyRun[];
  /** False if the search was given up for some keys: these are counted as needed, though they may not be. */
  readonly exact: boolean;
  /** Box tests, proofs and members of families looked at. */
  readonly steps: number;
}

export interface KeyNeeds {
  /** False where every head (batch) needs the same keys. */
  readonly byHead: boolean;
  readonly byBatch: boolean;
  /**
   * The keys among keyLo … keyHi − 1 that at least one query at position queryLo … queryHi − 1 attends to
   * (multiplicity > 0). The same arguments give the same answer, on every machine.
   */
  exact(
    batch: number,
    head: number,
    queryLo: number,
    queryHi: number,
    keyLo: number,
    keyHi: number,
  ): NeededKeys;
  /**
   * Intervals that hold every key that the queries need, for heads headLo … headHi − 1 together: ascending, and at
   * least `gap` keys apart. Rows are never looked at one by one (edges of graphs are).
   */
  intervals(
    batch: number,
    headLo: number,
    headHi: number,
    queryLo: number,
    queryHi: number,
    gap: number,
  ): readonly KeyInterval[];
}

export interface NeedOptions {
  /** Steps for each rule after which `exact` takes what is left as needed. A million take a second or so. */
  readonly budget?: number;
}

const BUDGET = 2_000_000;

/** Heads and batches whose searches are kept. */
const MOST_PLACES = 64;

export function keyNeeds(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
  options: NeedOptions = {},
): KeyNeeds {
  const byBatch = edgesMention(pattern, 'batch') || differ(shape.queries) || differ(shape.keys);
  const byHead = edgesMention(pattern, 'head');
  const places = new Map<string, readonly CompiledNeed[]>();
  const needsAt = (batch: number, head: number): readonly CompiledNeed[] => {
    const place = { shape, inputs, batch: byBatch ? batch : 0, head: byHead ? head : 0 };
    const name = `${place.batch}:${place.head}`;
    const known = places.get(name);
    if (known) return known;
    if (places.size >= MOST_PLACES) places.clear();
    const made = compileNeeds(termsAt(pattern, place), place);
    places.set(name, made);
    return made;
  };
  const queriesWithin = (batch: number, lo: number, hi: number): readonly [first: number, last: number] => {
    const base = baseOf(shape, batch);
    return [Math.max(lo, base), Math.min(hi, base + shape.queries[batch]) - 1];
  };
  return {
    byHead,
    byBatch,
    exact: (batch, head, queryLo, queryHi, keyLo, keyHi) => {
      const [first, last] = queriesWithin(batch, queryLo, queryHi);
      const keys = { lo: Math.max(keyLo, 0), hi: Math.min(keyHi, shape.keys[batch]) };
      const state: SearchState = { steps: 0, budget: options.budget ?? BUDGET, exact: true, grain: 0 };
      if (first > last || keys.lo >= keys.hi) return { runs: [], exact: true, steps: 0 };
      const runs = exactKeys(needsAt(batch, head), first, last, keys, state);
      return { runs, exact: state.exact, steps: state.steps };
    },
    intervals: (batch, headLo, headHi, queryLo, queryHi, gap) => {
      const [first, last] = queriesWithin(batch, queryLo, queryHi);
      const found: KeyInterval[] = [];
      if (first > last || shape.keys[batch] === 0) return found;
      for (let head = headLo; head < (byHead ? headHi : Math.min(headLo + 1, headHi)); head++) {
        for (const need of needsAt(batch, head)) {
          const own = coarseKeys(need, first, last, shape.keys[batch], gap);
          if (own.some((x) => x.lo === 0 && x.hi === shape.keys[batch])) return own;
          found.push(...own);
        }
      }
      return joinIntervals(found, gap);
    },
  };
}

const differ = (x: readonly number[]): boolean => x.some((n) => n !== x[0]);
