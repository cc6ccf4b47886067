import { floorMod } from './build.js';
import type { Expr } from './expr.js';
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
import { apply, assemble, CODES, WORDS } from './tape-code.js';
import { compileToFunction, type Many } from './tape-function.js';

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

/** Tapes that run often are worth a function of their own. */
const RUNS_BEFORE_COMPILING = 500;

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
  const many: Many = (op, at, count, input) => {
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
        case CODES.shr:
        case CODES.popcount:
        case CODES.ones:
        case CODES.pow:
          value = apply(code[at], a, b);
          break;
        case CODES.fdiv:
          value = a / b;
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
