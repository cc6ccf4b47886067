// Every sample, exported for FlexAttention: its predicate and score on all pairs of small shapes are those of the definition.

import test from 'ava';
import { exportFlex } from '../../compiler/export/index.js';
import {
  bindProblem,
  inputTensors,
  lowerSample,
  unequalLengths,
  type ProblemShape,
} from '../differential/problems.js';
import { LENGTHS, SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import { checkModules, noPython, type ModuleCase } from './python.js';

const why = noPython();
const withPython = why === null ? test : test.skip;

/** Square, with fewer queries than keys and lengths of their own, and more queries than keys where that makes sense. */
function shapesFor(sample: SampleCase, setting: SampleSetting): readonly ProblemShape[] {
  const heads = Math.max(2, sample.heads);
  if (setting.lengths !== LENGTHS) {
    const keys = setting.lengths.find((n) => n > 30 && n < 120) ?? setting.lengths[0];
    return [
      { batch: 1, heads, queries: keys, keys },
      { batch: 1, heads: 1, queries: Math.ceil(keys / 3), keys },
    ];
  }
  const crossed: ProblemShape[] = sample.moreQueries ? [{ batch: 1, heads: 1, queries: 50, keys: 20 }] : [];
  const pair = [11, 50] as const;
  const lengths = unequalLengths(sample, setting, pair);
  return [
    { batch: 1, heads, queries: 65, keys: 65 },
    { batch: 2, heads, queries: pair[0], keys: pair[1], ...(lengths ? { lengths } : {}) },
    ...crossed,
  ];
}

function casesOf(sample: SampleCase): readonly ModuleCase[] {
  return sample.settings.flatMap((setting) => {
    // Parameters are given to the module of the defaults, but for those that are fixed in it.
    const pattern = lowerSample(sample, setting.set);
    const fixed = Object.fromEntries(
      pattern.parameters
        .filter((p) => p.fixed && p.name in setting.set)
        .map((p) => [p.name, setting.set[p.name]]),
    );
    const { text, diagnostics } = exportFlex(lowerSample(sample, fixed));
    if (text === undefined) throw new Error(`${sample.pattern}: ${diagnostics.map((d) => d.message).join()}`);
    const parameters = Object.fromEntries(
      pattern.parameters.flatMap((p) =>
        p.fixed || typeof p.value !== 'number' ? [] : [[p.name, p.value] as const],
      ),
    );
    return shapesFor(sample, setting).map((shape): ModuleCase => {
      const tables = sample.tables(shape, 5, setting.set);
      const problem = bindProblem(pattern, shape, {
        inputs: inputTensors(pattern, tables),
        parameters,
        ...(shape.lengths ? { lengths: shape.lengths } : {}),
      });
      const sizes = `${shape.batch} × ${shape.heads} × ${shape.queries} × ${shape.keys}`;
      const name = `${sample.pattern} ${JSON.stringify(setting.set)} ${sizes}`;
      return { name, text, pattern, shape, tables, parameters, problem };
    });
  });
}

withPython(`all pairs of every sample are as defined${why === null ? '' : ` (${why})`}`, (t) => {
  t.timeout(300_000);
  const cases = SAMPLES.flatMap(casesOf);
  const names = new Set(cases.map((c) => c.pattern.name));
  t.is(names.size, SAMPLES.length);
  t.deepEqual(checkModules(cases), []);
  t.log(`${SAMPLES.length} samples, ${cases.length} cases`);
});
