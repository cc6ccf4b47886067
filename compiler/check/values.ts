import type { Expr, Type } from '../ir/expr.js';

/** What an expression of the language is worth: one value, a list known at compile time, or an error reported. */
export type Value =
  | { readonly kind: 'scalar'; readonly expr: Expr }
  | { readonly kind: 'list'; readonly type: 'int' | 'float'; readonly items: readonly Expr[] }
  | { readonly kind: 'unknown' };

export const UNKNOWN: Value = { kind: 'unknown' };

export const scalar = (expr: Expr): Value => ({ kind: 'scalar', expr });

/** `int`, `float`, `bool`, `int[]`, `float[]`. */
export function typeName(value: Value): string {
  switch (value.kind) {
    case 'scalar':
      return value.expr.type;
    case 'list':
      return `${value.type}[]`;
    case 'unknown':
      return 'unknown';
  }
}

export const aType = (type: Type | 'int[]' | 'float[]'): string =>
  type === 'int' || type === 'int[]' ? `an ${type}` : `a ${type}`;

export const INT32_MIN = -(2 ** 31);
export const INT32_MAX = 2 ** 31 - 1;

/** `1 index`, `2 indices`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
