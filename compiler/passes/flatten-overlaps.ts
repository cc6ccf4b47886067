import type { Edges } from '../ir/edges.js';
import { mapEdges, type EdgePass } from './pass.js';

/**
 * Lifts nested edges into their parent where that keeps the multiplicity: anything into `merge` (which only asks
 * whether m > 0), `add` into `add`, and a single rule into anything.
 *
 *     merge { a; merge { b; c } }     ⇒     merge { a; b; c }
 */
export const flattenOverlaps: EdgePass = {
  name: 'flatten-overlaps',
  run: (edges) => mapEdges(edges, flatten),
};

function flatten(edges: Edges): Edges {
  const parts = edges.parts.flatMap((p) => {
    if (p.kind === 'rule' || p.restrict) return [p];
    const lifts = edges.overlaps === 'merge' || p.overlaps === 'add' || p.parts.length === 1;
    return lifts ? p.parts : [p];
  });
  return { ...edges, parts };
}
