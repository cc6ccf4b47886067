import { div, int, read, variable } from '../ir/build.js';
import { same, type Expr, type InputRead } from '../ir/expr.js';
import { isStraight } from '../ir/gather-plan.js';
import { partName, partOf, type GraphPart } from '../ir/graph-boxes.js';
import { TILE } from '../ir/schedule.js';
import type { Term } from '../ir/segment.js';
import { neighboursOf } from './neighbours.js';
import type { Shaped } from './spaces.js';

/**
 * Terms on explicit graphs divided in two, by edge: those in dense boxes, for tiles, and the rest, for gathers.
 *
 *   bonds[i, j] and j <= i  ⇒  bonds.tiled[i, j] and j <= i,  bonds.rest[i, j] and j <= i
 *
 * Undefined where there is no such graph, or none whose rows are the query positions: boxes of others aren't tiles.
 */
export function divideGraphs(
  terms: readonly Shaped[],
  inputs: readonly { readonly name: string }[],
): readonly Shaped[] | undefined {
  const divided = terms.map((s) => divide(s, inputs));
  return divided.some((d) => d !== undefined) ? terms.flatMap((s, n) => divided[n] ?? [s]) : undefined;
}

function divide(s: Shaped, inputs: readonly { readonly name: string }[]): readonly Shaped[] | undefined {
  const found = neighboursOf(s.term);
  if (found?.neighbours.kind !== 'graph') return undefined;
  const { input, batch, head } = found.neighbours;
  if (!isStraight(found.neighbours)) return undefined;
  // In WGSL a part is named like such an input, or like a part of it.
  const taken = (['tiled', 'rest'] as const).map((part) => `${input}_${part}`);
  if (inputs.some((x) => taken.some((t) => x.name === t || x.name.startsWith(`${t}_`)))) return undefined;
  const edge = (part: GraphPart, a: Expr, b: Expr): Expr =>
    read('edge', 'bool', partName(input, part), [batch, head, a, b]);
  const [i, j] = [variable('i'), variable('j')];
  const withEdge = (part: GraphPart): Term => ({
    ...s.term,
    atoms: s.term.atoms.map((a) => (found.consumed.includes(a) ? edge(part, i, j) : a)),
  });
  // Few boxes are looked through sooner than the many edges in them.
  const box = edge('boxes', div(i, int(TILE)), div(j, int(TILE)));
  const rows = { kind: 'rows' } as const;
  const inRows = { pair: undefined, long: undefined, query: rows, key: rows };
  return [
    { ...s, ...inRows, dense: true, term: { ...withEdge('tiled'), implied: [box] } },
    { ...s, term: withEdge('rest') },
  ];
}

/** Does each ask for an edge of another part of one graph, so that both never hold? */
export function areApart(a: Expr, b: Expr): boolean {
  const others = edgesOf(b);
  return edgesOf(a).some((x) => {
    const { graph, part } = partOf(x.name);
    return others.some((y) => {
      const other = partOf(y.name);
      const parts = part !== undefined && other.part !== undefined && part !== other.part;
      return parts && graph === other.graph && x.args.every((e, n) => same(e, y.args[n]));
    });
  });
}

/** Edges that a condition cannot do without. */
function edgesOf(e: Expr): readonly InputRead[] {
  if (e.op === 'and') return e.args.flatMap(edgesOf);
  return e.op === 'edge' ? [e] : [];
}
