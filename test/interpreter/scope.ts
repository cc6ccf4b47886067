import type { ExprAst, ParameterType } from '../../grammar/ast.js';
import type { Graph, TableData } from './tables.js';

/** What a pair is asked about; one object, overwritten from pair to pair. */
export interface Pair {
  batch: number;
  head: number;
  /** Position of the query. */
  i: number;
  j: number;
  heads: number;
  queries: number;
  keys: number;
  dim: number;
  /** Position of query row 0. */
  base: number;
  /** dot(q, k), in scores. */
  dot: number;
}

export type ValueType = 'int' | 'float' | 'bool';

/** An expression made ready to run. Booleans are 0 and 1. */
export interface Code {
  readonly type: ValueType;
  readonly run: (pair: Pair) => number;
}

export type Binding =
  | { readonly kind: 'value'; readonly type: ValueType; readonly value: number }
  | { readonly kind: 'values'; readonly type: ValueType; readonly values: readonly number[] }
  /** A `let`, or an argument of an include: read again wherever it is used, in the scope it came from. */
  | {
      readonly kind: 'expression';
      readonly ast: ExprAst;
      readonly scope: Scope | undefined;
      readonly type: ParameterType | undefined;
    }
  | {
      readonly kind: 'table';
      readonly type: ValueType;
      readonly table: TableData;
      /** For each axis, is it counted in query rows? */
      readonly byRow: readonly boolean[];
    }
  | { readonly kind: 'graph'; readonly graph: Graph; readonly axes: readonly string[] }
  /** A grid axis: coordinate = position div stride % size. */
  | { readonly kind: 'axis'; readonly size: (pair: Pair) => number; readonly stride: (pair: Pair) => number };

export interface Scope {
  readonly name: string;
  readonly binding: Binding;
  readonly outer: Scope | undefined;
}

export function bind(outer: Scope | undefined, name: string, binding: Binding): Scope {
  return { name, binding, outer };
}

export function find(scope: Scope | undefined, name: string): Binding | undefined {
  for (let s = scope; s !== undefined; s = s.outer) if (s.name === name) return s.binding;
  return undefined;
}
