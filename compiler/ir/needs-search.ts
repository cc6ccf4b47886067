import { all, le, variable } from './build.js';
import {
  digitRanges,
  halves,
  inDigits,
  positionAt,
  regionSetter,
  regionSize,
  wideAxes,
  type Digits,
  type Region,
} from './digits.js';
import { some, type Expr } from './expr.js';
import { FLIP, PROBE, witnessesOf } from './needs-witness.js';
import { tapeAt, type NeedTerm, type Place } from './needs-terms.js';
import { Cover } from './range.js';
import { simplify } from './simplify.js';
import { substitute } from './space.js';
import type { Tape } from './tape.js';

/** What one call has done so far. */
export interface SearchState {
  /** Box tests, proofs and pairs. */
  steps: number;
  budget: number;
  /** False once keys were taken without proof. */
  exact: boolean;
  /** Regions that reach over at most so many positions are taken without proof; 0 for none. */
  readonly grain: number;
}

/** Looks for the keys of a term's queries. */
export interface TermSearch {
  /** The queries (positions) that keys are wanted for. `find` is for regions of these. */
  begin(first: number, last: number): void;
  /**
   * Gives `emit` every key of `keys` that a query of `queries` attends to; it may give keys that only other queries of
   * `begin` attend to. The rest is returned.
   */
  find(queries: Region, keys: Region, emit: (keys: Region) => void, state: SearchState): readonly Region[];
  /** False if no query of a region attends to any key of another; true says nothing. */
  possible(queries: Region, keys: Region, state: SearchState): boolean;
  /** Sets a variable of the conditions. */
  set(name: string, value: number): void;
}

/** Queries so few that they are taken apart before their keys are. */
const FEW_QUERIES = 16;

/** A witness in place of i: is every key of a region proved to have it? */
interface Proof {
  readonly tape: Tape;
  readonly setKeys: (r: Region) => void;
  /** Nothing can be proved by it. */
  readonly idle: boolean;
  readonly probes: boolean;
  readonly flips: boolean;
}

export function compileTermSearch(term: NeedTerm, queries: Digits, keys: Digits, place: Place): TermSearch {
  const { inputs } = place;
  const whole = all(term);
  const box = new Cover(new Map([...digitRanges(queries), ...digitRanges(keys)]));
  const keyBox = new Cover(new Map(digitRanges(keys)));
  const both = all([queries.legal, keys.legal, inDigits(inDigits(whole, queries), keys)]);
  const possibleTape = tapeAt([box.truth(both).any], place);
  const setQueries = regionSetter(possibleTape, queries);
  const setKeys = regionSetter(possibleTape, keys);
  const pairTape = tapeAt([whole], place);
  const witnesses = [PROBE, ...witnessesOf(term)];
  const proofs: (Proof | undefined)[] = witnesses.map(() => undefined);
  const values = new Map<string, number>();
  const tapes: Tape[] = [possibleTape, pairTape];
  /** Numbers of witnesses, the last that helped first. */
  let order: number[] = [];

  const set = (name: string, value: number): void => {
    values.set(name, value);
    for (const t of tapes) t.set(name, value);
  };

  const proofOf = (witness: Expr): Proof => {
    const conditions = [
      le(variable('q.first'), witness),
      le(witness, variable('q.last')),
      simplify(substitute(whole, new Map([['i', witness]]))),
    ];
    const proved = keyBox.truth(all([keys.legal, ...conditions.map((c) => inDigits(c, keys))])).all;
    const tape = tapeAt([proved], place);
    tapes.push(tape);
    for (const [name, value] of values) tape.set(name, value);
    const reads = (v: Expr): boolean =>
      v.op === 'var' && some(proved, (n) => n.op === 'var' && n.name === v.name);
    return {
      tape,
      setKeys: regionSetter(tape, keys),
      idle: proved.op === 'const' && proved.value === 0,
      probes: reads(PROBE),
      flips: reads(FLIP),
    };
  };

  const possible = (q: Region, k: Region, state: SearchState): boolean => {
    state.steps++;
    setQueries(q);
    setKeys(k);
    possibleTape.run(inputs);
    return possibleTape.result(0) !== 0;
  };

  const holds = (q: Region, k: Region, state: SearchState): boolean => {
    state.steps++;
    pairTape.set('i', positionAt(queries, q.lo));
    pairTape.set('j', positionAt(keys, k.lo));
    pairTape.run(inputs);
    // Digits that are no position's hold nothing.
    return pairTape.result(0) !== 0 && possible(q, k, state);
  };

  const proves = (p: Proof, q: Region, k: Region, state: SearchState): boolean => {
    if (p.idle) return false;
    const [lo, hi] = [positionAt(queries, q.lo), positionAt(queries, q.hi)];
    p.tape.set('q.lo', lo);
    p.tape.set('q.hi', hi);
    p.setKeys(k);
    const run = (name: string, value: number): boolean => {
      state.steps++;
      p.tape.set(name, value);
      p.tape.run(inputs);
      return p.tape.result(0) !== 0;
    };
    if (p.probes) {
      if (run(PROBE.name, lo)) return true;
      if (lo === hi) return false;
      const middle = q.lo.map((x, n) => Math.floor((x + q.hi[n]) / 2));
      return run(PROBE.name, hi) || run(PROBE.name, positionAt(queries, middle));
    }
    if (!p.flips) return run('', 0);
    // The bits in which blocks of queries and keys differ, or the last bit.
    let block = 1;
    while (block < hi - lo + 1) block *= 2;
    const bits = (Math.floor(lo / block) ^ Math.floor(positionAt(keys, k.lo) / block)) * block;
    return run(FLIP.name, bits) || run(FLIP.name, 1);
  };

  const proved = (q: Region, k: Region, state: SearchState): boolean => {
    for (let n = 0; n < order.length; n++) {
      const at = order[n];
      const p = (proofs[at] ??= proofOf(witnesses[at]));
      if (!proves(p, q, k, state)) continue;
      order.splice(n, 1);
      order.unshift(at);
      return true;
    }
    return false;
  };

  const find: TermSearch['find'] = (q, k, emit, state) => {
    if (state.steps >= state.budget) {
      state.exact = false;
      emit(k);
      return [];
    }
    if (!possible(q, k, state)) return [k];
    const [ofQueries, ofKeys] = [wideAxes(q), wideAxes(k)];
    if (ofQueries.length + ofKeys.length === 0) {
      if (!holds(q, k, state)) return [k];
      emit(k);
      return [];
    }
    const count = regionSize(k);
    if (proved(q, k, state)) {
      emit(k);
      return [];
    }
    if (state.grain > 0 && positionAt(keys, k.hi) - positionAt(keys, k.lo) < state.grain) {
      state.exact = false;
      emit(k);
      return [];
    }
    const splitKeys = (axis: number): readonly Region[] =>
      halves(k, axis).flatMap((h) => find(q, h, emit, state));
    const splitQueries = (axis: number): readonly Region[] => {
      const [a, b] = halves(q, axis);
      return find(a, k, emit, state).flatMap((rest) => find(b, rest, emit, state));
    };
    // What decides a half at once is split first: residue classes, say, before positions.
    if (ofQueries.length + ofKeys.length > 1) {
      for (const axis of ofKeys) {
        if (halves(k, axis).some((h) => !possible(q, h, state) || proved(q, h, state)))
          return splitKeys(axis);
      }
      for (const axis of ofQueries) {
        if (halves(q, axis).some((h) => !possible(h, k, state))) return splitQueries(axis);
      }
    }
    const widest = (r: Region, axes: readonly number[]): number =>
      axes.reduce((a, b) => (r.hi[b] - r.lo[b] > r.hi[a] - r.lo[a] ? b : a));
    const rows = regionSize(q);
    const keysFirst = ofQueries.length === 0 || (ofKeys.length > 0 && rows > FEW_QUERIES && count >= rows);
    return keysFirst ? splitKeys(widest(k, ofKeys)) : splitQueries(widest(q, ofQueries));
  };

  return {
    begin: (first, last) => {
      set('q.first', first);
      set('q.last', last);
      order = witnesses.map((_, n) => n);
    },
    find,
    possible,
    set,
  };
}
