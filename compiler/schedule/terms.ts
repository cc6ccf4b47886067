import { and, FALSE, isConst, or } from '../ir/build.js';
import type { Edges, Rule } from '../ir/edges.js';
import { mentions, type Expr } from '../ir/expr.js';
import { negationNormal, type Term } from '../ir/segment.js';
import { flattenOverlaps } from '../passes/flatten-overlaps.js';
import { pushRestrictions } from '../passes/push-restrictions.js';

/** Terms of which a pair counts once, however many of them hold. */
export type Group = readonly Term[];

/** Alternatives past which a rule stays whole. */
const MOST_ALTERNATIVES = 16;

/** The multiplicity as a sum over groups, each 1 where any of its terms holds. */
export function groupsOf(edges: Edges): readonly Group[] {
  const flat = flattenOverlaps.run(pushRestrictions.run(edges));
  if (flat.overlaps === 'merge') return [flat.parts.flatMap((p) => (p.kind === 'rule' ? termsOf(p) : []))];
  return flat.parts.flatMap((p) => (p.kind === 'rule' ? [termsOf(p)] : groupsOf(p)));
}

/** A rule in disjunctive normal form; conditions on one side alone are not split. */
function termsOf(rule: Rule): readonly Term[] {
  const whole = negationNormal(rule.when);
  const alternatives = disjuncts(whole) ?? [atomsOf(whole)];
  return alternatives.map((atoms) => ({ atoms, label: rule.label, source: rule.origin.text }));
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

export const anyTerm = (terms: readonly Term[]): Expr =>
  terms.map((t) => t.atoms.reduce(and)).reduce(or, FALSE);
