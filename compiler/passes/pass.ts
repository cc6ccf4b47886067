import type { Edges } from '../ir/edges.js';

/** A rewrite of edges that keeps every pair's multiplicity. */
export interface EdgePass {
  readonly name: string;
  readonly run: (edges: Edges) => Edges;
}

/** Applies `change` to every nested list of edges, innermost first. */
export function mapEdges(edges: Edges, change: (e: Edges) => Edges): Edges {
  const parts = edges.parts.map((p) => (p.kind === 'edges' ? mapEdges(p, change) : p));
  return change({ ...edges, parts });
}
