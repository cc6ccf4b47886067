/**
 * float16 and bfloat16, as their bits, to and from numbers: round to nearest, ties to even, from the
 * double itself (so never rounded twice); subnormals, infinities and NaN kept.
 */

/** Bits of the fraction, and the bias of the exponent (whose largest value is 2 * bias + 1). */
interface Layout {
  readonly fraction: number;
  readonly bias: number;
}

const float16: Layout = { fraction: 10, bias: 15 };
const bfloat16: Layout = { fraction: 7, bias: 127 };

export function f16FromNumber(x: number): number {
  return encode(x, float16);
}

export function bf16FromNumber(x: number): number {
  return encode(x, bfloat16);
}

export function f16ToNumber(bits: number): number {
  return decode(bits, float16);
}

export function bf16ToNumber(bits: number): number {
  return decode(bits, bfloat16);
}

export function f16Array(values: ArrayLike<number>): Uint16Array {
  return Uint16Array.from(values, f16FromNumber);
}

export function bf16Array(values: ArrayLike<number>): Uint16Array {
  return Uint16Array.from(values, bf16FromNumber);
}

/** Every value of either type is a float32 exactly. */
export function f16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  const out = new Float32Array(words.buffer);
  for (let n = 0; n < bits.length; n++) {
    const sign = (bits[n]! & 0x8000) << 16;
    const size = bits[n]! & 0x7fff;
    // Normal numbers only need another bias; they are what nearly all are.
    if (size >= 0x400 && size < 0x7c00) words[n] = sign | ((size << 13) + ((127 - 15) << 23));
    else out[n] = decode(bits[n]!, float16);
  }
  return out;
}

export function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let n = 0; n < bits.length; n++) words[n] = bits[n]! << 16;
  return new Float32Array(words.buffer);
}

const double = new DataView(new ArrayBuffer(8));

function encode(x: number, { fraction, bias }: Layout): number {
  double.setFloat64(0, x);
  const high = double.getUint32(0);
  const sign = (high >>> 31) << 15;
  const exponent = (high >>> 20) & 0x7ff;
  const infinity = (2 * bias + 1) << fraction;
  if (exponent === 0x7ff) return sign | infinity | (Number.isNaN(x) ? 1 << (fraction - 1) : 0);
  const e = exponent - 1023 + bias;
  if (e > 2 * bias) return sign | infinity;
  // The significand's top 21 bits; `rest` tells whether the 32 below them hold anything.
  const significand = (high & 0xfffff) | 0x100000;
  const rest = double.getUint32(4) !== 0;
  const shift = 20 - fraction + (e < 1 ? 1 - e : 0);
  if (shift > 21) return sign;
  let kept = significand >>> shift;
  const dropped = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  if (dropped > half || (dropped === half && (rest || (kept & 1) === 1))) kept += 1;
  // A carry out of the fraction is the next exponent, and past the largest one it is infinity.
  return sign | (e < 1 ? kept : ((e - 1) << fraction) + kept);
}

function decode(bits: number, { fraction, bias }: Layout): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >>> fraction;
  const part = bits & ((1 << fraction) - 1);
  if (exponent === 2 * bias + 1) return part === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * part * 2 ** (1 - bias - fraction);
  return sign * ((1 << fraction) + part) * 2 ** (exponent - bias - fraction);
}
