import { keysInRun, type KeyRun } from '../../compiler/ir/key-runs.js';
import { keyNeeds, type NeedOptions } from '../../compiler/ir/needs.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { baseOf } from '../../compiler/ir/shape.js';
import type { Problem } from '../differential/problems.js';
import { trueMultiplicity } from '../differential/schedule-edges.js';
import { randomNumbers } from '../sample-tables.js';

/** Needs compared with what the definition says of every pair. */

/** Keys of runs in order; throws where runs are not in order, hold a key twice or have ends that are not theirs. */
export function keysOf(runs: readonly KeyRun[]): readonly number[] {
  const keys: number[] = [];
  runs.forEach((r, n) => {
    const what = `run ${r.lo} … ${r.hi} by ${r.step}`;
    if (n > 0 && r.lo <= runs[n - 1].lo) throw new Error(`${what}: not in order`);
    if (r.step < 1 || r.hi < r.lo || (r.hi - r.lo) % r.step !== 0) throw new Error(`${what}: no such run`);
    if (keysInRun(r) === 1 && r.step !== 1) throw new Error(`${what}: one key needs no step`);
    for (let k = r.lo; k <= r.hi; k += r.step) keys.push(k);
  });
  keys.sort((a, b) => a - b);
  keys.forEach((k, n) => {
    if (n > 0 && keys[n - 1] === k) throw new Error(`key ${k} is in two runs`);
  });
  return keys;
}

export interface NeedCounts {
  ranges: number;
  /** Ranges for which the search was given up. */
  given: number;
  steps: number;
}

/** Ranges of queries and keys looked at for each (batch, head). */
const RANGES = 10;

/**
 * Throws at the first range for which `exact` isn't what the definition says (of ranges that were given up: misses a
 * key) or `intervals` miss one.
 */
export function checkNeeds(
  pattern: Pattern,
  { shape, inputs }: Problem,
  seed: number,
  options: NeedOptions = {},
  counts: NeedCounts = { ranges: 0, given: 0, steps: 0 },
): NeedCounts {
  const random = randomNumbers(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const truth = trueMultiplicity(pattern, shape, inputs);
  const needs = keyNeeds(pattern, shape, inputs, options);
  for (let batch = 0; batch < shape.batch; batch++) {
    const [rows, keys, base] = [shape.queries[batch], shape.keys[batch], baseOf(shape, batch)];
    const attended = (head: number, from: number, to: number, keyLo: number, keyHi: number): number[] => {
      const matrix = truth[batch * shape.heads + head];
      const found: number[] = [];
      for (let j = keyLo; j < keyHi; j++) {
        let any = false;
        for (let t = from; t < to && !any; t++) any = matrix[t * keys + j] > 0;
        if (any) found.push(j);
      }
      return found;
    };
    for (let head = 0; head < shape.heads; head++) {
      for (let n = 0; n < RANGES; n++) {
        const from = n === 0 ? 0 : below(rows);
        const to =
          n === 0 ? rows : Math.min(rows, from + (n % 3 === 0 ? 1 : 1 + below(n % 2 === 0 ? 9 : rows)));
        const keyLo = n % 4 === 1 ? below(keys) : 0;
        const keyHi = n % 4 === 1 ? keyLo + 1 + below(keys - keyLo) : keys;
        const where = `batch ${batch}, head ${head}, positions ${base + from} … ${base + to - 1}, keys ${keyLo} … ${keyHi - 1}`;
        const expected = attended(head, from, to, keyLo, keyHi);
        const found = needs.exact(batch, head, base + from, base + to, keyLo, keyHi);
        const got = keysOf(found.runs);
        counts.ranges++;
        counts.steps += found.steps;
        if (!found.exact) counts.given++;
        const holds = new Set(got);
        const missed = expected.find((k) => !holds.has(k));
        if (missed !== undefined) throw new Error(`${where}: key ${missed} is needed`);
        const inside = got.every((k) => k >= keyLo && k < keyHi);
        if (!inside) throw new Error(`${where}: keys outside the range`);
        if (found.exact && got.length !== expected.length) {
          const is = new Set(expected);
          throw new Error(`${where}: key ${String(got.find((k) => !is.has(k)))} is not needed`);
        }
        const gap = [0, 1, 5, 64][n % 4];
        const all = n % 2 === 0;
        const intervals = needs.intervals(
          batch,
          all ? 0 : head,
          all ? shape.heads : head + 1,
          base + from,
          base + to,
          gap,
        );
        intervals.forEach(({ lo, hi }, at) => {
          const apart = at === 0 || (lo > intervals[at - 1].hi && lo >= intervals[at - 1].hi + gap);
          if (lo < 0 || hi <= lo || hi > keys || !apart)
            throw new Error(`${where}: intervals ${JSON.stringify(intervals)}`);
        });
        for (let h = all ? 0 : head; h < (all ? shape.heads : head + 1); h++) {
          const out = attended(h, from, to, 0, keys).find(
            (k) => !intervals.some((x) => k >= x.lo && k < x.hi),
          );
          if (out !== undefined) throw new Error(`${where}: no interval of head ${h} holds key ${out}`);
        }
      }
    }
  }
  return counts;
}
