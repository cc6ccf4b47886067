import type { BoundInputs } from './inputs.js';
import type { BoxValues, CompiledSide } from './plan-sides.js';
import type { BoxSpace } from './schedule.js';
import { gridCoordinates, setShape, type BoundShape } from './shape.js';
import { compileTape } from './tape.js';

/** The keys of a box space, made ready to evaluate: they are others for every query tile that `see` is given. */
export function boxSide(
  space: BoxSpace,
  shape: BoundShape,
  inputs: BoundInputs,
  tileSize: number,
): CompiledSide {
  const axes = space.sizes.length;
  const ends = compileTape([...space.lo, ...space.hi], { precision: 'f32' });
  const lo = new Array<number>(axes).fill(0);
  const extents = new Array<number>(axes).fill(0);
  let size = 0;
  let rowSize = 0;
  const tiles = (): number => Math.ceil(size / tileSize);
  const endOf = (tile: number): number => Math.min((tile + 1) * tileSize, size);
  const position = (v: number): number =>
    gridCoordinates(v, extents).reduce((p, x, n) => p * shape.grid[n] + lo[n] + x, 0);
  /** Place of a cell along the first axis. */
  const row = (v: number): number => lo[0] + Math.floor(v / rowSize);
  const boxOf = (first: readonly number[], last: readonly number[]): BoxValues =>
    lo.flatMap((x, n) => [
      [`j.${n}.lo`, n === 0 ? row(first[0] * tileSize) : x] as const,
      [`j.${n}.hi`, n === 0 ? row(endOf(last[0]) - 1) : x + extents[n] - 1] as const,
    ]);
  return {
    classes: () => 1,
    bind: (batch, head) => setShape(ends, shape, batch, head),
    see: (query) => {
      for (const [name, value] of query) ends.set(name, value);
      ends.run(inputs);
      for (let n = 0; n < axes; n++) {
        lo[n] = ends.result(n);
        extents[n] = Math.max(ends.result(axes + n) - lo[n] + 1, 0);
      }
      rowSize = extents.slice(1).reduce((a, b) => a * b, 1);
      size = extents[0] * rowSize;
    },
    counts: () => [tiles()],
    tiles,
    size: () => size,
    position,
    whole: (last) => (last[0] + 1) * tileSize <= size,
    boxOf,
    box: (tile) => (tile < tiles() ? boxOf([tile], [tile]) : undefined),
    positions: (tile) => {
      const out: number[] = [];
      for (let v = tile * tileSize; v < endOf(tile); v++) out.push(position(v));
      return Int32Array.from(out);
    },
    rank: () => {
      throw new Error('a box has no rank');
    },
  };
}
