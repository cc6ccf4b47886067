// Samples without a GPU: the pairs of every schedule, after every pass, are those of the definition.

import test from 'ava';
import type { Edges, Pattern } from '../../compiler/ir/edges.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import { runPasses } from '../../compiler/passes/index.js';
import { candidateSchedules } from '../../compiler/schedule/index.js';
import { SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import { PIPELINES, pointsOf, shapeOf } from './points.js';
import {
  bindProblem,
  fitsShape,
  isOnGrid,
  lowerSample,
  settingsFor,
  type Problem,
  type ProblemShape,
} from './problems.js';
import { firstDifference, scheduledMultiplicity, trueMultiplicity } from './schedule-edges.js';

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
        const rows = isOnGrid(schedule) ? 64 : point.rows;
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
}
