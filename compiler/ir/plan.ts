import type { BoundInputs } from './inputs.js';
import { some, type Expr } from './expr.js';
import { ruleConditions } from './evaluate.js';
import type { Pattern } from './edges.js';
import { Cover } from './range.js';
import { boxOfSide, rowsSpace } from './space.js';
import { makeSegment } from './segment.js';
import { baseOf, setShape, setSide, type BoundShape } from './shape.js';
import { compileTape } from './tape.js';
import { compileSegment, type CompiledSegment } from './plan-segments.js';
import { changeDetector, compileSide, type CompiledSide, type KeyList } from './plan-sides.js';
import { TILE, type PassPlan, type Space, type TilePass } from './schedule.js';

/**
 * Planning on the host: which key tiles a query tile visits. Passes planned by kernels are walked here exactly as the
 * kernel walks them (for statistics and tests); the others become lists of runs that the kernel reads.
 */

/** Receives a run of key tiles (numbered in the segment's space). */
export type VisitTiles = (segment: number, first: number, count: number, full: boolean) => void;

export interface TilePlanner {
  readonly classes: number;
  /** Query tiles in each class (the most over batches and heads). */
  readonly tiles: number;
  /** Box tests made so far. */
  steps(): number;
  /** Calls `visit` for the key tiles of one query tile, segment by segment; no tile of a segment comes twice. */
  tile(batch: number, head: number, cls: number, tile: number, visit: VisitTiles): void;
  /** Positions i of a query tile (of the rows inside the batch's length). */
  queryPositions(batch: number, head: number, cls: number, tile: number): Int32Array;
  /** Positions j of a key tile of a segment, as a query tile sees it. */
  keyPositions(
    segment: number,
    batch: number,
    head: number,
    cls: number,
    queryTile: number,
    tile: number,
  ): Int32Array;
  readonly lists: PassPlan['lists'];
  readonly byBatch: boolean;
  readonly byHead: boolean;
}

export function planTiles(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  rows: number = TILE,
): TilePlanner {
  const byBatch =
    shape.batch > 1 && (differ(shape.queries) || differ(shape.keys) || passMentions(pass, 'batch'));
  const byHead = shape.heads > 1 && passMentions(pass, 'head');
  const lists: { offsets: Uint32Array; values: Int32Array }[] = [];
  const entry = (batch: number, head: number): number =>
    (byBatch ? batch : 0) * (byHead ? shape.heads : 1) + (byHead ? head : 0);
  const listOf = (space: Space, side: 'i' | 'j'): KeyList | undefined => {
    if (space.kind !== 'list') return undefined;
    const made = compact(space.condition, side, shape, inputs, byBatch, byHead);
    lists[space.list] = made;
    return (batch, head) => {
      const e = entry(batch, head);
      return made.values.subarray(made.offsets[e], made.offsets[e + 1]);
    };
  };
  const side: CompiledSide = compileSide(pass.queries, 'i', shape, inputs, listOf(pass.queries, 'i'), rows);
  const segments: CompiledSegment[] = pass.segments.map((s) =>
    compileSegment(s, pass.queries, shape, inputs, listOf(s.space, 'j')),
  );

  let tiles = 0;
  const classes = side.classes();
  for (let b = 0; b < (byBatch ? shape.batch : 1); b++) {
    for (let h = 0; h < (byHead ? shape.heads : 1); h++) {
      side.bind(b, h, 0);
      tiles = Math.max(tiles, side.tiles());
    }
  }

  const place = changeDetector();
  const bindSide = (batch: number, head: number, cls: number): void => {
    if (place.changed(batch, head, cls)) side.bind(batch, head, cls);
  };
  let steps = 0;
  return {
    classes,
    tiles,
    lists,
    byBatch,
    byHead,
    steps: () => steps,
    tile: (batch, head, cls, tile, visit) => {
      bindSide(batch, head, cls);
      const box = side.box(tile);
      if (!box) return;
      segments.forEach((s, n) => {
        s.bind(batch, head, cls, box);
        const emit = (first: number, count: number, full: boolean): void => visit(n, first, count, full);
        if (pass.plan === 'kernel') s.walk(emit);
        else s.subdivide(emit);
        steps += s.takeSteps();
      });
    },
    queryPositions: (batch, head, cls, tile) => {
      bindSide(batch, head, cls);
      return side.positions(tile);
    },
    keyPositions: (segment, batch, head, cls, queryTile, tile) => {
      bindSide(batch, head, cls);
      segments[segment].bindKeys(batch, head, cls, side.box(queryTile));
      return segments[segment].keys.positions(tile);
    },
  };
}

function differ(x: readonly number[]): boolean {
  return x.some((n) => n !== x[0]);
}

/** Do the tiles to visit, or the positions of the spaces, depend on a variable? */
export function passMentions(pass: TilePass, name: string): boolean {
  const has = (e: Expr): boolean => some(e, (n) => n.op === 'var' && n.name === name);
  const ofSpace = (s: Space): readonly Expr[] =>
    s.kind === 'list'
      ? [s.condition]
      : s.kind === 'line'
        ? [s.size, s.position]
        : s.kind === 'box'
          ? [...s.lo, ...s.hi]
          : [];
  return [
    ...ofSpace(pass.queries),
    ...pass.segments.flatMap((s) => [
      s.any,
      s.all,
      ...ofSpace(s.space),
      ...s.seeds.flatMap((x) =>
        x.kind === 'interval'
          ? [...x.lo, ...x.hi]
          : x.kind === 'sample'
            ? [...x.args, x.lo, x.hi]
            : [x.batch, x.head, x.rowLo, x.rowHi, x.lo, x.hi],
      ),
    ]),
  ].some(has);
}

/** Ranges of positions of at most this many are looked at one by one. */
const SMALL_RANGE = 64;

/**
 * The positions of a side for which a one-sided condition holds, for every (batch, head) that differs: by subdivision,
 * so that sparse ones do not cost a look at every position.
 */
function compact(
  condition: Expr,
  side: 'i' | 'j',
  shape: BoundShape,
  inputs: BoundInputs,
  byBatch: boolean,
  byHead: boolean,
): { offsets: Uint32Array; values: Int32Array } {
  const evaluate = evaluateSide(condition, side, shape, inputs);
  const cover = new Cover(boxOfSide(side, rowsSpace(side), shape.grid.length));
  const { any, all } = cover.truth(condition);
  const truth = compileTape([any, all], { precision: 'f32' });
  const offsets = [0];
  const values: number[] = [];
  const search = (lo: number, hi: number): void => {
    if (lo > hi) return;
    truth.set(`${side}.lo`, lo);
    truth.set(`${side}.hi`, hi);
    truth.run(inputs);
    if (truth.result(0) === 0) return;
    if (truth.result(1) !== 0) {
      for (let p = lo; p <= hi; p++) values.push(p);
    } else if (hi - lo < SMALL_RANGE) {
      for (let p = lo; p <= hi; p++) if (evaluate.at(p)) values.push(p);
    } else {
      const middle = Math.floor((lo + hi) / 2);
      search(lo, middle);
      search(middle + 1, hi);
    }
  };
  for (let b = 0; b < (byBatch ? shape.batch : 1); b++) {
    for (let h = 0; h < (byHead ? shape.heads : 1); h++) {
      const first = side === 'i' ? baseOf(shape, b) : 0;
      const count = side === 'i' ? shape.queries[b] : shape.keys[b];
      evaluate.bind(b, h);
      setShape(truth, shape, b, h);
      search(first, first + count - 1);
      offsets.push(values.length);
    }
  }
  return { offsets: Uint32Array.from(offsets), values: Int32Array.from(values) };
}

function evaluateSide(
  condition: Expr,
  side: 'i' | 'j',
  shape: BoundShape,
  inputs: BoundInputs,
): { bind(batch: number, head: number): void; at(p: number): boolean } {
  const tape = compileTape([condition], { precision: 'f32' });
  return {
    bind: (batch, head) => setShape(tape, shape, batch, head),
    at: (p) => {
      setSide(tape, side, p, shape.grid);
      tape.run(inputs);
      return tape.result(0) !== 0;
    },
  };
}

/** The runs of a pass that the host plans, or only its extents for one that the kernel plans. */
export function planPass(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  rows: number = TILE,
): PassPlan {
  const planner = planTiles(pass, shape, inputs, rows);
  const { classes, tiles, byBatch, byHead, lists } = planner;
  if (pass.plan === 'kernel') {
    return {
      tiles,
      classes,
      byBatch,
      byHead,
      offsets: new Uint32Array(0),
      runs: new Uint32Array(0),
      lists,
      steps: 0,
    };
  }
  const batches = byBatch ? shape.batch : 1;
  const heads = byHead ? shape.heads : 1;
  const offsets = new Uint32Array(batches * heads * classes * tiles + 1);
  let runs = new Uint32Array(3 * 1024);
  let used = 0;
  let row = 0;
  const push: VisitTiles = (segment, first, count, full) => {
    const kind = segment * 2 + (full ? 1 : 0);
    // Adjacent runs of a kind become one, within a plan row.
    if (used > 3 * offsets[row] && runs[used - 3] === kind && runs[used - 2] + runs[used - 1] === first) {
      runs[used - 1] += count;
      return;
    }
    if (used + 3 > runs.length) {
      const grown = new Uint32Array(runs.length * 2);
      grown.set(runs);
      runs = grown;
    }
    runs[used++] = kind;
    runs[used++] = first;
    runs[used++] = count;
  };
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let c = 0; c < classes; c++) {
        for (let t = 0; t < tiles; t++) {
          offsets[row] = used / 3;
          planner.tile(b, h, c, t, push);
          row++;
        }
      }
    }
  }
  offsets[row] = used / 3;
  return {
    tiles,
    classes,
    byBatch,
    byHead,
    offsets,
    runs: runs.slice(0, used),
    lists,
    steps: planner.steps(),
  };
}

/** Keys lo … hi − 1. */
export type KeyRun = readonly [lo: number, hi: number];

/**
 * Finds the keys that a query position may attend to, as ascending runs with gaps between them: through bounds and
 * subdivision, never by scanning the sequence (unless nothing bounds a rule). The caller still evaluates the
 * multiplicity of each. Undefined where the rules together lead to more than `most` keys, which are then not looked for.
 */
export function rowRuns(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
): (batch: number, head: number, i: number, most?: number) => readonly KeyRun[] | undefined {
  const axes = shape.grid.length;
  const queries = rowsSpace('i');
  // Each rule by itself: one that nothing bounds would have the others tested over the whole sequence.
  const segments = ruleConditions(pattern.edges).map(({ rule, when }) =>
    makeSegment(
      [{ atoms: [when], label: rule.label, source: rule.origin.text }],
      queries,
      rowsSpace('j'),
      axes,
    ),
  );
  const planner = planTiles(
    { kind: 'tiles', queries, segments, plan: 'host', complete: true },
    shape,
    inputs,
    1,
  );
  const enough = {};
  return (batch, head, i, most = Infinity) => {
    const found: [lo: number, hi: number][] = [];
    let count = 0;
    try {
      planner.tile(batch, head, 0, i - baseOf(shape, batch), (_, first, tiles) => {
        const run: [number, number] = [first * TILE, Math.min((first + tiles) * TILE, shape.keys[batch])];
        count += run[1] - run[0];
        // Out of the search, which would go on for as long as there are keys.
        if (count > most) throw enough;
        found.push(run);
      });
    } catch (error) {
      if (error !== enough) throw error;
      return undefined;
    }
    return union(found);
  };
}

/** Ascending intervals with gaps between them; changes those given. */
function union(runs: [lo: number, hi: number][]): readonly KeyRun[] {
  const joined: [lo: number, hi: number][] = [];
  for (const run of runs.sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && run[0] <= last[1]) last[1] = Math.max(last[1], run[1]);
    else joined.push(run);
  }
  return joined;
}

/** The same as an array of keys. */
export function rowFinder(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
): (batch: number, head: number, i: number) => Int32Array {
  const runs = rowRuns(pattern, shape, inputs);
  return (batch, head, i) => {
    const found = runs(batch, head, i) ?? [];
    const keys = new Int32Array(found.reduce((count, [lo, hi]) => count + hi - lo, 0));
    let at = 0;
    for (const [lo, hi] of found) for (let j = lo; j < hi; j++) keys[at++] = j;
    return keys;
  };
}
