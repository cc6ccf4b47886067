import type { Expr } from './expr.js';
import { lowerBound, type BoundInputs } from './inputs.js';
import { boxSide } from './plan-box.js';
import type { Space } from './schedule.js';
import { gridCoordinates, setShape, type BoundShape } from './shape.js';
import { compileTape, type Tape } from './tape.js';

/** Index spaces made ready to evaluate at a bound shape, for planning on the host. */

/** Ascending positions of a list space for a (batch, head). */
export type KeyList = (batch: number, head: number) => Int32Array;

/** Values of box variables. */
export type BoxValues = readonly (readonly [name: string, value: number])[];

export interface CompiledSide {
  classes(): number;
  bind(batch: number, head: number, cls: number): void;
  /** Takes the query tile that keys are looked for; of use to boxes only. */
  see(query: BoxValues): void;
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
      const position = functionOf(positions, space.position, 'v', inputs);
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
        rank: functionOf(ranks, space.rank, 'p', inputs),
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
    case 'box':
      return boxSide(space, shape, inputs, tileSize);
  }
}

/** The tape of an expression as a function of one of its variables. */
function functionOf(tape: Tape, e: Expr, name: string, inputs: BoundInputs): (x: number) => number {
  if (e.op === 'var' && e.name === name) return (x) => x;
  const slot = tape.slot(name);
  return (x) => {
    if (slot >= 0) tape.registers[slot] = x;
    tape.run(inputs);
    return tape.result(0);
  };
}

const ignore = (): void => undefined;

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
    // No spread: objects made by one have hidden classes that engines forget, and with them the machine code.
    classes: rest.classes,
    bind: rest.bind,
    see: ignore,
    rank: rest.rank,
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
    bind: ignore,
    see: ignore,
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

export function bindTape(tape: Tape, shape: BoundShape, batch: number, head: number, cls: number): void {
  setShape(tape, shape, batch, head);
  tape.set('i.class', cls);
}

/** Sets boxes of one side, whose variables are the same every time, on several tapes. */
export function boxSetter(tapes: readonly Tape[]): (box: BoxValues) => void {
  let slots: readonly (readonly number[])[] | undefined;
  return (box) => {
    slots ??= tapes.map((t) => box.map(([name]) => t.slot(name)));
    for (let t = 0; t < tapes.length; t++) {
      for (let n = 0; n < box.length; n++) {
        if (slots[t][n] >= 0) tapes[t].registers[slots[t][n]] = box[n][1];
      }
    }
  };
}

/** Tells whether (batch, head, class) are others than last time. */
export function changeDetector(): { changed(batch: number, head: number, cls: number): boolean } {
  let [lastBatch, lastHead, lastClass] = [-1, -1, -1];
  return {
    changed: (batch, head, cls) => {
      if (lastBatch === batch && lastHead === head && lastClass === cls) return false;
      [lastBatch, lastHead, lastClass] = [batch, head, cls];
      return true;
    },
  };
}
