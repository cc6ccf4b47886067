import type { BoundShape, KeyWindow } from '../../compiler/ir/shape.js';
import type { Band } from '../parts/bands.js';
import { keyHeadsOf } from '../parts/part.js';

/** Which windows of keys stay on the device: decided apart from the copies, so that a plan can count them. */

/** Keys lo … hi − 1 of a head; nothing is there where `batch` is −1. */
export interface WindowSlot {
  batch: number;
  head: number;
  lo: number;
  hi: number;
  /** When it was used last. */
  used: number;
}

export const emptySlot = (): WindowSlot => ({ batch: -1, head: -1, lo: 0, hi: 0, used: 0 });

export interface WindowPlace<S extends WindowSlot> {
  readonly slot: S;
  /** What has to be brought there, unless the slot holds it all. */
  readonly load?: {
    /** Holds `kept` of it already. */
    readonly from: S | undefined;
    readonly kept: KeyWindow;
    readonly missing: readonly KeyWindow[];
  };
}

/** The slot that holds the window, or the one to put it in: the one that was not used for longest. */
export function placeWindow<S extends WindowSlot>(
  slots: readonly S[],
  batch: number,
  head: number,
  { lo, hi }: KeyWindow,
): WindowPlace<S> {
  const ofHead = slots.filter((s) => s.batch === batch && s.head === head);
  const there = ofHead.find((s) => s.lo <= lo && hi <= s.hi);
  if (there) return { slot: there };
  const shared = (s: S): number => Math.min(hi, s.hi) - Math.max(lo, s.lo);
  const donor = ofHead.reduce<S | undefined>(
    (a, b) => (shared(b) > Math.max(0, a ? shared(a) : 0) ? b : a),
    undefined,
  );
  // What holds the most of it gives, unless it is the only room there is.
  const room = slots.filter((s) => s !== donor || slots.length === 1);
  const slot = room.reduce((a, b) => (b.used < a.used ? b : a));
  const from = donor === slot ? undefined : donor;
  const kept = from ? { lo: Math.max(lo, from.lo), hi: Math.min(hi, from.hi) } : { lo: hi, hi };
  const missing = [
    { lo, hi: Math.min(kept.lo, hi) },
    { lo: Math.max(kept.hi, lo), hi },
  ].filter((p) => p.lo < p.hi);
  return { slot, load: { from, kept, missing } };
}

/** Where the windows of all bands are put, one after the other, with so many slots. */
export function placeWindows(
  shape: BoundShape,
  bands: readonly Band[],
  count: number,
  each: (load: NonNullable<WindowPlace<WindowSlot>['load']>) => void,
): void {
  const slots = Array.from({ length: count }, emptySlot);
  let clock = 0;
  for (const band of bands) {
    const head = keyHeadsOf(shape, band).first;
    for (const window of band.windows) {
      const { slot, load } = placeWindow(slots, band.batch, head, window);
      if (load) {
        each(load);
        Object.assign(slot, { batch: band.batch, head, ...window });
      }
      slot.used = ++clock;
    }
  }
}

/** The fewest slots, from `least` to `most`, with which no more keys are brought than with the most. */
export function fewestSlots(
  shape: BoundShape,
  bands: readonly Band[],
  { least, most }: { readonly least: number; readonly most: number },
): number {
  const brought = (count: number): number => {
    let rows = 0;
    placeWindows(shape, bands, count, ({ missing }) => {
      for (const { lo, hi } of missing) rows += hi - lo;
    });
    return rows;
  };
  let count = least;
  for (const wanted = brought(most); count < most && brought(count) > wanted;) count++;
  return count;
}
