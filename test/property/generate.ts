import fc from 'fast-check';
import type { BoundGraph, BoundInputs, BoundTable } from '../../compiler/ir/inputs.js';

/** Random well-typed patterns as .attn texts, and inputs for them. */

export interface RandomPattern {
  readonly text: string;
  readonly heads: number;
  readonly batch: number;
  /** For each batch. */
  readonly queries: readonly number[];
  readonly keys: readonly number[];
  readonly grid: readonly number[];
  readonly seed: number;
}

const pick = <T>(...items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
const small = fc.integer({ min: 0, max: 9 }).map(String);
const divisor = pick('2', '3', '4', '5', '8', '16', 'p', 'w', '(head + 2)', '(keys div 9 + 1)');

interface Names {
  readonly grid: boolean;
}

/** An int expression; values stay small enough for 32 bits at the lengths tried. */
function intExpr(depth: number, names: Names): fc.Arbitrary<string> {
  const leaf = fc.oneof(
    { weight: 4, arbitrary: pick('i', 'j') },
    { weight: 2, arbitrary: small },
    { weight: 1, arbitrary: pick('head', 'w', 'p', 'keys', 'queries', 'batch') },
    { weight: names.grid ? 3 : 0, arbitrary: pick('i.y', 'i.x', 'j.y', 'j.x', 'x.size') },
  );
  if (depth === 0) return leaf;
  const e = intExpr(depth - 1, names);
  return fc.oneof(
    { weight: 3, arbitrary: leaf },
    { weight: 3, arbitrary: fc.constant('i - j') },
    { weight: 2, arbitrary: fc.tuple(e, pick('+', '-'), e).map(([a, o, b]) => `(${a} ${o} ${b})`) },
    { weight: 1, arbitrary: fc.tuple(e, pick('2', '3', '-1')).map(([a, c]) => `(${a}) * ${c}`) },
    { weight: 2, arbitrary: fc.tuple(e, pick('div', '%'), divisor).map(([a, o, c]) => `(${a}) ${o} ${c}`) },
    {
      weight: 1,
      arbitrary: fc.tuple(pick('i', 'j'), divisor, divisor).map(([a, c, d]) => `${a} % ${c} % ${d}`),
    },
    { weight: 2, arbitrary: e.map((a) => `abs(${a})`) },
    { weight: 1, arbitrary: fc.tuple(pick('min', 'max'), e, e).map(([f, a, b]) => `${f}(${a}, ${b})`) },
    { weight: 1, arbitrary: e.map((a) => `clamp(${a}, -3, 20)`) },
    {
      weight: 1,
      arbitrary: fc.tuple(pick('bitxor', 'bitand', 'bitor'), e, e).map(([f, a, b]) => `${f}(${a}, ${b})`),
    },
    { weight: 1, arbitrary: e.map((a) => `popcount(${a})`) },
    {
      weight: 1,
      arbitrary: fc.tuple(pick('shl', 'shr'), e, pick('1', '2')).map(([f, a, s]) => `${f}(${a}, ${s})`),
    },
    { weight: 1, arbitrary: fc.tuple(pick('t', 'u'), e).map(([t, a]) => `${t}[${a}]`) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(pick('i < j', 'g[j]', 'i % 2 == 0', 'j >= 20'), e, e)
        .map(([c, a, b]) => `if(${c}, ${a}, ${b})`),
    },
  );
}

function boolExpr(depth: number, names: Names): fc.Arbitrary<string> {
  const e = intExpr(depth === 0 ? 1 : 2, names);
  const compare = fc.tuple(e, pick('<', '<=', '>', '>=', '==', '!='), e).map(([a, o, b]) => `${a} ${o} ${b}`);
  const leaf = fc.oneof(
    { weight: 4, arbitrary: compare },
    {
      weight: 3,
      arbitrary: fc
        .tuple(small, pick('<', '<='), pick('w', '12', 'p'))
        .map(([a, o, b]) => `abs(i - j) - ${a} ${o} ${b}`),
    },
    { weight: 2, arbitrary: fc.tuple(divisor, small).map(([d, r]) => `(i - j) % ${d} == ${r}`) },
    {
      weight: 2,
      arbitrary: fc.tuple(pick('i', 'j'), divisor, small).map(([s, d, r]) => `${s} % ${d} == ${r}`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(pick('i', 'j'), divisor, small, pick('<', '>=', '<=', '>'))
        .map(([s, d, r, o]) => `${s} % ${d} ${o} ${r}`),
    },
    { weight: 2, arbitrary: divisor.map((d) => `i div ${d} == j div ${d}`) },
    {
      weight: 1,
      arbitrary: fc.tuple(small, e, pick('<', '<='), small).map(([a, b, o, c]) => `${a} <= ${b} ${o} ${c}`),
    },
    { weight: 1, arbitrary: e.map((a) => `${a} in [1, 3, 17, 40]`) },
    {
      weight: 1,
      arbitrary: pick('g[i]', 'g[j]', 'u[i] == u[j]', 't[i] == t[j]', 'g[i] == g[j]', 'g[i - 1]'),
    },
    { weight: 1, arbitrary: pick('net[i, j]', 'net[i div 4, j div 4]', 'net[j, i]', 'net[i, j + 1]') },
    {
      weight: 1,
      arbitrary: pick(
        'j div 8 in sample(2, keys div 8, 7, head, i div 8)',
        'j in sample(3, keys, 5, i)',
        'j in sample(6, keys, 1)',
      ),
    },
    { weight: 1, arbitrary: pick('popcount(bitxor(i, j)) <= 1', 'popcount(bitxor(i, j)) == 1') },
  );
  if (depth === 0) return leaf;
  const b = boolExpr(depth - 1, names);
  return fc.oneof(
    { weight: 3, arbitrary: leaf },
    { weight: 2, arbitrary: fc.tuple(b, pick('and', 'or'), b).map(([x, o, y]) => `(${x} ${o} ${y})`) },
    { weight: 1, arbitrary: b.map((x) => `not (${x})`) },
  );
}

function rule(names: Names): fc.Arbitrary<string> {
  const when = boolExpr(2, names);
  return fc.oneof(
    { weight: 5, arbitrary: when.map((c) => `i -> j when ${c}`) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(
          pick('0', 'i - 9', 'i - w', 'i div 2'),
          pick('..', '..<'),
          pick('i', 'i + 5', 'keys'),
          pick('', ' step 3', ' step p'),
        )
        .map(([a, o, b, s]) => `i -> j in ${a} ${o} ${b}${s}`),
    },
  );
}

export function randomPattern(): fc.Arbitrary<RandomPattern> {
  return fc.boolean().chain((grid) => {
    const names: Names = { grid };
    return fc
      .record({
        rules: fc.array(rule(names), { minLength: 1, maxLength: 3 }),
        restrict: fc.option(boolExpr(1, names), { freq: 3, nil: undefined }),
        add: fc.boolean(),
        inner: fc.option(fc.array(rule(names), { minLength: 1, maxLength: 2 }), { freq: 2, nil: undefined }),
        loop: fc.boolean(),
        keys: grid
          ? pick(1, 4, 7, 13).chain((y) => pick(3, 8, 11).map((x) => [y, x]))
          : pick(1, 2, 5, 31, 64, 65, 90, 129).map((n) => [n]),
        heads: pick(1, 2),
        batch: pick(1, 1, 2),
        fewer: pick(0, 0, 0, 3, 60),
        seed: fc.nat(1000),
      })
      .map(({ rules, restrict, add, inner, loop, keys, heads, batch, fewer, seed }): RandomPattern => {
        const length = keys.reduce((a, b) => a * b, 1);
        const lengths =
          grid || batch === 1
            ? Array.from({ length: batch }, () => length)
            : [length, Math.max(1, length - 9)];
        const lines = [
          ...(grid ? [`tokens (y: ?, x: ${keys[1]})`] : []),
          'input t: int[keys]',
          'input u: int[tokens]',
          'input g: bool[tokens]',
          'input net: edges',
          ...(add ? ['overlaps add'] : []),
          ...(restrict ? [`restrict ${restrict}`] : []),
          ...rules,
          ...(loop ? ['for n in 1 ..< 3 { i -> j when i - j == n * 5 }'] : []),
          ...(inner ? ['include inner()'] : []),
        ];
        const innerLines = inner
          ? [
              'pattern inner(w: int = 6, p: int in 1 .. 99 = 3) {',
              ...(grid ? [`  tokens (y: ?, x: ${keys[1]})`] : []),
              '  input t: int[keys]',
              '  input u: int[tokens]',
              '  input g: bool[tokens]',
              '  input net: edges',
              ...(add ? [] : ['  overlaps add']),
              ...inner.map((l) => `  ${l}`),
              '}',
              '',
            ]
          : [];
        const text = [
          ...innerLines,
          'pattern random(w: int in 1 .. 99 = 7, p: int in 1 .. 99 = 4) {',
          ...lines.map((l) => `  ${l}`),
          '}',
          '',
        ].join('\n');
        return {
          text,
          heads,
          batch,
          keys: lengths,
          queries: lengths.map((n) => (grid ? n : Math.max(1, n - fewer))),
          grid: grid ? keys : [],
          seed,
        };
      });
  });
}

/** Inputs for the names that random patterns read. */
export function randomInputs(p: RandomPattern): BoundInputs {
  const length = Math.max(...p.keys);
  let state = p.seed * 2654435761 + 12345;
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const ints = (make: (n: number) => number): BoundTable => ({
    kind: 'table',
    type: 'int',
    sizes: [length],
    data: Int32Array.from({ length }, (_, n) => make(n)),
  });
  const g: BoundTable = {
    kind: 'table',
    type: 'bool',
    sizes: [length],
    data: Uint8Array.from({ length }, () => (next(8) === 0 ? 1 : 0)),
  };
  // Of two graphs in three the nodes of a community, wherever it begins, are linked to (nearly) all of another.
  const [from, to, size] = [next(length), next(length), next(3) * 40];
  const isIn = (n: number, first: number): boolean => n >= first && n < first + size;
  const rows = Array.from({ length }, (_, a) => {
    const own = Array.from({ length: next(5) }, () => next(length));
    const full = next(4) > 0 ? 8 : 7;
    for (let b = 0; isIn(a, from) && b < length; b++) if (isIn(b, to) && next(8) < full) own.push(b);
    return [...new Set(own)].sort((x, y) => x - y);
  });
  const rowPtr = new Int32Array(length + 1);
  rows.forEach((r, a) => {
    rowPtr[a + 1] = rowPtr[a] + r.length;
  });
  const net: BoundGraph = {
    kind: 'graph',
    rows: length,
    cols: length,
    batches: 1,
    heads: 1,
    rowPtr,
    colIdx: Int32Array.from(rows.flat()),
    weight: undefined,
  };
  return new Map<string, BoundTable | BoundGraph>([
    ['t', ints(() => next(length))],
    ['u', ints((n) => Math.floor(n / 11))],
    ['g', g],
    ['net', net],
  ]);
}
