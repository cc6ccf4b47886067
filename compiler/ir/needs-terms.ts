import { alternativesOf } from './alternatives.js';
import { all, bool, int, isConst } from './build.js';
import type { Pattern } from './edges.js';
import { ruleConditions } from './evaluate.js';
import { some, walk, type Expr } from './expr.js';
import type { BoundInputs } from './inputs.js';
import { simplify } from './simplify.js';
import { setShape, type BoundShape } from './shape.js';
import { coordinateOf, substitute } from './space.js';
import { compileTape, type Tape } from './tape.js';

/** What a search works on: conditions on i and j alone, and how tapes of them are made. */
export interface Place {
  readonly shape: BoundShape;
  readonly inputs: BoundInputs;
  readonly batch: number;
  readonly head: number;
}

/** Atoms that hold together. The pattern's edges are where any of its terms holds. */
export type NeedTerm = readonly Expr[];

/** A tape with everything set that is the same for all pairs. */
export function tapeAt(roots: readonly Expr[], { shape, batch, head }: Place): Tape {
  const tape = compileTape(roots, { precision: 'f32' });
  setShape(tape, shape, batch, head);
  return tape;
}

/** Do a pattern's edges depend on a variable? */
export function edgesMention(pattern: Pattern, name: string): boolean {
  return ruleConditions(pattern.edges).some(({ when }) =>
    some(when, (n) => n.op === 'var' && n.name === name),
  );
}

/**
 * The terms of a pattern's edges for one (batch, head), with every length, size and whole parameter a number and grid
 * coordinates computed from positions: so moduli are known, and sums cancel.
 */
export function termsAt(pattern: Pattern, place: Place): readonly NeedTerm[] {
  const conditions = ruleConditions(pattern.edges).map(({ when }) => when);
  const axes = place.shape.grid.length;
  const coordinates = new Map(
    (['i', 'j'] as const).flatMap((side) =>
      Array.from({ length: axes }, (_, n): [string, Expr] => [
        `${side}.${n}`,
        coordinateOf({ op: 'var', type: 'int', name: side }, n, axes),
      ]),
    ),
  );
  const whole = conditions.map((c) => substitute(c, coordinates));
  const known = constantsOf(whole, place);
  return whole.flatMap((c) => {
    const plain = simplify(c, asNumbers(c, known));
    return alternativesOf(plain)
      .map((atoms) => atoms.map((a) => simplify(a)).filter((a) => !isConst(a, 1)))
      .filter((atoms) => !isConst(all(atoms), 0));
  });
}

/** Values of variables and parameters. Floats stay: a constant would be rounded where a parameter is not. */
function constantsOf(conditions: readonly Expr[], place: Place): ReadonlyMap<string, Expr> {
  const leaves = new Map<string, Expr>();
  walk(conditions, (n) => {
    if (n.op === 'param' && n.type !== 'float') leaves.set(`param:${n.name}`, n);
    if (n.op === 'var' && n.type === 'int' && n.name !== 'i' && n.name !== 'j') leaves.set(n.name, n);
  });
  const names = [...leaves.keys()];
  const tape = tapeAt([...leaves.values()], place);
  tape.run(place.inputs);
  return new Map(
    names.map((name, n) => [
      name,
      leaves.get(name)?.type === 'bool' ? bool(tape.result(n) !== 0) : int(tape.result(n)),
    ]),
  );
}

/** A memo for `simplify` in which variables and parameters are their values already. */
function asNumbers(e: Expr, known: ReadonlyMap<string, Expr>): Map<Expr, Expr> {
  const memo = new Map<Expr, Expr>();
  walk([e], (n) => {
    const name = n.op === 'var' ? n.name : n.op === 'param' ? `param:${n.name}` : '';
    const value = known.get(name);
    if (value) memo.set(n, value);
  });
  return memo;
}
