import type { Source } from '../grammar/ast.js';
import { hasErrors, type Diagnostic } from '../grammar/diagnostics.js';
import { checkSource } from './check/index.js';
import { emitVariants, PRELUDES } from './emit/index.js';
import { largestLength } from './ir/binding-checks.js';
import type { Pattern } from './ir/edges.js';
import { PROGRAM_VERSION, type Program } from './ir/program.js';
import type { Schedule } from './ir/schedule.js';
import { PASSES, runPasses, type EdgePass } from './passes/index.js';
import { modelShape, schedulesOf } from './schedule/index.js';

/**
 *   text ──parse──▶ Ast ──check, lower──▶ Pattern ──PASSES──▶ Pattern ──schedulesOf──▶ Schedule[] ──emitVariants─▶ Program
 *        grammar/        check/, lower/           passes/              schedule/                  emit/
 */

export interface CompileOptions {
  /** Which pattern of the file; by default the only one, the one named like the file, or the last. */
  readonly pattern?: string;
  /** Parameter values: fixed ones are compiled in, dynamic ones become the defaults. */
  readonly set?: Readonly<Record<string, number | boolean | readonly number[]>>;
  /** Head size of q and k: a multiple of 8 from 16 to 256. 64 by default. */
  readonly dim?: number;
  /** Head size of v; like `dim` by default. */
  readonly valueDim?: number;
  /** Kernel family; `auto` carries every family there is. */
  readonly target?: 'auto' | 'portable';
  /**
   * For runs in parts: the kernels take whatever keys are at hand, and add to what they find in (out, lse). For
   * sequences past one binding, past the device's memory, or past one device. False by default.
   */
  readonly windows?: boolean;
  /** Finds imported files; without it, imports are errors. */
  readonly resolve?: (path: string, from: string) => Source | undefined;
  /** The passes to run; the empty array is the reference compiler. */
  readonly passes?: readonly EdgePass[];
  /** Checks every pass's output; for tests. */
  readonly verify?: boolean;
}

export interface Compiled {
  /** Undefined if there are errors. */
  readonly program: Program | undefined;
  readonly diagnostics: readonly Diagnostic[];
  /** Every text that was read, by name: for rendering diagnostics. */
  readonly sources: ReadonlyMap<string, Source>;
  /** Names of the file's patterns. */
  readonly patterns: readonly string[];
}

/** Compiles one pattern of a .attn text. Never throws for what the text says. */
export function compile(source: string | Source, options: CompileOptions = {}): Compiled {
  const text: Source = typeof source === 'string' ? { file: 'input.attn', text: source } : source;
  const checked = checkSource(text, options);
  const { diagnostics, sources, patterns } = checked;
  if (!checked.pattern || hasErrors(diagnostics))
    return { program: undefined, diagnostics, sources, patterns };
  return { program: compilePattern(checked.pattern, options), diagnostics, sources, patterns };
}

/** Throws RangeError for head sizes that no kernel has. */
export function compilePattern(checked: Pattern, options: CompileOptions = {}): Program {
  const dim = options.dim ?? 64;
  const valueDim = options.valueDim ?? dim;
  for (const [name, size] of [
    ['dim', dim],
    ['valueDim', valueDim],
  ] as const) {
    if (!Number.isInteger(size) || size < 16 || size > 256 || size % 8 !== 0) {
      throw new RangeError(`${name} must be a multiple of 8 from 16 to 256, not ${size}`);
    }
  }
  const edges = runPasses(checked.edges, options.passes ?? PASSES, options.verify ?? false);
  const pattern: Pattern = { ...checked, edges };
  const windows = options.windows ?? false;
  const schedules = schedulesOf(pattern, windows);
  return programOf(checked, pattern, schedules, { dim, valueDim, windows }, options.target);
}

/** Head sizes, and whether kernels are for runs in parts. */
export type ProgramSizes = Pick<Program, 'dim' | 'valueDim'> & Partial<Pick<Program, 'windows'>>;

/** A program of given schedules: what tests use to run every candidate. */
export function programOf(
  checked: Pattern,
  pattern: Pattern,
  schedules: readonly Schedule[],
  { dim, valueDim, windows = false }: ProgramSizes,
  target: CompileOptions['target'] = 'auto',
): Program {
  return {
    format: 'attnc-program',
    version: PROGRAM_VERSION,
    name: pattern.name,
    doc: pattern.doc,
    dim,
    valueDim,
    parameters: pattern.parameters,
    inputs: pattern.inputs,
    // The meaning is what was written, not what passes made of it.
    pattern: checked,
    score: pattern.score,
    mix: pattern.mix,
    schedules,
    variants: emitVariants(schedules, { dim, valueDim, pattern, windows }, target),
    preludes: PRELUDES,
    windows,
    maxLength: largestLength(checked, modelShape(checked, undefined, dim)),
  };
}
