// The least and greatest value in a box of a table, against looking at every value.

import test from 'ava';
import { lineExtreme, tableExtreme, type BoundTable } from '../../compiler/ir/inputs.js';
import { randomNumbers } from '../sample-tables.js';

const SIZES: readonly (readonly number[])[] = [
  [1],
  [15],
  [16],
  [17],
  [64],
  [100],
  [1000],
  [3, 33],
  [4, 5, 21],
];

const DATA: Readonly<Record<BoundTable['type'], (count: number, next: () => number) => BoundTable['data']>> =
  {
    int: (count, next) => Int32Array.from({ length: count }, () => Math.floor((next() - 0.5) * 2 ** 32)),
    float: (count, next) => Float32Array.from({ length: count }, () => next() - 2),
    bool: (count, next) => Uint8Array.from({ length: count }, () => (next() < 0.05 ? 1 : 0)),
  };

/** 0 outside; an empty box has the extremes of nothing. */
function expected(table: BoundTable, box: readonly number[], sign: 1 | -1): number {
  let best = sign > 0 ? Infinity : -Infinity;
  const index = table.sizes.map((_, n) => box[2 * n]);
  if (index.some((x, n) => x > box[2 * n + 1])) return best;
  for (;;) {
    const inside = index.every((x, n) => x >= 0 && x < table.sizes[n]);
    const value = inside ? table.data[index.reduce((at, x, n) => at * table.sizes[n] + x, 0)] : 0;
    best = sign > 0 ? Math.min(best, value) : Math.max(best, value);
    let axis = index.length - 1;
    while (axis >= 0 && ++index[axis] > box[2 * axis + 1]) index[axis] = box[2 * axis--];
    if (axis < 0) return best;
  }
}

for (const type of ['int', 'float', 'bool'] as const) {
  test(`extremes of ${type} tables`, (t) => {
    const next = randomNumbers(3);
    for (const sizes of SIZES) {
      const count = sizes.reduce((a, b) => a * b, 1);
      const table: BoundTable = { kind: 'table', type, sizes, data: DATA[type](count, next) };
      for (let n = 0; n < 400; n++) {
        // Also a little outside; of one axis empty now and then.
        const box = sizes.flatMap((size) => {
          const [x, y] = [0, 0].map(() => Math.floor(next() * (size + 4)) - 2);
          return n % 4 === 0
            ? [x, x + (n % 8)]
            : sizes.length === 1
              ? [x, y]
              : [Math.min(x, y), Math.max(x, y)];
        });
        for (const sign of [1, -1] as const) {
          const want = expected(table, box, sign);
          const name = `${type} ${sizes.join('×')}, ${box.join()}, ${sign}`;
          if (tableExtreme(table, box, sign) !== want) t.is(tableExtreme(table, box, sign), want, name);
          if (sizes.length === 1 && lineExtreme(table, box[0], box[1], sign) !== want) t.fail(name);
        }
      }
      t.pass();
    }
  });
}
