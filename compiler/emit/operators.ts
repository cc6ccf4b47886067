import { isConst } from '../ir/build.js';
import type { Expr, Operation } from '../ir/expr.js';
import { ROUND_FUNCTION, SAMPLE_HELPERS } from './sample-functions.js';
import type { Shader } from './shader.js';
import { wgsl } from './wgsl.js';

/** A printed expression and how tightly its outermost operator binds. */
export interface Text {
  readonly text: string;
  readonly level: Level;
}

/** WGSL's levels. Operands of a bit operator or shift must be unary, `&&` and `||` don't mix: both get parentheses. */
export enum Level {
  Or = 1,
  And,
  Bits,
  Relation,
  Sum,
  Product,
  Unary,
  Primary,
}

export const primary = (text: string): Text => ({ text, level: Level.Primary });

export const within = (t: Text, least: Level): string => (t.level < least ? `(${t.text})` : t.text);

/** Prints an operation on printed arguments. */
export function printOperation(e: Operation, x: readonly Text[], shader: Shader, flat = false): Text {
  const call = (name: string, args: readonly Text[] = x): Text =>
    primary(`${name}(${args.map((a) => a.text).join(', ')})`);
  const infix = (operator: string, level: Level, left: Level, right: Level): Text => ({
    text: `${within(x[0], left)} ${operator} ${within(x[1], right)}`,
    level,
  });
  const bits = (operator: string): Text => infix(operator, Level.Bits, Level.Unary, Level.Unary);
  const relation = (operator: string): Text => infix(operator, Level.Relation, Level.Sum, Level.Sum);
  const helper = (name: keyof typeof HELPERS): Text => call(shader.helper(name, () => HELPERS[name]));
  switch (e.op) {
    case 'add':
      return infix('+', Level.Sum, Level.Sum, Level.Product);
    case 'sub':
      return infix('-', Level.Sum, Level.Sum, Level.Product);
    case 'mul':
      return infix('*', Level.Product, Level.Product, Level.Unary);
    case 'fdiv':
      return infix('/', Level.Product, Level.Product, Level.Unary);
    case 'neg':
      return { text: `-${within(x[0], Level.Primary)}`, level: Level.Unary };
    case 'not':
      return { text: `!${within(x[0], Level.Primary)}`, level: Level.Unary };
    case 'abs':
    case 'min':
    case 'max':
    case 'exp':
    case 'log':
    case 'sqrt':
      return call(e.op);
    case 'div':
      return powerOfTwo(e.args[1]) === undefined ? helper('floor_div') : shiftRight(x[0], e.args[1]);
    case 'mod':
      return powerOfTwo(e.args[1]) === undefined ? helper('floor_mod') : lowBits(x[0], e.args[1]);
    case 'bitand':
      return bits('&');
    case 'bitor':
      return bits('|');
    case 'bitxor':
      return bits('^');
    case 'shl':
      return helper('shift_left');
    case 'shr':
      return primary(`(${within(x[0], Level.Unary)} >> u32(clamp(${x[1].text}, 0, 31)))`);
    case 'popcount':
      return call('countOneBits');
    case 'ones':
      return helper('ones');
    case 'pow':
      return isConst(e.args[1], 2)
        ? primary(`(${within(x[0], Level.Unary)} * ${within(x[0], Level.Unary)})`)
        : helper('power');
    case 'floor':
    case 'ceil':
      return primary(`i32(${e.op}(${x[0].text}))`);
    case 'tanh':
      return helper('accurate_tanh');
    case 'to_float':
      return call('f32');
    case 'and':
      return flat ? bits('&') : infix('&&', Level.And, Level.And, Level.Bits);
    case 'or':
      if (flat) return { text: x.map((a) => within(a, Level.Unary)).join(' | '), level: Level.Bits };
      return {
        text: x.map((a) => (a.level === Level.And ? `(${a.text})` : within(a, Level.Or))).join(' || '),
        level: Level.Or,
      };
    case 'lt':
      return relation('<');
    case 'le':
      return relation('<=');
    case 'eq':
      return relation('==');
    case 'if':
      return primary(`select(${x[2].text}, ${x[1].text}, ${x[0].text})`);
    case 'sample':
      return primary(
        `${sampleHelper(shader, 'sample_contains')}(${join(x.slice(0, 3))}, ${sampleKey(shader, x.slice(3))})`,
      );
    case 'sample_at':
      return primary(
        `${sampleHelper(shader, 'sample_at')}(${join(x.slice(0, 2))}, ${sampleKey(shader, x.slice(2))})`,
      );
  }
}

const join = (x: readonly Text[]): string => x.map((t) => t.text).join(', ');

function sampleHelper(shader: Shader, name: keyof typeof SAMPLE_HELPERS): string {
  return shader.helper(name, () => {
    shader.helper('mix32', () => SAMPLE_HELPERS.mix32);
    shader.helper('half_bits', () => SAMPLE_HELPERS.half_bits);
    shader.helper('feistel_round', () => ROUND_FUNCTION);
    return SAMPLE_HELPERS[name];
  });
}

/** The seed (first) and the keys folded into one word. */
function sampleKey(shader: Shader, x: readonly Text[]): string {
  shader.helper('mix32', () => SAMPLE_HELPERS.mix32);
  const [seed, ...keys] = x;
  const start = `mix32(bitcast<u32>(${seed.text}) ^ 0x9e3779b9u)`;
  return keys.reduce((key, k) => `mix32(${key} * 31u + bitcast<u32>(${k.text}))`, start);
}

/** The exponent of a constant power of two. */
function powerOfTwo(e: Expr): number | undefined {
  if (!isConst(e) || e.value < 1) return undefined;
  const exponent = Math.log2(e.value);
  return Number.isInteger(exponent) && exponent <= 30 ? exponent : undefined;
}

// Shifts of signed integers round down, and the low bits of two's complement are the floored modulus.
const shiftRight = (x: Text, divisor: Expr): Text => ({
  text: `${within(x, Level.Unary)} >> ${powerOfTwo(divisor) ?? 0}u`,
  level: Level.Bits,
});

const lowBits = (x: Text, divisor: Expr): Text => ({
  text: `${within(x, Level.Unary)} & ${2 ** (powerOfTwo(divisor) ?? 0) - 1}`,
  level: Level.Bits,
});

const HELPERS = {
  floor_div: wgsl`
    // a / b rounded down, for b of at least 1.
    fn floor_div(a: i32, b: i32) -> i32 {
      return a / b - select(0, 1, a % b < 0);
    }`,
  floor_mod: wgsl`
    // The remainder of floor_div: 0 to b - 1.
    fn floor_mod(a: i32, b: i32) -> i32 {
      let rest = a % b;
      return select(rest, rest + b, rest < 0);
    }`,
  shift_left: wgsl`
    // 0 where nothing of a is left.
    fn shift_left(a: i32, by: i32) -> i32 {
      return select(a << (u32(by) & 31u), 0, by < 0 || by > 31);
    }`,
  ones: wgsl`
    // Every bit at or below the highest set one; all of them for negative numbers.
    fn ones(x: i32) -> i32 {
      return select(bitcast<i32>(0xffffffffu >> (countLeadingZeros(bitcast<u32>(x)) & 31u)), 0, x == 0);
    }`,
  power: wgsl`
    // a to the power b, also for negative a with whole b.
    fn power(a: f32, b: f32) -> f32 {
      if (b == 0.0) {
        return 1.0;
      }
      let size = pow(abs(a), b);
      return select(size, -size, a < 0.0 && abs(b - 2.0 * floor(b * 0.5)) == 1.0);
    }`,
  accurate_tanh: wgsl`
    // Built-in tanh may overflow far from 0 and lose digits close to it.
    fn accurate_tanh(x: f32) -> f32 {
      let square = x * x;
      let series = x * (1.0 + square * (-0.33333334 + square * (0.13333334 + square * (-0.053968254 + square * 0.021869488))));
      let size = 1.0 - 2.0 / (exp(min(2.0 * abs(x), 40.0)) + 1.0);
      return select(select(size, -size, x < 0.0), series, abs(x) < 0.25);
    }`,
} as const;
