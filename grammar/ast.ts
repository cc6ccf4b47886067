/**
 * The typed syntax tree of a .attn file: plain data, every node with a span.
 * Meaning (names, types, parameters) is the checker's business: compiler/check.
 */

/** Half-open range of UTF-16 offsets in the text of the source named `file`. */
export interface Span {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** A text with the name that messages give it. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

export interface Name {
  readonly text: string;
  readonly span: Span;
}

/** `// text` or `/* text *\/`; doc comments (`///`) are kept on the node that they precede as well. */
export interface Comment {
  /** As written, with its slashes. */
  readonly text: string;
  /** Whether code stands before it on its line. */
  readonly trailing: boolean;
  readonly span: Span;
}

export interface FileAst {
  readonly kind: 'file';
  readonly imports: readonly ImportAst[];
  readonly patterns: readonly PatternAst[];
  readonly comments: readonly Comment[];
  readonly span: Span;
}

export interface ImportAst {
  readonly kind: 'import';
  readonly path: string;
  readonly span: Span;
}

export interface PatternAst {
  readonly kind: 'pattern';
  readonly name: Name;
  /** Text of the `///` lines before it, joined by newlines, without the slashes. */
  readonly doc: string | undefined;
  readonly parameters: readonly ParameterAst[];
  readonly items: readonly ItemAst[];
  readonly span: Span;
}

export type ParameterType = 'int' | 'float' | 'bool' | 'int[]' | 'float[]';

/** `NAME: TYPE [in LO .. HI] = DEFAULT` */
export interface ParameterAst {
  readonly kind: 'parameter';
  readonly name: Name;
  readonly type: ParameterType;
  readonly range: RangeAst | undefined;
  readonly value: ExprAst;
  readonly doc: string | undefined;
  readonly span: Span;
}

/** `FROM .. TO` (inclusive) or `FROM ..< TO`, with an optional `step S`. */
export interface RangeAst {
  readonly kind: 'range';
  readonly from: ExprAst;
  readonly to: ExprAst;
  readonly inclusive: boolean;
  readonly step: ExprAst | undefined;
  readonly span: Span;
}

export type ItemAst =
  | RuleAst
  | BlockAst
  | LetAst
  | RestrictAst
  | IncludeAst
  | ForAst
  | OverlapsAst
  | ScoreAst
  | MixAst
  | InputAst
  | TokensAst
  | AlignAst;

/** `[LABEL:] i -> j [in RANGE] [when COND]`; with neither, every pair is an edge. */
export interface RuleAst {
  readonly kind: 'rule';
  readonly label: Name | undefined;
  readonly range: RangeAst | undefined;
  readonly when: ExprAst | undefined;
  readonly doc: string | undefined;
  readonly span: Span;
}

/** `[LABEL:] { items }`: a scope of names; the label prefixes those inside (`label.inner`). */
export interface BlockAst {
  readonly kind: 'block';
  readonly label: Name | undefined;
  readonly items: readonly ItemAst[];
  readonly span: Span;
}

/** `let NAME = EXPR` */
export interface LetAst {
  readonly kind: 'let';
  readonly name: Name;
  readonly value: ExprAst;
  readonly span: Span;
}

export interface RestrictAst {
  readonly kind: 'restrict';
  readonly condition: ExprAst;
  readonly span: Span;
}

/** `[LABEL:] include NAME(args)`; the label, else the pattern's name, prefixes the labels inside. */
export interface IncludeAst {
  readonly kind: 'include';
  readonly label: Name | undefined;
  readonly pattern: Name;
  readonly args: readonly ArgumentAst[];
  readonly span: Span;
}

/** `for x in LIST { … }` · `for (a, b) in zip(L1, L2) { … }` · `for n in 0 ..< 4 { … }` */
export interface ForAst {
  readonly kind: 'for';
  readonly names: readonly Name[];
  readonly over: ForSourceAst;
  readonly items: readonly ItemAst[];
  readonly span: Span;
}

export type ForSourceAst =
  | RangeAst
  | { readonly kind: 'zip'; readonly lists: readonly ExprAst[]; readonly span: Span }
  | { readonly kind: 'each'; readonly list: ExprAst; readonly span: Span };

export interface OverlapsAst {
  readonly kind: 'overlaps';
  readonly mode: 'merge' | 'add';
  readonly span: Span;
}

export interface ScoreAst {
  readonly kind: 'score';
  readonly value: ExprAst;
  readonly span: Span;
}

/** `mix = NAME` or `mix = NAME(key: EXPR, …)` */
export interface MixAst {
  readonly kind: 'mix';
  readonly name: Name;
  readonly args: readonly ArgumentAst[];
  readonly span: Span;
}

/** `input NAME: TYPE[AXIS, …]` or `input NAME: edges` or `input NAME: edges[heads]`, `edges[batch]`, `edges[batch, heads]`. */
export interface InputAst {
  readonly kind: 'input';
  readonly name: Name;
  readonly type: 'int' | 'float' | 'bool' | 'edges';
  /** Empty when there are no brackets. Axis names (`keys`, `tokens`, `queries`, `heads`, `batch`) are Name expressions. */
  readonly axes: readonly ExprAst[];
  readonly doc: string | undefined;
  readonly span: Span;
}

/** `tokens (y: H, x: W)`; a size `?` is `undefined` here. */
export interface TokensAst {
  readonly kind: 'tokens';
  readonly axes: readonly { readonly name: Name; readonly size: ExprAst | undefined; readonly span: Span }[];
  readonly span: Span;
}

export interface AlignAst {
  readonly kind: 'align';
  readonly to: 'end' | 'start';
  readonly span: Span;
}

/** A positional argument, or a named one (`window: 3`). */
export interface ArgumentAst {
  readonly name: Name | undefined;
  readonly value: ExprAst;
  readonly span: Span;
}

export type BinaryOperator = '+' | '-' | '*' | '/' | '**' | 'div' | '%' | 'and' | 'or';
export type CompareOperator = '<' | '<=' | '>' | '>=' | '==' | '!=';

/**
 * Precedence, loosest first: or · and · not · comparison chains and `in` · `+ -` · `* / div %` · unary `-` · `**`
 * (right associative) · calls, indexing and members.
 */
export type ExprAst =
  | { readonly kind: 'int'; readonly value: number; readonly text: string; readonly span: Span }
  | { readonly kind: 'float'; readonly value: number; readonly text: string; readonly span: Span }
  | { readonly kind: 'bool'; readonly value: boolean; readonly span: Span }
  | { readonly kind: 'list'; readonly items: readonly ExprAst[]; readonly span: Span }
  | { readonly kind: 'name'; readonly text: string; readonly span: Span }
  /** `i.y`, `y.size`, `bonds.weight` */
  | { readonly kind: 'member'; readonly object: ExprAst; readonly member: Name; readonly span: Span }
  /** `table[a, b]`, `list[0]`, `graph[a, b]`, `graph.weight[a, b]` */
  | {
      readonly kind: 'index';
      readonly object: ExprAst;
      readonly indices: readonly ExprAst[];
      readonly span: Span;
    }
  | { readonly kind: 'call'; readonly name: Name; readonly args: readonly ArgumentAst[]; readonly span: Span }
  | { readonly kind: 'unary'; readonly op: '-' | 'not'; readonly value: ExprAst; readonly span: Span }
  | {
      readonly kind: 'binary';
      readonly op: BinaryOperator;
      readonly left: ExprAst;
      readonly right: ExprAst;
      readonly span: Span;
    }
  /** `a < b <= c`: operands.length === operators.length + 1; one operator is the plain comparison. */
  | {
      readonly kind: 'compare';
      readonly operands: readonly ExprAst[];
      readonly operators: readonly CompareOperator[];
      readonly span: Span;
    }
  /** `x in SET`, where SET is a list, a list parameter's name, or `sample(…)`. */
  | { readonly kind: 'in'; readonly value: ExprAst; readonly set: ExprAst; readonly span: Span };
