/** Unions of intervals of whole numbers, for loops that make very many of them. */

/** Past this many, intervals are sorted by the library. */
const FEW_INTERVALS = 16;
/** An interval as one number, lo · 2²⁶ + hi: there are fewer tiles than that, so the order is that of the intervals. */
const PACK = 2 ** 26;

/** Intervals of tiles, mostly few at a time and very often. */
export function intervalUnion(): {
  clear(): void;
  add(lo: number, hi: number): void;
  /** The union as ascending intervals with gaps between them. */
  each(visit: (lo: number, hi: number) => void): void;
} {
  let packed = new Float64Array(64);
  let count = 0;
  const sort = (): void => {
    if (count > FEW_INTERVALS) {
      packed.subarray(0, count).sort();
      return;
    }
    for (let n = 1; n < count; n++) {
      const x = packed[n];
      let at = n;
      for (; at > 0 && packed[at - 1] > x; at--) packed[at] = packed[at - 1];
      packed[at] = x;
    }
  };
  return {
    clear: () => {
      count = 0;
    },
    add: (lo, hi) => {
      if (count === packed.length) {
        const grown = new Float64Array(2 * count);
        grown.set(packed);
        packed = grown;
      }
      packed[count++] = lo * PACK + hi;
    },
    each: (visit) => {
      sort();
      for (let n = 0; n < count;) {
        const lo = Math.floor(packed[n] / PACK);
        let hi = packed[n++] % PACK;
        while (n < count && Math.floor(packed[n] / PACK) <= hi + 1) hi = Math.max(hi, packed[n++] % PACK);
        visit(lo, hi);
      }
    },
  };
}
