import type { CompileOptions } from '../compiler/compile.js';
import type { Program } from '../compiler/ir/program.js';
import type { Source } from '../grammar/ast.js';
import { hasErrors } from '../grammar/diagnostics.js';
import { brokenFile, usageError } from '../runtime/errors.js';
import { readSource, resolveImport } from './files.js';
import type { PatternOptions, Settings } from './options.js';
import type { Session } from './session.js';

/** What a FILE argument holds: patterns to compile, or a program compiled before. */
export type Loaded =
  | {
      readonly kind: 'patterns';
      readonly source: Source;
      readonly names: readonly string[];
      /** Names of each pattern's parameters. */
      readonly parameters: ReadonlyMap<string, readonly string[]>;
    }
  | { readonly kind: 'program'; readonly source: Source; readonly program: Program };

/** Thrown where diagnostics have been printed already and say all there is to say. */
export class Reported extends Error {}

export async function load(session: Session, file: string): Promise<Loaded> {
  const source = await readSource(session, file);
  // No .attn file begins with a brace.
  if (!/^\s*\{/.test(source.text)) {
    const { parse } = await import('../grammar/parse.js');
    const { patterns } = parse(source).ast;
    const parameters = new Map(patterns.map((p) => [p.name.text, p.parameters.map((x) => x.name.text)]));
    return { kind: 'patterns', source, names: [...parameters.keys()], parameters };
  }
  const { unpackProgram } = await import('../compiler/ir/pack.js');
  try {
    const program = unpackProgram(source.text);
    if (!isWhole(program)) throw new SyntaxError('parts of it are missing');
    return { kind: 'program', source, program };
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message.split('\n')[0] : String(error);
    throw brokenFile(source.file, `it is no compiled program: ${why}`);
  }
}

/** Has it the parts that a program has? Files are written by anyone. */
function isWhole(program: Program): boolean {
  const has = (value: unknown, ...names: string[]): boolean =>
    typeof value === 'object' && value !== null && names.every((n) => Object.hasOwn(value, n));
  return (
    has(program, 'name', 'dim', 'valueDim', 'maxLength', 'pattern') &&
    has(program.pattern, 'edges', 'align', 'mix') &&
    [program.parameters, program.inputs, program.schedules, program.variants].every(Array.isArray) &&
    [program.pattern.parameters, program.pattern.inputs, program.pattern.checks].every(Array.isArray)
  );
}

export interface Sizes {
  readonly dim: number;
  readonly valueDim: number;
  /** For runs in parts: CompileOptions.windows. */
  readonly windows?: boolean;
}

/** Parameters that are left to the run: all of a pattern are compiled in. */
export interface Runnable {
  readonly program: Program;
  readonly parameters: Readonly<Record<string, number | boolean>>;
}

/** Compiles the pattern asked for, or takes the program as it is; diagnostics are printed on the way. */
export async function toProgram(
  session: Session,
  loaded: Loaded,
  options: PatternOptions,
  sizes: Sizes,
): Promise<Runnable> {
  if (loaded.kind === 'program') return { program: loaded.program, parameters: dynamicOnly(loaded, options) };
  const program = await compileSource(session, loaded.source, {
    ...(options.pattern === undefined ? {} : { pattern: options.pattern }),
    set: options.set ?? {},
    ...sizes,
  });
  return { program, parameters: {} };
}

/** Prints what the compiler has to say; throws `Reported` where there is no program. */
export async function compileSource(
  session: Session,
  source: Source,
  options: CompileOptions,
): Promise<Program> {
  const { compile } = await import('../compiler/compile.js');
  const { program, diagnostics, sources } = compile(source, { ...options, resolve: resolveImport });
  session.diagnostics(diagnostics, sources);
  if (program === undefined || hasErrors(diagnostics)) throw new Reported('diagnostics were printed');
  return program;
}

function dynamicOnly(
  loaded: Loaded & { readonly kind: 'program' },
  options: PatternOptions,
): Record<string, number | boolean> {
  const { program, source } = loaded;
  if (options.pattern !== undefined && options.pattern !== program.name) {
    throw usageError(`${source.file} is the compiled pattern '${program.name}', not '${options.pattern}'`);
  }
  const set: Settings = options.set ?? {};
  return Object.fromEntries(
    Object.entries(set).map(([name, value]) => {
      const declared = program.parameters.find((p) => p.name === name);
      if (declared?.fixed || typeof value === 'object') {
        throw usageError(
          `the parameter '${name}' was fixed when ${source.file} was compiled`,
          'compile the pattern again with --set',
        );
      }
      return [name, value];
    }),
  );
}
