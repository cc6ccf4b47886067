import type { Name, PatternAst, Source, Span } from '../../grammar/ast.js';
import { variable } from '../ir/build.js';
import type { Axis, InputDeclaration, Origin } from '../ir/edges.js';
import type { Expr, Type } from '../ir/expr.js';
import type { ParameterRanges } from './bounds.js';
import type { Report } from './report.js';
import type { Scope } from './scope.js';

/** Every pattern that can be included, and the texts they came from. */
export interface Library {
  readonly patterns: ReadonlyMap<string, PatternAst>;
  /** Patterns that can't be lowered: they have syntax errors or include themselves. Reported already. */
  readonly broken: ReadonlySet<string>;
  /** False if a file is missing or unreadable, so that an unknown pattern may be one of its. */
  readonly complete: boolean;
  readonly sources: ReadonlyMap<string, Source>;
}

/** An input of the pattern being lowered, its own or one that came with an include. */
export interface KnownInput {
  readonly name: string;
  readonly type: InputDeclaration['type'];
  readonly axes: readonly Axis[];
  readonly doc: string | undefined;
  readonly span: Span;
}

/** What one lowering of a top pattern, with everything that it includes, knows and collects. */
export interface Lowering {
  readonly library: Library;
  /** Present values of the top pattern's parameters: defaults, or as set. */
  readonly values: ReadonlyMap<string, number>;
  /** Parameters that stood where a value must be known: they will be fixed. */
  readonly needed: Set<string>;
  /** Where an integer operation or a division was written. */
  readonly origins: Map<Expr, Span>;
  /** Declared ranges of the dynamic parameters. */
  readonly ranges: ParameterRanges;
  readonly inputs: Map<string, KnownInput>;
  /** Declarations that something reads, as `file:start` of their names. */
  readonly used: Set<string>;
  /** Names of `edges` inputs whose weight is read. */
  readonly weighted: Set<string>;
  /** Depths of the expressions that names stand for. */
  readonly depths: Map<Expr, number>;
  /** Variables by name, so that equal ones are one node. */
  readonly variables: Map<string, Expr>;
  /** The grid and the alignment agreed on, by the top pattern or what it includes. */
  grid: Grid | undefined;
  align: { readonly to: 'end' | 'start'; readonly span: Span } | undefined;
  /** Rules, repetitions and includes made so far; they are bounded. */
  expansions: number;
}

export interface Grid {
  readonly axes: readonly { readonly name: string; readonly size: Expr | undefined }[];
  readonly span: Span;
}

/** One pattern's body being lowered: the top pattern's, or an included one's. */
export interface Body {
  readonly lowering: Lowering;
  readonly report: Report;
  readonly pattern: PatternAst;
  readonly grid: Grid | undefined;
  /** True after an error in `tokens (…)`: axes may be missing. */
  readonly gridBroken: boolean;
  /** Every name that a `let` of the pattern declares somewhere. */
  readonly laterNames: ReadonlySet<string>;
  /** What it declares, for warnings about what is never used. */
  readonly declared: { readonly what: 'parameter' | 'input' | 'name'; readonly name: Name }[];
}

/** Where an expression stands, for the words that have a meaning in some places only. */
export type Place = 'condition' | 'score' | 'sink' | 'let' | 'static';

export interface Env {
  readonly body: Body;
  readonly scope: Scope;
  readonly place: Place;
}

export const spanKey = (span: Span): string => `${span.file}:${span.start}`;

export function sharedVariable(lowering: Lowering, name: string, type: Type = 'int'): Expr {
  let known = lowering.variables.get(name);
  if (!known) {
    known = variable(name, type);
    lowering.variables.set(name, known);
  }
  return known;
}

/** The place in the source, with its text on one line and without comments. */
export function originOf(library: Library, span: Span): Origin {
  const text = (library.sources.get(span.file)?.text ?? '').slice(span.start, span.end);
  const plain = text
    .replace(/\/\*[\s\S]*?\*\//g, ' ')
    .replace(/\/\/[^\n]*/g, ' ')
    .replace(/\s+/g, ' ');
  return { file: span.file, start: span.start, end: span.end, text: plain.trim() };
}
