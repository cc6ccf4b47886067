import { make } from '../ir/build.js';
import type { Edges } from '../ir/edges.js';
import { rewrite, type Expr } from '../ir/expr.js';
import type { EdgePass } from './pass.js';

/**
 * Evaluates what is constant.
 *
 *     i -> j when abs(i - j) <= 2 * 4 and true     ⇒     i -> j when abs(i - j) <= 8
 */
export const foldConstants: EdgePass = { name: 'fold-constants', run: fold };

function fold(edges: Edges): Edges {
  const memo = new Map<Expr, Expr>();
  const expr = (e: Expr): Expr =>
    rewrite(e, (n) => ('args' in n && !('name' in n) ? make(n.op, n.type, n.args) : n), memo);
  return {
    ...edges,
    restrict: edges.restrict && expr(edges.restrict),
    parts: edges.parts.map((p) => (p.kind === 'rule' ? { ...p, when: expr(p.when) } : fold(p))),
  };
}
