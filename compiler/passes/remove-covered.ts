import { isConst } from '../ir/build.js';
import type { Edges, Rule } from '../ir/edges.js';
import { same, type Expr } from '../ir/expr.js';
import { mapEdges, type EdgePass } from './pass.js';

/**
 * Under `merge`, drops rules that hold only where another one does: a rule with more conditions than another, or next
 * to one that always holds.
 *
 *     i -> j when A and B; i -> j when A     ⇒     i -> j when A
 */
export const removeCovered: EdgePass = { name: 'remove-covered', run: (edges) => mapEdges(edges, drop) };

export function conjuncts(e: Expr): readonly Expr[] {
  if (isConst(e, 1)) return [];
  return e.op === 'and' ? e.args.flatMap(conjuncts) : [e];
}

function drop(edges: Edges): Edges {
  if (edges.overlaps !== 'merge') return edges;
  const atoms = new Map(
    edges.parts.filter((p): p is Rule => p.kind === 'rule').map((r) => [r, conjuncts(r.when)] as const),
  );
  const implies = (a: Rule, b: Rule): boolean => {
    const [x, y] = [atoms.get(a) ?? [], atoms.get(b) ?? []];
    return y.every((atom) => x.some((other) => same(atom, other)));
  };
  const parts = edges.parts.filter((p, n) => {
    if (p.kind !== 'rule') return true;
    return !edges.parts.some(
      (other, m) => m !== n && other.kind === 'rule' && implies(p, other) && (m < n || !implies(other, p)),
    );
  });
  return { ...edges, parts };
}
