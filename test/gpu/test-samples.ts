// Every sample on a device: results against the float64 oracle, the edges found by a probe, and what is not finite.

import type { ExecutionContext, TestFn } from 'ava';
import type { StorageType } from '../../compiler/ir/program.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import { run, type ChooseOptions, type HostTensors, type RunResult } from '../../runtime/index.js';
import { choose } from '../../runtime/prepare.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { compare, reference } from '../../runtime/reference/index.js';
import {
  bindProblem,
  fitsShape,
  settingsFor,
  sizesFor,
  unequalLengths,
  type ProblemShape,
} from '../differential/problems.js';
import { firstDifference, trueMultiplicity } from '../differential/schedule-edges.js';
import { FULL } from '../differential/settings.js';
import { HEAD_PAIRS, LENGTHS, pairwise, SAMPLES } from '../shapes.js';
import { checkNotFinite } from './not-finite.js';
import { neutralInputs, probesOf } from './probe.js';
import { compileSample, type CompiledSample } from './samples.js';
import { DATA_KINDS, makeTensors, storedAs } from './tensors.js';

/** Programs of a sample with fixed parameters; each has kernels of its own to compile. */
const MOST_PROGRAMS = FULL ? Infinity : 1;

/** Work past which a shape is left to CI: pairs times both head sizes. */
const MOST_WORK = FULL ? Infinity : 1.5e7;

/** What a sample is tested with. */
export interface Manner {
  /** Of q, k and v. */
  readonly dtype: StorageType;
  /** The ways to run a program at a shape, of the schedules that fit it. */
  readonly waysFor: (compiled: CompiledSample, fits: (s: Schedule) => boolean) => readonly ChooseOptions[];
  /** The runs that are compared with the oracle. */
  readonly pointsFor: (compiled: CompiledSample) => readonly Point[];
}

type Run = (tensors: HostTensors, options: ChooseOptions) => Promise<RunResult>;

/**
 * The ways to run a program at a shape: every schedule that fits, and with its keys divided among workgroups. Kernels
 * are slow to compile on a CPU, so `npm test` divides keys in one schedule of each sample only.
 */
function waysFor(compiled: CompiledSample, fits: (s: Schedule) => boolean): readonly ChooseOptions[] {
  const { schedules, variants } = compiled.program;
  const divided = SAMPLES.indexOf(compiled.sample) % schedules.length;
  return schedules.flatMap((s, schedule) => {
    if (!fits(s)) return [];
    const divides = variants[schedule].kernels.some((k) => k.role === 'decode');
    const decodes = divides && (FULL || schedule === divided) ? [false, true] : [false];
    return decodes.map((decode) => ({ schedule, decode }));
  });
}

export interface Point {
  /** Numbers of the sample's setting, and of a size among those of the setting. */
  readonly setting: number;
  readonly size: number;
  readonly heads: (typeof HEAD_PAIRS)[number];
  readonly batch: 'one' | 'two' | 'uneven';
  readonly kind: (typeof DATA_KINDS)[number];
  readonly way: number | 'all';
}

/** A cover of shapes for a sample, one way to run after the other. */
function pointsFor(compiled: CompiledSample): readonly Point[] {
  const { sample, settings } = compiled;
  const [first] = settings;
  const axes = {
    setting: settings.map((_, n) => n),
    size: sizesFor(sample, first.setting).map((_, n) => n),
    heads: HEAD_PAIRS,
    batch: ['one', 'two', 'uneven'] as const,
    kind: DATA_KINDS,
    way: [0, 1, 2, 3],
  };
  const rows = pairwise(axes);
  // A share of the cover for each sample: together they meet every size, pair of heads and kind of numbers often.
  return FULL
    ? rows
    : rows.filter((_, n) => (n + 3 * SAMPLES.indexOf(sample)) % Math.ceil(rows.length / 4) === 0);
}

async function againstOracle(
  t: { readonly fail: (message: string) => void },
  compiled: CompiledSample,
  { dtype, waysFor, pointsFor }: Manner,
  go: Run,
): Promise<number> {
  const { sample, settings, dim, valueDim } = compiled;
  let runs = 0;
  for (const [n, point] of pointsFor(compiled).entries()) {
    const { setting, pattern, parameters } = settings[point.setting % settings.length];
    const sizes = sizesFor(sample, setting);
    const [queries, keys] = sizes[point.size % sizes.length];
    const [heads, keyHeads] = point.heads;
    const batch = point.batch === 'one' ? 1 : 2;
    const wanted: ProblemShape = { batch, heads, keyHeads, queries, keys };
    const work = batch * heads * queries * keys * (dim + valueDim);
    const fitted = work > MOST_WORK ? { ...wanted, batch: 1, heads: 1, keyHeads: 1 } : wanted;
    const lengths =
      point.batch === 'uneven' && fitted.batch === 2
        ? { lengths: unequalLengths(sample, setting, [queries, keys]) as ProblemShape['lengths'] }
        : {};
    const shape: ProblemShape = { ...fitted, ...lengths } as ProblemShape;
    const given = settingsFor(sample, pattern, setting.set, shape, n);
    const { shape: bound } = bindProblem(pattern, shape, given, dim);
    const made = { ...makeTensors(shape, dim, valueDim, point.kind, n), ...given, parameters };
    const tensors = storedAs(dtype, made);
    const ways = waysFor(compiled, (s) => fitsShape(s, bound));
    const expected = reference(pattern, tensors);
    for (const way of point.way === 'all' ? ways : [ways[point.way % ways.length]]) {
      const result = await go(tensors, way);
      runs++;
      const c = compare({ out: result.out.data, lse: result.lse.data }, expected, dtype);
      if (!c.pass) t.fail(`${JSON.stringify([setting.set, shape, point.kind, way])}: ${JSON.stringify(c)}`);
    }
  }
  return runs;
}

/** One shape for probes: ragged, batches of two lengths, two query heads on a key head. */
function probeShape({ sample, settings }: CompiledSample, n: number): ProblemShape {
  const { setting } = settings[n];
  const heads = Math.max(2, sample.heads);
  const ragged = setting.lengths !== LENGTHS;
  const lengths = setting.lengths.filter((l) => l <= 230);
  const keys = ragged ? lengths[lengths.length - 1] : 100;
  const queries = ragged ? keys : 70;
  const uneven = unequalLengths(sample, setting, [queries, keys]);
  const shape = { batch: 2, heads, keyHeads: heads / 2, queries, keys };
  return ragged || uneven === undefined ? shape : { ...shape, lengths: uneven };
}

async function findEdges(
  t: { readonly fail: (message: string) => void },
  compiled: CompiledSample,
  { waysFor }: Manner,
  go: Run,
): Promise<number> {
  const { sample, settings, dim, valueDim } = compiled;
  let pairs = 0;
  for (const [n, { setting, pattern, parameters }] of settings.entries()) {
    const shape = probeShape(compiled, n);
    const inputs = neutralInputs(pattern, sample.tables(shape, n + 5, setting.set));
    const given = shape.lengths ? { inputs, lengths: shape.lengths } : { inputs };
    const problem = bindProblem(pattern, shape, given, dim);
    const truth = trueMultiplicity(pattern, problem.shape, problem.inputs);
    const ways = waysFor(compiled, (s) => fitsShape(s, problem.shape));
    for (const way of FULL || n === 0 ? ways : [ways[n % ways.length]]) {
      const found = truth.map((matrix) => new Uint16Array(matrix.length));
      for (const { tensors, read } of probesOf(shape, dim, valueDim, { ...given, parameters })) {
        read(await go(tensors, way), found);
      }
      const wrong = firstDifference(found, truth, problem.shape);
      if (wrong !== undefined) t.fail(`${JSON.stringify([setting.set, shape, way])}: ${wrong}`);
      for (const matrix of truth) pairs += matrix.length;
    }
  }
  return pairs;
}

/** Everything that is tested of a sample. */
export async function checkSample(
  t: ExecutionContext,
  device: GPUDevice,
  compiled: CompiledSample,
  manner: Manner,
): Promise<void> {
  const start = performance.now();
  const prepared = choose(device, compiled.program);
  const go: Run = (tensors, options) => run(device, prepared, storedAs(manner.dtype, tensors), options);
  const runs = await againstOracle(t, compiled, manner, go);
  const pairs = await findEdges(t, compiled, manner, go);
  const poisoned = await checkNotFinite(t, compiled, go, manner.waysFor, probeShape(compiled, 0));
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  t.log(
    `head sizes ${compiled.dim} and ${compiled.valueDim}: ${runs} runs against the oracle, ${pairs} pairs probed, ` +
      `${poisoned} rows with what is not finite; ${prepared.pipelines.size} kernels, ${seconds} s`,
  );
  t.true(runs > 0 && pairs > 0 && poisoned > 0);
}

/** Tests of every other sample: files a and b share them, so that two processes do. */
export function testSamples(test: TestFn, part: 0 | 1): void {
  let opened: OpenedDevice;
  test.before(async () => {
    opened = await openDevice({ limits: 'offered' });
  });
  test.after.always(() => opened?.close());

  for (const sample of SAMPLES.filter((_, n) => n % 2 === part)) {
    test.serial(`${sample.pattern} on a device`, async (t) => {
      for (const compiled of compileSample(sample, MOST_PROGRAMS)) {
        await checkSample(t, opened.device, compiled, { dtype: 'f32', waysFor, pointsFor });
      }
    });
  }
}
