import { evaluatePairs, evaluator } from './evaluate.js';
import type { Pattern } from './edges.js';
import { countNeighbours } from './gather-plan.js';
import { inputOf, partOf } from './graph-boxes.js';
import type { BoundGraph, BoundInputs } from './inputs.js';
import { planTiles, rowFinder } from './plan.js';
import { TILE, type GatherPass, type Pass, type Schedule, type Seed, type TilePass } from './schedule.js';
import { baseOf, setShape, setSide, type BoundShape } from './shape.js';
import { compileTape } from './tape.js';

/** What a schedule costs at a bound shape, counted on query tiles spread over the sequence. */

export interface Counts {
  /** Σ m over the pairs, each counted as often as it is an edge. */
  readonly needed: number;
  /** Pairs that kernels compute. */
  readonly issued: number;
  readonly full: number;
  readonly partial: number;
  /** The most tiles that one query tile visits, of those looked at. */
  readonly longest: number;
  /** Box tests. */
  readonly steps: number;
  /** Query tiles (gather: rows) looked at, and how many there are; counts are scaled up by their ratio. */
  readonly sampled: number;
  readonly total: number;
}

export interface Sample {
  readonly n: number;
  /** How many of all numbers this one stands for. */
  readonly weight: number;
}

/**
 * About `most` of `total` numbers: the first and the last stand for themselves (patterns treat them specially), those
 * between are evenly spread and share the rest.
 */
export function spread(total: number, most: number): readonly Sample[] {
  if (total <= most) return Array.from({ length: total }, (_, n) => ({ n, weight: 1 }));
  const inner = most - 2;
  const weight = (total - 2) / inner;
  const between = Array.from({ length: inner }, (_, n) => ({
    n: 1 + Math.floor((n + 0.5) * weight),
    weight,
  }));
  return [{ n: 0, weight: 1 }, ...between, { n: total - 1, weight: 1 }];
}

/** @param most query tiles to look at; the counts are scaled to all of them. `pairs` counts the edges in partial tiles. */
export function countPass(
  pass: Pass,
  shape: BoundShape,
  inputs: BoundInputs,
  options: { readonly most: number; readonly pairs: boolean },
): Counts {
  return pass.kind === 'tiles'
    ? countTiles(pass, shape, inputs, options)
    : countRows(pass, shape, inputs, options);
}

/** Partial tiles of one query tile that are counted pair by pair; of more, every so many. */
const PARTIAL_TILES_COUNTED = 512;

function countTiles(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  options: { readonly most: number; readonly pairs: boolean },
): Counts {
  const planner = planTiles(pass, shape, inputs);
  const keeps = pass.segments.map((s) => evaluatePairs([s.keep], shape, inputs));
  const total = shape.batch * shape.heads * planner.classes * planner.tiles;
  const chosen = spread(total, options.most);
  let needed = 0;
  let full = 0;
  let partial = 0;
  let steps = 0;
  let longest = 0;
  for (const { n, weight } of chosen) {
    const tile = n % planner.tiles;
    const cls = Math.floor(n / planner.tiles) % planner.classes;
    const head = Math.floor(n / (planner.tiles * planner.classes)) % shape.heads;
    const batch = Math.floor(n / (planner.tiles * planner.classes * shape.heads));
    const queries = planner.queryPositions(batch, head, cls, tile);
    const visits: [number, number, number, boolean][] = [];
    const taken = planner.steps();
    let edges = 0;
    let own = 0;
    planner.tile(batch, head, cls, tile, (segment, first, count, isFull) => {
      own += count;
      if (isFull) full += count * weight;
      else partial += count * weight;
      if (options.pairs) visits.push([segment, first, count, isFull]);
    });
    longest = Math.max(longest, own);
    steps += (planner.steps() - taken) * weight;
    const looked = visits.reduce((sum, [, , count, isFull]) => sum + (isFull ? 0 : count), 0);
    const every = Math.ceil(looked / PARTIAL_TILES_COUNTED);
    let next = 0;
    for (const [segment, first, count, isFull] of visits) {
      if (isFull) {
        edges += count * TILE * queries.length;
        continue;
      }
      for (let t = first; t < first + count; t++) {
        if (next++ % every !== 0) continue;
        const keys = planner.keyPositions(segment, batch, head, cls, tile, t);
        for (const i of queries) {
          keeps[segment].row(batch, head, i);
          for (const j of keys) edges += keeps[segment].at(j) * every;
        }
      }
    }
    needed += edges * weight;
  }
  return {
    needed: Math.round(needed),
    issued: Math.round((full + partial) * TILE * TILE),
    full: Math.round(full),
    partial: Math.round(partial),
    longest,
    steps: Math.round(steps),
    sampled: chosen.length,
    total,
  };
}

/** Gathered rows looked at for each query tile of the options. */
const ROWS_FOR_A_TILE = 8;

function countRows(
  pass: GatherPass,
  shape: BoundShape,
  inputs: BoundInputs,
  options: { readonly most: number; readonly pairs: boolean },
): Counts {
  const keep = evaluatePairs([pass.keep], shape, inputs);
  const total = shape.batch * shape.heads * Math.max(0, ...shape.queries);
  const rows = Math.max(1, ...shape.queries);
  const chosen = spread(total, options.most * ROWS_FOR_A_TILE);
  const neighbours = neighbourFinder(pass, shape, inputs);
  let needed = 0;
  let issued = 0;
  for (const { n, weight } of chosen) {
    const row = n % rows;
    const head = Math.floor(n / rows) % shape.heads;
    const batch = Math.floor(n / (rows * shape.heads));
    if (row >= shape.queries[batch]) continue;
    const i = row + baseOf(shape, batch);
    const keys = neighbours(batch, head, i);
    issued += keys.length * weight;
    if (!options.pairs) continue;
    keep.row(batch, head, i);
    for (const j of keys) needed += keep.at(j) * weight;
  }
  return {
    needed: Math.round(needed),
    issued: Math.round(issued),
    full: 0,
    partial: 0,
    longest: 0,
    steps: 0,
    sampled: chosen.length,
    total,
  };
}

/** The keys that a gather kernel visits for a query position: in range, before `keep`. */
export function neighbourFinder(
  pass: GatherPass,
  shape: BoundShape,
  inputs: BoundInputs,
): (batch: number, head: number, i: number) => readonly number[] {
  const source = pass.neighbours;
  if (source.kind === 'graph') {
    const tape = compileTape([source.batch, source.head, source.row], { precision: 'f32' });
    return (batch, head, i) => {
      setShape(tape, shape, batch, head);
      setSide(tape, 'i', i, shape.grid);
      tape.run(inputs);
      const graph = inputOf(inputs, source.input) as BoundGraph;
      const row = tape.result(2);
      if (!(row >= 0 && row < graph.rows)) return [];
      const at = (tape.result(0) * graph.heads + tape.result(1)) * (graph.rows + 1) + row;
      return [...graph.colIdx.subarray(graph.rowPtr[at], graph.rowPtr[at + 1])].filter(
        (j) => j < shape.keys[batch],
      );
    };
  }
  const tape = compileTape([source.count, source.position], { precision: 'f32' });
  return (batch, head, i) => {
    setShape(tape, shape, batch, head);
    setSide(tape, 'i', i, shape.grid);
    const keys: number[] = [];
    tape.run(inputs);
    const count = tape.result(0);
    for (let n = 0; n < count; n++) {
      tape.set('member', n);
      tape.run(inputs);
      const j = tape.result(1);
      if (j >= 0 && j < shape.keys[batch]) keys.push(j);
    }
    return keys;
  };
}

/**
 * Cost in units of one pair computed in a tile: partial tiles evaluate masks, gathered pairs load rows of their own,
 * every pass costs a launch, and every pass after the first reads and writes the rows that it merges into.
 */
const COST = {
  partial: 1.3,
  gathered: 6,
  launch: 300_000,
  mergedRow: 48,
  /** Passes of no more query tiles than this have their keys divided. */
  divided: 512,
  /** Tiles that a device works off while one workgroup works off one. */
  waiting: 256,
} as const;

/** Are keys found in the dense boxes of a graph? Few query tiles may have all of them. */
function visitsBoxes(pass: Pass): boolean {
  const ofBoxes = (s: Seed): boolean => s.kind === 'edges' && partOf(s.input).part === 'boxes';
  return pass.kind === 'tiles' && pass.segments.some((s) => s.seeds.some(ofBoxes));
}

/** Relative cost of a schedule, from a few query tiles: for choosing among schedules. */
export function costOf(schedule: Schedule, shape: BoundShape, inputs: BoundInputs): number {
  let cost = 0;
  schedule.passes.forEach((pass, n) => {
    // The tiles are the same however they are found, and subdivision finds large full boxes in one step.
    const found: Pass = pass.kind === 'tiles' ? { ...pass, plan: 'host' } : pass;
    const counts = countPass(found, shape, inputs, { most: visitsBoxes(pass) ? 64 : 10, pairs: false });
    cost += COST.launch;
    if (pass.kind === 'gather') {
      cost += (countNeighbours(pass, shape, inputs) ?? counts.issued) * COST.gathered;
    } else {
      const tiles = counts.full + counts.partial * COST.partial;
      // A query tile with many more keys than the others keeps the device waiting; passes of few tiles are divided.
      const waits = counts.total > COST.divided ? counts.longest * COST.waiting : 0;
      cost += Math.max(tiles, waits) * TILE * TILE;
    }
    if (n > 0) cost += (pass.kind === 'gather' ? counts.total : counts.total * TILE) * COST.mergedRow;
  });
  return cost;
}

/** Σ m and the number of distinct pairs, from rows spread over the sequence, scaled to all rows. */
export function countEdges(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
  most: number,
): { readonly edges: number; readonly distinct: number; readonly exact: boolean } {
  const find = rowFinder(pattern, shape, inputs);
  const m = evaluator(pattern, shape, inputs);
  const rows = Math.max(0, ...shape.queries);
  const total = shape.batch * shape.heads * rows;
  const chosen = spread(total, most);
  let edges = 0;
  let distinct = 0;
  for (const { n, weight } of chosen) {
    const row = n % rows;
    const head = Math.floor(n / rows) % shape.heads;
    const batch = Math.floor(n / (rows * shape.heads));
    if (row >= shape.queries[batch]) continue;
    const i = row + baseOf(shape, batch);
    const keys = find(batch, head, i);
    m.row(batch, head, i);
    for (const j of keys) {
      const value = m.at(j);
      edges += value * weight;
      if (value > 0) distinct += weight;
    }
  }
  return {
    edges: Math.round(edges),
    distinct: Math.round(distinct),
    exact: chosen.length === total,
  };
}
