// Every sample, exported for FlexAttention: its predicate and score on all pairs of small shapes are those of the definition.

import test from 'ava';
import { exportFlex } from '../../compiler/export/index.js';
import { reference } from '../../runtime/reference/index.js';
import { tensor } from '../../runtime/tensor.js';
import { inputTensors, lowerSample, unequalLengths, type ProblemShape } from '../differential/problems.js';
import { floats } from '../sample-tables.js';
import { LENGTHS, SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import { allPairs, checkModules, defaultsOf, noPython, type ModuleCase } from './python.js';

const why = noPython();
const withPython = why === null ? test : test.skip;
const note = why === null ? '' : ` (${why})`;

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

/** The module for a setting. Dynamic parameters keep their defaults in it: they are given to its functions. */
function moduleOf(sample: SampleCase, set: SampleSetting['set']): string {
  const fixed = lowerSample(sample, set).parameters.filter((p) => p.fixed && p.name in set);
  const { text } = exportFlex(
    lowerSample(sample, Object.fromEntries(fixed.map((p) => [p.name, set[p.name]]))),
  );
  if (text === undefined) throw new Error(`${sample.pattern} can't be exported`);
  return text;
}

function casesOf(sample: SampleCase): readonly ModuleCase[] {
  return sample.settings.flatMap((setting) => {
    const pattern = lowerSample(sample, setting.set);
    const module = moduleOf(sample, setting.set);
    return shapesFor(sample, setting).map((shape) => {
      const sizes = `${shape.batch} × ${shape.heads} × ${shape.queries} × ${shape.keys}`;
      const name = `${sample.pattern} ${JSON.stringify(setting.set)} ${sizes}`;
      const tables = sample.tables(shape, 5, setting.set);
      return allPairs({ name, module, pattern, shape, tables, parameters: defaultsOf(pattern) });
    });
  });
}

withPython(`all pairs of every sample are as defined${note}`, (t) => {
  t.timeout(300_000);
  const cases = SAMPLES.flatMap(casesOf);
  t.deepEqual(checkModules(cases), []);
  t.log(`${SAMPLES.length} samples, ${cases.length} cases`);
  t.true(cases.length >= 3 * SAMPLES.length);
});

/** Small shapes for attention() as a whole: grouped heads, fewer queries, lengths of their own. */
const SHAPES: readonly ProblemShape[] = [
  { batch: 1, heads: 4, keyHeads: 2, queries: 14, keys: 14 },
  { batch: 2, heads: 2, queries: 5, keys: 17, lengths: { queries: [5, 3], keys: [17, 9] } },
];
const WHOLE = ['dense', 'causal', 'longnet', 'alibi_softcap', 'graph_weighted', 'sink', 'relative_bias'];

withPython(`attention() gives out and lse of the oracle${note}`, (t) => {
  const cases = SAMPLES.filter((s) => WHOLE.includes(s.pattern)).flatMap((sample) =>
    SHAPES.map((shape) => attentionCase(sample, shape)),
  );
  t.is(cases.length, WHOLE.length * SHAPES.length);
  t.deepEqual(checkModules(cases), []);
});

function attentionCase(sample: SampleCase, shape: ProblemShape): ModuleCase {
  const { batch, heads, keyHeads = heads, queries, keys } = shape;
  const { set } = sample.settings[0];
  const pattern = lowerSample(sample, set);
  const tables = sample.tables(shape, 3, set);
  const [q, k, v] = [
    floats([batch, heads, queries, 16], 2, 1),
    floats([batch, keyHeads, keys, 16], 2, 2),
    floats([batch, keyHeads, keys, 8], 2, 3),
  ];
  const [tq, tk, tv] = [q, k, v].map((x) => tensor('f32', x.shape, Float32Array.from(x.data)));
  const { out, lse } = reference(pattern, {
    q: tq,
    k: tk,
    v: tv,
    inputs: inputTensors(pattern, tables),
    ...(shape.lengths ? { lengths: shape.lengths } : {}),
  });
  // An input whose name a function of the module has is given with a `_` after it.
  const inputs = Object.fromEntries(
    Object.entries(tables).map(([name, x]) => [name === 'table' ? 'table_' : name, x]),
  );
  const asked = {
    ...{ q, k, v, inputs, lengths: shape.lengths ?? null },
    out: [...out],
    lse: [...lse].map((x) => (Number.isFinite(x) ? x : null)),
  };
  const { text } = exportFlex(pattern);
  return { name: `${sample.pattern}, ${queries} × ${keys}`, text: text ?? '', asked };
}
