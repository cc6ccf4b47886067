import { isConst } from './build.js';
import { mentions, type Expr } from './expr.js';
import { negationNormal } from './segment.js';

/** Alternatives past which a condition stays whole. */
const MOST_ALTERNATIVES = 16;

/**
 * A condition as alternatives of which at least one holds where it does, each a list of atoms that hold together; an
 * `or` on one side's position alone stays an atom where it is a set of positions.
 */
export function alternativesOf(condition: Expr): readonly (readonly Expr[])[] {
  const whole = negationNormal(condition);
  return disjuncts(whole) ?? [atomsOf(whole)];
}

const oneSided = (e: Expr): boolean => !(mentions(e, 'i') && mentions(e, 'j'));

function atomsOf(e: Expr): readonly Expr[] {
  if (isConst(e, 1)) return [];
  return e.op === 'and' ? e.args.flatMap(atomsOf) : [e];
}

/** Alternatives as lists of atoms; undefined past the limit. */
function disjuncts(e: Expr): readonly (readonly Expr[])[] | undefined {
  if (isConst(e, 0)) return [];
  if (e.op === 'or' && !splitsInVain(e)) {
    const parts = e.args.map(disjuncts);
    if (parts.some((p) => p === undefined)) return undefined;
    const union = parts.flatMap((p) => p ?? []);
    return union.length <= MOST_ALTERNATIVES ? union : undefined;
  }
  if (e.op === 'and') {
    const [a, b] = e.args.map(disjuncts);
    if (!a || !b || a.length * b.length > MOST_ALTERNATIVES) return undefined;
    return a.flatMap((x) => b.map((y) => [...x, ...y]));
  }
  return [atomsOf(e)];
}

/** An `or` on one side's position alone is a set of positions: best kept whole. */
function splitsInVain(e: Expr): boolean {
  if (!oneSided(e)) return false;
  return leaves(e).every((leaf) => leaf.op === 'eq');
}

function leaves(e: Expr): readonly Expr[] {
  return e.op === 'or' ? e.args.flatMap(leaves) : [e];
}
