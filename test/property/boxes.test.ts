import test from 'ava';
import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import { planTiles } from '../../compiler/ir/plan.js';
import { MOST_BOX_ROWS, type Schedule, type TilePass } from '../../compiler/ir/schedule.js';
import { gridCoordinates, setShape, type BoundShape } from '../../compiler/ir/shape.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { isOnGrid } from '../differential/problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { randomInputs, type RandomPattern } from './generate.js';
import { randomNeighbourhood } from './generate-grid.js';

const RUNS = Number(process.env.PROPERTY_RUNS ?? 600);

const patternOf = (text: string): Pattern | undefined => {
  const { pattern, diagnostics } = checkSource({ file: 'random.attn', text }, { pattern: 'random' });
  return hasErrors(diagnostics) ? undefined : pattern;
};

const shapeOf = (p: Omit<RandomPattern, 'text' | 'seed'>): BoundShape => ({
  ...p,
  keyHeads: 1,
  dim: 16,
  align: 'end',
  parameters: new Map([['w', 2]]),
});

test('schedules of random neighbourhoods hold exactly the pairs of evaluate', (t) => {
  const tried = new Map<string, number>();
  const count = (name: string): unknown => tried.set(name, (tried.get(name) ?? 0) + 1);
  let refused = 0;
  fc.assert(
    fc.property(randomNeighbourhood(), (p) => {
      const pattern = patternOf(p.text);
      const shape = shapeOf(p);
      const inputs = randomInputs(p);
      if (!pattern || checkBinding(pattern, shape, inputs).length > 0) {
        refused++;
        return;
      }
      const expected = trueMultiplicity(pattern, shape, inputs);
      for (const schedule of candidateSchedules(pattern)) {
        if (!isOnGrid(schedule)) continue;
        for (const pass of schedule.passes) {
          if (pass.kind === 'tiles') count(`${schedule.name}, planned by the ${pass.plan}`);
        }
        const wrong = firstDifference(scheduledMultiplicity(schedule, shape, inputs), expected, shape);
        if (wrong) throw new Error(`${schedule.name}: ${wrong}\n${p.text}`);
      }
    }),
    { numRuns: RUNS, seed: 20261124, includeErrorInReport: true } as fc.Parameters<[RandomPattern]>,
  );
  t.log([...tried].map(([name, n]) => `${name}: ${n}`).join('; '));
  t.true(refused < RUNS / 10, `${refused} refused`);
  for (const name of ['grid', 'boxes']) {
    for (const plan of ['kernel', 'host']) {
      t.true((tried.get(`${name}, planned by the ${plan}`) ?? 0) > RUNS / 10, `${name} by ${plan}`);
    }
  }
});

interface Neighbourhood {
  readonly grid: readonly number[];
  readonly radii: readonly number[];
}

/** Sides that a tile divides and prime ones; keys past the border on no side, on one and on both. */
const NEIGHBOURHOODS: readonly Neighbourhood[] = [
  { grid: [200], radii: [20] },
  { grid: [61], radii: [80] },
  { grid: [32, 40], radii: [6, 6] },
  { grid: [23, 37], radii: [3, 0] },
  { grid: [13, 5], radii: [2, 40] },
  { grid: [1, 300], radii: [1, 9] },
  { grid: [16, 12, 20], radii: [2, 2, 2] },
  { grid: [7, 11, 5], radii: [1, 3, 0] },
  { grid: [5, 3, 7, 6], radii: [1, 1, 2, 1] },
];

const boxesOf = ({ grid, radii }: Neighbourhood): Schedule | undefined => {
  const axes = ['w', 'z', 'y', 'x'].slice(4 - grid.length);
  const tokens = axes.map((a, n) => `${a}: ${n === 0 ? '?' : grid[n]}`).join(', ');
  const near = axes.map((a, n) => `abs(i.${a} - j.${a}) <= ${radii[n]}`).join(' and ');
  const pattern = patternOf(`pattern random {\n  tokens (${tokens})\n  i -> j when ${near}\n}\n`);
  return pattern && candidateSchedules(pattern).find((s) => s.name === 'boxes');
};

for (const n of NEIGHBOURHOODS) {
  test(`on ${n.grid.join(' × ')}, each side ${n.radii.join(', ')}: only the cells of the box are visited`, (t) => {
    const schedule = boxesOf(n);
    const pass = schedule?.passes[0] as TilePass;
    const length = n.grid.reduce((a, b) => a * b, 1);
    const shape = shapeOf({ heads: 1, batch: 1, queries: [length], keys: [length], grid: n.grid });
    const planner = planTiles(pass, shape, new Map());
    for (let tile = 0; tile < planner.tiles; tile++) {
      const cells = [...planner.queryPositions(0, 0, 0, tile)].map((i) => gridCoordinates(i, n.grid));
      const reached = (j: number): boolean => {
        const at = gridCoordinates(j, n.grid);
        return n.radii.every((r, a) => {
          const own = cells.map((c) => c[a]);
          return at[a] >= Math.min(...own) - r && at[a] <= Math.max(...own) + r;
        });
      };
      const box = Array.from({ length }, (_, j) => j).filter(reached);
      const visited: number[] = [];
      planner.tile(0, 0, 0, tile, (segment, first, count) => {
        for (let k = first; k < first + count; k++)
          visited.push(...planner.keyPositions(segment, 0, 0, 0, tile, k));
      });
      t.deepEqual(visited, box, `tile ${tile}`);
    }
  });
}

test('boxes are for grids of as many rows as divisions by inverses are right for', (t) => {
  const allowed = (grid: readonly number[], queries: number): boolean => {
    const when = boxesOf({ grid, radii: grid.map(() => 1) })?.when;
    if (!when) throw new Error('no schedule of boxes');
    const tape = compileTape([when], { precision: 'f32' });
    const keys = grid.reduce((a, b) => a * b, 1);
    setShape(tape, shapeOf({ heads: 1, batch: 1, queries: [queries], keys: [keys], grid }), 0, 0);
    tape.run();
    return tape.result(0) !== 0;
  };
  const rows = MOST_BOX_ROWS;
  t.true(allowed([4 * rows], 4 * rows));
  t.true(allowed([rows, 2], 2 * rows));
  t.false(allowed([rows + 1, 2], 2 * rows + 2));
  t.true(allowed([rows / 512, 512, 3], 3 * rows));
  t.false(allowed([rows / 512 + 1, 512, 3], 3 * (rows + 512)));
  t.false(allowed([rows, 2], 2 * rows - 1), 'fewer queries than keys');
});
