import { and } from '../ir/build.js';
import type { Edges } from '../ir/edges.js';
import type { Expr } from '../ir/expr.js';
import type { EdgePass } from './pass.js';

/**
 * Moves `restrict` into the rules.
 *
 *     restrict j <= i; a: i -> j when A; b: i -> j when B     ⇒     a: i -> j when j <= i and A; b: … j <= i and B
 */
export const pushRestrictions: EdgePass = {
  name: 'push-restrictions',
  run: (edges) => push(edges, undefined),
};

function push(edges: Edges, around: Expr | undefined): Edges {
  const inside = around && edges.restrict ? and(around, edges.restrict) : (edges.restrict ?? around);
  return {
    ...edges,
    restrict: undefined,
    parts: edges.parts.map((p) => {
      if (p.kind === 'edges') return push(p, inside);
      return inside ? { ...p, when: and(inside, p.when) } : p;
    }),
  };
}
