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
  /** Query rows of a tile, where kernels have others than `TILE`. */
  readonly rows?: number | undefined;
  readonly step?: () => void;
}

/** Query tiles to look at on each line, at least, before all lines are looked at. */
const TILES_A_LINE = 4;
/** Tile visits that counting may take, in all. */
const VISITS = 2 ** 26;

export function countTilePass(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  options: CountOptions,
): PassCounts {
  const planner = planTiles(pass, shape, inputs, options.rows);
  const keeps = pass.segments.map((s) => evaluatePairs([s.keep], shape, inputs));
  // What doesn't differ from head to head, or batch to batch, is counted once.
  const heads = planner.byHead ? shape.heads : 1;
  const batches = planner.byBatch ? shape.batch : 1;
  const repeats = (shape.batch * shape.heads) / (heads * batches);
  const total = heads * batches * planner.classes * planner.tiles;
  const visitsAt = (tile: number): number => {
    const before = planner.steps();
    planner.tile(0, 0, 0, tile, () => undefined);
    return planner.steps() - before;
  };
  // Long rows of tiles are walked for fewer query tiles; the first one is often unlike the others.
  const typical =
    total === 0 ? 0 : Math.max(visitsAt(Math.floor(0.38 * planner.tiles)), visitsAt(planner.tiles - 1));
  const most = Math.max(3, Math.min(options.most, Math.floor(VISITS / Math.max(1, typical))));
  // Every line of tiles (a class of a head of a batch) has its own first and last tile.
  const lines = spread(heads * batches * planner.classes, Math.max(3, Math.floor(most / TILES_A_LINE)));
  const tiles = spread(planner.tiles, Math.max(3, Math.floor(most / Math.max(1, lines.length))));
  const chosen = lines.flatMap((line) =>
    tiles.map((t) => ({ line: line.n, tile: t.n, weight: line.weight * t.weight * repeats })),
  );
  const counts = pass.segments.map(() => ({ full: 0, partial: 0, edges: 0 }));
  const budget = options.pairs / Math.max(1, chosen.length);
  let steps = 0;
  let exact = true;
  for (const { line, tile, weight } of chosen) {
    options.step?.();
    const cls = line % planner.classes;
    const head = Math.floor(line / planner.classes) % heads;
    const batch = Math.floor(line / (planner.classes * heads));
    const queries = planner.queryPositions(batch, head, cls, tile);
    const before = planner.steps();
    let partial = 0;
    planner.tile(batch, head, cls, tile, (segment, _, count, full) => {
      const c = counts[segment];
      if (full) {
        c.full += count * weight;
        c.edges += count * TILE * queries.length * weight;
      } else {
        c.partial += count * weight;
        partial += count;
      }
    });
    steps += (planner.steps() - before) * weight;
    if (partial === 0) continue;

    // Past the budget only every so many partial tiles are looked into.
    const step = Math.max(1, (partial * TILE * queries.length) / Math.max(1, budget));
    if (step > 1) exact = false;
    let next = 0;
    let seen = 0;
    const sample: [segment: number, tile: number][] = [];
    planner.tile(batch, head, cls, tile, (segment, first, count, full) => {
      if (full) return;
      for (let t = first; t < first + count; t++, seen++) {
        if (seen < next) continue;
        next += step;
        sample.push([segment, t]);
      }
    });
    for (const [segment, t] of sample) {
      const keys = planner.keyPositions(segment, batch, head, cls, tile, t);
      let edges = 0;
      for (const i of queries) {
        keeps[segment].row(batch, head, i);
        for (const j of keys) edges += keeps[segment].at(j);
      }
      counts[segment].edges += edges * weight * step;
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
