import { all, any, int, select, ZERO, ONE, lt, make } from './build.js';
import type { Edges, Pattern, Rule } from './edges.js';
import type { Expr } from './expr.js';
import type { BoundInputs } from './inputs.js';
import { setShape, setSide, type BoundShape } from './shape.js';
import { compileTape } from './tape.js';

/** The definition of a pattern: a pair's multiplicity. Everything else is tested against it. */

/** m as an int expression over i, j, batch, head. */
export function multiplicity(edges: Edges): Expr {
  const parts = edges.parts.map((p) => (p.kind === 'rule' ? select(p.when, ONE, ZERO) : multiplicity(p)));
  const m =
    edges.overlaps === 'add'
      ? parts.reduce((sum, p) => make('add', 'int', [sum, p]), int(0))
      : select(any(parts.map((p) => lt(ZERO, p))), ONE, ZERO);
  return edges.restrict ? select(edges.restrict, m, ZERO) : m;
}

/** Each rule's own condition with the restrictions around it, in the order of `rulesOf`: for pictures. */
export function ruleConditions(edges: Edges): readonly { readonly rule: Rule; readonly when: Expr }[] {
  const go = (e: Edges, around: readonly Expr[]): { rule: Rule; when: Expr }[] => {
    const inside = e.restrict ? [...around, e.restrict] : around;
    return e.parts.flatMap((p) =>
      p.kind === 'rule' ? [{ rule: p, when: all([...inside, p.when]) }] : go(p, inside),
    );
  };
  return go(edges, []);
}

/** Evaluates expressions over pairs at a bound shape. */
export interface PairEvaluator {
  /** Fixes batch, head and the query's position; then `at(j)` is cheap. */
  row(batch: number, head: number, i: number): void;
  /** Root 0 at key j of the row. */
  at(j: number): number;
  /** Root n at the pair of the last `at`. */
  result(n: number): number;
}

export function evaluatePairs(
  roots: readonly Expr[],
  shape: BoundShape,
  inputs: BoundInputs,
  precision: 'f32' | 'f64' = 'f32',
): PairEvaluator {
  const tape = compileTape(roots, { precision });
  const slot = tape.slot('j');
  const grid = shape.grid.some((_, n) => tape.slot(`j.${n}`) >= 0);
  return {
    row: (batch, head, i) => {
      setShape(tape, shape, batch, head);
      setSide(tape, 'i', i, shape.grid);
    },
    at: (j) => {
      if (grid) setSide(tape, 'j', j, shape.grid);
      else if (slot >= 0) tape.registers[slot] = j;
      tape.run(inputs);
      return tape.result(0);
    },
    result: tape.result,
  };
}

/** `at(batch, head, i, j)`: the multiplicity of a pair of a pattern, i being the query's position. */
export function evaluator(pattern: Pattern, shape: BoundShape, inputs: BoundInputs): PairEvaluator {
  return evaluatePairs([multiplicity(pattern.edges)], shape, inputs);
}
