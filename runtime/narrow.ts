import { bf16ToNumber, f16FromNumber, f16ToNumber } from './half.js';
import { tensor, type TensorOf } from './tensor.js';

/** bf16 tensors on f16 kernels: where nothing is lost that could be seen in the result. */

/** Magnitudes as bits: 65536, the first past f16's largest number that bf16 has; and infinity. */
const TOO_LARGE = 0x4780;
const INFINITE = 0x7f80;
/** 2^-17: from here on f16 holds every bf16 number exactly (its steps are 2^-24, bf16 has 7 bits of fraction). */
const EXACT = 0x3700;
/** What a row may lose, as a part of its largest number. */
const LOSS = 2 ** -19;

/**
 * Can f16 stand for the tensor? No finite number is past 65504, and in each row (along the last axis) rounding to f16
 * loses less than 2^-19 of the row's largest |x|. NaN and infinity stay what they are in both types.
 */
export function fitsF16(t: TensorOf<'bf16'>): boolean {
  const size = t.shape.at(-1) ?? 1;
  for (let first = 0; first < t.data.length; first += size) {
    let most = 0;
    let loss = 0;
    for (let n = first; n < first + size; n++) {
      const magnitude = t.data[n] & 0x7fff;
      if (magnitude >= INFINITE) continue;
      if (magnitude >= TOO_LARGE) return false;
      if (magnitude > most) most = magnitude;
      if (magnitude < EXACT && magnitude > 0) {
        const x = bf16ToNumber(magnitude);
        loss = Math.max(loss, Math.abs(x - f16ToNumber(f16FromNumber(x))));
      }
    }
    if (loss > 0 && loss >= LOSS * bf16ToNumber(most)) return false;
  }
  return true;
}

/** The same numbers as f16, rounded to the nearest where they don't fit. */
export function narrowToF16(t: TensorOf<'bf16'>): TensorOf<'f16'> {
  // 65536 possible numbers: looked up, since tensors have many more.
  const table = new Map<number, number>();
  const convert = (bits: number): number => {
    const known = table.get(bits);
    if (known !== undefined) return known;
    const made = f16FromNumber(bf16ToNumber(bits));
    table.set(bits, made);
    return made;
  };
  return tensor('f16', t.shape, t.data.map(convert));
}
