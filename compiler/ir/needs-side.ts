import { all } from './build.js';
import { digitRanges, halves, inDigits, regionSetter, wideAxes, type Digits, type Region } from './digits.js';
import { mentions } from './expr.js';
import { tapeAt, type NeedTerm, type Place } from './needs-terms.js';
import { Cover } from './range.js';

/** Regions tested past which the rest stays whole. */
const MOST_TESTS = 4096;

/**
 * Where the conditions on one side alone hold: regions that share no position, together all of them. Of conditions
 * that hold here and there, regions where they only may hold.
 */
export function compileSide(
  term: NeedTerm,
  d: Digits,
  place: Place,
): (regions: readonly Region[], count: () => void) => readonly Region[] {
  const other = d.side === 'i' ? 'j' : 'i';
  const own = term.filter((a) => mentions(a, d.side) && !mentions(a, other));
  if (own.length === 0) return (regions) => regions;
  const truth = new Cover(new Map(digitRanges(d))).truth(all([d.legal, inDigits(all(own), d)]));
  const tape = tapeAt([truth.any, truth.all], place);
  const set = regionSetter(tape, d);
  return (regions, count) => {
    const out: Region[] = [];
    let tests = 0;
    const test = (r: Region): 'none' | 'some' | 'all' => {
      tests++;
      count();
      set(r);
      tape.run(place.inputs);
      return tape.result(0) === 0 ? 'none' : tape.result(1) === 0 ? 'some' : 'all';
    };
    // Widest first, so that what stays whole is spread evenly.
    const waiting = [...regions];
    for (let n = 0; n < waiting.length; n++) {
      const r = waiting[n];
      const held = test(r);
      if (held === 'none') continue;
      const axes = held === 'all' || tests > MOST_TESTS ? [] : wideAxes(r);
      if (axes.length === 0) {
        out.push(r);
        continue;
      }
      const decisive = axes.find((a) => axes.length === 1 || halves(r, a).some((h) => test(h) !== 'some'));
      const widest = axes.reduce((a, b) => (r.hi[b] - r.lo[b] > r.hi[a] - r.lo[a] ? b : a));
      waiting.push(...halves(r, decisive ?? widest));
    }
    return out;
  };
}
