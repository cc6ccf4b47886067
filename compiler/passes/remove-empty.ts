import { isConst } from '../ir/build.js';
import type { Edges } from '../ir/edges.js';
import { Cover, type Box } from '../ir/range.js';
import { boxOfWholeSide } from '../ir/space.js';
import { mapEdges, type EdgePass } from './pass.js';

/** More grid axes than any pattern has. */
const AXES = 4;

/**
 * Drops rules that hold for no pair at any length.
 *
 *     i -> j when j < i and j > i; i -> j     ⇒     i -> j
 */
export const removeEmpty: EdgePass = { name: 'remove-empty', run: (edges) => mapEdges(edges, drop) };

function drop(edges: Edges): Edges {
  const box: Box = new Map([...boxOfWholeSide('i', AXES), ...boxOfWholeSide('j', AXES)]);
  const cover = new Cover(box);
  const parts = edges.parts.filter((p) =>
    p.kind === 'edges' ? p.parts.length > 0 : !isConst(cover.truth(p.when).any, 0),
  );
  return { ...edges, parts };
}
