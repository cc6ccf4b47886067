import { isConst } from '../compiler/ir/build.js';
import { evaluatePairs } from '../compiler/ir/evaluate.js';
import type { BoundInputs } from '../compiler/ir/inputs.js';
import { planTiles } from '../compiler/ir/plan.js';
import { TILE, type Segment, type TilePass } from '../compiler/ir/schedule.js';
import type { BoundShape } from '../compiler/ir/shape.js';
import { spread } from '../compiler/ir/statistics.js';

/** What the tiles of a pass hold, segment by segment, counted on query tiles spread over the sequence. */

export interface SegmentCounts {
  readonly full: number;
  readonly partial: number;
  /** Edges in them. */
  readonly edges: number;
}

export interface PassCounts {
  readonly segments: readonly SegmentCounts[];
  /** Box tests that planning takes. */
  readonly steps: number;
  readonly sampled: number;
  readonly total: number;
  /** False where not even in the query tiles looked at every partial tile was counted pair by pair. */
  readonly exact: boolean;
}

export interface CountOptions {
  /** Query tiles to look at. */
  readonly most: number;
  /** Pairs to evaluate in partial tiles, in all; past it they are sampled. */
  readonly pairs: number;
  readonly step?: () => void;
}

interface Run {
  readonly segment: number;
  readonly first: number;
  readonly count: number;
  readonly full: boolean;
}

export function countTilePass(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  options: CountOptions,
): PassCounts {
  const planner = planTiles(pass, shape, inputs);
  const keeps = pass.segments.map((s) => evaluatePairs([s.keep], shape, inputs));
  const total = shape.batch * shape.heads * planner.classes * planner.tiles;
  const chosen = spread(total, options.most);
  const counts = pass.segments.map(() => ({ full: 0, partial: 0, edges: 0 }));
  const budget = options.pairs / Math.max(1, chosen.length);
  let steps = 0;
  let exact = true;
  for (const { n, weight } of chosen) {
    options.step?.();
    const tile = n % planner.tiles;
    const cls = Math.floor(n / planner.tiles) % planner.classes;
    const head = Math.floor(n / (planner.tiles * planner.classes)) % shape.heads;
    const batch = Math.floor(n / (planner.tiles * planner.classes * shape.heads));
    const queries = planner.queryPositions(batch, head, cls, tile);
    const runs: Run[] = [];
    const before = planner.steps();
    planner.tile(batch, head, cls, tile, (segment, first, count, full) => {
      runs.push({ segment, first, count, full });
    });
    steps += (planner.steps() - before) * weight;

    const partial = runs.reduce((sum, r) => sum + (r.full ? 0 : r.count), 0);
    // Every so many partial tiles are looked into, with a step that no pattern's period divides for long.
    const step = Math.max(1, (partial * TILE * queries.length) / Math.max(1, budget));
    if (step > 1) exact = false;
    let next = 0;
    let seen = 0;
    for (const run of runs) {
      const c = counts[run.segment];
      if (run.full) {
        c.full += run.count * weight;
        c.edges += run.count * TILE * queries.length * weight;
        continue;
      }
      c.partial += run.count * weight;
      const keep = keeps[run.segment];
      for (let t = run.first; t < run.first + run.count; t++, seen++) {
        if (seen < next) continue;
        next += step;
        const keys = planner.keyPositions(run.segment, batch, head, cls, t);
        let edges = 0;
        for (const i of queries) {
          keep.row(batch, head, i);
          for (const j of keys) edges += keep.at(j);
        }
        c.edges += edges * weight * step;
      }
    }
  }
  return { segments: counts, steps, sampled: chosen.length, total, exact: exact && chosen.length === total };
}

/** A segment for which planning has nothing to go by: its keys may lie anywhere, and no tile is known to be full. */
export function isUnbounded(s: Segment): boolean {
  if (isConst(s.all, 1) || s.space.kind !== 'line') return false;
  return s.seeds.some((seed) => {
    if (seed.kind !== 'interval' || seed.lo.length !== 1) return false;
    const [lo] = seed.lo;
    const [hi] = seed.hi;
    // keys − 1
    const last =
      hi.op === 'sub' && hi.args[0].op === 'var' && hi.args[0].name === 'keys' && isConst(hi.args[1], 1);
    return isConst(lo, 0) && last;
  });
}
