// What subgroups of matrix kernels ask of their own rows and of some keys: no edge is skipped, no other pair is taken
// for one. Without a GPU.

import test from 'ava';
import { evaluatePairs } from '../../compiler/ir/evaluate.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import { compileSide, type BoxValues, type CompiledSide } from '../../compiler/ir/plan-sides.js';
import { TILE, type QuerySpace, type Schedule, type TilePass } from '../../compiler/ir/schedule.js';
import { gridCoordinates, setShape, type BoundShape } from '../../compiler/ir/shape.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { refines } from '../../compiler/emit/own-kinds.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { CASES } from '../emit/patterns.js';
import { SAMPLES } from '../shapes.js';
import { FULL } from './settings.js';
import {
  bindProblem,
  fitsShape,
  lowerSample,
  settingsFor,
  sizesFor,
  unequalLengths,
  type Problem,
} from './problems.js';

/** Rows of a workgroup and of a subgroup, keys at once. */
const DIVISIONS = [
  [128, 32, 16],
  [64, 8, 32],
] as const;

interface Asked {
  count: number;
  /** Of those, kinds that a whole tile's would not have told. */
  skipped: number;
  whole: number;
}

interface Rows {
  readonly box: BoxValues;
  readonly positions: Int32Array;
}

/** The rows of each subgroup of a query tile, and their box as kernels find it. */
function ownRows(
  space: QuerySpace,
  side: CompiledSide,
  shape: BoundShape,
  tile: number,
  rows: number,
  own: number,
): readonly Rows[] {
  const all = side.positions(tile);
  const firsts = Array.from({ length: rows / own }, (_, n) => n * own);
  if (space.kind !== 'grid') {
    return firsts.flatMap((first): readonly Rows[] => {
      const positions = all.slice(first, first + own);
      if (positions.length === 0) return [];
      const box: BoxValues = [
        ['i.lo', positions[0]],
        ['i.hi', positions[positions.length - 1]],
      ];
      return [{ box, positions }];
    });
  }
  const counts = side.counts();
  const corner = gridCoordinates(tile, counts).map((x, n) => x * space.tile[n]);
  return firsts.flatMap((first): readonly Rows[] => {
    const cells = Array.from({ length: own }, (_, r) =>
      gridCoordinates(first + r, space.tile).map((x, n) => x + corner[n]),
    ).filter((cell) => cell.every((x, n) => x < shape.grid[n]));
    if (cells.length === 0) return [];
    const box: BoxValues = shape.grid.flatMap((_, n) => [
      [`i.${n}.lo`, Math.min(...cells.map((c) => c[n]))] as const,
      [`i.${n}.hi`, Math.max(...cells.map((c) => c[n]))] as const,
    ]);
    const positions = cells.map((c) => c.reduce((p, x, n) => p * shape.grid[n] + x, 0));
    return [{ box, positions: Int32Array.from(positions) }];
  });
}

/** The first mistake, or undefined. */
function checkPass(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  [rows, own, count]: readonly [number, number, number],
  asked: Asked,
): string | undefined {
  const tileRows = pass.queries.kind === 'grid' ? TILE : rows;
  const side = compileSide(pass.queries, 'i', shape, inputs, undefined, tileRows);
  for (const segment of pass.segments) {
    const keys = compileSide(segment.space, 'j', shape, inputs, undefined, count);
    const tiles = compileSide(segment.space, 'j', shape, inputs, undefined, TILE);
    const truth = compileTape([segment.any, segment.all], { precision: 'f32' });
    const keep = evaluatePairs([segment.keep], shape, inputs);
    const kindOf = (query: BoxValues, of: CompiledSide, at: number): 'none' | 'some' | 'every' => {
      for (const [name, value] of [...query, ...(of.box(at) as BoxValues)]) truth.set(name, value);
      truth.run(inputs);
      if (truth.result(0) === 0) return 'none';
      return truth.result(1) !== 0 && of.whole([at]) ? 'every' : 'some';
    };
    for (let batch = 0; batch < shape.batch; batch++) {
      for (let head = 0; head < shape.heads; head++) {
        for (let cls = 0; cls < side.classes(); cls++) {
          side.bind(batch, head, cls);
          for (const of of [keys, tiles]) of.bind(batch, head, cls);
          setShape(truth, shape, batch, head);
          truth.set('i.class', cls);
          for (let tile = 0; tile < side.tiles(); tile++) {
            const query = side.box(tile) as BoxValues;
            for (const of of [keys, tiles]) of.see(query);
            for (let part = 0; part < keys.tiles(); part++) {
              const whole = kindOf(query, tiles, Math.floor((part * count) / TILE));
              if (whole === 'none') continue;
              for (const { box, positions } of ownRows(pass.queries, side, shape, tile, tileRows, own)) {
                const kind = kindOf(box, keys, part);
                asked.count++;
                if (kind === 'none') asked.skipped++;
                if (kind === 'every' && whole === 'some') asked.whole++;
                if (kind === 'some') continue;
                for (const i of positions) {
                  keep.row(batch, head, i);
                  for (const j of keys.positions(part)) {
                    if ((keep.at(j) !== 0) !== (kind === 'every')) {
                      return `${segment.space.name}: batch ${batch}, head ${head}, i = ${i}, j = ${j} is taken for ${kind}`;
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
  }
  return undefined;
}

function check(schedules: readonly Schedule[], { shape, inputs }: Problem): Asked | string {
  const asked = { count: 0, skipped: 0, whole: 0 };
  for (const schedule of schedules) {
    if (!fitsShape(schedule, shape)) continue;
    for (const pass of schedule.passes) {
      if (pass.kind !== 'tiles' || !refines(pass)) continue;
      for (const division of DIVISIONS) {
        const wrong = checkPass(pass, shape, inputs, division, asked);
        if (wrong !== undefined) return `${schedule.name}, ${JSON.stringify(division)}: ${wrong}`;
      }
    }
  }
  return asked;
}

/** Keys at hand of runs in parts. */
const WINDOW = { lo: 37, hi: 150 };

for (const sample of SAMPLES) {
  test(`own kinds of ${sample.pattern}`, (t) => {
    const sum = { count: 0, skipped: 0, whole: 0 };
    for (const setting of sample.settings) {
      const pattern = lowerSample(sample, setting.set);
      const sizes = sizesFor(sample, setting).filter(([q, k]) => q * k <= 60_000);
      for (const size of sizes.slice(FULL ? -2 : -1)) {
        const [queries, keys] = size;
        const lengths = unequalLengths(sample, setting, size);
        const shape = {
          batch: lengths ? 2 : 1,
          heads: sample.heads,
          queries,
          keys,
          ...(lengths && { lengths }),
        };
        const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, setting.set, shape));
        for (const windows of [false, true]) {
          const found = check(candidateSchedules(pattern, windows), {
            ...problem,
            shape: windows ? { ...problem.shape, window: WINDOW } : problem.shape,
          });
          if (typeof found === 'string') {
            t.fail(`${JSON.stringify(setting.set)}, ${JSON.stringify(shape)}, windows ${windows}: ${found}`);
            return;
          }
          sum.count += found.count;
          sum.skipped += found.skipped;
          sum.whole += found.whole;
        }
      }
    }
    t.log(JSON.stringify(sum));
    t.pass();
  });
}

test('own kinds of patterns made by hand', (t) => {
  const sum = { count: 0, skipped: 0, whole: 0 };
  for (const { pattern, settings, tokens } of CASES) {
    for (const windows of [false, true]) {
      const schedules = candidateSchedules(pattern, windows);
      for (const n of tokens ?? [130, 200]) {
        const { shape, inputs } = bindProblem(
          pattern,
          { batch: 1, heads: 2, queries: n, keys: n },
          settings?.(n, 2) ?? {},
        );
        const found = check(schedules, { shape: windows ? { ...shape, window: WINDOW } : shape, inputs });
        if (typeof found === 'string') {
          t.fail(`${pattern.name}, ${n} tokens, windows ${windows}: ${found}`);
          return;
        }
        sum.count += found.count;
        sum.skipped += found.skipped;
        sum.whole += found.whole;
      }
    }
  }
  t.log(JSON.stringify(sum));
  t.true(sum.skipped > 0 && sum.whole > 0);
});
