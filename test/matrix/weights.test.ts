// The numbers of steady tilings, without a device: weights of f16 are good enough wherever they are let pass, and
// scores as they usually are, are let pass.

import test from 'ava';
import { LEAST, MARGIN, MOST } from '../../compiler/emit/matrix-steady.js';
import { fromNumbers, toFloat32 } from '../../runtime/tensor.js';
import { TOLERANCES } from '../../runtime/reference/index.js';
import { generator } from '../runtime/data.js';

const CHUNK = 16;

interface Row {
  /** In nats; the first are estimated from, whether they are edges or not. */
  readonly scores: Float64Array;
  readonly isEdge?: (j: number) => boolean;
}

interface Found {
  readonly passes: boolean;
  /** Of the results where all values are 1, or those of `values`, relative to the mean size of values. */
  readonly error: number;
}

function attend({ scores, isEdge = () => true }: Row, values: (j: number, rounded: number) => number): Found {
  const first = scores.subarray(0, CHUNK).reduce((a, b) => Math.max(a, b));
  const reference = first * Math.LOG2E + MARGIN;
  const weights = Float64Array.from(scores, (s, j) => (isEdge(j) ? 2 ** (s * Math.LOG2E - reference) : 0));
  const rounded = toFloat32(fromNumbers('f16', [weights.length], weights));
  let [total, edges, peak, error, size] = [0, 0, 0, 0, 0];
  for (let start = 0; start < weights.length; start += CHUNK) {
    let sum = 0;
    for (let j = start; j < Math.min(start + CHUNK, weights.length); j++) {
      sum += weights[j];
      edges += Number(isEdge(j));
      const value = values(j, rounded[j] - weights[j]);
      error += (rounded[j] - weights[j]) * value;
      size += weights[j] * Math.abs(value);
    }
    total += sum;
    peak = Math.max(peak, sum);
  }
  return { passes: !(peak >= MOST || total < LEAST * edges), error: size > 0 ? Math.abs(error) / size : 0 };
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

const scoresOf = (length: number, score: (j: number) => number): Float64Array =>
  Float64Array.from({ length }, (_, j) => score(j));

/** The worst values: of one size, and of the sign of what rounding did. */
const worst = (_: number, off: number): number => (off < 0 ? -1 : 1);

test('where weights are let pass, results are as good as f16 lets them be', (t) => {
  const random = generator(3);
  let [passed, most] = [0, 0];
  for (let n = 0; n < 3000; n++) {
    const length = 1 + Math.floor(random() * 400);
    // How the first scores stand to the others, how scattered those are, and how many are edges.
    const [apart, spread, share] = [(random() - 0.5) * 40, random() ** 2 * 12, random()];
    const masked = random() < 0.5;
    const scores = scoresOf(length, (j) => (j < CHUNK ? apart : 0) + spread * normal(random));
    const edges = scores.map(() => Number(random() < share));
    const isEdge = (j: number): boolean => (j >= CHUNK || !masked) && edges[j] !== 0;
    const { passes, error } = attend({ scores, isEdge }, worst);
    if (!passes) continue;
    passed++;
    most = Math.max(most, error);
  }
  t.log(`${passed} of 3000 rows, worst error ${most}`);
  t.true(passed > 500);
  t.true(most < 0.75 * TOLERANCES.f16.out);
});

test('all weights halfway between two numbers of f16, as small as is let pass', (t) => {
  let most = 0;
  for (let k = 1; k < 4096; k++) {
    // Of each key (k + 1/2) · 2^-24 times what the first keys, which are no edges, are estimated as.
    const score = Math.log((k + 0.4999) * 2 ** (MARGIN - 24));
    const row = { scores: scoresOf(80, (j) => (j < CHUNK ? 0 : score)), isEdge: (j: number) => j >= CHUNK };
    const { passes, error } = attend(row, worst);
    if (passes) most = Math.max(most, error);
  }
  t.log(`worst error ${most}`);
  t.true(most > 2 ** -12 && most < 0.75 * TOLERANCES.f16.out);
});

/** A workgroup is done again as soon as one of its rows is. */
const ROWS = 128;

for (const { spread, sink } of [
  { spread: 0.6, sink: 0 },
  { spread: 1, sink: 0 },
  { spread: 2, sink: 0 },
  { spread: 1, sink: 5 },
  { spread: 2, sink: 10 },
]) {
  for (const length of [100, 1000, 8192]) {
    test(`${length} scores of deviation ${spread}, the first one ${sink} above the others, are let pass`, (t) => {
      const random = generator(9);
      for (let row = 0; row < ROWS; row++) {
        const scores = scoresOf(length, (j) => spread * normal(random) + (j === 0 ? sink : 0));
        t.true(attend({ scores }, () => 1).passes);
      }
    });
  }
}
