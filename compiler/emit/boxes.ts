import { MOST_BOX_ROWS, TILE, type BoxSpace, type TilePass } from '../ir/schedule.js';
import { printAll } from './expression.js';
import { boxPrinter } from './query-box.js';
import type { Shader } from './shader.js';
import { emitSpace, flattened, keySpaceNames } from './spaces.js';
import type { Target } from './target.js';
import { floatLiteral, lines, wgsl } from './wgsl.js';

/**
 * Key boxes in WGSL: which cells of the grid a query tile's keys lie in. Each is found once, with the workgroup's place,
 * as `at.key_box_S`; a key's cell is then
 * a few operations, since divisions by the box's extents are products with their inverses.
 */

/** The segments whose keys are the cells of a box. */
export const boxSegments = (pass: TilePass): readonly number[] =>
  pass.segments.flatMap((s, n) => (s.space.kind === 'box' ? [n] : []));

/** Struct `KeyBox`, and `key_box_S(at, box)` for each segment S that has one. */
export function emitKeyBoxes(shader: Shader, target: Target, pass: TilePass): readonly string[] {
  const boxes = pass.segments.flatMap(({ space }, n) => (space.kind === 'box' ? [{ space, n }] : []));
  if (boxes.length === 0) return [];
  const axes = boxes[0].space.sizes.length;
  return [
    wgsl`
    // Cells of the grid that a query tile's keys lie in: how many, the first along each axis, and of the later axes how
    // many there are along them, with the inverse of that.
    struct KeyBox {
      size: i32,
      ${lines(axes, (n) => (n === 0 ? 'lo_0: i32,' : `lo_${n}: i32,\nextent_${n}: i32,\ninverse_${n}: f32,`))}
    }`,
    ...boxes.map(({ space, n }) => emitKeyBox(shader, target, space, n)),
  ];
}

function emitKeyBox(shader: Shader, target: Target, space: BoxSpace, segment: number): string {
  const axes = space.sizes.length;
  const { lets, values } = printAll([...space.lo, ...space.hi], boxPrinter(shader, target));
  const fields = lines(axes, (n) => (n === 0 ? 'lo_0' : `lo_${n}, extent_${n}, inverse_of(extent_${n})`));
  if (axes > 1) shader.helper('quotient', () => DIVISIONS);
  return wgsl`
    fn key_box_${segment}(at: Place, box: Box) -> KeyBox {
      ${lets}
      ${lines(axes, (n) => `let lo_${n} = ${values[n]};\nlet extent_${n} = max(${values[axes + n]} - lo_${n} + 1, 0);`)}
      return KeyBox(${lines(axes, (n) => `extent_${n}`).join(' * ')}, ${fields.join(', ')});
    }`;
}

/**
 * Division of what isn't negative, where the quotient is below MOST_BOX_ROWS. The inverse is too small by one part in
 * 2^20, more than all roundings together (WGSL's division may be off by 2.5 units in the last place), so that the
 * product is never too large and, up to 2^18, too small by less than 1.
 */
export const DIVISIONS = wgsl`
  // A little less than 1 / b.
  fn inverse_of(b: i32) -> f32 {
    return ${floatLiteral(1 - 2 ** -20)} / f32(max(b, 1));
  }
  // a / b, exactly, where it is below ${MOST_BOX_ROWS}.
  fn quotient(a: i32, b: i32, inverse: f32) -> i32 {
    let q = i32(f32(a) * inverse);
    return q + select(0, 1, a - q * b >= b);
  }`;

/** Statements that give `x_0`, `x_1`, …: the grid coordinates of cell `v`. */
export function cellLets(space: BoxSpace, segment: number): readonly string[] {
  const box = `at.key_box_${segment}`;
  const out: string[] = [];
  let rest = 'v';
  for (let n = space.sizes.length - 1; n > 0; n--) {
    out.push(
      `let rest_${n} = quotient(${rest}, ${box}.extent_${n}, ${box}.inverse_${n});`,
      `let x_${n} = ${box}.lo_${n} + (${rest} - rest_${n} * ${box}.extent_${n});`,
    );
    rest = `rest_${n}`;
  }
  return [...out, `let x_0 = ${box}.lo_0 + ${rest};`];
}

/** The functions of all key spaces of a pass. */
export const emitKeySpaces = (shader: Shader, target: Target, pass: TilePass): readonly string[] =>
  pass.segments.flatMap(({ space }, n) =>
    space.kind === 'box'
      ? [emitBox(shader, target, space, n)]
      : emitSpace(shader, target, space, keySpaceNames(n), TILE),
  );

function emitBox(shader: Shader, target: Target, space: BoxSpace, segment: number): string {
  const { size, position } = keySpaceNames(segment);
  return wgsl`
    // Index space box: number of cells, and the position of cell r of a tile; -1 where there is none.
    fn ${size}(at: Place) -> i32 {
      return at.key_box_${segment}.size;
    }
    fn ${position}(at: Place, tile: i32, r: i32) -> i32 {
      let v = tile * ${TILE} + r;
      ${cellLets(space, segment)}
      return select(-1, ${flattened(space.sizes, shader, target)}, v < at.key_box_${segment}.size);
    }`;
}

/** Statements that give `j_0_lo` …, the ends of a tile that are wanted, from `first` and `end`. */
export function tileEnds(space: BoxSpace, segment: number, wanted: ReadonlySet<string>): readonly string[] {
  const box = `at.key_box_${segment}`;
  return space.sizes.flatMap((_, n) => {
    const end = (which: 'lo' | 'hi', text: string): readonly string[] =>
      wanted.has(`j.${n}.${which}`) ? [`let j_${n}_${which} = ${text};`] : [];
    return n === 0
      ? [...end('lo', rowOf(space, segment, 'first')), ...end('hi', rowOf(space, segment, 'end - 1'))]
      : [...end('lo', `${box}.lo_${n}`), ...end('hi', `${box}.lo_${n} + ${box}.extent_${n} - 1`)];
  });
}

/** The coordinate of a cell along the first axis. */
function rowOf(space: BoxSpace, segment: number, v: string): string {
  const box = `at.key_box_${segment}`;
  const row = space.sizes.reduceRight(
    (rest, _, n) => (n === 0 ? rest : `quotient(${rest}, ${box}.extent_${n}, ${box}.inverse_${n})`),
    v,
  );
  return `${box}.lo_0 + ${row}`;
}
