// Each operator as an exported module has it, with negative numbers and at the ends of 32 bits, on tensors and on numbers.

import test from 'ava';
import { compileTape } from '../../compiler/ir/tape.js';
import { setShape, setSide } from '../../compiler/ir/shape.js';
import { bindProblem, inputTensors, type ProblemShape } from '../differential/problems.js';
import type { Tables } from '../shapes.js';
import { allPairs, checkModules, defaultsOf, exported, noPython, type ModuleCase } from './python.js';

const why = noPython();
const withPython = why === null ? test : test.skip;
const note = why === null ? '' : ` (${why})`;

/** Ints that binding accepts for sums and products. */
const SMALL = [-1000, -65, -64, -17, -9, -8, -7, -2, -1, 0, 1, 2, 7, 8, 9, 31, 32, 33, 64, 999];
/** Ints at the ends of 32 bits. */
const WIDE = [
  ...[-(2 ** 31), 1 - 2 ** 31, -(2 ** 30), -65537, -65536, -256, -33, -2, -1, 0, 1, 2, 5, 31, 32],
  ...[255, 65535, 2 ** 24 + 1, 2 ** 30, 2 ** 31 - 1],
];
const FLOATS = [
  ...[-100, -88.5, -2, -1.5, -1, -0.5, -0.1, -1e-3, 0, 1e-6, 1e-3, 0.1, 0.25, 0.5, 1, 1.5, 2, 3.7, 10, 87],
];
const COUNT = 20;

/** An expression of a (by query) and b (by key), of the parameters p and f, of keys; what a and b hold. */
interface Operator {
  readonly expr: string;
  readonly over: 'small' | 'wide' | 'floats';
  /** Its type; int unless said. */
  readonly type?: 'float' | 'bool';
}

const small = (...exprs: string[]): Operator[] => exprs.map((expr) => ({ expr, over: 'small' }));
const wide = (...exprs: string[]): Operator[] => exprs.map((expr) => ({ expr, over: 'wide' }));
const bools = (...exprs: string[]): Operator[] =>
  exprs.map((expr) => ({ expr, over: 'small', type: 'bool' }));
const floats = (...exprs: string[]): Operator[] =>
  exprs.map((expr) => ({ expr, over: 'floats', type: 'float' }));

const OPERATORS: readonly Operator[] = [
  ...small('a + b', 'a - b', 'a * b', '-a', '3 - b', 'p - b', 'a * -7', 'a - b - (a + b)'),
  ...small('abs(a)', 'abs(a - b)', 'min(a, b)', 'max(a, b)', 'min(a, 3)', 'max(-5, b)', 'min(max(a, -9), 8)'),
  ...small('clamp(a, -p, p)', 'clamp(a, b, 3)', 'min(a, keys)', 'max(a, keys - 15)', 'clamp(a, 9, -9)'),
  ...small('a div 8', 'a div 7', 'a % 8', 'a % 7', 'a div p', 'a % p', '-17 div (abs(b) + 1)'),
  ...small('100 % (abs(b) + 1)', 'a div (abs(b) + 1)', 'a % (abs(b) + 1)', 'a % keys', 'a div (keys div 6)'),
  ...small('if(a < b, a, b)', 'if(g, a, b)', 'if(keys > 10, a, b)', 'if(a == b, 1, 0)', 'if(a < 0, p, 2)'),
  ...small('(a + b) * (a + b) + (a - b) * (a - b)', 'a % 9 % 4', 'floor(to(a) / 3.0)', 'ceil(to(a) / 3.0)'),
  ...wide('bitand(a, b)', 'bitor(a, b)', 'bitxor(a, b)', 'bitand(a, 255)', 'bitxor(-1, b)', 'popcount(a)'),
  ...wide(
    'popcount(bitxor(a, b))',
    'shr(a, 0)',
    'shr(a, 31)',
    'shr(a, 3)',
    'shr(a, p)',
    'shr(a, min(b, 40))',
  ),
  ...wide('shl(1, b)', 'shl(a, 4)', 'shl(a, 31)', 'shl(a, 32)', 'shl(a, -1)', 'shl(a, p)', 'shl(-1, b)'),
  ...wide('a div 65536', 'a % 65536', 'a % 3', 'a div 2147483647', 'min(a, b)', 'max(a, b)'),
  ...wide(
    'popcount(p)',
    'shl(p, 3)',
    'shr(-p, 1)',
    'bitand(p, 6)',
    'popcount(-p)',
    'shl(p, 40)',
    'popcount(keys)',
  ),
  ...wide('if(a <= b, a, b)', 'shl(3, keys)', 'shr(a, keys div 3)'),
  ...bools('a < b', 'a <= b', 'a == b', 'a != b', 'a > b', 'a >= b', '-5 <= a < b', 'a in [1, 7, -9]'),
  ...bools(
    'not (a < b)',
    '(a < 0) == (b < 0)',
    '(a < 0) != (b < 0)',
    'a < 0 and b < 0 or a == b',
    'g and a < b',
  ),
  ...bools('not g or a < b', '(keys > 5) == (a < b)', 'keys > 50 or a < b', 'not (keys > 50) and a < b', 'g'),
  ...bools('keys == 20', 'p < 3', 'not (a == b and g)', 'a == 1 or not (b == 1)'),
  ...floats('a + b', 'a - b', 'a * b', '-a', 'abs(a)', 'min(a, b)', 'max(a, b)', 'clamp(a, -1.0, f)'),
  ...floats('a / 3.0', 'a / (b * b + 0.5)', '1.0 / (a * a + 0.1)', 'exp(a)', 'exp(min(a, 1.0))', 'tanh(a)'),
  ...floats(
    'sqrt(abs(a))',
    'log(abs(a) + 0.1)',
    'sigmoid(a)',
    'softcap(a, 5.0)',
    'a ** 2',
    '2.0 ** min(a, 20.0)',
  ),
  ...floats('a ** 3', 'abs(a) ** 0.5', 'if(a < b, a, b)', 'a + 0.1 * f', 'a * (f / 3.0 + 0.7)'),
  ...floats(
    'a + exp(f)',
    'a + log(f)',
    'a + sqrt(f) * tanh(f)',
    'a + f ** 1.5',
    'a + 0.1 * keys',
    'a + log(keys)',
  ),
  ...floats('a + 0.3 * sqrt(keys) / 7', 'a + scale', 'a * scale * 0.7', 'a + if(g, f, 1.0)', 'a - heads / 3'),
  // What float64 would give differs in the first digits.
  ...floats(
    'a + (f * 3.0 - 0.9) * 1e6',
    'a + (keys / 10.1 - 1.9801) * 1e6',
    'a + (f * 7.1 * 3.3 - 7.029) * 1e6',
  ),
];

function textOf({ expr, over, type }: Operator): string {
  const table = over === 'floats' ? 'float' : 'int';
  const want = type ?? 'int';
  // A float of an int: the language has no such function, division makes one.
  const written = expr.replace(/\bto\((\w)\)/g, '($1 / 1.0)').replace(/\bg\b/g, 'flag');
  return [
    'pattern p(p: int in 1 .. 30 = 5, f: float = 0.3, flag: bool = true) {',
    `  input by_query: ${table}[keys]`,
    `  input by_key: ${table}[keys]`,
    `  input want: ${want}[${COUNT * COUNT}]`,
    '  let a = by_query[i]',
    '  let b = by_key[j]',
    `  i -> j when (${written}) == want[i * ${COUNT} + j]`,
    '}',
    '',
  ].join('\n');
}

const SHAPE: ProblemShape = { batch: 1, heads: 1, queries: COUNT, keys: COUNT };

/** The operator's value on every pair, from the tape: it goes into the table that the exported rule compares with. */
function caseOf(operator: Operator): ModuleCase {
  const text = textOf(operator);
  const { pattern, module } = exported(text);
  const values = { small: SMALL, wide: WIDE, floats: FLOATS }[operator.over];
  const tables = (want: readonly number[]): Tables => ({
    by_query: { shape: [COUNT], data: values },
    by_key: { shape: [COUNT], data: values },
    want: { shape: [COUNT * COUNT], data: want },
  });
  const parameters = defaultsOf(pattern);
  const bind = (want: readonly number[]) =>
    bindProblem(pattern, SHAPE, { inputs: inputTensors(pattern, tables(want)), parameters });

  const [rule] = pattern.edges.parts;
  const equal = rule.kind === 'rule' ? rule.when : undefined;
  const { shape, inputs } = bind(new Array<number>(COUNT * COUNT).fill(0));
  if (equal?.op !== 'eq') throw new Error(`${operator.expr} was folded`);
  const tape = compileTape([equal.args[0]], { precision: 'f32' });
  const want = Array.from({ length: COUNT * COUNT }, (_, n) => {
    setShape(tape, shape, 0, 0);
    setSide(tape, 'i', Math.floor(n / COUNT), []);
    setSide(tape, 'j', n % COUNT, []);
    tape.run(inputs);
    return tape.result(0);
  });
  const problem = bind(want);
  const name = operator.expr;
  const made = allPairs({
    ...{ name, module, pattern, shape: SHAPE, tables: tables(want), parameters, problem },
  });
  if (made.asked['multiplicity'] !== '1'.repeat(COUNT * COUNT)) throw new Error(`${name} is not itself`);
  return made;
}

withPython(`operators have the values that the language gives them${note}`, (t) => {
  t.true([SMALL, WIDE, FLOATS].every((v) => v.length === COUNT));
  t.deepEqual(checkModules(OPERATORS.map(caseOf)), []);
});
