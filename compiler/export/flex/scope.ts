import type { InputDeclaration, Pattern } from '../../ir/edges.js';
import type { Expr } from '../../ir/expr.js';
import { createFacts, type FactsOf } from './facts.js';
import { helperTexts, type HelperName } from './helpers.js';
import { createInterner } from './intern.js';
import { createNames, type Names } from './names.js';
import type { Text } from './text.js';

/** What printing a module's functions gathers on the way: names, lines of `build` before them, helpers that they call. */
export interface Scope {
  readonly pattern: Pattern;
  readonly facts: FactsOf;
  readonly names: Names;
  /** Python names of parameters that may be set, and of inputs. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly inputs: ReadonlyMap<string, { readonly name: string; readonly declared: InputDeclaration }>;
  /** Names of the grid's axes, slowest first. */
  readonly axes: readonly string[];
  /** The integer type that positions and tables have. */
  readonly int: 'torch.int32' | 'torch.int64';
  /** Lines of `build` that the functions after them need. */
  readonly lines: string[];
  /** Hoisted expressions by what they are, so that each is there once. */
  readonly hoisted: Map<string, Text>;
  /** Makes equal expressions one object. */
  readonly intern: (e: Expr) => Expr;
  /** The same text for the same interned expression and purpose, and for no other. */
  readonly keyOf: (e: Expr, purpose: string) => string;
  /** Samples that would have to be drawn pair by pair. */
  readonly problems: Expr[];
  /** Marks a helper as used, and returns its name. */
  readonly helper: (name: HelperName) => HelperName;
  readonly helpers: () => ReadonlySet<HelperName>;
}

export function createScope(pattern: Pattern, int: Scope['int']): Scope {
  const names = createNames(Object.keys(helperTexts));
  const axes = (pattern.grid ?? []).map((g) => g.name);
  const used = new Set<HelperName>();
  const helper = (name: HelperName): HelperName => {
    if (!used.has(name)) {
      used.add(name);
      for (const needed of helperTexts[name].needs) helper(needed);
    }
    return name;
  };
  const parameters = new Map(
    pattern.parameters.filter((p) => !p.fixed).map((p) => [p.name, names.take(p.name)] as const),
  );
  const inputs = new Map(
    pattern.inputs.map((d) => [d.name, { name: names.take(d.name), declared: d }] as const),
  );
  const numbers = new Map<Expr, number>();
  const keyOf = (e: Expr, purpose: string): string => {
    const n = numbers.get(e) ?? numbers.size;
    numbers.set(e, n);
    return `${purpose} ${n}`;
  };
  return {
    pattern,
    facts: createFacts(),
    names,
    parameters,
    inputs,
    axes: axes.map((a) => names.take(`${a}_size`)),
    int,
    lines: [],
    hoisted: new Map(),
    intern: createInterner(),
    keyOf,
    problems: [],
    helper,
    helpers: () => used,
  };
}

/** The position of the query in row `q_idx`. */
export function queryPosition(scope: Scope): string {
  const row = scope.int === 'torch.int64' ? 'q_idx.to(torch.int64)' : 'q_idx';
  return scope.pattern.align === 'end' ? `position(b, ${row})` : row;
}

/** The first line of a function of `q_idx` and `kv_idx`. */
export const pairPosition = (scope: Scope): string =>
  `i, j = ${queryPosition(scope)}, ${scope.int === 'torch.int64' ? 'kv_idx.to(torch.int64)' : 'kv_idx'}`;
