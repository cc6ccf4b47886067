import { evaluatePairs } from '../compiler/ir/evaluate.js';
import type { Pattern } from '../compiler/ir/edges.js';
import type { BoundInputs } from '../compiler/ir/inputs.js';
import { planTiles } from '../compiler/ir/plan.js';
import { makeSegment } from '../compiler/ir/segment.js';
import { TILE, type Schedule, type Space, type TilePass } from '../compiler/ir/schedule.js';
import { baseOf, type BoundShape } from '../compiler/ir/shape.js';
import { rowsSpace } from '../compiler/ir/space.js';
import { pictureFromBoxes, type CellContent, type Picture, type PictureTile } from './picture/index.js';
import { conditionsOfRules } from './rules.js';
import { randomNumbers } from './random.js';
import { isConst } from '../compiler/ir/build.js';

/** The mask of one batch and head as a picture: rules in colours, tiles of the schedule outlined. */

export interface MaskOptions {
  readonly title: string;
  readonly batch: number;
  readonly head: number;
  /** The most cells a side. */
  readonly resolution: number;
  readonly step?: (row: number) => void;
}

/** Query rows looked at for each row of cells, and partial key tiles for each of them: more are sampled. */
const MOST_ROWS = 8;
const MOST_TILES = 1024;

export function maskPicture(
  pattern: Pattern,
  schedule: Schedule,
  shape: BoundShape,
  inputs: BoundInputs,
  options: MaskOptions,
): { readonly picture: Picture; readonly otherTiles: readonly string[] } {
  const { batch, head, title, resolution } = options;
  const queries = shape.queries[batch];
  const keys = shape.keys[batch];
  const rules = conditionsOfRules(pattern);
  const { tiles, others } = tilesOf(schedule, shape, inputs, batch, head);
  const count = rowCounter(pattern, shape, inputs, batch, head, Math.min(keys, resolution));
  const random = randomNumbers(1);
  let band = -1;
  let counts: Float64Array[] = [];
  let rows = 1;
  const content = (top: number, bottom: number, left: number, right: number): CellContent | undefined => {
    if (top !== band) {
      band = top;
      options.step?.(top);
      rows = Math.min(bottom - top, MOST_ROWS);
      counts = count(sampleOf(top, bottom, rows, random));
    }
    const columns = Math.min(keys, resolution);
    const column = Math.min(columns - 1, Math.ceil((left * columns) / keys));
    let best = 0;
    let sum = 0;
    counts.forEach((c, rule) => {
      sum += c[column];
      if (c[column] > counts[best][column]) best = rule;
    });
    return sum === 0 ? undefined : { rule: best, share: Math.min(1, sum / (rows * (right - left))) };
  };
  const labels = rules.map((r) => r.label);
  const picture = pictureFromBoxes({ title, queries, keys, labels, tiles, resolution }, content);
  return { picture, otherTiles: others };
}

/** Rows of a band: all of them, or one at random from each part, so that no period keeps step with them. */
function sampleOf(top: number, bottom: number, rows: number, random: () => number): readonly number[] {
  const size = (bottom - top) / rows;
  return Array.from({ length: rows }, (_, n) =>
    size === 1 ? top + n : Math.min(bottom - 1, top + Math.floor((n + random()) * size)),
  );
}

/**
 * For query rows, the number of pairs by rule and column of cells. Each pair counts for the first of its rules; where
 * the analysis knows a run of tiles to be full it isn't looked into.
 */
function rowCounter(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
  batch: number,
  head: number,
  columns: number,
): (rows: readonly number[]) => Float64Array[] {
  const keys = shape.keys[batch];
  const rules = conditionsOfRules(pattern);
  const queries = rowsSpace('i');
  const segments = rules.map((rule) => makeSegment([rule], queries, rowsSpace('j'), shape.grid.length));
  const pass: TilePass = { kind: 'tiles', queries, segments, plan: 'host', complete: true };
  const planner = planTiles(pass, shape, inputs, 1);
  const pairs = evaluatePairs(
    rules.map((r) => r.atoms[0]),
    shape,
    inputs,
  );
  const columnOf = (j: number): number => Math.min(columns - 1, Math.floor(((j + 1) * columns - 1) / keys));

  return (rows) => {
    const counts = rules.map(() => new Float64Array(columns));
    for (const row of rows) {
      pairs.row(batch, head, row + baseOf(shape, batch));
      const visits: [rule: number, first: number, count: number, full: boolean][] = [];
      planner.tile(batch, head, 0, row, (rule, first, count, full) =>
        visits.push([rule, first, count, full]),
      );
      const partial = visits.reduce((sum, [, , count, full]) => sum + (full ? 0 : count), 0);
      const step = Math.max(1, partial / MOST_TILES);
      let next = 0;
      let seen = 0;
      for (const [rule, first, count, full] of visits) {
        if (full) {
          addRun(counts[rule], first * TILE, Math.min(keys, (first + count) * TILE), columnOf);
          continue;
        }
        for (let t = first; t < first + count; t++, seen++) {
          if (seen < next) continue;
          next += step;
          for (let j = t * TILE; j < Math.min(keys, (t + 1) * TILE); j++) {
            pairs.at(j);
            let own = pairs.result(rule) !== 0;
            for (let other = 0; other < rule && own; other++) own = pairs.result(other) === 0;
            if (own) counts[rule][columnOf(j)] += step;
          }
        }
      }
    }
    return counts;
  };
}

function addRun(counts: Float64Array, from: number, to: number, columnOf: (j: number) => number): void {
  const keysOf = new Map<number, number>();
  // Columns are runs of keys: walk from border to border.
  for (let j = from; j < to;) {
    const column = columnOf(j);
    let lo = j;
    let hi = to;
    while (hi - lo > 1) {
      const middle = Math.floor((lo + hi) / 2);
      if (columnOf(middle) === column) lo = middle;
      else hi = middle;
    }
    keysOf.set(column, hi - j);
    j = hi;
  }
  for (const [column, n] of keysOf) counts[column] += n;
}

/** Tiles past which there is no use in outlining them. */
const MOST_OUTLINES = 1 << 14;

/** Tiles that are boxes of the mask; passes in other index spaces are named. */
function tilesOf(
  schedule: Schedule,
  shape: BoundShape,
  inputs: BoundInputs,
  batch: number,
  head: number,
): { readonly tiles: readonly PictureTile[]; readonly others: readonly string[] } {
  const keys = shape.keys[batch];
  const queries = shape.queries[batch];
  const tiles: PictureTile[] = [];
  const others = new Set<string>();
  for (const pass of schedule.passes) {
    if (pass.kind === 'gather') {
      others.add('gathered rows');
      continue;
    }
    const inRows = isRun(pass.queries);
    if (!inRows) others.add(pass.queries.name);
    const boxes = pass.segments.map((s) => {
      if (!isRun(s.space)) others.add(s.space.name);
      return inRows && isRun(s.space);
    });
    if (!boxes.some((b) => b) || (queries / TILE) * (keys / TILE) > MOST_OUTLINES) continue;
    const planner = planTiles(pass, shape, inputs);
    for (let tile = 0; tile < planner.tiles; tile++) {
      const positions = planner.queryPositions(batch, head, 0, tile);
      const row = positions[0] - baseOf(shape, batch);
      planner.tile(batch, head, 0, tile, (segment, first, count, full) => {
        if (!boxes[segment]) return;
        for (let t = first; t < first + count; t++) {
          const size = { rows: positions.length, cols: Math.min(TILE, keys - t * TILE) };
          tiles.push({ row, col: t * TILE, ...size, kind: full ? 'full' : 'partial' });
        }
      });
    }
  }
  return { tiles, others: [...others] };
}

/** Positions one after the other; of keys, from the first on: only queries have intervals. */
const isRun = (space: Space): boolean =>
  space.kind === 'line' && /^(rows$|interval\()/.test(space.name) && isConst(space.modulus, 1);
