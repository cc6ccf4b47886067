import { apply, CODES, WORDS } from './tape-code.js';

/** A tape as JavaScript, for those that run often. */

/** Evaluates an instruction with a list of arguments. */
export type Many = (op: number, at: number, count: number, input: number) => number;

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

type Maker = (r: Float64Array, many: Many, how: typeof apply) => () => void;

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
export function compileToFunction(
  code: Int32Array,
  roots: readonly number[],
  registers: Float64Array,
  many: Many,
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
  try {
    return makerOf(lines.join('\n'))(registers, many, apply);
  } catch {
    return undefined;
  }
}
