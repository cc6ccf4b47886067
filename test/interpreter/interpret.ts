/**
 * A second opinion on what a pattern means: the syntax tree, interpreted pair by pair, sharing no code with
 * compiler/. Read next to docs/language.md; slow where it may be, obvious where it can be.
 */
import type { FileAst } from '../../grammar/ast.js';
import { findPattern, readPattern, type Meaning, type Setting, type World } from './pattern.js';
import type { Binding, Pair } from './scope.js';
import type { Tables } from './tables.js';

export type { Setting } from './pattern.js';
export type { TableData, Tables } from './tables.js';

/** A problem's shape; lengths that differ within the batch go in `lengths`, one entry a sequence. */
export interface Shape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly dim?: number;
  readonly lengths?: readonly { readonly queries: number; readonly keys: number }[];
}

export interface Bindings {
  readonly set?: Readonly<Record<string, Setting>>;
  readonly tables?: Tables;
  readonly shape: Shape;
}

export interface Interpreted {
  /** m(batch, head, i, j); i is the query's position. 0 outside the sequence. */
  readonly multiplicity: (batch: number, head: number, i: number, j: number) => number;
  /** The score of a pair, given dot(q, k), in float64. */
  readonly score: (batch: number, head: number, i: number, j: number, dot: number) => number;
  /** The sink's score of a query, or undefined where the pattern has none. */
  readonly sink: ((batch: number, head: number, i: number) => number) | undefined;
  /** Which rules hold, in source order, restrictions aside: for pictures. */
  readonly rules: (batch: number, head: number, i: number, j: number) => readonly boolean[];
  readonly labels: readonly (string | undefined)[];
  /** Position of query row 0 of a sequence. */
  readonly base: (batch: number) => number;
}

/** Interprets pattern `name`; `files` is its file first, then those that it imports. */
export function compilePattern(files: readonly FileAst[], name: string, input: Bindings): Interpreted {
  const { shape, set = {}, tables = {} } = input;
  const pair: Pair = {
    batch: 0,
    head: 0,
    i: 0,
    j: 0,
    heads: shape.heads,
    queries: shape.queries,
    keys: shape.keys,
    dim: shape.dim ?? 64,
    base: 0,
    dot: 0,
  };
  const world: World = { files, tables, shape: { ...pair } };
  const pattern = findPattern(world, name);
  for (const key of Object.keys(set)) {
    if (!pattern.parameters.some((p) => p.name.text === key))
      throw new Error(`${name} has no parameter ${key}`);
  }
  const meaning = readPattern(pattern, world, (parameter, n) =>
    setting(set[parameter], pattern.parameters[n].type),
  );
  const lengths = (batch: number): { readonly queries: number; readonly keys: number } =>
    shape.lengths?.[batch] ?? shape;
  const base = (batch: number): number => baseOf(meaning, lengths(batch));
  /** Points `pair` at (batch, head, i, j); false if that lies outside the sequence. */
  const point = (batch: number, head: number, i: number, j: number): boolean => {
    if (pair.batch !== batch || shape.lengths !== undefined) {
      pair.batch = batch;
      ({ queries: pair.queries, keys: pair.keys } = lengths(batch));
    }
    pair.base = baseOf(meaning, pair);
    pair.head = head;
    pair.i = i;
    pair.j = j;
    return j >= 0 && j < pair.keys && i >= pair.base && i < pair.base + pair.queries;
  };
  const { score, sink, rules } = meaning;
  return {
    multiplicity: (batch, head, i, j) => (point(batch, head, i, j) ? meaning.edges(pair) : 0),
    score: (batch, head, i, j, dot) => {
      point(batch, head, i, j);
      pair.dot = dot;
      return score === undefined ? dot / Math.sqrt(pair.dim) : score.run(pair);
    },
    sink:
      sink &&
      ((batch, head, i) => {
        point(batch, head, i, 0);
        return sink.run(pair);
      }),
    rules: (batch, head, i, j) => {
      const inside = point(batch, head, i, j);
      return rules.map((rule) => inside && rule.holds(pair) !== 0);
    },
    labels: rules.map((rule) => rule.label),
    base,
  };
}

function baseOf(meaning: Meaning, lengths: { readonly queries: number; readonly keys: number }): number {
  return meaning.align === 'start' ? 0 : lengths.keys - lengths.queries;
}

function setting(value: Setting | undefined, type: string): Binding | undefined {
  if (value === undefined) return undefined;
  const element = type.startsWith('float') ? 'float' : type === 'bool' ? 'bool' : 'int';
  if (typeof value === 'object') return { kind: 'values', type: element, values: value };
  return { kind: 'value', type: element, value: Number(value) };
}
