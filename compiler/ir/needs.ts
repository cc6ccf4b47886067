import { all } from './build.js';
import type { Pattern } from './edges.js';
import { same } from './expr.js';
import type { BoundInputs } from './inputs.js';
import { joinIntervals, type KeyInterval, type KeyRun } from './key-runs.js';
import { compileNeeds, type CompiledNeed } from './needs-compile.js';
import { exactKeys } from './needs-exact.js';
import { coarseKeys } from './needs-intervals.js';
import type { SearchState } from './needs-search.js';
import { edgesMention, termsAt, type NeedTerm, type Place } from './needs-terms.js';
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
  /** Heads (and batches) of one class need the same keys: for each number, ask once. */
  classOf(batch: number, head: number): number;
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

/** Classes whose searches are kept ready. */
const MOST_COMPILED = 64;

/** Heads and batches with the same conditions and lengths. */
interface NeedClass {
  readonly place: Place;
  readonly terms: readonly NeedTerm[];
  readonly queries: number;
  readonly keys: number;
}

export function keyNeeds(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
  options: NeedOptions = {},
): KeyNeeds {
  const mentionsBatch = edgesMention(pattern, 'batch');
  const mentionsHead = edgesMention(pattern, 'head');
  const classes: NeedClass[] = [];
  const numbers = new Map<string, number>();
  const classOf = (batch: number, head: number): number => {
    const [queries, keys] = [shape.queries[batch], shape.keys[batch]];
    const name = [mentionsBatch ? batch : 0, mentionsHead ? head : 0, queries, keys].join();
    const known = numbers.get(name);
    if (known !== undefined) return known;
    const place = { shape, inputs, batch, head };
    const terms = termsAt(pattern, place);
    // Offsets that come again after some heads, say, leave the same conditions.
    const equal = (c: NeedClass): boolean =>
      c.queries === queries &&
      c.keys === keys &&
      c.terms.length === terms.length &&
      c.terms.every((t, n) => same(all(t), all(terms[n])));
    let number = classes.findIndex(equal);
    if (number < 0) number = classes.push({ place, terms, queries, keys }) - 1;
    numbers.set(name, number);
    return number;
  };
  const compiled = new Map<number, readonly CompiledNeed[]>();
  const needsOf = (number: number): readonly CompiledNeed[] => {
    const known = compiled.get(number);
    if (known) return known;
    if (compiled.size >= MOST_COMPILED) compiled.clear();
    const made = compileNeeds(classes[number].terms, classes[number].place);
    compiled.set(number, made);
    return made;
  };
  const queriesWithin = (batch: number, lo: number, hi: number): readonly [first: number, last: number] => {
    const base = baseOf(shape, batch);
    return [Math.max(lo, base), Math.min(hi, base + shape.queries[batch]) - 1];
  };
  return {
    classOf,
    exact: (batch, head, queryLo, queryHi, keyLo, keyHi) => {
      const [first, last] = queriesWithin(batch, queryLo, queryHi);
      const keys = { lo: Math.max(keyLo, 0), hi: Math.min(keyHi, shape.keys[batch]) };
      const state: SearchState = { steps: 0, budget: options.budget ?? BUDGET, exact: true, grain: 0 };
      if (first > last || keys.lo >= keys.hi) return { runs: [], exact: true, steps: 0 };
      const runs = exactKeys(needsOf(classOf(batch, head)), first, last, keys, state);
      return { runs, exact: state.exact, steps: state.steps };
    },
    intervals: (batch, headLo, headHi, queryLo, queryHi, gap) => {
      const [first, last] = queriesWithin(batch, queryLo, queryHi);
      const found: KeyInterval[] = [];
      if (first > last || shape.keys[batch] === 0) return found;
      const heads = Array.from({ length: headHi - headLo }, (_, n) => classOf(batch, headLo + n));
      for (const number of new Set(heads)) {
        for (const need of needsOf(number)) {
          const own = coarseKeys(need, first, last, shape.keys[batch], gap);
          if (own.some((x) => x.lo === 0 && x.hi === shape.keys[batch])) return own;
          found.push(...own);
        }
      }
      return joinIntervals(found, gap);
    },
  };
}
