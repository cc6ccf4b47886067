import { argsOf, type Expr } from './expr.js';
import { ones32, popcount32 } from './build.js';

/** A tape's instructions, and how expressions become a row of them. */

export const CODES = {
  add: 1,
  sub: 2,
  mul: 3,
  neg: 4,
  abs: 5,
  min: 6,
  max: 7,
  div: 8,
  mod: 9,
  bitand: 10,
  bitor: 11,
  bitxor: 12,
  shl: 13,
  shr: 14,
  popcount: 15,
  ones: 16,
  fdiv: 17,
  pow: 18,
  floor: 19,
  ceil: 20,
  exp: 21,
  log: 22,
  sqrt: 23,
  tanh: 24,
  to_float: 25,
  and: 26,
  or: 27,
  not: 28,
  lt: 29,
  le: 30,
  eq: 31,
  if: 32,
  sample: 33,
  sample_at: 34,
  table: 35,
  table_min: 36,
  table_max: 37,
  edge: 38,
  edges_any: 39,
  weight: 40,
  edges_all: 41,
} as const;

export /** Instruction: code, destination, three argument registers (or: first argument in `lists`, count, input), rounding. */
const WORDS = 6;

/** Instructions, and what stands in the registers before them. */
export interface Layout {
  readonly code: Int32Array;
  /** Argument registers of instructions with many arguments. */
  readonly lists: Int32Array;
  readonly inputs: readonly string[];
  readonly roots: readonly number[];
  readonly names: ReadonlyMap<string, number>;
  readonly initial: Float64Array;
}

/** Registers that fit into a key thrice. */
const KEY_BASE = 4096;

/** The same for equal expressions over equal registers; the arguments decide an operator's type. */
function keyOf(e: Expr, args: readonly number[]): string | number {
  if (e.op === 'const') return `#${e.type}${Object.is(e.value, -0) ? '-0' : e.value}`;
  if ('args' in e && !('name' in e) && args.length <= 3 && args.every((a) => a < KEY_BASE - 1)) {
    // A number is found faster than a text: tapes are made for every candidate schedule.
    return args.reduce((key, a) => key * KEY_BASE + a + 1, CODES[e.op]) * 4 + args.length;
  }
  return `${e.op}:${e.type}:${'name' in e ? e.name : ''}(${args.join()})`;
}

export function assemble(roots: readonly Expr[], precision: 'f32' | 'f64'): Layout {
  const registerOf = new Map<Expr, number>();
  const byKey = new Map<string | number, number>();
  const names = new Map<string, number>();
  const values: number[] = [];
  const code: number[] = [];
  const lists: number[] = [];
  const inputs: string[] = [];

  const visit = (e: Expr): number => {
    const known = registerOf.get(e);
    if (known !== undefined) return known;
    const args = argsOf(e).map(visit);
    const key = keyOf(e, args);
    let register = byKey.get(key);
    if (register === undefined) {
      register = values.length;
      values.push(
        e.op === 'const' ? (e.type === 'float' && precision === 'f32' ? Math.fround(e.value) : e.value) : 0,
      );
      byKey.set(key, register);
      if (e.op === 'var') names.set(e.name, register);
      else if (e.op === 'param') names.set(`param:${e.name}`, register);
      else if (e.op !== 'const') {
        const rounded = e.type === 'float' && precision === 'f32' ? 1 : 0;
        if (CODES[e.op] >= CODES.sample) {
          const input = 'name' in e ? inputs.push(e.name) - 1 : -1;
          code.push(CODES[e.op], register, lists.length, args.length, input, rounded);
          lists.push(...args);
        } else {
          code.push(CODES[e.op], register, args[0], args[1] ?? 0, args[2] ?? 0, rounded);
        }
      }
    }
    registerOf.set(e, register);
    return register;
  };
  const rootRegisters = roots.map(visit);
  return {
    code: Int32Array.from(code),
    lists: Int32Array.from(lists),
    inputs,
    roots: rootRegisters,
    names,
    initial: Float64Array.from(values),
  };
}

/** Integer instructions, and others, that take some lines: both ways to run a tape call this. */
export function apply(op: number, a: number, b: number): number {
  switch (op) {
    case CODES.shl:
      return b < 0 || b > 31 ? 0 : a << b;
    case CODES.shr:
      return a >> (b < 0 ? 0 : b > 31 ? 31 : b);
    case CODES.popcount:
      return popcount32(a);
    case CODES.ones:
      return ones32(a);
    case CODES.pow:
      return a ** b;
    default:
      throw new Error(`instruction ${op} has no function`);
  }
}
