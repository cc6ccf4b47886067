import fc from 'fast-check';
import { checkSource } from '../../compiler/check/index.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { checkBinding } from '../../compiler/ir/binding-checks.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import { rowFinder } from '../../compiler/ir/plan.js';
import { baseOf, type BoundShape } from '../../compiler/ir/shape.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import {
  bindProblem,
  fitsShape,
  isOnGrid,
  lowerSample,
  settingsFor,
  type Problem,
} from '../differential/problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from '../differential/schedule-edges.js';
import { int } from '../../compiler/ir/build.js';
import { latticeOfKeys, latticeOfQueries, periodicSpace, rowsSpace } from '../../compiler/ir/space.js';
import type { LineSpace } from '../../compiler/ir/schedule.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { checkBounds } from '../property/check-bounds.js';
import { randomInputs, randomPattern } from '../property/generate.js';
import { randomNeighbourhood } from '../property/generate-grid.js';
import { LENGTHS, SAMPLES } from '../shapes.js';
import type { Pattern } from '../../compiler/ir/edges.js';

/**
 * The differential check in small, run in a process of its own over a compiler that may have been mutated: exits with 1
 * at the first schedule that differs from `evaluate`.
 */
function differs(pattern: Pattern, { shape, inputs }: Problem, rows: number): string | undefined {
  const expected = trueMultiplicity(pattern, shape, inputs);
  const optimised = { ...pattern, edges: runPasses(pattern.edges, PASSES, true) };
  for (const schedule of candidateSchedules(optimised)) {
    if (!fitsShape(schedule, shape)) continue;
    const wrong = firstDifference(
      scheduledMultiplicity(schedule, shape, inputs, isOnGrid(schedule) ? 64 : rows),
      expected,
      shape,
    );
    if (wrong) return `${pattern.name}, ${schedule.name}: ${wrong}`;
  }
  const find = rowFinder(pattern, shape, inputs);
  const m = evaluator(pattern, shape, inputs);
  for (const i of [baseOf(shape, 0), baseOf(shape, 0) + shape.queries[0] - 1]) {
    const found = new Set(find(0, 0, i));
    m.row(0, 0, i);
    for (let j = 0; j < shape.keys[0]; j++) {
      if (m.at(j) > 0 && !found.has(j)) return `${pattern.name}: the row of i = ${i} misses j = ${j}`;
    }
  }
  return undefined;
}

function samples(): string | undefined {
  for (const sample of SAMPLES) {
    const [setting] = sample.settings;
    const isGrid = setting.lengths !== LENGTHS;
    const keys = isGrid ? (setting.lengths.find((n) => n > 100) ?? setting.lengths[0]) : 200;
    const pattern = lowerSample(sample, setting.set);
    const heads = Math.max(2, sample.heads);
    for (const queries of [keys, Math.ceil(keys / 2)]) {
      const shape = { batch: 1, heads, keyHeads: heads, queries, keys };
      const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, setting.set, shape));
      const wrong = differs(pattern, problem, queries === keys ? 64 : 16);
      if (wrong) return wrong;
    }
  }
  return undefined;
}

function randomOnes(runs: number): string | undefined {
  const drawn = [
    ...fc.sample(randomPattern(), { numRuns: runs, seed: 11 }),
    ...fc.sample(randomNeighbourhood(), { numRuns: runs / 2, seed: 11 }),
  ];
  for (const p of drawn) {
    const checked = checkSource({ file: 'random.attn', text: p.text }, { pattern: 'random' });
    if (hasErrors(checked.diagnostics) || !checked.pattern) continue;
    const parameters = new Map(
      checked.pattern.parameters.filter((q) => !q.fixed).map((q) => [q.name, q.value as number]),
    );
    const shape: BoundShape = {
      batch: p.batch,
      heads: p.heads,
      keyHeads: 1,
      dim: 16,
      queries: p.queries,
      keys: p.keys,
      grid: p.grid,
      align: 'end',
      parameters,
    };
    const inputs = randomInputs(p);
    if (checkBinding(checked.pattern, shape, inputs).length > 0) continue;
    const wrong = differs(checked.pattern, { shape, inputs }, p.seed % 2 === 0 ? 64 : 16);
    if (wrong) return wrong;
  }
  return undefined;
}

/** A space's rank is the number of its coordinates below a position. */
function spaces(): string | undefined {
  const periodic = (period: number, start: number, step: number, count: number): LineSpace =>
    periodicSpace('j', int(period), int(start), int(step), int(count));
  const all = [
    periodic(12, 1, 5, 3),
    periodic(64, 60, 1, 4),
    periodic(7, 0, 1, 7),
    periodic(9, 2, 3, 0),
    latticeOfKeys(int(5), int(3)),
    latticeOfQueries(int(4)),
    rowsSpace('i'),
  ];
  for (const space of all) {
    const tape = compileTape([space.size, space.rank, space.position], { precision: 'f32' });
    for (const [name, value] of [
      ['keys', 130],
      ['rows', 100],
      ['first', 30],
      ['i.class', 2],
    ] as const) {
      tape.set(name, value);
    }
    tape.run();
    const positions = Array.from({ length: tape.result(0) }, (_, v) => {
      tape.set('v', v);
      tape.run();
      return tape.result(2);
    });
    for (let p = space.name === 'rows' ? 30 : 34; p <= 130; p++) {
      tape.set('p', p);
      tape.run();
      const below = positions.filter((x) => x < p).length;
      if (tape.result(1) !== below) return `${space.name}: rank(${p}) is ${tape.result(1)}, not ${below}`;
    }
  }
  return undefined;
}

function bounds(): string | undefined {
  try {
    checkBounds('j', 120);
    checkBounds('i', 120);
  } catch (error) {
    return String(error);
  }
  return undefined;
}

const wrong = spaces() ?? bounds() ?? samples() ?? randomOnes(Number(process.argv[2] ?? 200));
if (wrong) {
  console.log(wrong);
  process.exit(1);
}
