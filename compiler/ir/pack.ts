import { PROGRAM_VERSION, type Program } from './program.js';

/**
 * Programs as text. Expressions are DAGs; plain JSON would repeat what is shared, so every object that occurs more than
 * once is written once, in `shared`, and stands as `{ "$": n }` where it is used.
 */

interface Packed {
  readonly format: 'attnc-program';
  readonly version: typeof PROGRAM_VERSION;
  readonly shared: readonly unknown[];
  readonly program: unknown;
}

const isObject = (x: unknown): x is Record<string, unknown> | unknown[] =>
  typeof x === 'object' && x !== null;

/** A program as JSON text; infinite numbers are written as strings with a mark. */
export function packProgram(program: Program): string {
  const uses = new Map<object, number>();
  const count = (x: unknown): void => {
    if (!isObject(x)) return;
    const n = uses.get(x) ?? 0;
    uses.set(x, n + 1);
    if (n === 0) Object.values(x).forEach(count);
  };
  count(program);
  const numbers = new Map<object, number>();
  const shared: unknown[] = [];
  const write = (x: unknown): unknown => {
    if (typeof x === 'number' && !Number.isFinite(x)) return { $number: String(x) };
    if (!isObject(x)) return x;
    const known = numbers.get(x);
    if (known !== undefined) return { $: known };
    const written = Array.isArray(x)
      ? x.map(write)
      : Object.fromEntries(Object.entries(x).map(([key, value]) => [key, write(value)]));
    if ((uses.get(x) ?? 0) < 2) return written;
    numbers.set(x, shared.push(written) - 1);
    return { $: numbers.get(x) };
  };
  const packed: Packed = {
    format: 'attnc-program',
    version: PROGRAM_VERSION,
    program: write(program),
    shared,
  };
  return JSON.stringify(packed);
}

/** The program that `packProgram` wrote. Throws SyntaxError on anything else. */
export function unpackProgram(text: string): Program {
  const packed: unknown = JSON.parse(text);
  if (!isObject(packed) || Array.isArray(packed) || packed.format !== 'attnc-program') {
    throw new SyntaxError('this is not a compiled program of attnc');
  }
  if (packed.version !== PROGRAM_VERSION)
    throw new SyntaxError(`version ${String(packed.version)} of programs is not known here`);
  if (!Array.isArray(packed.shared)) throw new SyntaxError('the compiled program is damaged');
  const texts: readonly unknown[] = packed.shared;
  const objects: unknown[] = [];
  const readBack = (x: unknown): unknown => {
    if (!isObject(x)) return x;
    if (Array.isArray(x)) return x.map(readBack);
    if (typeof x.$number === 'string') return Number(x.$number);
    if (typeof x.$ === 'number') {
      // Shared objects refer only to those before them.
      if (!(x.$ in objects)) throw new SyntaxError('the compiled program is damaged');
      return objects[x.$];
    }
    return Object.fromEntries(Object.entries(x).map(([key, value]) => [key, readBack(value)]));
  };
  for (const t of texts) objects.push(readBack(t));
  return readBack(packed.program) as Program;
}
