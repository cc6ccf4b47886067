import { lowerBound, type BoundGraph, type BoundInputs } from './inputs.js';
import { variable } from './build.js';
import type { Expr } from './expr.js';
import { Cover } from './range.js';
import { permute } from './sample.js';
import { boxOfSide } from './space.js';
import { TILE, type Seed, type Segment, type Space } from './schedule.js';
import { gridCoordinates, setShape, type BoundShape } from './shape.js';
import { compileTape, type Tape } from './tape.js';

/** A schedule's expressions made ready to evaluate at a bound shape: index spaces (sides) and segments. */

/** Ascending positions of a list space for a (batch, head). */
export type KeyList = (batch: number, head: number) => Int32Array;

/** Values of box variables. */
export type BoxValues = readonly (readonly [name: string, value: number])[];

export interface CompiledSide {
  classes(): number;
  bind(batch: number, head: number, cls: number): void;
  /** Number of tiles along each axis of the space (lines and lists: one axis). */
  counts(): readonly number[];
  tiles(): number;
  /** True if all coordinates of the tiles from `lo` to `hi` (inclusive, for each axis) exist. */
  whole(hi: readonly number[]): boolean;
  /** Position of a coordinate (lines and lists). */
  position(v: number): number;
  size(): number;
  /** The box of a range of tiles; undefined for a tile past the end. */
  boxOf(lo: readonly number[], hi: readonly number[]): BoxValues;
  box(tile: number): BoxValues | undefined;
  positions(tile: number): Int32Array;
  /** Number of coordinates whose positions lie below p (lines and lists). */
  rank(p: number): number;
}

export function compileSide(
  space: Space,
  side: 'i' | 'j',
  shape: BoundShape,
  inputs: BoundInputs,
  list: KeyList | undefined,
  tileSize: number,
): CompiledSide {
  switch (space.kind) {
    case 'line': {
      const sizes = compileTape([space.size, space.classes], { precision: 'f32' });
      const positions = compileTape([space.position], { precision: 'f32' });
      const ranks = compileTape([space.rank], { precision: 'f32' });
      const tapes = [sizes, positions, ranks];
      let size = 0;
      const position = (v: number): number => {
        positions.set('v', v);
        positions.run(inputs);
        return positions.result(0);
      };
      return linear(side, tileSize, () => size, position, {
        classes: () => {
          for (const t of tapes) setShape(t, shape, 0, 0);
          sizes.run(inputs);
          return sizes.result(1);
        },
        bind: (batch, head, cls) => {
          for (const t of tapes) {
            setShape(t, shape, batch, head);
            t.set('i.class', cls);
          }
          sizes.run(inputs);
          size = sizes.result(0);
        },
        rank: (p) => {
          ranks.set('p', p);
          ranks.run(inputs);
          return ranks.result(0);
        },
      });
    }
    case 'list': {
      let values = new Int32Array(0);
      return linear(
        side,
        tileSize,
        () => values.length,
        (v) => values[v],
        {
          classes: () => 1,
          bind: (batch, head) => {
            values = list ? (list(batch, head) as typeof values) : values;
          },
          rank: (p) => lowerBound(values, 0, values.length, p),
        },
      );
    }
    case 'grid':
      return gridSide(space.tile, side, shape);
  }
}

function linear(
  side: 'i' | 'j',
  tileSize: number,
  size: () => number,
  position: (v: number) => number,
  rest: Pick<CompiledSide, 'classes' | 'bind' | 'rank'>,
): CompiledSide {
  const [nameLo, nameHi] = [`${side}.lo`, `${side}.hi`];
  const tiles = (): number => Math.ceil(size() / tileSize);
  const boxOf = (lo: readonly number[], hi: readonly number[]): BoxValues => [
    [nameLo, position(lo[0] * tileSize)],
    [nameHi, position(Math.min((hi[0] + 1) * tileSize, size()) - 1)],
  ];
  return {
    ...rest,
    tiles,
    position,
    size,
    counts: () => [tiles()],
    whole: (hi) => (hi[0] + 1) * tileSize <= size(),
    boxOf,
    box: (tile) => (tile < tiles() ? boxOf([tile], [tile]) : undefined),
    positions: (tile) => {
      const end = Math.min((tile + 1) * tileSize, size());
      const out: number[] = [];
      for (let v = tile * tileSize; v < end; v++) out.push(position(v));
      return Int32Array.from(out);
    },
  };
}

function gridSide(tile: readonly number[], side: 'i' | 'j', shape: BoundShape): CompiledSide {
  const sizes = shape.grid;
  const counts = sizes.map((s, n) => Math.ceil(s / tile[n]));
  const total = counts.reduce((a, b) => a * b, 1);
  const boxOf = (lo: readonly number[], hi: readonly number[]): BoxValues =>
    sizes.flatMap((s, n) => [
      [`${side}.${n}.lo`, lo[n] * tile[n]] as const,
      [`${side}.${n}.hi`, Math.min((hi[n] + 1) * tile[n], s) - 1] as const,
    ]);
  return {
    classes: () => 1,
    bind: () => undefined,
    counts: () => counts,
    tiles: () => total,
    size: () => total,
    position: (v) => v,
    whole: (hi) => hi.every((x, n) => (x + 1) * tile[n] <= sizes[n]),
    boxOf,
    box: (t) => {
      if (t >= total) return undefined;
      const at = gridCoordinates(t, counts);
      return boxOf(at, at);
    },
    positions: (t) => {
      const corner = gridCoordinates(t, counts).map((x, n) => x * tile[n]);
      const cells = tile.reduce((a, b) => a * b, 1);
      const out: number[] = [];
      for (let cell = 0; cell < cells; cell++) {
        const at = gridCoordinates(cell, tile).map((x, n) => x + corner[n]);
        if (at.every((x, n) => x < sizes[n])) out.push(at.reduce((p, x, n) => p * sizes[n] + x, 0));
      }
      return Int32Array.from(out);
    },
    rank: () => {
      throw new Error('a grid has no rank');
    },
  };
}

/** Runs of tiles: first tile, how many, and whether every pair in them is an edge. */
export type EmitRun = (first: number, count: number, full: boolean) => void;

export interface CompiledSegment {
  readonly keys: CompiledSide;
  bindKeys(batch: number, head: number, cls: number): void;
  bind(batch: number, head: number, cls: number, query: BoxValues): void;
  /** Tiles as a kernel finds them. */
  walk(emit: EmitRun): void;
  /** Tiles by seeds and recursive subdivision. */
  subdivide(emit: EmitRun): void;
  takeSteps(): number;
}

/** Boxes of at most this many tiles are tested tile by tile rather than as a whole first. */
const SMALL_BOX = 4;

interface TileBox {
  readonly lo: readonly number[];
  readonly hi: readonly number[];
}

export function compileSegment(
  segment: Segment,
  queries: Space,
  shape: BoundShape,
  inputs: BoundInputs,
  list: KeyList | undefined,
): CompiledSegment {
  const keys = compileSide(segment.space, 'j', shape, inputs, list, TILE);
  const truth = compileTape([segment.any, segment.all], { precision: 'f32' });
  const intervals = compileTape(
    (segment.intervals ?? []).flatMap((x) => [...x.lo, ...x.hi]),
    { precision: 'f32' },
  );
  const seeds = segment.seeds.map((s) => compileSeed(s, queries, shape, inputs));
  const tapes = [truth, intervals];
  const key = changeDetector();
  const tileSize = segment.space.kind === 'grid' ? segment.space.tile : [TILE];
  let steps = 0;

  const test = (box: TileBox): { any: boolean; full: boolean } => {
    steps++;
    for (const [name, value] of keys.boxOf(box.lo, box.hi)) truth.set(name, value);
    truth.run(inputs);
    return { any: truth.result(0) !== 0, full: truth.result(1) !== 0 && keys.whole(box.hi) };
  };
  // Lines and lists without arrays: planning spends its time here.
  const slotLo = truth.slot('j.lo');
  const slotHi = truth.slot('j.hi');
  const splitLine = (lo: number, hi: number, size: number, emit: EmitRun): void => {
    const count = hi - lo + 1;
    if (count === 1 || count > SMALL_BOX) {
      steps++;
      const end = (hi + 1) * TILE;
      if (slotLo >= 0) truth.registers[slotLo] = keys.position(lo * TILE);
      if (slotHi >= 0) truth.registers[slotHi] = keys.position(Math.min(end, size) - 1);
      truth.run(inputs);
      if (truth.result(0) === 0) return;
      const full = truth.result(1) !== 0 && end <= size;
      if (full || count === 1) {
        emit(lo, count, full);
        return;
      }
    }
    const middle = lo + (count >> 1);
    splitLine(lo, middle - 1, size, emit);
    splitLine(middle, hi, size, emit);
  };
  const flat = (at: readonly number[]): number => {
    const counts = keys.counts();
    return at.reduce((t, x, n) => t * counts[n] + x, 0);
  };
  const inside = (at: readonly number[], boxes: readonly TileBox[]): boolean =>
    boxes.some((b) => at.every((x, n) => x >= b.lo[n] && x <= b.hi[n]));

  /** Coordinates to tiles, clipped to the space; undefined where nothing is left. */
  const tileBoxOf = (lo: readonly number[], hi: readonly number[]): TileBox | undefined => {
    const counts = keys.counts();
    if (!lo.every((x, n) => x <= hi[n])) return undefined;
    const first = lo.map((x, n) => Math.max(Math.floor(x / tileSize[n]), 0));
    const last = hi.map((x, n) => Math.min(Math.floor(x / tileSize[n]), counts[n] - 1));
    return first.every((x, n) => x <= last[n]) ? { lo: first, hi: last } : undefined;
  };

  const split = (box: TileBox, earlier: readonly TileBox[], emit: EmitRun): void => {
    const extents = box.hi.map((x, n) => x - box.lo[n] + 1);
    const count = extents.reduce((a, b) => a * b, 1);
    const axis = extents.indexOf(Math.max(...extents));
    if (count === 1) {
      if (inside(box.lo, earlier)) return;
      const { any, full } = test(box);
      if (any) emit(flat(box.lo), 1, full);
      return;
    }
    if (count > SMALL_BOX) {
      const { any, full } = test(box);
      if (!any) return;
      if (full && earlier.length === 0) {
        eachRow(box, (first, length) => emit(first, length, true));
        return;
      }
    }
    const middle = box.lo[axis] + (extents[axis] >> 1);
    split({ lo: box.lo, hi: box.hi.map((x, n) => (n === axis ? middle - 1 : x)) }, earlier, emit);
    split({ lo: box.lo.map((x, n) => (n === axis ? middle : x)), hi: box.hi }, earlier, emit);
  };

  const eachRow = (box: TileBox, visit: (first: number, length: number) => void): void => {
    const last = box.lo.length - 1;
    const at = box.lo.slice();
    for (;;) {
      visit(flat(at), box.hi[last] - box.lo[last] + 1);
      let n = last - 1;
      while (n >= 0 && ++at[n] > box.hi[n]) at[n] = box.lo[n--];
      if (n < 0) return;
    }
  };

  return {
    keys,
    bindKeys: (batch, head, cls) => {
      key.changed(-1, -1, -1);
      keys.bind(batch, head, cls);
    },
    bind: (batch, head, cls, query) => {
      if (key.changed(batch, head, cls)) {
        keys.bind(batch, head, cls);
        for (const t of tapes) bindTape(t, shape, batch, head, cls);
        for (const s of seeds) s.bind(batch, head, cls);
      }
      for (const t of tapes) setBox(t, query);
      for (const s of seeds) s.box(query);
    },
    walk: (emit) => {
      intervals.run(inputs);
      const axes = tileSize.length;
      const earlier: TileBox[] = [];
      (segment.intervals ?? []).forEach((_, n) => {
        if (axes === 1 && segment.space.kind !== 'grid') {
          const size = keys.size();
          const first = Math.floor(Math.max(intervals.result(2 * n), 0) / TILE);
          const last = Math.min(Math.floor(intervals.result(2 * n + 1) / TILE), keys.tiles() - 1);
          for (let t = first; t <= last; t++) {
            if (!inside([t], earlier)) splitLine(t, t, size, emit);
          }
          if (first <= last) earlier.push({ lo: [first], hi: [last] });
          return;
        }
        const end = (from: number): number[] =>
          tileSize.map((__, a) => intervals.result(n * 2 * axes + from + a));
        const box = tileBoxOf(
          end(0).map((x) => Math.max(x, 0)),
          end(axes),
        );
        if (!box) return;
        eachRow(box, (first, length) => {
          for (let t = first; t < first + length; t++) {
            const at = axes === 1 ? [t] : gridCoordinates(t, keys.counts());
            if (inside(at, earlier)) continue;
            const { any, full } = test({ lo: at, hi: at });
            if (any) emit(t, 1, full);
          }
        });
        earlier.push(box);
      });
    },
    subdivide: (emit) => {
      if (segment.space.kind === 'grid') {
        const earlier: TileBox[] = [];
        for (const s of seeds) {
          s.each((lo, hi) => {
            const box = tileBoxOf(lo, hi);
            if (!box) return;
            split(box, earlier.slice(), emit);
            earlier.push(box);
          });
        }
        return;
      }
      const found: [number, number][] = [];
      for (const s of seeds) {
        s.each((lo, hi) => {
          if (lo[0] > hi[0]) return;
          const first = Math.max(Math.floor(keys.rank(lo[0]) / TILE), 0);
          const last = Math.min(Math.floor((keys.rank(hi[0] + 1) - 1) / TILE), keys.tiles() - 1);
          if (first <= last) found.push([first, last]);
        });
      }
      const size = keys.size();
      for (const [lo, hi] of union(found)) splitLine(lo, hi, size, emit);
    },
    takeSteps: () => {
      const taken = steps;
      steps = 0;
      return taken;
    },
  };
}

function bindTape(tape: Tape, shape: BoundShape, batch: number, head: number, cls: number): void {
  setShape(tape, shape, batch, head);
  tape.set('i.class', cls);
}

function setBox(tape: Tape, box: BoxValues): void {
  for (const [name, value] of box) tape.set(name, value);
}

/** Tells whether (batch, head, class) are others than last time. */
function changeDetector(): { changed(batch: number, head: number, cls: number): boolean } {
  let last = [-1, -1, -1];
  return {
    changed: (batch, head, cls) => {
      if (last[0] === batch && last[1] === head && last[2] === cls) return false;
      last = [batch, head, cls];
      return true;
    },
  };
}

/** Intervals of whole numbers, ascending and disjoint. */
function union(intervals: [number, number][]): readonly (readonly [number, number])[] {
  if (intervals.length < 2) return intervals;
  intervals.sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [lo, hi] of intervals) {
    const last = merged.at(-1);
    if (last && lo <= last[1] + 1) last[1] = Math.max(last[1], hi);
    else merged.push([lo, hi]);
  }
  return merged;
}

interface CompiledSeed {
  bind(batch: number, head: number, cls: number): void;
  box(query: BoxValues): void;
  /** Position intervals (lines and lists) or coordinate boxes (grids). */
  each(visit: (lo: readonly number[], hi: readonly number[]) => void): void;
}

function compileSeed(seed: Seed, queries: Space, shape: BoundShape, inputs: BoundInputs): CompiledSeed {
  const ends = seed.kind === 'interval' ? [...seed.lo, ...seed.hi] : [seed.lo, seed.hi];
  const tape = compileTape(ends, { precision: 'f32' });
  const member = (m: number, visit: (lo: readonly number[], hi: readonly number[]) => void): void => {
    tape.set('member', m);
    tape.run(inputs);
    visit([tape.result(0)], [tape.result(1)]);
  };
  switch (seed.kind) {
    case 'interval': {
      const axes = seed.lo.length;
      return {
        bind: (...at) => bindTape(tape, shape, ...at),
        box: (query) => setBox(tape, query),
        each: (visit) => {
          tape.run(inputs);
          visit(
            seed.lo.map((_, n) => tape.result(n)),
            seed.hi.map((_, n) => tape.result(axes + n)),
          );
        },
      };
    }
    case 'edges': {
      const rows = compileTape([seed.batch, seed.head, seed.rowLo, seed.rowHi], { precision: 'f32' });
      return {
        bind: (...at) => [tape, rows].forEach((t) => bindTape(t, shape, ...at)),
        box: (query) => [tape, rows].forEach((t) => setBox(t, query)),
        each: (visit) => {
          rows.run(inputs);
          const graph = inputs.get(seed.input) as BoundGraph;
          const first = (rows.result(0) * graph.heads + rows.result(1)) * (graph.rows + 1);
          const lo = Math.max(rows.result(2), 0);
          const hi = Math.min(rows.result(3), graph.rows - 1);
          for (let a = lo; a <= hi; a++) {
            for (let n = graph.rowPtr[first + a]; n < graph.rowPtr[first + a + 1]; n++) {
              member(graph.colIdx[n], visit);
            }
          }
        },
      };
    }
    case 'sample':
      return compileSample(seed.args, queries, shape, inputs, tape, member);
  }
}

function compileSample(
  args: readonly Expr[],
  queries: Space,
  shape: BoundShape,
  inputs: BoundInputs,
  tape: Tape,
  member: (m: number, visit: (lo: readonly number[], hi: readonly number[]) => void) => void,
): CompiledSeed {
  const cover = new Cover(boxOfSide('i', queries, shape.grid.length));
  const ranges = args.map((a) => cover.range(a));
  const hull = compileTape([...ranges.map((r) => r.lo), ...ranges.map((r) => r.hi)], { precision: 'f32' });
  const each = compileTape(args, { precision: 'f32' });
  const i = cover.range(variable('i'));
  const positions = compileTape([i.lo, i.hi], { precision: 'f32' });
  const tapes = [tape, hull, each, positions];
  return {
    bind: (...at) => tapes.forEach((t) => bindTape(t, shape, ...at)),
    box: (query) => tapes.forEach((t) => setBox(t, query)),
    each: (visit) => {
      const seen = new Set<string>();
      const enumerate = (x: readonly number[]): void => {
        const key = x.join();
        if (seen.has(key)) return;
        seen.add(key);
        const [count, below, seed, ...keys] = x;
        const members = Math.min(count, below);
        for (let n = 0; n < members; n++) member(permute(n, below, seed, keys), visit);
      };
      hull.run(inputs);
      const lo = args.map((_, n) => hull.result(n));
      if (lo.every((x, n) => x === hull.result(args.length + n))) {
        enumerate(lo);
        return;
      }
      // Each position of the tile's hull: a superset of the tile's own, so nothing is missed.
      positions.run(inputs);
      for (let i = positions.result(0); i <= positions.result(1); i++) {
        each.set('i', i);
        gridCoordinates(i, shape.grid).forEach((x, n) => each.set(`i.${n}`, x));
        each.run(inputs);
        enumerate(args.map((_, n) => each.result(n)));
      }
    },
  };
}
