import { argsOf, type Expr } from './expr.js';
import { floorMod, ones32, popcount32 } from './build.js';
import { inputOf } from './graph-boxes.js';
import {
  anyEdge,
  everyEdge,
  findEdge,
  lineExtreme,
  NO_INPUTS,
  readTable,
  tableExtreme,
  type BoundGraph,
  type BoundInputs,
  type BoundTable,
} from './inputs.js';
import { permute, sampleContains } from './sample.js';

/**
 * Expressions flattened into a row of instructions over numbered registers: the host's evaluator.
 * Equal sub-expressions share a register. Integers are exact (doubles); with precision `f32` every float operation is
 * rounded to float32, as the GPU does it, with `f64` scores are evaluated in double precision.
 */
export interface Tape {
  /** Sets a variable, or a parameter under the name `param:NAME`; names that the tape doesn't use are ignored. */
  set(name: string, value: number): void;
  /** Register of a variable, or −1: for loops that set one variable very often. */
  slot(name: string): number;
  readonly registers: Float64Array;
  run(inputs?: BoundInputs): void;
  /** Value of root n after `run`; booleans are 0 and 1. */
  result(n: number): number;
}

const CODES = {
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

/** Instruction: code, destination, three argument registers (or: first argument in `lists`, count, input), rounding. */
const WORDS = 6;

interface Layout {
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

function assemble(roots: readonly Expr[], precision: 'f32' | 'f64'): Layout {
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

export function compileTape(roots: readonly Expr[], options: { readonly precision: 'f32' | 'f64' }): Tape {
  const {
    code,
    lists,
    inputs: inputNames,
    roots: results,
    names,
    initial,
  } = assemble(roots, options.precision);
  const r = initial.slice();
  let bound: BoundInputs = NO_INPUTS;
  let sources: (BoundTable | BoundGraph | undefined)[] = inputNames.map(() => undefined);

  // Reused between calls: keys of samples, by their number.
  const scratch = [0, 1, 2, 3, 4, 5];
  const keyLists = [...scratch, scratch.length].map((n) => new Array<number>(n).fill(0));
  // The last range of each table_min and table_max: the query tile's stays the same over many key tiles.
  const ranges = new Float64Array(3 * lists.length).fill(NaN);
  const many = (op: number, at: number, count: number, input: number): number => {
    if (op >= CODES.table && op <= CODES.table_max) {
      const table = sources[input];
      const width = op === CODES.table ? 1 : 2;
      if (table?.kind === 'table' && table.sizes.length === 1 && count === width) {
        const lo = r[lists[at]];
        if (op === CODES.table) return lo >= 0 && lo < table.sizes[0] ? Number(table.data[lo]) : 0;
        const hi = r[lists[at + 1]];
        if (ranges[3 * at] === lo && ranges[3 * at + 1] === hi) return ranges[3 * at + 2];
        ranges[3 * at] = lo;
        ranges[3 * at + 1] = hi;
        return (ranges[3 * at + 2] = lineExtreme(table, lo, hi, op === CODES.table_min ? 1 : -1));
      }
    }
    if (op === CODES.sample && count <= 4 + scratch.length) {
      const keys = keyLists[count - 4];
      for (let n = 4; n < count; n++) keys[n - 4] = r[lists[at + n]];
      return sampleContains(r[lists[at]], r[lists[at + 1]], r[lists[at + 2]], r[lists[at + 3]], keys) ? 1 : 0;
    }
    const args: number[] = [];
    for (let n = 0; n < count; n++) args.push(r[lists[at + n]]);
    if (op === CODES.sample) return sampleContains(args[0], args[1], args[2], args[3], args.slice(4)) ? 1 : 0;
    if (op === CODES.sample_at) return permute(args[0], args[1], args[2], args.slice(3));
    const source = sources[input];
    if (!source) throw new Error(`input ${inputNames[input]} is not bound`);
    if (source.kind === 'table') {
      if (op === CODES.table) return readTable(source, args);
      return tableExtreme(source, args, op === CODES.table_min ? 1 : -1);
    }
    if (op === CODES.edges_any || op === CODES.edges_all) {
      const look = op === CODES.edges_any ? anyEdge : everyEdge;
      return look(source, args[0], args[1], args[2], args[3], args[4], args[5]) ? 1 : 0;
    }
    const found = findEdge(source, args[0], args[1], args[2], args[3]);
    if (op === CODES.edge) return found >= 0 ? 1 : 0;
    return found >= 0 && source.weight ? source.weight[found] : 0;
  };

  const interpret = (): void => {
    for (let at = 0; at < code.length; at += WORDS) {
      const a = r[code[at + 2]];
      const b = r[code[at + 3]];
      let value: number;
      switch (code[at]) {
        case CODES.add:
          value = a + b;
          break;
        case CODES.sub:
          value = a - b;
          break;
        case CODES.mul:
          value = a * b + 0;
          break;
        case CODES.neg:
          value = 0 - a;
          break;
        case CODES.abs:
          value = a < 0 ? -a : a;
          break;
        case CODES.min:
          value = a < b ? a : b;
          break;
        case CODES.max:
          value = a > b ? a : b;
          break;
        case CODES.div:
          value = Math.floor(a / b);
          break;
        case CODES.mod:
          value = floorMod(a, b);
          break;
        case CODES.bitand:
          value = a & b;
          break;
        case CODES.bitor:
          value = a | b;
          break;
        case CODES.bitxor:
          value = a ^ b;
          break;
        case CODES.shl:
          value = b < 0 || b > 31 ? 0 : a << b;
          break;
        case CODES.shr:
          value = a >> (b < 0 ? 0 : b > 31 ? 31 : b);
          break;
        case CODES.popcount:
          value = popcount32(a);
          break;
        case CODES.ones:
          value = ones32(a);
          break;
        case CODES.fdiv:
          value = a / b;
          break;
        case CODES.pow:
          value = a ** b;
          break;
        case CODES.floor:
          value = Math.floor(a);
          break;
        case CODES.ceil:
          value = Math.ceil(a);
          break;
        case CODES.exp:
          value = Math.exp(a);
          break;
        case CODES.log:
          value = Math.log(a);
          break;
        case CODES.sqrt:
          value = Math.sqrt(a);
          break;
        case CODES.tanh:
          value = Math.tanh(a);
          break;
        case CODES.to_float:
          value = a;
          break;
        case CODES.and:
          value = a !== 0 && b !== 0 ? 1 : 0;
          break;
        case CODES.or:
          value = a !== 0 || b !== 0 ? 1 : 0;
          break;
        case CODES.not:
          value = a === 0 ? 1 : 0;
          break;
        case CODES.lt:
          value = a < b ? 1 : 0;
          break;
        case CODES.le:
          value = a <= b ? 1 : 0;
          break;
        case CODES.eq:
          value = a === b ? 1 : 0;
          break;
        case CODES.if:
          value = a !== 0 ? b : r[code[at + 4]];
          break;
        default:
          value = many(code[at], code[at + 2], code[at + 3], code[at + 4]);
      }
      r[code[at + 1]] = code[at + 5] === 1 ? Math.fround(value) : value;
    }
  };

  let runs = 0;
  let execute = interpret;
  const run = (inputs: BoundInputs = NO_INPUTS): void => {
    if (inputs !== bound) {
      bound = inputs;
      sources = inputNames.map((name) => inputOf(inputs, name));
      ranges.fill(NaN);
    }
    if (++runs === RUNS_BEFORE_COMPILING) execute = compileToFunction(code, results, r, many) ?? interpret;
    execute();
  };

  return {
    registers: r,
    run,
    slot: (name) => names.get(name) ?? -1,
    set: (name, value) => {
      const at = names.get(name);
      if (at !== undefined) r[at] = value;
    },
    result: (n) => r[results[n]],
  };
}

/** Tapes that run often are worth a function of their own. */
const RUNS_BEFORE_COMPILING = 500;

/** JavaScript for each instruction; `many` evaluates what has lists of arguments. */
function javascript(op: number, a: string, b: string, c: string): string | undefined {
  switch (op) {
    case CODES.add:
      return `${a} + ${b}`;
    case CODES.sub:
      return `${a} - ${b}`;
    case CODES.mul:
      return `${a} * ${b} + 0`;
    case CODES.neg:
      return `0 - ${a}`;
    case CODES.abs:
      return `${a} < 0 ? -${a} : ${a}`;
    case CODES.min:
      return `${a} < ${b} ? ${a} : ${b}`;
    case CODES.max:
      return `${a} > ${b} ? ${a} : ${b}`;
    case CODES.div:
      return `Math.floor(${a} / ${b})`;
    case CODES.mod:
      return `${a} - ${b} * Math.floor(${a} / ${b})`;
    case CODES.bitand:
      return `${a} & ${b}`;
    case CODES.bitor:
      return `${a} | ${b}`;
    case CODES.bitxor:
      return `${a} ^ ${b}`;
    case CODES.fdiv:
      return `${a} / ${b}`;
    case CODES.floor:
      return `Math.floor(${a})`;
    case CODES.ceil:
      return `Math.ceil(${a})`;
    case CODES.exp:
      return `Math.exp(${a})`;
    case CODES.log:
      return `Math.log(${a})`;
    case CODES.sqrt:
      return `Math.sqrt(${a})`;
    case CODES.tanh:
      return `Math.tanh(${a})`;
    case CODES.to_float:
      return a;
    case CODES.and:
      return `${a} !== 0 && ${b} !== 0 ? 1 : 0`;
    case CODES.or:
      return `${a} !== 0 || ${b} !== 0 ? 1 : 0`;
    case CODES.not:
      return `${a} === 0 ? 1 : 0`;
    case CODES.lt:
      return `${a} < ${b} ? 1 : 0`;
    case CODES.le:
      return `${a} <= ${b} ? 1 : 0`;
    case CODES.eq:
      return `${a} === ${b} ? 1 : 0`;
    case CODES.if:
      return `${a} !== 0 ? ${b} : ${c}`;
    default:
      return undefined;
  }
}

type Many = (op: number, at: number, count: number, input: number) => number;
type Apply = (op: number, a: number, b: number) => number;
type Maker = (r: Float64Array, many: Many, apply: Apply) => () => void;

/** By text: tapes of one text share their machine code, so that planning again starts at full speed. */
const makers = new Map<string, Maker>();
const MOST_MAKERS = 512;

function makerOf(text: string): Maker {
  const known = makers.get(text);
  if (known) return known;
  const made = new Function('r', 'many', 'apply', `'use strict'; return () => { ${text} };`) as Maker;
  if (makers.size >= MOST_MAKERS) makers.clear();
  makers.set(text, made);
  return made;
}

/**
 * The tape as one JavaScript function: the text is made of instruction numbers only, never of names from a program.
 * Undefined where the page's policy forbids compiling; the interpreter then goes on.
 */
function compileToFunction(
  code: Int32Array,
  roots: readonly number[],
  registers: Float64Array,
  many: (op: number, at: number, count: number, input: number) => number,
): (() => void) | undefined {
  const computed = new Set<number>();
  // Lists of arguments are read from the registers, so with them everything goes through the registers.
  const hasLists = (() => {
    for (let at = 0; at < code.length; at += WORDS) if (code[at] >= CODES.sample) return true;
    return false;
  })();
  const lines: string[] = [];
  for (let at = 0; at < code.length; at += WORDS) {
    const [op, target, a, b, c, rounded] = code.subarray(at, at + WORDS);
    const name = (x: number): string => (computed.has(x) ? `x${x}` : `r[${x}]`);
    const direct =
      op >= CODES.sample ? `many(${op}, ${a}, ${b}, ${c})` : javascript(op, name(a), name(b), name(c));
    const value = direct ?? `apply(${op}, ${name(a)}, ${name(b)})`;
    lines.push(`const x${target} = ${rounded === 1 ? `Math.fround(${value})` : value};`);
    computed.add(target);
    if (hasLists || roots.includes(target)) lines.push(`r[${target}] = x${target};`);
  }
  const apply = (op: number, a: number, b: number): number => {
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
  };
  try {
    return makerOf(lines.join('\n'))(registers, many, apply);
  } catch {
    return undefined;
  }
}
