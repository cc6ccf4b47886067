import type { Edges } from '../ir/edges.js';
import type { EdgePass } from './pass.js';
import { verifyEdges } from './verify.js';

/** Runs passes in order; with `verify`, throws where one breaks what edges must satisfy. */
export function runPasses(edges: Edges, passes: readonly EdgePass[], verify: boolean): Edges {
  return passes.reduce((before, pass) => {
    const after = pass.run(before);
    if (verify) {
      const problems = verifyEdges(after);
      if (problems.length > 0) throw new Error(`after ${pass.name}: ${problems.join('; ')}`);
    }
    return after;
  }, edges);
}
