import type { BoundInputs } from '../compiler/ir/inputs.js';
import { planTiles } from '../compiler/ir/plan.js';
import type { Variant } from '../compiler/ir/program.js';
import { TILE, type Schedule, type TilePass } from '../compiler/ir/schedule.js';
import type { BoundShape } from '../compiler/ir/shape.js';
import { spread } from '../compiler/ir/statistics.js';

/** Which of several tilings of one schedule and one family runs, where nobody said and nothing was measured. */

/** Of the tile passes of a schedule at a bound shape, estimated from a few query tiles. */
export interface TilingFacts {
  /** Tiles of 64 queries, over classes, heads and batches. */
  readonly queryTiles: number;
  /** Tiles of 64 keys that one of them visits, on average. */
  readonly keyTiles: number;
  /** Pairs issued by tiles of 128 queries over those issued by tiles of 64: 1 where neighbours visit the same keys. */
  readonly growth: number;
}

interface Rule {
  /** @param apart whether there are larger tiles whose subgroups visit keys by themselves: `Kernel.apart` */
  readonly when: (facts: TilingFacts, apart: boolean) => boolean;
  /** Query rows of a tile: the largest that there are up to so many, or else the least. */
  readonly rows: number;
  /** Of those with as many rows, the one with the most subgroups. */
  readonly spread?: boolean;
}

/** Workgroups that fill a large device several times over. */
const FILL = 512;

/**
 * Key tiles of a long row. With heads of 64, windows of 9 are 8 % faster with 8 subgroups of 16 rows than with 4 of 32
 * rows, windows of 17 alike, and windows of 25 and 33 are 2 and 4 % slower, as are segments of 32 (LongNet).
 */
const LONG = 16;

/**
 * The first rule that holds. Measured on an NVIDIA H200 with f16 and matrices of 16 x 16 x 16: tiles of 128 queries read
 * keys half as often, and win where rows are long (dense, causal, long segments), and in windows too if their subgroups
 * skip what is not for them: with twice the subgroups, since masks and what comes before and after the keys then wait
 * for each other less. Tiles of 64 win where larger ones compute more that is masked away, and where there are too few
 * tiles to go round.
 */
export const TILING_RULES: Readonly<Record<'few' | 'wide' | 'apart' | 'narrow', Rule>> = {
  few: { when: (f) => f.queryTiles / 2 < FILL, rows: 64 },
  wide: { when: (f) => f.keyTiles >= LONG && f.growth <= 1.25, rows: 128 },
  apart: { when: (f, apart) => apart && f.growth <= 1.4, rows: 128, spread: true },
  narrow: { when: () => true, rows: 64 },
};

/** Query rows of a variant's tiles; 0 if it has none. */
export const tileRows = (variant: Variant): number =>
  Math.max(0, ...variant.kernels.map((k) => (k.role === 'tiles' ? k.rows : 0)));

/** Threads of the workgroups that have them. */
const tileThreads = (variant: Variant): number =>
  Math.max(0, ...variant.kernels.map((k) => (k.role === 'tiles' ? k.workgroup[0] : 0)));

/**
 * The variant's tiling in words, which tells the variants of a schedule and a family apart: `ChooseOptions.tiling` and
 * tuned choices name it.
 */
export function tilingLabel(variant: Variant): string {
  const { matrix, tiling } = variant;
  const rows = tileRows(variant);
  const parts = [tiling ?? (rows > 0 ? `${rows} queries` : 'row by row')];
  if (matrix) parts.push(`matrices ${matrix.m} x ${matrix.n} x ${matrix.k}`);
  if (matrix?.lockstep) parts.push('lockstep');
  return parts.join(', ');
}

/**
 * @param variants of one schedule and one family, at least one; of those with the same rows the first is taken, unless
 *   the rule says otherwise
 * @param factsOf asked only where there is a choice; undefined where nothing can be counted: then the first is taken
 */
export function chooseTiling(variants: readonly Variant[], factsOf: () => TilingFacts | undefined): Variant {
  const rows = variants.map(tileRows);
  if (rows.every((r) => r === rows[0])) return variants[0];
  const facts = factsOf();
  if (facts === undefined) return variants[0];
  const { few, wide, apart, narrow } = TILING_RULES;
  const largest = variants[rows.indexOf(Math.max(...rows))];
  const skips = largest.kernels.some((k) => k.apart !== undefined);
  const rule = [few, wide, apart].find((r) => r.when(facts, skips)) ?? narrow;
  const upTo = rows.filter((r) => r <= rule.rows);
  const wanted = upTo.length > 0 ? Math.max(...upTo) : Math.min(...rows);
  const fitting = variants.filter((_, n) => rows[n] === wanted);
  return rule.spread ? fitting.reduce((a, b) => (tileThreads(b) > tileThreads(a) ? b : a)) : fitting[0];
}

/** Query tiles looked at in each pass, of each size. */
const MOST = 6;

const known = new WeakMap<Schedule, Map<string, TilingFacts>>();

/** Kept for the schedule where no input decides. Undefined for a schedule without tiles. */
export function tilingFacts(
  schedule: Schedule,
  shape: BoundShape,
  inputs: BoundInputs,
): TilingFacts | undefined {
  if (inputs.size > 0) return countTilings(schedule, shape, inputs);
  const key = JSON.stringify({ ...shape, parameters: [...shape.parameters] });
  const before = known.get(schedule)?.get(key);
  if (before) return before;
  const facts = countTilings(schedule, shape, inputs);
  if (facts) known.set(schedule, (known.get(schedule) ?? new Map<string, TilingFacts>()).set(key, facts));
  return facts;
}

function countTilings(schedule: Schedule, shape: BoundShape, inputs: BoundInputs): TilingFacts | undefined {
  const passes = schedule.passes.filter((p): p is TilePass => p.kind === 'tiles');
  const onGrid = passes.some((p) => p.queries.kind === 'grid');
  const narrow = passes.map((p) => visits(p, shape, inputs, TILE));
  // Boxes of a grid have 64 cells.
  const wide = onGrid ? narrow : passes.map((p) => visits(p, shape, inputs, 2 * TILE));
  const sum = (of: readonly Visits[], name: keyof Visits): number => of.reduce((n, v) => n + v[name], 0);
  const queryTiles = sum(narrow, 'queryTiles');
  const visited = sum(narrow, 'visited');
  if (queryTiles === 0) return undefined;
  const growth = onGrid || visited === 0 ? 1 : (2 * sum(wide, 'visited')) / visited;
  return { queryTiles, keyTiles: visited / queryTiles, growth };
}

interface Visits {
  readonly queryTiles: number;
  /** Key tiles, by all query tiles together. */
  readonly visited: number;
}

function visits(pass: TilePass, shape: BoundShape, inputs: BoundInputs, rows: number): Visits {
  // The tiles are the same however they are found, and subdivision finds large full boxes in one step.
  const planner = planTiles({ ...pass, plan: 'host' }, shape, inputs, rows);
  const { tiles, classes } = planner;
  const sequences = classes * shape.heads * shape.batch;
  let visited = 0;
  // Spread over the tiles of a sequence, each looked at in another one: spread over all of them, samples could fall on
  // the same few tiles of every head.
  spread(tiles, MOST).forEach(({ n, weight }, sample) => {
    const sequence = Math.floor((sample * sequences) / MOST);
    const cls = sequence % classes;
    const head = Math.floor(sequence / classes) % shape.heads;
    const batch = Math.floor(sequence / (classes * shape.heads));
    planner.tile(batch, head, cls, n, (_, __, count) => {
      visited += count * weight * sequences;
    });
  });
  const queryTiles = tiles * sequences;
  return { queryTiles, visited };
}
