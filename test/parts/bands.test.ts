// Bands of a run, from a pattern's needs alone: every row once, its keys in windows, and segments not cut.

import test from 'ava';
import type { BoundShape, KeyWindow } from '../../compiler/ir/shape.js';
import { planBands, type Band, type BandLimits, type FindKeys } from '../../runtime/parts/bands.js';

const shapeOf = (queries: readonly number[], heads = 1): BoundShape => ({
  batch: queries.length,
  heads,
  keyHeads: heads,
  queries,
  keys: queries,
  dim: 16,
  parameters: new Map(),
  grid: [],
  align: 'end',
});

const LIMITS: BandLimits = {
  batches: 1,
  heads: 1,
  queryRows: 100,
  keyRows: 1000,
  queryBreaks: [],
  keyBreaks: [],
  gap: 0,
};

/** Each query needs its whole segment. */
const segments =
  (size: number, total: number): FindKeys =>
  (_, __, [lo, hi]) => [
    { lo: Math.floor(lo / size) * size, hi: Math.min(Math.ceil(hi / size) * size, total) },
  ];

const keysOf = (bands: readonly Band[]): number =>
  bands.reduce((n, b) => n + b.windows.reduce((m, w) => m + w.hi - w.lo, 0), 0);

const inWindows = (windows: readonly KeyWindow[], { lo, hi }: KeyWindow): boolean =>
  windows.some((w) => w.lo <= lo && hi <= w.hi);

/** Size of a segment, rows of the sequence, most rows of a band. */
const SEGMENTED: readonly (readonly [size: number, total: number, most: number])[] = [
  [1024, 1_000_000, 7304],
  [1024, 1_000_000, 1024],
  [1024, 1_000_000, 1031],
  [512, 100_000, 700],
  [4096, 1_000_000, 60_000],
  [2048, 8192, 2500],
];

for (const [size, total, most] of SEGMENTED) {
  test(`segments of ${size} keep their keys for themselves: ${total} rows, ${most} a band`, (t) => {
    const limits = { ...LIMITS, queryRows: most, keyRows: 2 * most };
    const bands = planBands(shapeOf([total]), () => 0, segments(size, total), limits);
    t.is(keysOf(bands), total);
    t.true(bands.every((b) => b.row % size === 0 && b.rows <= most && b.windows.length === 1));
    t.is(
      bands.reduce((n, b) => n + b.rows, 0),
      total,
    );
  });
}

test('segments that no power of two divides cost no more keys than aligned windows need', (t) => {
  for (const size of [1000, 3000, 4097]) {
    const total = 1_000_000;
    const limits = { ...LIMITS, queryRows: 24_700, keyRows: 60_000 };
    const bands = planBands(shapeOf([total]), () => 0, segments(size, total), limits);
    // A segment more at either end of a band, at most.
    t.true(keysOf(bands) <= total + 2 * size * bands.length);
    t.true(bands.length <= 2 * Math.ceil(total / limits.queryRows));
  }
});

test('every row of every head is in one band, and its keys are in the windows', (t) => {
  const needs: FindKeys = (batch, __, [lo, hi]) => [
    { lo: Math.max(0, lo - 9), hi: Math.min(hi + 9, [150, 300, 1][batch]) },
  ];
  const shape = shapeOf([150, 300, 1], 2);
  for (const queryRows of [1, 2, 7, 63, 64, 65, 149, 150, 1000]) {
    const limits = { ...LIMITS, queryRows, keyRows: Math.max(30, queryRows), queryBreaks: [101] };
    const bands = planBands(shape, () => 0, needs, limits);
    let [batch, head, row] = [0, 0, 0];
    for (const b of bands) {
      t.deepEqual([b.batch, b.head, b.row], [batch, head, row]);
      t.true(b.rows >= 1 && b.rows <= queryRows && (b.row >= 101 || b.row + b.rows <= 101));
      const [own] = needs(batch, [head, head + 1], [row, row + b.rows], 0);
      for (let j = own.lo; j < own.hi; j++) t.true(inWindows(b.windows, { lo: j, hi: j + 1 }));
      row += b.rows;
      if (row >= shape.queries[batch]) [row, head] = [0, head + 1];
      if (head >= shape.heads) [head, batch] = [0, batch + 1];
    }
    t.deepEqual([batch, head, row], [3, 0, 0]);
  }
});
