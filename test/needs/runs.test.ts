import test from 'ava';
import { clipRun, countKeys, joinIntervals, unionOfRuns, type KeyRun } from '../../compiler/ir/key-runs.js';
import { digitsOf, regionsOf, roundBetween, runsOfRegion, stridesFor } from '../../compiler/ir/digits.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { eq, int, mod, sub, variable } from '../../compiler/ir/build.js';
import { needsBySource, splitRuns } from '../../compiler/ir/needs-sources.js';
import { keyNeeds } from '../../compiler/ir/needs.js';
import { lowerSample } from '../differential/problems.js';
import { randomNumbers } from '../sample-tables.js';
import { keysOf } from './check-needs.js';
import { checkSimplify } from './check-simplify.js';

const run = (lo: number, hi: number, step = 1): KeyRun => ({ lo, hi, step });

const UNIONS: readonly (readonly [what: string, of: readonly KeyRun[], is: readonly KeyRun[]])[] = [
  ['nothing', [], []],
  ['intervals that touch', [run(5, 9), run(0, 4), run(11, 12)], [run(0, 9), run(11, 12)]],
  ['a lattice inside another', [run(0, 40, 2), run(4, 60, 4)], [run(0, 40, 2), run(44, 60, 4)]],
  ['two classes that are one', [run(0, 96, 4), run(2, 98, 4)], [run(0, 98, 2)]],
  ['all classes', [run(0, 27, 3), run(1, 28, 3), run(2, 29, 3)], [run(0, 29)]],
  ['classes between each other', [run(0, 96, 4), run(1, 97, 4)], [run(0, 96, 4), run(1, 97, 4)]],
  ['steps of no common divisor', [run(0, 30, 2), run(0, 30, 3)], [run(0, 30, 2), run(3, 27, 6)]],
  [
    'a lattice through an interval',
    [run(0, 90, 10), run(25, 44)],
    [run(0, 20, 10), run(25, 44), run(50, 90, 10)],
  ],
  ['an interval between the keys of a lattice', [run(0, 90, 10), run(22, 28)], [run(0, 90, 10), run(22, 28)]],
  ['single keys at even distances', [run(7, 7), run(14, 14), run(21, 21), run(28, 28)], [run(7, 28, 7)]],
];

for (const [what, of, is] of UNIONS) {
  test(`union of runs: ${what}`, (t) => t.deepEqual(unionOfRuns(of), is));
}

test('unions of random runs hold the same keys, each once', (t) => {
  const random = randomNumbers(1);
  const below = (n: number): number => Math.floor(random() * n);
  for (let n = 0; n < 3000; n++) {
    const runs = Array.from({ length: 1 + below(7) }, () => {
      const step = 1 + below(n % 2 === 0 ? 6 : 13);
      const lo = below(60);
      const count = below(20);
      return run(lo, lo + count * step, count === 0 ? 1 : step);
    });
    const expected = new Set(runs.flatMap((r) => keysOf([r])));
    const union = unionOfRuns(runs);
    t.deepEqual(
      keysOf(union),
      [...expected].sort((a, b) => a - b),
      JSON.stringify(runs),
    );
    t.is(countKeys(union), expected.size);
  }
});

test('parts of runs', (t) => {
  t.deepEqual(clipRun(run(3, 30, 9), 4, 29), run(12, 21, 9));
  t.deepEqual(clipRun(run(3, 30, 9), 12, 12), run(12, 12));
  t.is(clipRun(run(3, 30, 9), 13, 20), undefined);
  t.deepEqual(splitRuns([run(0, 30, 10), run(2, 29)], [0, 10, 10, 25, 31]), [
    [run(0, 0), run(2, 9)],
    [],
    [run(10, 20, 10), run(10, 24)].sort((a, b) => a.lo - b.lo),
    [run(25, 29), run(30, 30)],
  ]);
});

test('intervals nearer than a gap are joined', (t) => {
  const of = (): { lo: number; hi: number }[] => [
    { lo: 20, hi: 30 },
    { lo: 0, hi: 10 },
    { lo: 14, hi: 15 },
  ];
  t.deepEqual(
    joinIntervals(of(), 4).map((x) => [x.lo, x.hi]),
    [
      [0, 10],
      [14, 15],
      [20, 30],
    ],
  );
  t.deepEqual(
    joinIntervals(of(), 5).map((x) => [x.lo, x.hi]),
    [
      [0, 15],
      [20, 30],
    ],
  );
  t.deepEqual(
    joinIntervals(of(), 6).map((x) => [x.lo, x.hi]),
    [[0, 30]],
  );
});

for (const strides of [[1], [8, 1], [12, 4, 1], [50, 3, 1], [30, 7, 2, 1]]) {
  test(`digits of strides ${strides.join()} divide positions into regions`, (t) => {
    const digits = digitsOf('j', strides);
    const legal = compileTape([digits.legal, digits.position], { precision: 'f32' });
    for (const [lo, hi] of [
      [0, 0],
      [0, 99],
      [3, 7],
      [49, 51],
      [13, 160],
      [50, 149],
      [120, 119],
    ]) {
      const found: number[] = [];
      for (const region of regionsOf(digits, lo, hi)) {
        runsOfRegion(digits, region, (r) => found.push(...keysOf([r])));
        region.lo.forEach((x, n) => t.true(x <= region.hi[n]));
      }
      // Strides that don't divide one another have digits that are no position's.
      const extra = strides.every((s, n) => n === 0 || strides[n - 1] % s === 0) ? 0 : hi;
      const inside = found.filter((k) => extra === 0 || k <= hi);
      const expected = Array.from({ length: Math.max(0, hi - lo + 1) }, (_, n) => lo + n);
      t.deepEqual(
        [...new Set(inside)].sort((a, b) => a - b),
        expected,
      );
      if (extra === 0) t.is(found.length, expected.length);
    }
    strides.forEach((_, n) => legal.set(`j.d${n}`, digits.counts[n] === Infinity ? 2 : digits.counts[n] - 1));
    legal.run();
    t.is(legal.result(0) !== 0, legal.result(1) < 3 * strides[0]);
  });
}

test('strides suit the moduli of conditions', (t) => {
  const [i, j] = [variable('i'), variable('j')];
  const equal = (x: Parameters<typeof mod>[0], m: number): ReturnType<typeof eq> =>
    eq(mod(x, int(m)), int(1));
  t.deepEqual(stridesFor([equal(j, 8)], 'j', 1000), [8, 1]);
  t.deepEqual(stridesFor([equal(sub(i, j), 8)], 'j', 1000), [8, 1]);
  t.deepEqual(stridesFor([equal(i, 8)], 'j', 1000), [1]);
  t.deepEqual(stridesFor([equal(j, 6), equal(j, 4)], 'j', 1000), [12, 6, 1]);
  t.deepEqual(stridesFor([equal(j, 2000)], 'j', 1000), [1]);
  t.deepEqual(stridesFor([equal(mod(j, int(50)), 3)], 'j', 1000), [50, 3, 1]);
});

test('intervals are halved where most powers of two are', (t) => {
  t.deepEqual(
    [
      [0, 1],
      [0, 9],
      [5, 9],
      [9, 14],
      [1023, 1025],
    ].map(([a, b]) => roundBetween(a, b)),
    [1, 8, 8, 12, 1024],
  );
});

test('rows by shard: of a window only the halo, of LongNet the sparse rows of wider segments', (t) => {
  const at = (
    file: string,
    name: string,
    set: Parameters<typeof lowerSample>[1],
  ): ReturnType<typeof lowerSample> => lowerSample({ file: `samples/${file}.attn`, pattern: name }, set);
  const shape = (keys: number, align: 'end' | 'start') =>
    ({
      batch: 1,
      heads: 8,
      keyHeads: 2,
      dim: 16,
      queries: [keys],
      keys: [keys],
      grid: [],
      align,
      parameters: new Map<string, number>(),
    }) as const;
  const cuts = [0, 1000, 2000, 3000, 4000];
  const sliding = at('sliding', 'sliding', {});
  const window = { ...shape(4000, sliding.align), parameters: new Map([['window', 32]]) };
  t.deepEqual(needsBySource(keyNeeds(sliding, window, new Map()), window, 0, 0, 1000, 2000, cuts), {
    sources: [
      { source: 0, runs: [run(968, 999)], rows: 32 },
      { source: 1, runs: [run(1000, 1999)], rows: 1000 },
      { source: 2, runs: [run(2000, 2031)], rows: 32 },
    ],
    exact: true,
  });
  // Heads 4 … 7 share key head 1: of the wide segment they keep the keys ≡ 4 … 7 (mod 8).
  const longnet = at('longnet', 'longnet', { w: [500, 4000], r: [1, 8] });
  const wide = shape(4000, longnet.align);
  const needs = keyNeeds(longnet, wide, new Map());
  t.deepEqual(
    [0, 3, 7].map((h) => needs.classOf(0, h)),
    [0, 1, 2],
  );
  t.deepEqual(
    needsBySource(needs, wide, 0, 1, 1000, 2000, cuts).sources.map(({ source, rows }) => [source, rows]),
    [
      [0, 500],
      [1, 1000],
      [2, 500],
      [3, 500],
    ],
  );
});

test('simpler expressions have the same values', (t) => {
  t.notThrows(() => checkSimplify(20_000));
});

test('heads with the same conditions are one class', (t) => {
  const classes = (file: string, pattern: string, set: Parameters<typeof lowerSample>[1]): number => {
    const lowered = lowerSample({ file: `samples/${file}.attn`, pattern }, set);
    const parameters = new Map(
      lowered.parameters.filter((p) => !p.fixed).map((p) => [p.name, p.value as number]),
    );
    const { align } = lowered;
    const lengths = { queries: [500, 400], keys: [500, 500] };
    const shape = { batch: 2, heads: 16, keyHeads: 16, dim: 16, ...lengths, grid: [], align, parameters };
    const needs = keyNeeds(lowered, shape, new Map());
    const all = Array.from({ length: 32 }, (_, n) => needs.classOf(Math.floor(n / 16), n % 16));
    return new Set(all).size;
  };
  // Sequences of other lengths are other classes.
  t.is(classes('sliding', 'sliding', {}), 2);
  t.is(classes('longnet', 'longnet', { w: [32, 128], r: [1, 4] }), 8);
  t.is(classes('bigbird', 'bigbird', {}), 32);
});
