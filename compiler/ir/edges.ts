import type { Expr } from './expr.js';

/** Where a rule stands in the source: for pictures, messages and comments in WGSL. */
export interface Origin {
  readonly file: string;
  readonly start: number;
  readonly end: number;
  /** The rule's text on one line. */
  readonly text: string;
}

/** An edge from i to j wherever `when` (bool) holds. */
export interface Rule {
  readonly kind: 'rule';
  /** Unique within the pattern: the label, prefixed by those around it; `rule3` where there is none. */
  readonly label: string;
  readonly when: Expr;
  readonly origin: Origin;
}

/**
 * A pattern's multiplicity m(batch, head, i, j).
 * merge: 1 where any part has m > 0; add: the sum of the parts' m; and 0 wherever `restrict` (bool) fails.
 */
export interface Edges {
  readonly kind: 'edges';
  readonly overlaps: 'merge' | 'add';
  readonly restrict: Expr | undefined;
  readonly parts: readonly (Rule | Edges)[];
}

/** How the scores mix the values: its own node, because other mixes come later. */
export type Mix = { readonly kind: 'softmax'; readonly sink: Expr | undefined };

/** An axis of an input table: its length. `queries` is indexed by query row (position − base). */
export type Axis =
  { readonly kind: 'keys' | 'queries' | 'heads' | 'batch' } | { readonly kind: 'size'; readonly size: Expr };

export interface InputDeclaration {
  readonly name: string;
  readonly type: 'int' | 'float' | 'bool' | 'edges';
  /** For `edges`: a subset of batch and heads, in that order. */
  readonly axes: readonly Axis[];
  /** True if `NAME.weight` is read (edges only). */
  readonly weighted: boolean;
  readonly doc: string | undefined;
}

export interface ParameterDeclaration {
  readonly name: string;
  readonly type: 'int' | 'float' | 'bool' | 'int[]' | 'float[]';
  /** The value at compile time (default, or as set); of dynamic ones the default at run time. */
  readonly value: number | readonly number[];
  /** Inclusive. */
  readonly range: { readonly lo: number; readonly hi: number } | undefined;
  /** Fixed parameters shape the program; the others may be set when it runs. */
  readonly fixed: boolean;
  readonly doc: string | undefined;
}

/** Something that binding must check: `expr` evaluated over all positions stays inside [lo, hi]. */
export interface BindingCheck {
  readonly expr: Expr;
  readonly lo: number;
  readonly hi: number;
  /** `divisor` must be ≥ 1; `int32`: must stay in 32 bits; `size`: a table's or grid's size. */
  readonly kind: 'divisor' | 'int32' | 'size';
  readonly origin: Origin;
}

/** A checked pattern, lowered: the meaning of one pattern of a .attn file. */
export interface Pattern {
  readonly name: string;
  readonly doc: string | undefined;
  readonly parameters: readonly ParameterDeclaration[];
  readonly inputs: readonly InputDeclaration[];
  /** Grid axes, slowest first; size undefined where it is inferred (at most one). */
  readonly grid: readonly { readonly name: string; readonly size: Expr | undefined }[] | undefined;
  readonly align: 'end' | 'start';
  readonly edges: Edges;
  /** Float; undefined for the default dot(q, k) · scale. May read variable `dot`. */
  readonly score: Expr | undefined;
  readonly mix: Mix;
  readonly checks: readonly BindingCheck[];
}

/** Every rule of a tree, in source order; a rule's number in this list is its number in pictures and statistics. */
export function rulesOf(edges: Edges): readonly Rule[] {
  return edges.parts.flatMap((p) => (p.kind === 'rule' ? [p] : rulesOf(p)));
}
