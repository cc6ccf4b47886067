// The oracle: against sums written out here, rows found through bounds, its speed; and the comparison.

import test from 'ava';
import {
  add,
  int,
  lt,
  make,
  mul,
  select,
  sub,
  toFloat,
  variable,
  read,
  ZERO,
  ONE,
} from '../../compiler/ir/build.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import {
  compare,
  pickRows,
  reference,
  toleranceOf,
  type Reference,
  type RowIndex,
} from '../../runtime/reference/index.js';
import { tensor } from '../../runtime/tensor.js';
import { qkv } from './data.js';
import { handProgram, I, J, windowProgram } from './hand-program.js';

/** Σ m e^s v / (Σ m e^s + e^sink), naively: scores here are small. */
function naive(
  t: ReturnType<typeof qkv>,
  m: (i: number, j: number) => number,
  score: (dot: number, i: number, j: number) => number,
  sink?: number,
): { out: number[]; lse: number[] } {
  const [, heads, queries, dim] = t.q.shape;
  const keys = t.k.shape[2];
  const group = heads / t.k.shape[1];
  const out: number[] = [];
  const lse: number[] = [];
  for (let h = 0; h < heads; h++) {
    for (let row = 0; row < queries; row++) {
      const i = row + keys - queries;
      let sum = 0;
      const acc = new Array<number>(dim).fill(0);
      for (let j = 0; j < keys; j++) {
        const at = (Math.floor(h / group) * keys + j) * dim;
        let dot = 0;
        for (let d = 0; d < dim; d++) dot += t.q.data[(h * queries + row) * dim + d] * t.k.data[at + d];
        const w = m(i, j) && m(i, j) * Math.exp(score(dot, i, j));
        sum += w;
        for (let d = 0; d < dim; d++) acc[d] += w && w * t.v.data[at + d];
      }
      const total = sum + (sink === undefined ? 0 : Math.exp(sink));
      out.push(...acc.map((x) => (sum === 0 ? 0 : x / total)));
      lse.push(Math.log(sum));
    }
  }
  return { out, lse };
}

test('equal to the sums of the definition', (t) => {
  const tensors = qkv({ heads: 4, keyHeads: 2, queries: 17, keys: 29 });
  const got = reference(windowProgram().pattern, tensors);
  const want = naive(
    tensors,
    (i, j) => (j <= i && i - j < 8 ? 1 : 0),
    (dot) => dot / 4,
  );
  got.out.forEach((x, n) => t.true(Math.abs(x - want.out[n]) < 1e-13));
  got.lse.forEach((x, n) => t.true(Math.abs(x - want.lse[n]) < 1e-13));
});

test('multiplicities, a score, a sink, rows without an edge', (t) => {
  const base = handProgram().pattern;
  const origin = { file: '', start: 0, end: 0, text: '' };
  const rule = (
    label: string,
    when: Pattern['edges']['parts'][number] extends infer P
      ? P extends { when: infer W }
        ? W
        : never
      : never,
  ) => ({ kind: 'rule', label, when, origin }) as const;
  const dot = variable('dot', 'float');
  const pattern: Pattern = {
    ...base,
    inputs: [{ name: 'sinks', type: 'float', axes: [{ kind: 'heads' }], weighted: false, doc: undefined }],
    edges: {
      kind: 'edges',
      overlaps: 'add',
      restrict: lt(ZERO, I),
      parts: [rule('a', lt(J, int(5))), rule('b', lt(sub(I, J), int(3)))],
    },
    score: make('add', 'float', [
      make('mul', 'float', [dot, { op: 'const', type: 'float', value: 0.5 }]),
      toFloat(mul(select(lt(I, J), ONE, ZERO), int(2))),
    ]),
    mix: { kind: 'softmax', sink: read('table', 'float', 'sinks', [variable('head')]) },
  };
  const tensors = qkv({ queries: 12 });
  const got = reference(pattern, { ...tensors, inputs: { sinks: [0.25] } });
  const m = (i: number, j: number): number => (i > 0 ? Number(j < 5) + Number(i - j < 3) : 0);
  const want = naive(tensors, m, (x, i, j) => x / 2 + (i < j ? 2 : 0), 0.25);
  got.out.forEach((x, n) => t.true(Math.abs(x - want.out[n]) < 1e-12));
  got.lse.slice(1).forEach((x, n) => t.true(Math.abs(x - want.lse[n + 1]) < 1e-12));
  t.is(got.lse[0], -Infinity);
  t.deepEqual([...got.out.slice(0, 16)], new Array(16).fill(0));
  t.is(got.edges[7], 5 + 7);
  void add;
});

test('a sink far above all scores, and scores of ten thousand', (t) => {
  const base = handProgram().pattern;
  const pattern: Pattern = {
    ...base,
    mix: { kind: 'softmax', sink: { op: 'const', type: 'float', value: 2000 } },
  };
  const tensors = qkv({ queries: 3 });
  const plain = reference(base, tensors);
  const sunk = reference(pattern, tensors);
  sunk.lse.forEach((x, n) => t.true(Math.abs(x - plain.lse[n]) < 1e-12));
  t.true(sunk.out.every((x) => Math.abs(x) < 1e-300));

  const big = {
    ...tensors,
    q: tensor(
      'f32',
      tensors.q.shape,
      tensors.q.data.map((x) => x * 1e4),
    ),
  };
  const large = reference(base, big);
  t.true(large.out.every(Number.isFinite));
  t.true(large.maxScore.every((x) => x > 100));
});

test('rows found through bounds are the rows of the whole', (t) => {
  const tensors = qkv({ batch: 2, heads: 2, queries: 100, keys: 300 });
  const { pattern } = windowProgram();
  const rows: RowIndex[] = [0, 1, 57, 99].flatMap((row) =>
    [0, 1].map((n) => ({ batch: n, head: 1 - n, row })),
  );
  const all = reference(pattern, tensors);
  const some = reference(pattern, tensors, { rows });
  const want = pickRows(Float32Array.from(all.out), rows, { heads: 2, queries: 100, dim: 16 });
  t.deepEqual(Float32Array.from(some.out), want);
  t.deepEqual(reference(pattern, tensors, { rows, bounds: false }).lse, some.lse);
});

test('one row of a sequence of ten million tokens at once', (t) => {
  const length = 10_000_000;
  const k = tensor('f32', [1, 1, length, 8], new Float32Array(length * 8));
  const q = tensor('f32', [1, 1, 1, 8], new Float32Array(8).fill(1));
  k.data.fill(0.5, (length - 8) * 8);
  const start = performance.now();
  const row = reference(windowProgram().pattern, { q, k, v: k }, { rows: [{ batch: 0, head: 0, row: 0 }] });
  t.true(performance.now() - start < 1000);
  t.is(row.edges[0], 8);
  t.true(row.out.every((x) => Math.abs(x - 0.5) < 1e-12));
});

test('a thousand rows of a thousand keys in about a second', (t) => {
  const tensors = qkv({ queries: 1000, dim: 64 });
  const { pattern } = windowProgram({ dim: 64 });
  const start = performance.now();
  reference(pattern, { ...tensors, parameters: { window: 4096 } });
  const took = performance.now() - start;
  t.log(`${Math.round(took)} ms`);
  t.true(took < 5000);
});

test('what is not finite reaches the rows with an edge to it, and these are marked', (t) => {
  const tensors = qkv({ queries: 30 });
  const k = tensor('f32', tensors.k.shape, tensors.k.data.slice());
  const v = tensor('f32', tensors.v.shape, tensors.v.data.slice());
  k.data[10 * 16 + 3] = NaN;
  v.data[20 * 16 + 5] = Infinity;
  const { pattern } = windowProgram();
  const clean = reference(pattern, tensors);
  const dirty = reference(pattern, { ...tensors, k, v });
  for (let row = 0; row < 30; row++) {
    const touched = (row >= 10 && row < 18) || (row >= 20 && row < 28);
    t.is(dirty.tainted[row], touched ? 1 : 0, String(row));
    if (!touched)
      t.deepEqual(dirty.out.slice(row * 16, row * 16 + 16), clean.out.slice(row * 16, row * 16 + 16));
  }
  t.true(Number.isNaN(dirty.lse[10]));
  t.true(Number.isFinite(dirty.lse[20]));
  const lost = compare({ out: clean.out, lse: clean.lse }, dirty);
  t.false(lost.pass);
  t.deepEqual(lost.firstMisplaced, { what: 'out', row: 10 });
  const spread = compare({ out: dirty.out, lse: dirty.lse }, clean);
  t.false(spread.pass);
  t.true(compare({ out: dirty.out, lse: dirty.lse }, dirty).pass);
});

test('the comparison sees one wrong row, one wrong lse, an edge too many', (t) => {
  const tensors = qkv({ heads: 2, queries: 40 });
  const expected = reference(windowProgram().pattern, tensors);
  const exact = compare({ out: expected.out, lse: expected.lse }, expected);
  t.true(exact.pass);
  t.is(exact.whole.error, 0);
  t.is(exact.rows, 80);

  const out = expected.out.map((x, n) => (Math.floor(n / 16) === 50 ? x * 1.0001 : x));
  const wrong = compare({ out, lse: expected.lse }, expected);
  t.false(wrong.pass);
  t.is(wrong.worstRow.row, 50);
  t.true(Math.abs(wrong.worstRow.error - 1e-4) < 1e-9);
  t.true(compare({ out, lse: expected.lse }, expected, 'f16').pass);

  const lse = expected.lse.slice();
  lse[33] += 1e-3;
  t.is(compare({ out: expected.out, lse }, expected).lse?.row, 33);
  t.false(compare({ out: expected.out, lse }, expected).pass);

  const more = reference(windowProgram().pattern, { ...tensors, parameters: { window: 9 } });
  t.false(compare({ out: more.out, lse: more.lse }, expected).pass);
});

test('tolerances: the coarser of the types, the steps of f16, and what it can only make infinite', (t) => {
  t.deepEqual(toleranceOf({ input: 'f32', output: 'f32' }), { out: 1e-5, lse: 1e-5 });
  t.deepEqual(toleranceOf({ input: 'f32', output: 'f16' }), { out: 2e-3, lse: 1e-5 });
  t.deepEqual(toleranceOf({ input: 'f16', output: 'bf16' }), { out: 1e-2, lse: 1e-3 });
  t.deepEqual(toleranceOf({ input: 'bf16', output: 'f16' }), { out: 1e-2, lse: 1e-3 });

  const tensors = qkv({ queries: 1, dim: 4 });
  const expected = (v: readonly number[]): Reference =>
    reference(windowProgram({ dim: 4 }).pattern, {
      ...tensors,
      v: tensor('f32', [1, 1, 1, 4], Float32Array.from(v)),
    });
  const f16 = { input: 'f32', output: 'f16' } as const;
  // Half a step of 2^-24 is as near as f16 gets to small numbers; a whole one is wrong.
  const small = expected([2 ** -25, 2 ** -25, 2 ** -25, 2 ** -25]);
  t.true(compare({ out: [0, 0, 0, 0] }, small, f16).pass);
  t.false(compare({ out: [0, 0, 0, 0] }, small).pass);
  t.false(compare({ out: [2 ** -23, 0, 0, 0] }, small, f16).pass);
  const large = expected([1e5, 1, 65510, 65400]);
  t.true(compare({ out: [Infinity, 1, 65504, 65408] }, large, f16).pass);
  t.true(compare({ out: [Infinity, 1, Infinity, 65408] }, large, f16).pass);
  t.is(compare({ out: [Infinity, Infinity, 65504, 65408] }, large, f16).misplaced, 1);
  t.is(compare({ out: [Infinity, 1, 65504, 65408] }, large).misplaced, 1);
});

test('a row without an edge must be 0 and −∞', (t) => {
  const tensors = qkv({ queries: 3 });
  const none = reference(handProgram({ when: lt(J, ZERO) }).pattern, tensors);
  t.true(compare({ out: none.out, lse: none.lse }, none).pass);
  const small = none.out.slice();
  small[20] = 1e-4;
  t.false(compare({ out: small, lse: none.lse }, none).pass);
  t.false(compare({ out: none.out, lse: none.lse.slice().fill(-1e38) }, none).pass);
});
