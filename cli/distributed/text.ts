import { count } from '../text.js';

/** `1,000–1,999`, `none`, from the first and one past the last. */
export const rangeText = ([lo, hi]: readonly [number, number]): string =>
  lo === hi ? 'none' : `${count(lo)}–${count(hi - 1)}`;
