import type { Pattern } from '../../compiler/ir/edges.js';
import { evaluator } from '../../compiler/ir/evaluate.js';
import { rowFinder } from '../../compiler/ir/plan.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { bindInputs } from '../bind-inputs.js';
import { bindShape } from '../bind-shape.js';
import { checkBinding } from '../check-binding.js';
import type { HostTensors } from '../bindings.js';
import { toFloat32 } from '../tensor.js';
import { checkRow, dotProduct, scoreFunction, sinkFunction } from './scores.js';

/**
 * The oracle: the definition of docs/language.md in float64, pair by pair. Conditions are float32 as specified,
 * scores and sums double.
 */

export interface RowIndex {
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

export interface ReferenceOptions {
  /** Only these rows; all if not given. */
  readonly rows?: readonly RowIndex[] | undefined;
  /** Find a row's keys through the analysis of bounds instead of trying all. By default with `rows` only. */
  readonly bounds?: boolean;
}

export interface Reference {
  /** Of each row: valueDim values. All rows: [batch, heads, queries, valueDim]. */
  readonly out: Float64Array;
  readonly lse: Float64Array;
  readonly valueDim: number;
  /** The largest |score| of the row's edges: float32 loses precision with it. */
  readonly maxScore: Float64Array;
  /** 1 where the row has an edge to a k or v row that isn't finite: all its values may then be non-finite. */
  readonly tainted: Uint8Array;
  /** Σm of each row. */
  readonly edges: Float64Array;
  /** The rows computed, in the order of `out`; undefined if all. */
  readonly rows: readonly RowIndex[] | undefined;
}

export function reference(pattern: Pattern, given: HostTensors, options: ReferenceOptions = {}): Reference {
  const shapes = { q: given.q.shape, k: given.k.shape, v: given.v.shape };
  const binding = bindShape(pattern, shapes, given);
  const { shape, queries, keys, valueDim } = binding;
  const inputs = bindInputs(pattern, binding, given.inputs).host;
  checkBinding(pattern, shape, inputs);
  const rows = options.rows;
  rows?.forEach((r) => checkRow(r, shape));
  const count = rows ? rows.length : shape.batch * shape.heads * queries;
  const result: Reference = {
    out: new Float64Array(count * valueDim),
    lse: new Float64Array(count).fill(-Infinity),
    maxScore: new Float64Array(count),
    tainted: new Uint8Array(count),
    edges: new Float64Array(count),
    valueDim,
    rows,
  };
  // float32 holds every element of f16 and bf16 exactly; products and sums are double.
  const q = toFloat32(given.q);
  const k = toFloat32(given.k);
  const v = toFloat32(given.v);
  const finite = finiteRows(
    [
      { data: k, dim: shape.dim },
      { data: v, dim: valueDim },
    ],
    shape.batch * shape.keyHeads * keys,
  );
  const group = shape.heads / shape.keyHeads;
  const multiplicity = evaluator(pattern, shape, inputs);
  const score = scoreFunction(pattern.score, shape, inputs);
  const sink = sinkFunction(pattern.mix.sink, shape, inputs);
  const finder = (options.bounds ?? rows !== undefined) ? rowFinder(pattern, shape, inputs) : undefined;
  const all = Int32Array.from({ length: finder ? 0 : keys }, (_, j) => j);
  const found = { keys: new Int32Array(64), m: new Float64Array(64), s: new Float64Array(64) };

  for (let n = 0; n < count; n++) {
    const { batch, head, row } = rows
      ? rows[n]
      : {
          batch: Math.floor(n / queries / shape.heads),
          head: Math.floor(n / queries) % shape.heads,
          row: n % queries,
        };
    if (row >= shape.queries[batch]) continue;
    const i = row + baseOf(shape, batch);
    const keyRows = (batch * shape.keyHeads + Math.floor(head / group)) * keys;
    const qAt = ((batch * shape.heads + head) * queries + row) * shape.dim;
    const candidates = finder ? finder(batch, head, i) : all.subarray(0, shape.keys[batch]);

    multiplicity.row(batch, head, i);
    score.row(batch, head, i);
    let edges = 0;
    let most = -Infinity;
    for (let c = 0; c < candidates.length; c++) {
      const j = candidates[c];
      const m = multiplicity.at(j);
      if (m <= 0) continue;
      const dot = dotProduct(q, qAt, k, (keyRows + j) * shape.dim, shape.dim);
      const s = score.at(j, dot);
      if (edges === found.keys.length) grow(found);
      found.keys[edges] = j;
      found.m[edges] = m;
      found.s[edges++] = s;
      result.edges[n] += m;
      if (s > most || Number.isNaN(s)) most = s;
      const size = Math.abs(s);
      if (size > result.maxScore[n] && size < Infinity) result.maxScore[n] = size;
    }
    // Scores that are all −∞ (additive masks) leave no edge.
    if (edges === 0 || most === -Infinity) continue;
    mixRow(result, n, found, edges, most, v, keyRows, sink(batch, head, i));
    for (let e = 0; e < edges && !result.tainted[n]; e++) {
      if (!finite(keyRows + found.keys[e])) result.tainted[n] = 1;
    }
  }
  return result;
}

/** out = Σ m·e^(s − most)·v / (Σ m·e^(s − most) + e^(sink − most)); lse leaves the sink out. */
function mixRow(
  result: Reference,
  n: number,
  found: { readonly keys: Int32Array; readonly m: Float64Array; readonly s: Float64Array },
  edges: number,
  most: number,
  v: Float32Array,
  keyRows: number,
  sink: number | undefined,
): void {
  const dim = result.valueDim;
  const top = sink === undefined ? most : Math.max(most, sink);
  const out = result.out.subarray(n * dim, (n + 1) * dim);
  let sum = 0;
  for (let e = 0; e < edges; e++) {
    const weight = found.m[e] * Math.exp(found.s[e] - top);
    sum += weight;
    addScaled(out, weight, v, (keyRows + found.keys[e]) * dim);
  }
  result.lse[n] = Math.log(sum) + top;
  if (sink !== undefined && sum < 1e-200) {
    // The sink hides all scores: sum them again relative to the largest.
    let rest = 0;
    for (let e = 0; e < edges; e++) rest += found.m[e] * Math.exp(found.s[e] - most);
    result.lse[n] = Math.log(rest) + most;
  }
  const total = sink === undefined ? sum : sum + Math.exp(sink - top);
  for (let d = 0; d < dim; d++) out[d] /= total;
}

function addScaled(into: Float64Array, weight: number, v: Float32Array, at: number): void {
  for (let d = 0; d < into.length; d++) into[d] += weight * v[at + d];
}

/** Is a row finite in all the tensors? Looks at each row once. */
function finiteRows(
  tensors: readonly { readonly data: Float32Array; readonly dim: number }[],
  rows: number,
): (row: number) => boolean {
  const known = new Uint8Array(rows);
  const look = (row: number): 1 | 2 => {
    // x − x is 0 for finite x, else NaN.
    let sum = 0;
    for (const { data, dim } of tensors) {
      for (let at = row * dim; at < (row + 1) * dim; at++) sum += data[at] - data[at];
    }
    return sum === 0 ? 1 : 2;
  };
  return (row: number): boolean => (known[row] ||= look(row)) === 1;
}

function grow(found: { keys: Int32Array; m: Float64Array; s: Float64Array }): void {
  const keys = new Int32Array(found.keys.length * 2);
  const m = new Float64Array(keys.length);
  const s = new Float64Array(keys.length);
  keys.set(found.keys);
  m.set(found.m);
  s.set(found.s);
  Object.assign(found, { keys, m, s });
}
