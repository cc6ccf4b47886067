// When f16 may stand for bf16.

import test from 'ava';
import { bf16ToNumber, f16ToNumber } from '../../runtime/half.js';
import { fitsF16, narrowToF16 } from '../../runtime/narrow.js';
import { fromNumbers, type TensorOf } from '../../runtime/tensor.js';

const bf16 = (rows: readonly (readonly number[])[]): TensorOf<'bf16'> =>
  fromNumbers('bf16', [rows.length, rows[0].length], rows.flat()) as TensorOf<'bf16'>;

const CASES: readonly (readonly [name: string, rows: readonly (readonly number[])[], fits: boolean])[] = [
  ['ordinary numbers', [[1, -2.5, 0.001, 100]], true],
  ['zeros', [[0, -0, 0, 0]], true],
  ['the largest below 65504', [[65280, 1, 0, -65280]], true],
  ['past the range', [[1, 65536, 0, 0]], false],
  ['far past it, negative', [[1, -1e30, 0, 0]], false],
  ['NaN and infinity, which f16 has too', [[NaN, Infinity, -Infinity, 1]], true],
  ['2^-17, the smallest that is always exact', [[2 ** -17 * 1.9921875, 0, 0, 0]], true],
  ['2^-24 alone, f16’s smallest', [[2 ** -24, 0, 0, 0]], true],
  ['2^-25 alone: lost', [[2 ** -25, 0, 0, 0]], false],
  ['2^-25 next to 2^-5: loses 2^-25 < 2^-24', [[2 ** -25, 2 ** -5, 0, 0]], true],
  ['2^-25 next to 2^-6: loses 2^-25, as much as is allowed', [[2 ** -25, 2 ** -6, 0, 0]], false],
  ['2^-40 next to 1', [[2 ** -40, 1, 0, 0]], true],
  [
    'the large number in another row',
    [
      [2 ** -25, 0, 0, 0],
      [1, 1, 1, 1],
    ],
    false,
  ],
  [
    'a loss in the last row only',
    [
      [1, 1, 1, 1],
      [0, 2 ** -20 * 1.0078125, 0, 0],
    ],
    false,
  ],
  ['infinity does not count as the row’s largest', [[Infinity, 2 ** -25, 0, 0]], false],
];

for (const [name, rows, fits] of CASES) {
  test(`${name}: ${fits ? 'fits' : 'does not fit'}`, (t) => t.is(fitsF16(bf16(rows)), fits));
}

test('by the definition, for every bf16 next to every power of two', (t) => {
  for (let e = -30; e <= 15; e++) {
    for (let bits = 0; bits < 0x7f80; bits += 7) {
      const x = bf16ToNumber(bits);
      const t16 = narrowToF16(bf16([[x, 2 ** e]]));
      const most = Math.max(x, 2 ** e);
      const loss = Math.max(
        Math.abs(f16ToNumber(t16.data[0]) - x),
        Math.abs(f16ToNumber(t16.data[1]) - 2 ** e),
      );
      const fits = most <= 65504 && (loss === 0 || loss < most * 2 ** -19);
      if (fitsF16(bf16([[x, 2 ** e]])) !== fits) return t.fail(`${x} next to 2^${e}`);
    }
  }
  t.pass();
});

test('narrowing keeps NaN and infinity, and an empty tensor', (t) => {
  const made = narrowToF16(bf16([[NaN, Infinity, -Infinity, 1.5]]));
  t.deepEqual(Array.from(made.data, f16ToNumber), [NaN, Infinity, -Infinity, 1.5]);
  t.is(made.dtype, 'f16');
  const none = fromNumbers('bf16', [0, 4], []) as TensorOf<'bf16'>;
  t.true(fitsF16(none));
  t.deepEqual(narrowToF16(none).shape, [0, 4]);
});
