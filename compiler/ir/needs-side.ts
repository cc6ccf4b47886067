import { all } from './build.js';
import { digitRanges, halves, inDigits, regionSetter, wideAxes, type Digits, type Region } from './digits.js';
import { mentions } from './expr.js';
import { tapeAt, type NeedTerm, type Place } from './needs-terms.js';
import { Cover } from './range.js';

/** The conditions of a term on one side alone. */
export interface SideSearch {
  /**
   * Where they hold: regions that share no position, together all of them. After `most` tests the rest stays whole:
   * there they only may hold.
   */
  regions(of: readonly Region[], most: number, count: () => void): readonly Region[];
  /** A region inside one where they may hold in which they do, if one is found soon. */
  example(of: Region, count: () => void): Region | undefined;
}

/** Tests after which no example is looked for. */
const MOST_TRIES = 256;

export function compileSide(term: NeedTerm, d: Digits, place: Place): SideSearch {
  const other = d.side === 'i' ? 'j' : 'i';
  const own = term.filter((a) => mentions(a, d.side) && !mentions(a, other));
  if (own.length === 0) return { regions: (of) => of, example: (of) => of };
  const truth = new Cover(new Map(digitRanges(d))).truth(all([d.legal, inDigits(all(own), d)]));
  const tape = tapeAt([truth.any, truth.all], place);
  const set = regionSetter(tape, d);
  const test = (r: Region): 'none' | 'some' | 'all' => {
    set(r);
    tape.run(place.inputs);
    return tape.result(0) === 0 ? 'none' : tape.result(1) === 0 ? 'some' : 'all';
  };
  /** Halves along the digit that decides one of them, if there is one. */
  const parts = (r: Region, axes: readonly number[], count: () => void): readonly Region[] => {
    const decides = (axis: number): boolean =>
      halves(r, axis).some((h) => {
        count();
        return test(h) !== 'some';
      });
    const widest = axes.reduce((a, b) => (r.hi[b] - r.lo[b] > r.hi[a] - r.lo[a] ? b : a));
    return halves(r, axes.length === 1 ? axes[0] : (axes.find(decides) ?? widest));
  };
  return {
    regions: (of, most, count) => {
      const out: Region[] = [];
      // Widest first, so that what stays whole is spread evenly.
      const waiting = [...of];
      for (let n = 0; n < waiting.length; n++) {
        const r = waiting[n];
        count();
        const held = test(r);
        if (held === 'none') continue;
        const axes = held === 'all' || n >= most ? [] : wideAxes(r);
        if (axes.length === 0) out.push(r);
        else waiting.push(...parts(r, axes, count));
      }
      return out;
    },
    example: (of, count) => {
      const waiting = [of];
      for (let n = 0; n < MOST_TRIES && waiting.length > 0; n++) {
        const r = waiting.pop() as Region;
        count();
        const held = test(r);
        if (held === 'all') return r;
        const axes = held === 'none' ? [] : wideAxes(r);
        if (axes.length > 0) waiting.push(...parts(r, axes, count));
      }
      return undefined;
    },
  };
}
