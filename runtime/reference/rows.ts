import type { Pattern } from '../../compiler/ir/edges.js';
import { evaluator, type PairEvaluator } from '../../compiler/ir/evaluate.js';
import { rowRuns, type KeyRun } from '../../compiler/ir/plan.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { bindInputs } from '../bind-inputs.js';
import { bindShape } from '../bind-shape.js';
import type { Settings } from '../bindings.js';
import { checkBinding } from '../check-binding.js';
import { bytesPerElement, fromBytes, toFloat32 } from '../tensor.js';
import type { RowSource } from '../stream/rows.js';
import type { Reference, RowIndex } from './reference.js';
import type { SampleOptions } from './sample.js';
import { checkRow, dotProduct, scoreFunction, sinkFunction } from './scores.js';

/**
 * The oracle on sampled rows of sequences of any length: it finds a row's keys through bounds and reads these rows of
 * k and v only, a few thousand at a time.
 */

export interface StreamedTensors extends Settings {
  readonly q: RowSource;
  readonly k: RowSource;
  readonly v: RowSource;
}

export interface RowReferenceOptions extends Partial<SampleOptions> {
  /** Rows with more keys than this to look at (one for each rule that may hold it) are left out; 2^22 if not given. */
  readonly mostKeys?: number;
}

export interface RowReference extends Reference {
  /** The rows that were computed, in the order given. */
  readonly rows: readonly RowIndex[];
  /** Those of the rows given that have too many keys. */
  readonly skipped: readonly RowIndex[];
}

/** Keys of a row that are read at a time. */
const CHUNK = 4096;
const MOST_KEYS = 2 ** 22;

export async function rowReference(
  pattern: Pattern,
  given: StreamedTensors,
  rows: readonly RowIndex[],
  options: RowReferenceOptions = {},
): Promise<RowReference> {
  const { q, k, v } = given;
  const { mostKeys = MOST_KEYS, least = 0, patience = Infinity } = options;
  const binding = bindShape(pattern, { q: q.shape, k: k.shape, v: v.shape }, given);
  const { shape, valueDim } = binding;
  const inputs = bindInputs(pattern, binding, given.inputs).host;
  checkBinding(pattern, shape, inputs);
  rows.forEach((r) => checkRow(r, shape));
  const runs = rowRuns(pattern, shape, inputs);
  const multiplicity = evaluator(pattern, shape, inputs);
  const score = scoreFunction(pattern.score, shape, inputs);
  const sink = sinkFunction(pattern.mix.sink, shape, inputs);
  const group = shape.heads / shape.keyHeads;

  const done: Row[] = [];
  const computed: RowIndex[] = [];
  const skipped: RowIndex[] = [];
  const start = performance.now();
  for (const place of rows) {
    if (computed.length >= least && performance.now() - start > patience) break;
    options.step?.(computed.length);
    const { batch, head, row } = place;
    const i = row + baseOf(shape, batch);
    const found = runs(batch, head, i, mostKeys);
    if (found === undefined) {
      skipped.push(place);
      continue;
    }
    const keyHead = Math.floor(head / group);
    const query = await gatherRows(q, batch, head, Int32Array.of(row));
    const state = startRow(valueDim);
    multiplicity.row(batch, head, i);
    score.row(batch, head, i);
    for (const { keys, m } of edgesOf(found, multiplicity)) {
      const [kRows, vRows] = await Promise.all(
        [k, v].map((source) => gatherRows(source, batch, keyHead, keys)),
      );
      const scores = Float64Array.from(keys, (j, e) =>
        score.at(j, dotProduct(query, 0, kRows, e * shape.dim, shape.dim)),
      );
      absorb(state, m, scores, kRows, vRows);
    }
    done.push(finishRow(state, sink(batch, head, i)));
    computed.push(place);
  }
  return { ...joined(done, valueDim), rows: computed, skipped };
}

interface Edges {
  /** Ascending. */
  readonly keys: Int32Array;
  readonly m: Float64Array;
}

/** The row's edges, so many at a time. */
function* edgesOf(runs: readonly KeyRun[], multiplicity: PairEvaluator): Generator<Edges> {
  const keys = new Int32Array(CHUNK);
  const m = new Float64Array(CHUNK);
  let count = 0;
  for (const [lo, hi] of runs) {
    for (let j = lo; j < hi; j++) {
      const times = multiplicity.at(j);
      if (times <= 0) continue;
      keys[count] = j;
      m[count++] = times;
      if (count < CHUNK) continue;
      yield { keys: keys.slice(), m: m.slice() };
      count = 0;
    }
  }
  if (count > 0) yield { keys: keys.slice(0, count), m: m.slice(0, count) };
}

/** Sums over the edges so far, relative to e^top. */
interface RowState {
  readonly acc: Float64Array;
  top: number;
  sum: number;
  edges: number;
  maxScore: number;
  tainted: boolean;
}

type Row = Pick<RowState, 'edges' | 'maxScore' | 'tainted'> & {
  readonly out: Float64Array;
  readonly lse: number;
};

const startRow = (valueDim: number): RowState => ({
  acc: new Float64Array(valueDim),
  top: -Infinity,
  sum: 0,
  edges: 0,
  maxScore: 0,
  tainted: false,
});

function absorb(
  state: RowState,
  m: Float64Array,
  scores: Float64Array,
  k: Float32Array,
  v: Float32Array,
): void {
  const { acc } = state;
  const dim = acc.length;
  // A NaN among the scores is the largest.
  const top = scores.reduce((a, s) => (s > a || Number.isNaN(s) ? s : a), state.top);
  if (top !== state.top && state.top !== -Infinity) {
    const scale = Math.exp(state.top - top);
    state.sum *= scale;
    for (let d = 0; d < dim; d++) acc[d] *= scale;
  }
  state.top = top;
  for (let e = 0; e < m.length; e++) {
    const size = Math.abs(scores[e]);
    if (size > state.maxScore && size < Infinity) state.maxScore = size;
    state.edges += m[e];
    // Without any score above −∞ there is nothing to be relative to.
    const weight = scores[e] === -Infinity ? 0 : m[e] * Math.exp(scores[e] - top);
    state.sum += weight;
    for (let d = 0; d < dim; d++) acc[d] += weight * v[e * dim + d];
  }
  state.tainted ||= !k.every(Number.isFinite) || !v.every(Number.isFinite);
}

/** lse leaves the sink out; a row without edges, or with scores of −∞ only, is 0. */
function finishRow(state: RowState, sink: number | undefined): Row {
  const { acc, top, sum, edges, maxScore } = state;
  if (top === -Infinity) {
    return { out: new Float64Array(acc.length), lse: -Infinity, edges, maxScore, tainted: false };
  }
  const highest = sink === undefined ? top : Math.max(top, sink);
  const scale = Math.exp(top - highest);
  const total = sum * scale + (sink === undefined ? 0 : Math.exp(sink - highest));
  const out = acc.map((x) => (x * scale) / total);
  return { out, lse: Math.log(sum) + top, edges, maxScore, tainted: state.tainted };
}

function joined(rows: readonly Row[], valueDim: number): Omit<Reference, 'rows'> {
  const out = new Float64Array(rows.length * valueDim);
  rows.forEach((r, n) => out.set(r.out, n * valueDim));
  return {
    out,
    lse: Float64Array.from(rows, (r) => r.lse),
    maxScore: Float64Array.from(rows, (r) => r.maxScore),
    edges: Float64Array.from(rows, (r) => r.edges),
    tainted: Uint8Array.from(rows, (r) => (r.tainted ? 1 : 0)),
    valueDim,
  };
}

/** Bytes between two rows of a file that are rather read than left out. */
const GAP = 2 ** 14;
/** Reads under way. */
const AT_ONCE = 16;

/** Rows of a head one after another, as float32, which holds every value exactly. `wanted` rises. */
export async function gatherRows(
  source: RowSource,
  batch: number,
  head: number,
  wanted: Int32Array,
): Promise<Float32Array> {
  const dim = source.shape[3];
  const rowBytes = dim * bytesPerElement[source.dtype];
  const gap = source.identity.kind === 'file' ? Math.floor(GAP / rowBytes) : 0;
  const bytes = new Uint8Array(wanted.length * rowBytes);
  // Spans of rows that are read together, by their places in `wanted`.
  const spans: (readonly [from: number, to: number])[] = [];
  for (let from = 0; from < wanted.length;) {
    let to = from + 1;
    while (to < wanted.length && wanted[to] - wanted[to - 1] <= gap + 1) to++;
    spans.push([from, to]);
    from = to;
  }
  const read = async ([from, to]: readonly [number, number]): Promise<void> => {
    const lo = wanted[from];
    const hi = wanted[to - 1] + 1;
    if (hi - lo === to - from) {
      await source.read(batch, head, lo, hi, bytes.subarray(from * rowBytes, to * rowBytes));
      return;
    }
    const all = new Uint8Array((hi - lo) * rowBytes);
    await source.read(batch, head, lo, hi, all);
    for (let n = from; n < to; n++) {
      const at = (wanted[n] - lo) * rowBytes;
      bytes.set(all.subarray(at, at + rowBytes), n * rowBytes);
    }
  };
  for (let n = 0; n < spans.length; n += AT_ONCE) await Promise.all(spans.slice(n, n + AT_ONCE).map(read));
  return toFloat32(fromBytes(source.dtype, [wanted.length, dim], bytes));
}
