import { alternativesOf } from '../ir/alternatives.js';
import { and, FALSE, or } from '../ir/build.js';
import type { Edges, Rule } from '../ir/edges.js';
import type { Expr } from '../ir/expr.js';
import type { Term } from '../ir/segment.js';
import { flattenOverlaps } from '../passes/flatten-overlaps.js';
import { pushRestrictions } from '../passes/push-restrictions.js';

/** Terms of which a pair counts once, however many of them hold. */
export type Group = readonly Term[];

/** The multiplicity as a sum over groups, each 1 where any of its terms holds. */
export function groupsOf(edges: Edges): readonly Group[] {
  const flat = flattenOverlaps.run(pushRestrictions.run(edges));
  if (flat.overlaps === 'merge') return [flat.parts.flatMap((p) => (p.kind === 'rule' ? termsOf(p) : []))];
  return flat.parts.flatMap((p) => (p.kind === 'rule' ? [termsOf(p)] : groupsOf(p)));
}

/** A rule in disjunctive normal form; conditions on one side alone are not split. */
function termsOf(rule: Rule): readonly Term[] {
  return alternativesOf(rule.when).map((atoms) => ({ atoms, label: rule.label, source: rule.origin.text }));
}

export const anyTerm = (terms: readonly Term[]): Expr =>
  terms.map((t) => t.atoms.reduce(and)).reduce(or, FALSE);
