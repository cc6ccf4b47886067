// Patterns made by hand, one for each kind of kernel that can come out of them.

import {
  add,
  all,
  any,
  div,
  eq,
  float,
  int,
  le,
  lt,
  make,
  mod,
  mul,
  not,
  op,
  parameter,
  read,
  sub,
  toFloat,
  TRUE,
  variable,
  ZERO,
} from '../../compiler/ir/build.js';
import type { InputDeclaration, Pattern, Rule } from '../../compiler/ir/edges.js';
import type { Expr } from '../../compiler/ir/expr.js';
import type { Settings } from '../../runtime/index.js';
import { generator } from '../runtime/data.js';

export interface Case {
  readonly pattern: Pattern;
  /** Inputs and the like for a number of tokens and heads. */
  readonly settings?: (tokens: number, heads: number) => Settings;
  /** Only lengths that the pattern allows. */
  readonly tokens?: readonly number[];
}

const i = variable('i');
const j = variable('j');
const head = variable('head');
const apart = op('abs', 'int', sub(i, j));
const W = parameter('window', 'int');
const dot = variable('dot', 'float');
const scaled = op('mul', 'float', dot, variable('scale', 'float'));

function rule(label: string, when: Expr): Rule {
  return {
    kind: 'rule',
    label,
    when,
    origin: { file: 'hand.attn', start: 0, end: 0, text: `${label}: i -> j` },
  };
}

interface More {
  readonly overlaps?: 'merge' | 'add';
  readonly restrict?: Expr;
  readonly inputs?: readonly InputDeclaration[];
  readonly grid?: Pattern['grid'];
  readonly score?: Expr;
  readonly sink?: Expr;
  readonly align?: 'end' | 'start';
}

function pattern(name: string, rules: readonly Rule[], more: More = {}): Pattern {
  return {
    name,
    doc: undefined,
    parameters: [{ name: 'window', type: 'int', value: 10, range: undefined, fixed: false, doc: undefined }],
    inputs: more.inputs ?? [],
    grid: more.grid,
    align: more.align ?? 'end',
    edges: { kind: 'edges', overlaps: more.overlaps ?? 'merge', restrict: more.restrict, parts: rules },
    score: more.score,
    mix: { kind: 'softmax', sink: more.sink },
    checks: [],
  };
}

const input = (
  name: string,
  type: InputDeclaration['type'],
  axes: InputDeclaration['axes'],
  weighted = false,
): InputDeclaration => ({ name, type, axes, weighted, doc: undefined });

const block = (x: Expr): Expr => div(x, int(16));
const branch = (w: number, r: number): Rule =>
  rule(
    `branch_${w}`,
    all([
      eq(div(i, int(w)), div(j, int(w))),
      eq(mod(mod(i, int(w)), int(r)), mod(head, int(r))),
      eq(mod(mod(j, int(w)), int(r)), mod(head, int(r))),
    ]),
  );

const slopes = (heads: number): number[] => Array.from({ length: heads }, (_, h) => 0.25 / (h + 1));
const documents = (tokens: number): number[] =>
  Array.from({ length: tokens }, (_, n) => Math.floor(n / 23) % 5);

function graph(tokens: number): Settings {
  const next = generator(5);
  const rowPtr = [0];
  const colIdx: number[] = [];
  for (let row = 0; row < tokens; row++) {
    const count = row % 7 === 3 ? 0 : row === 5 ? Math.min(tokens, 70) : 3;
    const columns = new Set(
      Array.from({ length: count }, (_, n) => (row === 5 ? n : Math.floor(next() * tokens))),
    );
    colIdx.push(...[...columns].sort((a, b) => a - b));
    rowPtr.push(colIdx.length);
  }
  return {
    inputs: {
      'bonds.row_ptr': rowPtr,
      'bonds.col_idx': colIdx,
      'bonds.weight': Float32Array.from(colIdx, (c) => (c % 5) / 4),
    },
  };
}

const near = (axis: number): Expr =>
  le(op('abs', 'int', sub(variable(`i.${axis}`), variable(`j.${axis}`))), int(2));

const near3 = op('abs', 'int', sub(variable('i.3'), variable('j.3')));

export const CASES: readonly Case[] = [
  { pattern: pattern('dense', [rule('all', TRUE)]) },
  { pattern: pattern('causal', [rule('past', le(j, i))]) },
  { pattern: pattern('window', [rule('near', le(apart, W))]) },
  {
    pattern: pattern('longformer', [
      rule('local', le(apart, W)),
      rule('readers', lt(j, int(5))),
      rule('readees', lt(i, int(5))),
    ]),
  },
  { pattern: pattern('window or prefix', [rule('both', any([lt(j, int(70)), le(apart, int(3))]))]) },
  {
    pattern: pattern('dilated', [
      rule('near', all([le(apart, mul(W, int(4))), eq(mod(sub(i, j), int(4)), ZERO)])),
    ]),
  },
  {
    pattern: pattern('strided', [rule('own', any([eq(mod(sub(i, j), W), ZERO), lt(sub(i, j), W)]))], {
      restrict: le(j, i),
    }),
  },
  {
    pattern: pattern(
      'fixed',
      [rule('own', eq(div(i, W), div(j, W))), rule('last', le(sub(W, int(3)), mod(j, W)))],
      { restrict: le(j, i) },
    ),
  },
  { pattern: pattern('longnet', [branch(32, 1), branch(64, 2), branch(128, 4)], { overlaps: 'add' }) },
  { pattern: pattern('longnet of odd rates', [branch(32, 3), branch(64, 5)], { overlaps: 'add' }) },
  {
    pattern: pattern('butterfly', [
      rule('flips', le(op('popcount', 'int', op('bitxor', 'int', i, j)), int(1))),
    ]),
  },
  {
    pattern: pattern('bigbird', [
      rule('window', le(op('abs', 'int', sub(block(i), block(j))), int(1))),
      rule('globals', any([lt(block(i), int(1)), lt(block(j), int(1))])),
      rule(
        'random',
        make('sample', 'bool', [block(j), int(2), div(variable('keys'), int(16)), int(7), head, block(i)]),
      ),
    ]),
  },
  {
    pattern: pattern('selected keys', [
      rule('few', any([1, 50, 77].map((n) => eq(j, int(n))))),
      rule('near', le(apart, int(2))),
    ]),
  },
  { pattern: pattern('odd', [rule('odd', eq(mod(mul(i, j), int(7)), int(3)))]) },
  {
    pattern: pattern('neighbourhood', [rule('near', all([near(0), near(1)]))], {
      grid: [
        { name: 'y', size: undefined },
        { name: 'x', size: int(13) },
      ],
    }),
    tokens: [65, 143],
  },
  {
    pattern: pattern('four axes', [rule('near', all([near(0), near(1), near(2), lt(near3, int(2))]))], {
      grid: [
        { name: 'w', size: undefined },
        { name: 'z', size: int(5) },
        { name: 'y', size: int(3) },
        { name: 'x', size: int(4) },
      ],
    }),
    tokens: [180],
  },
  {
    pattern: pattern('one axis', [rule('near', near(0))], { grid: [{ name: 'x', size: undefined }] }),
    tokens: [150],
  },
  {
    // Two boxes that lie apart, keys in rows, and pairs that two of them have.
    pattern: pattern(
      'boxes',
      [
        rule('near', all([near(0), near(1)])),
        rule('far', all([eq(add(variable('i.0'), int(3)), variable('j.0')), le(int(2), variable('j.1'))])),
        rule('first', lt(j, int(5))),
      ],
      {
        grid: [
          { name: 'y', size: undefined },
          { name: 'x', size: int(13) },
        ],
      },
    ),
    tokens: [143, 65],
  },
  {
    // Planned by the host: only it knows where documents end.
    pattern: pattern(
      'boxes of documents',
      [rule('near', all([near(0), near(1), near(2)])), rule('own', eq(i, j))],
      {
        grid: [
          { name: 'z', size: undefined },
          { name: 'y', size: int(5) },
          { name: 'x', size: int(6) },
        ],
        inputs: [input('doc', 'int', [{ kind: 'keys' }])],
        restrict: eq(read('table', 'int', 'doc', [i]), read('table', 'int', 'doc', [j])),
      },
    ),
    settings: (tokens) => ({ inputs: { doc: documents(tokens) } }),
    tokens: [150],
  },
  {
    pattern: pattern('cube', [rule('near', all([near(0), near(1), near(2)]))], {
      grid: [
        { name: 'z', size: undefined },
        { name: 'y', size: int(5) },
        { name: 'x', size: int(6) },
      ],
    }),
    tokens: [150],
  },
  {
    pattern: pattern(
      'documents',
      [rule('same', eq(read('table', 'int', 'doc', [i]), read('table', 'int', 'doc', [j])))],
      { inputs: [input('doc', 'int', [{ kind: 'keys' }])], restrict: le(j, i) },
    ),
    settings: (tokens) => ({ inputs: { doc: documents(tokens) } }),
  },
  {
    pattern: pattern('flags', [rule('flagged', read('table', 'bool', 'flag', [head, j]))], {
      inputs: [input('flag', 'bool', [{ kind: 'heads' }, { kind: 'keys' }])],
    }),
    settings: (tokens, heads) => ({
      inputs: { flag: Uint8Array.from({ length: tokens * heads }, (_, n) => Number(n % 11 === 2)) },
    }),
  },
  {
    pattern: pattern('graph', [rule('bonds', read('edge', 'bool', 'bonds', [ZERO, ZERO, i, j]))], {
      inputs: [input('bonds', 'edges', [], true)],
      score: op('add', 'float', scaled, read('weight', 'float', 'bonds', [ZERO, ZERO, i, j])),
    }),
    settings: graph,
  },
  {
    // Tiles and a gather.
    pattern: pattern(
      'window and graph',
      [rule('near', le(apart, W)), rule('bonds', read('edge', 'bool', 'bonds', [ZERO, ZERO, i, j]))],
      { inputs: [input('bonds', 'edges', [], true)] },
    ),
    settings: graph,
  },
  {
    pattern: pattern('alibi', [rule('past', le(j, i))], {
      inputs: [input('slope', 'float', [{ kind: 'heads' }])],
      score: op(
        'sub',
        'float',
        scaled,
        op('mul', 'float', read('table', 'float', 'slope', [head]), toFloat(apart)),
      ),
    }),
    settings: (_, heads) => ({ inputs: { slope: slopes(heads) } }),
  },
  {
    pattern: pattern('softcap', [rule('all', TRUE)], {
      score: op('mul', 'float', float(2), op('tanh', 'float', op('fdiv', 'float', scaled, float(2)))),
    }),
  },
  {
    pattern: pattern('sink', [rule('near', all([le(apart, W), not(eq(i, int(3)))]))], {
      inputs: [input('sinks', 'float', [{ kind: 'heads' }])],
      sink: read('table', 'float', 'sinks', [head]),
    }),
    settings: (_, heads) => ({ inputs: { sinks: slopes(heads) } }),
  },
  {
    pattern: pattern('sink over passes', [branch(32, 1), branch(64, 2)], {
      overlaps: 'add',
      inputs: [input('sinks', 'float', [{ kind: 'heads' }])],
      sink: read('table', 'float', 'sinks', [head]),
    }),
    settings: (_, heads) => ({ inputs: { sinks: slopes(heads) } }),
  },
  { pattern: pattern('nothing', [rule('never', lt(j, ZERO))]) },
  { pattern: pattern('cross', [rule('all', le(j, mul(i, int(2))))], { align: 'start' }) },
];
