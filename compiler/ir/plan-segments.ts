import type { BoundInputs } from './inputs.js';
import { intervalUnion } from './interval-union.js';
import { compileSeeds } from './plan-seeds.js';
import {
  bindTape,
  boxSetter,
  changeDetector,
  compileSide,
  type BoxValues,
  type CompiledSide,
  type KeyList,
} from './plan-sides.js';
import { TILE, type Segment, type Space } from './schedule.js';
import { gridCoordinates, type BoundShape } from './shape.js';
import { compileTape } from './tape.js';

/** Segments made ready to evaluate: the key tiles of a query tile, as a kernel finds them or by subdivision. */

/** Runs of tiles: first tile, how many, and whether every pair in them is an edge. */
export type EmitRun = (first: number, count: number, full: boolean) => void;

export interface CompiledSegment {
  readonly keys: CompiledSide;
  bindKeys(batch: number, head: number, cls: number, query: BoxValues | undefined): void;
  bind(batch: number, head: number, cls: number, query: BoxValues): void;
  /** Tiles as a kernel finds them. */
  walk(emit: EmitRun): void;
  /** Tiles by seeds and recursive subdivision. */
  subdivide(emit: EmitRun): void;
  takeSteps(): number;
}

/** Boxes of at most this many tiles are tested tile by tile rather than as a whole first. */
const SMALL_BOX = 2;

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
  const seeds = compileSeeds(segment.seeds, queries, shape, inputs);
  const tapes = [truth, intervals];
  const setQuery = boxSetter(tapes);
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
  const found = intervalUnion();
  const addFound = (lo: number, hi: number): void => {
    if (lo > hi) return;
    const first = Math.max(Math.floor(keys.rank(lo) / TILE), 0);
    const last = Math.min(Math.floor((keys.rank(hi + 1) - 1) / TILE), keys.tiles() - 1);
    if (first <= last) found.add(first, last);
  };
  // A box has no tiles but those of its cells.
  const eachTile = (emit: EmitRun): void => {
    for (let t = 0; t < keys.tiles(); t++) {
      const { any, full } = test({ lo: [t], hi: [t] });
      if (any) emit(t, 1, full);
    }
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
    bindKeys: (batch, head, cls, query) => {
      key.changed(-1, -1, -1);
      keys.bind(batch, head, cls);
      if (query) keys.see(query);
    },
    bind: (batch, head, cls, query) => {
      if (key.changed(batch, head, cls)) {
        keys.bind(batch, head, cls);
        for (const t of tapes) bindTape(t, shape, batch, head, cls);
        for (const s of seeds) s.bind(batch, head, cls);
      }
      setQuery(query);
      keys.see(query);
      for (const s of seeds) s.box(query);
    },
    walk: (emit) => {
      if (segment.space.kind === 'box') {
        eachTile(emit);
        return;
      }
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
      if (segment.space.kind === 'box') {
        eachTile(emit);
        return;
      }
      if (segment.space.kind === 'grid') {
        const earlier: TileBox[] = [];
        for (const s of seeds) {
          s.boxes((lo, hi) => {
            const box = tileBoxOf(lo, hi);
            if (!box) return;
            split(box, earlier.slice(), emit);
            earlier.push(box);
          });
        }
        return;
      }
      found.clear();
      for (const s of seeds) s.line(addFound);
      const size = keys.size();
      found.each((lo, hi) => splitLine(lo, hi, size, emit));
    },
    takeSteps: () => {
      const taken = steps;
      steps = 0;
      return taken;
    },
  };
}
