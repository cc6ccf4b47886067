import { all, variable } from './build.js';
import { runsOfRegion, type Digits, type Region } from './digits.js';
import { mentions, type Expr } from './expr.js';
import type { KeyRun } from './key-runs.js';
import { tapeAt, type NeedTerm, type Place } from './needs-terms.js';
import { range } from './interval.js';
import { Cover } from './range.js';

/**
 * Terms with a condition f(i) = g(j), for values in no order (the document of a token, where documents come back): the
 * queries' values are gathered, and each key looks its own up. It costs a look at every query and key, where a search
 * that finds no order would look at the pairs.
 */
export interface Join {
  /** @param keys regions that the keys looked for lie in; returns the number of looks */
  find(first: number, last: number, keys: readonly Region[], emit: (run: KeyRun) => void): number;
}

/** Queries and keys past which a join would take too long. */
export const MOST_JOINED = 2 ** 26;

export function joinOf(term: NeedTerm, keys: Digits, place: Place): Join | undefined {
  const twoSided = term.filter((a) => mentions(a, 'i') && mentions(a, 'j'));
  for (const atom of twoSided) {
    // Floats that are no numbers are not equal to themselves.
    if (atom.op !== 'eq' || atom.args[0].type === 'float') continue;
    const pair = [atom.args, [atom.args[1], atom.args[0]]].find(
      ([x, y]) => !mentions(x, 'j') && !mentions(y, 'i'),
    );
    if (pair) return compileJoin(term, twoSided.length === 1, pair[0], pair[1], keys, place);
  }
  return undefined;
}

function compileJoin(
  term: NeedTerm,
  alone: boolean,
  ofQuery: Expr,
  ofKey: Expr,
  keys: Digits,
  place: Place,
): Join {
  const { inputs } = place;
  const own = (side: 'i' | 'j'): Expr => all(term.filter((a) => !mentions(a, side === 'i' ? 'j' : 'i')));
  const queryTape = tapeAt([ofQuery, own('i')], place);
  const keyTape = tapeAt([ofKey, own('j')], place);
  const whole = all(term);
  const pairTape = tapeAt([whole], place);
  const queryRange = new Map([['i', range(variable('i.lo'), variable('i.hi'))]]);
  const possibleTape = tapeAt([new Cover(queryRange).truth(whole).any], place);
  return {
    find: (first, last, regions, emit) => {
      let looks = last - first + 1;
      // Queries of a value, as a chain from the last to the first.
      const before = new Int32Array(last - first + 1).fill(-1);
      const latest = new Map<number, number>();
      const earliest = new Map<number, number>();
      for (let i = first; i <= last; i++) {
        queryTape.set('i', i);
        queryTape.run(inputs);
        if (queryTape.result(1) === 0) continue;
        const value = queryTape.result(0);
        const known = latest.get(value);
        if (known === undefined) earliest.set(value, i);
        else before[i - first] = known - first;
        latest.set(value, i);
      }
      const holds = (i: number, j: number): boolean => {
        looks++;
        pairTape.set('i', i);
        pairTape.set('j', j);
        pairTape.run(inputs);
        return pairTape.result(0) !== 0;
      };
      const needed = (j: number): boolean => {
        looks++;
        keyTape.set('j', j);
        keyTape.run(inputs);
        const to = keyTape.result(1) === 0 ? undefined : latest.get(keyTape.result(0));
        if (to === undefined) return false;
        if (alone || holds(to, j)) return true;
        const from = earliest.get(keyTape.result(0)) ?? to;
        possibleTape.set('i.lo', from);
        possibleTape.set('i.hi', to);
        possibleTape.set('j', j);
        possibleTape.run(inputs);
        if (possibleTape.result(0) === 0) return false;
        if (holds(from, j)) return true;
        for (let at = before[to - first]; at >= 0; at = before[at]) if (holds(at + first, j)) return true;
        return false;
      };
      let open: { lo: number; hi: number } | undefined;
      for (const region of regions) {
        runsOfRegion(keys, region, (run) => {
          for (let j = run.lo; j <= run.hi; j += run.step) {
            // Digits that are no position's are another's, which has its own turn; a second one does no harm.
            if (!needed(j)) continue;
            if (open && j === open.hi + 1) open.hi = j;
            else {
              if (open) emit({ ...open, step: 1 });
              open = { lo: j, hi: j };
            }
          }
        });
      }
      if (open) emit({ ...(open as { lo: number; hi: number }), step: 1 });
      return looks;
    },
  };
}
