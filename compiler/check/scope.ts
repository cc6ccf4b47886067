import type { InputAst, Name } from '../../grammar/ast.js';
import type { Axis } from '../ir/edges.js';
import type { Value } from './values.js';

export type Binding =
  | {
      readonly kind: 'parameter' | 'let' | 'loop';
      readonly name: Name;
      readonly value: Value;
      /** True if it depends on a fixed parameter or a repetition: what holds for this value may not for another. */
      readonly varies: boolean;
    }
  | {
      readonly kind: 'input';
      readonly name: Name;
      readonly ast: InputAst;
      /** `undefined` after an error in them. */
      readonly axes: readonly Axis[] | undefined;
    };

/** Names of one pair of braces; the scope around it is the parent. */
export interface Scope {
  readonly parent: Scope | undefined;
  readonly names: Map<string, Binding>;
}

export const createScope = (parent: Scope | undefined): Scope => ({ parent, names: new Map() });

export function lookup(scope: Scope | undefined, name: string): Binding | undefined {
  for (let s = scope; s; s = s.parent) {
    const found = s.names.get(name);
    if (found) return found;
  }
  return undefined;
}

export function visibleNames(scope: Scope | undefined): string[] {
  const names: string[] = [];
  for (let s = scope; s; s = s.parent) names.push(...s.names.keys());
  return names;
}

export const BUILT_IN_NAMES = [
  'i',
  'j',
  'batch',
  'head',
  'heads',
  'queries',
  'keys',
  'length',
  'dim',
  'scale',
] as const;

export const isBuiltIn = (name: string): boolean => (BUILT_IN_NAMES as readonly string[]).includes(name);
