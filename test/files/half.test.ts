import test from 'ava';
import { bf16FromNumber, bf16ToFloat32, bf16ToNumber } from '../../runtime/half.js';
import { f16FromNumber, f16ToFloat32, f16ToNumber } from '../../runtime/half.js';

const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const formats = [
  { name: 'f16', from: f16FromNumber, to: f16ToNumber, array: f16ToFloat32, infinity: 0x7c00 },
  {
    name: 'bf16',
    from: bf16FromNumber,
    to: bf16ToNumber,
    array: bf16ToFloat32,
    fraction: 7,
    infinity: 0x7f80,
  },
] as const;

for (const { name, from, to, array, infinity } of formats) {
  test(`${name}: every pattern survives the way to a number and back`, (t) => {
    const floats = array(all);
    let wrong = 0;
    for (const bits of all) {
      const nan = (bits & 0x7fff) > infinity;
      const x = to(bits);
      if (nan) wrong += Number(!Number.isNaN(x) || !Number.isNaN(floats[bits]!));
      else wrong += Number(from(x) !== bits || !Object.is(x, floats[bits]));
    }
    t.is(wrong, 0);
    t.true((from(NaN) & 0x7fff) > infinity);
  });

  test(`${name}: between neighbours the nearest wins, and the even one at the middle`, (t) => {
    let wrong = 0;
    for (let bits = 0; bits < infinity; bits++) {
      const low = to(bits);
      // Past the largest finite value, the next step would be a power of two: halfway to it is infinity.
      const high = bits + 1 === infinity ? low + (low - to(bits - 1)) : to(bits + 1);
      const middle = low + (high - low) / 2;
      const quarter = low + (high - low) / 4;
      const epsilon = (high - low) * 2 ** -30;
      const even = bits % 2 === 0 ? bits : bits + 1;
      for (const sign of [1, -1]) {
        const s = sign < 0 ? 0x8000 : 0;
        wrong += Number(from(sign * middle) !== (s | even));
        wrong += Number(from(sign * (middle - epsilon)) !== (s | bits));
        wrong += Number(from(sign * (middle + epsilon)) !== (s | (bits + 1)));
        wrong += Number(from(sign * quarter) !== (s | bits));
      }
    }
    t.is(wrong, 0);
  });
}

test('known values', (t) => {
  const f16 = [
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [1e300, 0x7c00],
    [-Infinity, 0xfc00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [2 ** -25 * 1.0000001, 0x0001],
    [-1e-320, 0x8000],
    [1 / 3, 0x3555],
  ] as const;
  for (const [x, bits] of f16) t.is(f16FromNumber(x), bits, String(x));
  const bf16 = [
    [1, 0x3f80],
    [Math.PI, 0x4049],
    [3.4028234663852886e38, 0x7f80],
    [2 ** -133, 0x0001],
    [2 ** -134, 0x0000],
    [1e-300, 0x0000],
    // Rounded to float32 first this would be a tie, and then 0x3f80.
    [1 + 2 ** -8 + 2 ** -40, 0x3f81],
  ] as const;
  for (const [x, bits] of bf16) t.is(bf16FromNumber(x), bits, String(x));
});
