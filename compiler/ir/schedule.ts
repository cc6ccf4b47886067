import type { Expr } from './expr.js';

/**
 * Schedules: which tiles a kernel visits, as data. Tiles are dense in an *index space*, a map from coordinates to
 * positions; nothing is permuted in memory. All expressions are evaluated by the host (tape.ts) and printed as WGSL.
 *
 * Sides. The query side's positions are i = row + base, the key side's j = row. One query tile is `ROWS` coordinates
 * of the pass's query space, one key tile `COLUMNS` = 64 coordinates of a segment's key space.
 */

/** Key coordinates in a tile, and query coordinates in a tile of the prefill kernels. */
export const TILE = 64;

/**
 * A one-dimensional index space: coordinate v ↦ position, strictly increasing.
 * Tile t holds v = 64·t … 64·t + 63; coordinates from `size` on, and positions outside the sequence, hold nothing.
 */
export interface LineSpace {
  readonly kind: 'line';
  /** Number of residue classes (query side only; 1 otherwise). Each class is scheduled by itself; variable `i.class`. */
  readonly classes: Expr;
  /** Number of coordinates (of the class). */
  readonly size: Expr;
  /** Position at variable `v`. */
  readonly position: Expr;
  /** The number of coordinates whose positions lie below variable `p`. */
  readonly rank: Expr;
  /** Every position ≡ residue (mod modulus); modulus 1 where nothing is known. */
  readonly modulus: Expr;
  readonly residue: Expr;
  /** For people: `rows`, `lattice(16)`, `periodic(…)`. */
  readonly name: string;
}

/**
 * The space of the positions for which a condition on one side holds, compacted by the host.
 * Always planned on the host: coordinates are indices into `PassPlan.lists[list]`.
 */
export interface ListSpace {
  readonly kind: 'list';
  readonly list: number;
  /** Bool, over variable `i` (query side) or `j` (key side), batch and head. */
  readonly condition: Expr;
  readonly name: string;
}

/**
 * Boxes of an N-dimensional token grid: a tile is a box of `tile` cells (their product is 64), tiles are numbered
 * row-major over the grid's tiles, cells row-major inside a tile. Only where queries = keys = the grid's size.
 */
export interface GridSpace {
  readonly kind: 'grid';
  readonly tile: readonly number[];
  /** Grid sizes, slowest first. */
  readonly sizes: readonly Expr[];
  readonly name: string;
}

/**
 * Keys only, for query tiles of a grid: the cells of the box that a query tile's keys lie in, row-major, so that no more
 * is visited than the box, wherever its border lies. Coordinate v ↦ cell lo + unflatten(v, extents): increasing.
 */
export interface BoxSpace {
  readonly kind: 'box';
  /** First and last cell along each axis, over the query tile's box, clipped to the grid: none where lo > hi. */
  readonly lo: readonly Expr[];
  readonly hi: readonly Expr[];
  /** Grid sizes, slowest first. */
  readonly sizes: readonly Expr[];
  readonly name: string;
}

/** Cells of a grid without its last axis, past which there are no boxes: see `DIVISIONS` in emit/boxes.ts. */
export const MOST_BOX_ROWS = 2 ** 18;

export type QuerySpace = LineSpace | ListSpace | GridSpace;
export type Space = QuerySpace | BoxSpace;

/** An inclusive interval of key coordinates for each axis of the key space (one axis for lines and boxes). */
export interface Interval {
  readonly lo: readonly Expr[];
  readonly hi: readonly Expr[];
}

/**
 * Keys reached through one index space. In a pass planned by the kernel, the tiles visited for a query tile are those
 * of `intervals`, in order, without the tiles of earlier intervals of the same segment, where `any` holds.
 */
export interface Segment {
  readonly space: Space;
  /** Labels of the rules served. */
  readonly labels: readonly string[];
  /** The rules' source lines, for comments. */
  readonly sources: readonly string[];
  /** The pair's condition (bool over i, j, their grid coordinates, batch, head): the residual mask of partial tiles. */
  readonly keep: Expr;
  /** Over the query tile's box. Present where `any` and `all` need nothing but the box, lengths and parameters. */
  readonly intervals: readonly Interval[] | undefined;
  /** Bool over the boxes of a query tile and a key tile: may any pair, do all pairs, satisfy `keep`? */
  readonly any: Expr;
  readonly all: Expr;
  /** How the host finds candidate keys; see plan.ts. Boxes need none: it looks at all of their tiles. */
  readonly seeds: readonly Seed[];
}

/**
 * Where the host looks for key tiles: an interval of positions for each axis, or a family that it enumerates: for every
 * value of `member` in the family, an interval in terms of variable `member`.
 * For `sample` the members are π(0) … π(count − 1); for `edges` the columns of graph rows row.lo … row.hi.
 */
export type Seed =
  | { readonly kind: 'interval'; readonly lo: readonly Expr[]; readonly hi: readonly Expr[] }
  | {
      readonly kind: 'sample';
      /** Arguments of the sample node after x: count, below, seed, keys…; over variable i and i's box. */
      readonly args: readonly Expr[];
      readonly lo: Expr;
      readonly hi: Expr;
    }
  | {
      readonly kind: 'edges';
      readonly input: string;
      readonly batch: Expr;
      readonly head: Expr;
      readonly rowLo: Expr;
      readonly rowHi: Expr;
      readonly lo: Expr;
      readonly hi: Expr;
    };

/** Flash attention over tiles. */
export interface TilePass {
  readonly kind: 'tiles';
  readonly queries: QuerySpace;
  readonly segments: readonly Segment[];
  readonly plan: 'kernel' | 'host';
  /** True if the pass visits every query row (rows without an edge included). */
  readonly complete: boolean;
}

/** One query row at a time over its own list of keys. */
export interface GatherPass {
  readonly kind: 'gather';
  readonly neighbours: Neighbours;
  /** Checked for every neighbour. */
  readonly keep: Expr;
  readonly labels: readonly string[];
  readonly sources: readonly string[];
  readonly complete: boolean;
}

export type Neighbours =
  /** Key positions are the columns of row `row` (int over i, batch, head) of a graph, or of a part of one. */
  | {
      readonly kind: 'graph';
      readonly input: string;
      readonly batch: Expr;
      readonly head: Expr;
      readonly row: Expr;
    }
  /** Key positions are `position` for member = 0 … count − 1 (over i, batch, head): distinct wherever `keep` holds. */
  | { readonly kind: 'family'; readonly count: Expr; readonly position: Expr };

export type Pass = TilePass | GatherPass;

/** The least and the greatest integer that a kernel computes for itself: both must fit in 32 bits at bound lengths. */
export interface KernelRange {
  /** Labels of the rules that it is computed for. */
  readonly what: string;
  readonly lo: Expr;
  readonly hi: Expr;
}

/**
 * Passes run one after the other; each merges its part into (out, lse) of the rows that it visits. The first one is
 * complete, or an initialising kernel sets out = 0, lse = −∞ before it.
 */
export interface Schedule {
  readonly name: string;
  /** Bool over lengths, grid sizes and parameters: may this schedule be used? */
  readonly when: Expr;
  readonly passes: readonly Pass[];
  readonly ranges: readonly KernelRange[];
}

/** What the host computes for one tile pass at bound lengths and inputs. */
export interface PassPlan {
  /** Query tiles in each residue class (the most over batches and heads). */
  readonly tiles: number;
  readonly classes: number;
  /** Whether plan rows and lists differ by batch or head; a dimension that doesn't count has one entry. */
  readonly byBatch: boolean;
  readonly byHead: boolean;
  /**
   * Host plans: row r = ((b·H + h)·classes + class)·tiles + tile owns runs offsets[r] … offsets[r + 1] − 1; b = 0
   * unless byBatch, and h = 0, H = 1 unless byHead. Run n is runs[3n] = segment·2 + full, runs[3n + 1] = first key
   * tile, runs[3n + 2] = number of tiles. Empty for kernel plans.
   */
  readonly offsets: Uint32Array;
  readonly runs: Uint32Array;
  /** List spaces by number: entry (b·H + h) owns positions values[offsets[e]] … (ascending). Query side: positions i. */
  readonly lists: readonly { readonly offsets: Uint32Array; readonly values: Int32Array }[];
  /** Box tests made. */
  readonly steps: number;
}
