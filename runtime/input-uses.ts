import type { Edges, Pattern } from '../compiler/ir/edges.js';
import { partOf } from '../compiler/ir/graph-boxes.js';
import { argsOf, walk, type Expr } from '../compiler/ir/expr.js';
import { baseOf, setShape, type BoundShape } from '../compiler/ir/shape.js';
import type { Space, TilePass } from '../compiler/ir/schedule.js';
import { compileTape } from '../compiler/ir/tape.js';
import type { GraphExtent } from './bind-graph.js';
import type { InputDeclaration } from '../compiler/ir/edges.js';

/** How a pattern reads its inputs: what decides how strictly they are checked. */

/** Every condition of a tree of rules. */
export function conditionsOf(edges: Edges): readonly Expr[] {
  const own = edges.restrict ? [edges.restrict] : [];
  return [...own, ...edges.parts.flatMap((p) => (p.kind === 'rule' ? [p.when] : conditionsOf(p)))];
}

/** Names of the inputs that any of the expressions reads, in whole or in part. */
export function inputsOf(roots: readonly Expr[]): ReadonlySet<string> {
  const names = new Set<string>();
  walk(roots, (e) => {
    if ('name' in e && 'args' in e) names.add(partOf(e.name).graph);
  });
  return names;
}

/** Inputs read by conditions: −∞ has no place there. */
export function conditionInputs(pattern: Pattern): ReadonlySet<string> {
  return inputsOf(conditionsOf(pattern.edges));
}

/** The rows and columns that a graph needs, from how the pattern indexes it. */
export function graphExtent(pattern: Pattern, declared: InputDeclaration, shape: BoundShape): GraphExtent {
  const rows: Expr[] = [];
  const cols: Expr[] = [];
  const score = [pattern.score, pattern.mix.sink].filter((e): e is Expr => e !== undefined);
  walk([...conditionsOf(pattern.edges), ...score], (e) => {
    if ((e.op !== 'edge' && e.op !== 'weight') || e.name !== declared.name) return;
    rows.push(e.args[2]);
    cols.push(e.args[3]);
  });
  const has = (axis: 'batch' | 'heads'): boolean => declared.axes.some((a) => a.kind === axis);
  return {
    rows: sizeFor(rows, shape),
    exact: rows.every((e) => e.op === 'var'),
    cols: sizeFor(cols, shape),
    batches: has('batch') ? shape.batch : 1,
    heads: has('heads') ? shape.heads : 1,
  };
}

/** One more than the largest index, where all indices grow with a position; else undefined. */
function sizeFor(indices: readonly Expr[], shape: BoundShape): number | undefined {
  if (indices.length === 0) return undefined;
  let most = 0;
  for (const e of indices) {
    const side = growsWith(e);
    if (side === undefined) return undefined;
    const tape = compileTape([e], { precision: 'f32' });
    for (let b = 0; b < shape.batch; b++) {
      const end = side === 'j' ? shape.keys[b] : baseOf(shape, b) + shape.queries[b];
      if (end === 0) continue;
      setShape(tape, shape, b, 0);
      tape.set(side, end - 1);
      tape.run();
      most = Math.max(most, tape.result(0) + 1);
    }
  }
  return most;
}

/** The side that an index never falls with, if it depends on that side and on lengths and parameters only. */
function growsWith(e: Expr): 'i' | 'j' | undefined {
  const still = (x: Expr): boolean => {
    let found = false;
    walk([x], (n) => {
      const input = 'name' in n && 'args' in n;
      const pair = n.op === 'var' && /^(i|j|i\..*|j\..*|batch|head)$/.test(n.name);
      found ||= input || pair;
    });
    return !found;
  };
  const [a, b] = argsOf(e);
  switch (e.op) {
    case 'var':
      return e.name === 'i' || e.name === 'j' ? e.name : undefined;
    case 'add':
    case 'sub':
    case 'div':
      return still(b) ? growsWith(a) : undefined;
    case 'mul':
      return b.op === 'const' && b.value > 0 ? growsWith(a) : undefined;
    default:
      return undefined;
  }
}

/** Inputs that the host reads to plan a pass. */
export function hostInputs(pass: TilePass): ReadonlySet<string> {
  const lists = [pass.queries, ...pass.segments.map((s) => s.space)].flatMap((s: Space) =>
    s.kind === 'list' ? [s.condition] : [],
  );
  const segments: Expr[] =
    pass.plan === 'kernel'
      ? []
      : pass.segments.flatMap((s) => [
          s.any,
          s.all,
          ...s.seeds.flatMap((seed): readonly Expr[] => {
            switch (seed.kind) {
              case 'interval':
                return [...seed.lo, ...seed.hi];
              case 'sample':
                return [...seed.args, seed.lo, seed.hi];
              case 'edges':
                return [seed.batch, seed.head, seed.rowLo, seed.rowHi, seed.lo, seed.hi];
            }
          }),
        ]);
  return inputsOf([...lists, ...segments]);
}
