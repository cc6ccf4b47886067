// Samples without a GPU: the pairs of every schedule, after every pass, are those of the definition; and the tree,
// interpreted by code of its own, defines the same pairs.

import test from 'ava';
import { multiplicity } from '../../compiler/ir/evaluate.js';
import type { Edges, Pattern } from '../../compiler/ir/edges.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { PASSES, runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { compilePattern } from '../interpreter/interpret.js';
import { loadFiles } from '../interpreter/load.js';
import { pairwise, SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import {
  bindProblem,
  fitsShape,
  lowerSample,
  settingsFor,
  sizesFor,
  unequalLengths,
  type Problem,
  type ProblemShape,
} from './problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from './schedule-edges.js';
import { FULL } from './settings.js';

/** Edges as each pass alone leaves them, as written, and as the pipeline leaves them. */
const PIPELINES = [
  { name: 'no passes', passes: [] },
  ...PASSES.map((p) => ({ name: `${p.name} alone`, passes: [p] })),
  { name: 'all passes', passes: PASSES },
];

interface Point {
  readonly setting: SampleSetting;
  readonly size: number;
  readonly heads: number;
  readonly batch: 'one' | 'two' | 'uneven';
  readonly pipeline: number;
  readonly rows: number;
}

/** Shapes of more pairs than this take one sequence; `npm test` runs them after all passes only. */
const MANY_PAIRS = FULL ? 4e6 : 3e5;

function pointsOf(sample: SampleCase): readonly Point[] {
  return sample.settings.flatMap((setting) => {
    const axes = {
      setting: [setting],
      size: sizesFor(sample, setting).map((_, n) => n),
      heads: [...new Set([sample.heads, 3])],
      batch: ['one', 'two', 'uneven'] as const,
      pipeline: PIPELINES.map((_, n) => n),
      rows: [64, 16],
    };
    return FULL ? product(axes) : pairwise(axes);
  });
}

function product(axes: { readonly [Name in keyof Point]: readonly Point[Name][] }): readonly Point[] {
  return axes.setting.flatMap((setting) =>
    axes.size.flatMap((size) =>
      axes.heads.flatMap((heads) =>
        axes.batch.flatMap((batch) =>
          axes.pipeline.flatMap((pipeline) =>
            axes.rows.map((rows) => ({ setting, size, heads, batch, pipeline, rows })),
          ),
        ),
      ),
    ),
  );
}

/** The shape of a point, and the point itself where its shape is large. */
function shapeOf(sample: SampleCase, point: Point): { readonly shape: ProblemShape; readonly point: Point } {
  const { setting, size, heads, batch } = point;
  const [queries, keys] = sizesFor(sample, setting)[size];
  const count = batch === 'one' ? 1 : 2;
  if (count * heads * queries * keys > MANY_PAIRS) {
    const shape = { batch: 1, heads: sample.heads, queries, keys };
    return { shape, point: FULL ? point : { ...point, pipeline: PIPELINES.length - 1, rows: 64 } };
  }
  const shape = { batch: count, heads, queries, keys };
  if (batch !== 'uneven') return { shape, point };
  return { shape: { ...shape, lengths: unequalLengths(sample, setting, [queries, keys]) }, point };
}

/** A value for each key, made when first asked for. */
function remember<T>(make: (key: string) => T): (key: string) => T {
  const made = new Map<string, T>();
  return (key) => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const fresh = make(key);
    made.set(key, fresh);
    return fresh;
  };
}

interface Prepared {
  readonly pattern: Pattern;
  /** By pipeline; the same array where two pipelines leave the same edges. */
  readonly schedules: readonly (readonly Schedule[])[];
  readonly edges: readonly Edges[];
}

function prepareSample(sample: SampleCase, setting: SampleSetting): Prepared {
  const pattern = lowerSample(sample, setting.set);
  const known = new Map<string, { readonly edges: Edges; readonly schedules: readonly Schedule[] }>();
  const all = PIPELINES.map(({ passes }) => {
    const edges = runPasses(pattern.edges, passes, true);
    const key = JSON.stringify(edges);
    const made = known.get(key) ?? { edges, schedules: candidateSchedules({ ...pattern, edges }) };
    known.set(key, made);
    return made;
  });
  return { pattern, schedules: all.map((a) => a.schedules), edges: all.map((a) => a.edges) };
}

for (const sample of SAMPLES) {
  test(`schedules of ${sample.pattern} hold the pairs of evaluate`, (t) => {
    const prepared = new Map(sample.settings.map((s) => [s, prepareSample(sample, s)]));
    const problems = remember((key): { problem: Problem; truth: readonly Uint16Array[] } => {
      const { index, shape } = JSON.parse(key) as { index: number; shape: ProblemShape };
      const setting = sample.settings[index];
      const { pattern } = prepared.get(setting) as Prepared;
      const problem = bindProblem(pattern, shape, settingsFor(sample, pattern, setting.set, shape));
      return { problem, truth: trueMultiplicity(pattern, problem.shape, problem.inputs) };
    });
    const done = new Set<string>();
    let pairs = 0;
    const points = pointsOf(sample);
    for (const { shape, point } of points.map((p) => shapeOf(sample, p))) {
      const { pattern, schedules, edges } = prepared.get(point.setting) as Prepared;
      const key = JSON.stringify({ index: sample.settings.indexOf(point.setting), shape });
      const { problem, truth } = problems(key);
      const where = `${JSON.stringify(point.setting.set)}, ${JSON.stringify(shape)}, ${PIPELINES[point.pipeline].name}`;
      const own = edges[point.pipeline];
      if (own !== edges[0] && !done.has(`${key} ${edges.indexOf(own)}`)) {
        done.add(`${key} ${edges.indexOf(own)}`);
        const kept = trueMultiplicity({ ...pattern, edges: own }, problem.shape, problem.inputs);
        t.is(firstDifference(kept, truth, problem.shape), undefined, where);
      }
      for (const [n, schedule] of schedules[point.pipeline].entries()) {
        if (!fitsShape(schedule, problem.shape)) continue;
        const rows = schedule.name === 'grid' ? 64 : point.rows;
        const run = `${key} ${schedules.indexOf(schedules[point.pipeline])} ${n} ${rows}`;
        if (done.has(run)) continue;
        done.add(run);
        const actual = scheduledMultiplicity(schedule, problem.shape, problem.inputs, rows);
        const wrong = firstDifference(actual, truth, problem.shape);
        t.is(wrong, undefined, `${where}, ${schedule.name}, tiles of ${rows} rows`);
        for (const matrix of truth) pairs += matrix.length;
      }
    }
    t.log(`${points.length} points, ${done.size} comparisons, ${pairs} pairs`);
    t.true(pairs > 0);
  });

  test(`the interpreter agrees on ${sample.pattern}`, (t) => {
    const files = loadFiles(sample.file);
    const done = new Set<string>();
    let pairs = 0;
    let edges = 0;
    for (const setting of sample.settings) {
      const pattern = lowerSample(sample, setting.set);
      t.is(multiplicity(pattern.edges).type, 'int');
      const axes = {
        setting: [setting],
        size: sizesFor(sample, setting).map((_, n) => n),
        heads: [...new Set([sample.heads, 3])],
        batch: ['one', 'two', 'uneven'] as const,
        pipeline: [0],
        rows: [64],
      };
      for (const point of FULL ? product(axes) : pairwise(axes)) {
        const { shape } = shapeOf(sample, point);
        const large = shape.heads * shape.queries * shape.keys > MANY_PAIRS;
        if (!FULL && large && setting !== sample.settings[0]) continue;
        const key = JSON.stringify([setting.set, shape]);
        if (done.has(key)) continue;
        done.add(key);
        const settings = settingsFor(sample, pattern, setting.set, shape);
        const problem = bindProblem(pattern, shape, settings);
        const lengths = problem.shape.queries.map((queries, b) => ({ queries, keys: problem.shape.keys[b] }));
        const tables = sample.tables(shape, 1, setting.set);
        const interpreted = compilePattern(files, sample.pattern, {
          set: setting.set,
          tables,
          shape: { ...shape, dim: 16, lengths },
        });
        const expected = trueMultiplicity(pattern, problem.shape, problem.inputs);
        const actual = expected.map((matrix, n) => {
          const [batch, head] = [Math.floor(n / shape.heads), n % shape.heads];
          const keys = problem.shape.keys[batch];
          const base = baseOf(problem.shape, batch);
          return matrix.map((_, at) =>
            interpreted.multiplicity(batch, head, Math.floor(at / keys) + base, at % keys),
          );
        });
        t.is(
          firstDifference(actual, expected, problem.shape),
          undefined,
          JSON.stringify([setting.set, shape]),
        );
        for (const matrix of expected) {
          pairs += matrix.length;
          for (const m of matrix) edges += m;
        }
      }
    }
    t.log(`${pairs} pairs, ${edges} edges`);
    t.true(edges > 0);
  });
}
