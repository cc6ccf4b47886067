import { add, div, int, max, min, mod, mul, ONE, sub, variable, ZERO } from './build.js';
import { rewrite, type Expr } from './expr.js';
import { reduceModulo } from './linear.js';
import { range, type Range } from './interval.js';
import { Cover, type Box } from './range.js';
import type { GridSpace, LineSpace, Space } from './schedule.js';

/** Constructors of index spaces, and the boxes that their tiles are. Query spaces hold the rows of the part that is run. */

const V = variable('v');
const P = variable('p');
const FIRST = variable('first');
const ROWS = variable('rows');
const KEYS = variable('keys');
const CLASS = variable('i.class');

const ceilDiv = (a: Expr, b: Expr): Expr => div(add(a, sub(b, ONE)), b);

/** All rows of a side in order. */
export function rowsSpace(side: 'i' | 'j'): LineSpace {
  const start = side === 'i' ? FIRST : ZERO;
  return {
    kind: 'line',
    classes: ONE,
    size: side === 'i' ? ROWS : KEYS,
    position: add(start, V),
    rank: sub(P, start),
    modulus: ONE,
    residue: ZERO,
    name: 'rows',
  };
}

/** Query rows at the positions lo … hi. */
export function intervalOfQueries(lo: Expr, hi: Expr): LineSpace {
  const start = max(lo, FIRST);
  const end = min(hi, sub(add(FIRST, ROWS), ONE));
  return {
    kind: 'line',
    classes: ONE,
    size: max(add(sub(end, start), ONE), ZERO),
    position: add(start, V),
    rank: sub(P, start),
    modulus: ONE,
    residue: ZERO,
    name: `interval(${text(lo)}, ${text(hi)})`,
  };
}

/** Query rows by residue class modulo `step`: class c holds rows c, c + step, … */
export function latticeOfQueries(step: Expr): LineSpace {
  const start = add(FIRST, CLASS);
  return {
    kind: 'line',
    classes: step,
    size: ceilDiv(sub(ROWS, CLASS), step),
    position: add(start, mul(V, step)),
    rank: ceilDiv(sub(P, start), step),
    modulus: step,
    residue: reduceModulo(start, step),
    name: `lattice(${text(step)})`,
  };
}

/** Every step-th position from `start` up to `end`, without it. */
const everyStep = (start: Expr, end: Expr, step: Expr, residue: Expr, name: string): LineSpace => ({
  kind: 'line',
  classes: ONE,
  size: ceilDiv(max(sub(end, start), ZERO), step),
  position: add(start, mul(V, step)),
  rank: ceilDiv(max(sub(P, start), ZERO), step),
  modulus: step,
  residue,
  name,
});

/** Query rows ≡ residue (mod step): one class of those that latticeOfQueries has. */
export function residueOfQueries(step: Expr, residue: Expr): LineSpace {
  const start = add(FIRST, reduceModulo(sub(residue, FIRST), step));
  const name = `lattice(${text(step)}, ${text(residue)})`;
  return everyStep(start, add(FIRST, ROWS), step, reduceModulo(residue, step), name);
}

/** Keys ≡ residue (mod step). */
export function latticeOfKeys(step: Expr, residue: Expr): LineSpace {
  const start = reduceModulo(residue, step);
  return everyStep(start, KEYS, step, start, `lattice(${text(step)})`);
}

/**
 * Positions period·n + start + step·m for n ≥ 0 and 0 ≤ m < count, where start + step·(count − 1) < period: stripes
 * (`j % s >= s − c`) and the sparse rows of segments (LongNet with a rate that doesn't divide its segment).
 */
export function periodicSpace(
  side: 'i' | 'j',
  period: Expr,
  start: Expr,
  step: Expr,
  count: Expr,
): LineSpace {
  // Without any member the space is empty; a count of 1 keeps its divisions legal.
  const some = max(count, ONE);
  const rankOf = (p: Expr): Expr => {
    const inside = min(max(ceilDiv(sub(mod(p, period), start), step), ZERO), some);
    return mul(min(count, ONE), add(mul(div(p, period), some), inside));
  };
  const first = side === 'i' ? rankOf(FIRST) : ZERO;
  const end = side === 'i' ? add(FIRST, ROWS) : KEYS;
  const v = add(V, first);
  return {
    kind: 'line',
    classes: ONE,
    size: sub(rankOf(end), first),
    position: add(add(mul(div(v, some), period), start), mul(mod(v, some), step)),
    rank: sub(rankOf(P), first),
    modulus: ONE,
    residue: ZERO,
    name: `periodic(${text(period)}, ${text(step)})`,
  };
}

/** Box shapes for grids: 64 cells, as square as powers of two allow, longer along the fastest axis. */
export function gridSpace(axes: number): GridSpace {
  const tile = new Array<number>(axes).fill(1);
  for (let cells = 1, axis = axes - 1; cells < 64; cells *= 2) {
    tile[axis] *= 2;
    axis = axis === 0 ? axes - 1 : axis - 1;
  }
  const sizes = tile.map((_, n) => variable(`size.${n}`));
  return { kind: 'grid', tile, sizes, name: `grid(${tile.join('×')})` };
}

/** Grid coordinate `axis` of a position. */
export function coordinateOf(position: Expr, axis: number, axes: number): Expr {
  let stride: Expr = ONE;
  for (let n = axis + 1; n < axes; n++) stride = mul(stride, variable(`size.${n}`));
  const q = div(position, stride);
  return axis === 0 ? q : mod(q, variable(`size.${axis}`));
}

/** Position of grid coordinates. */
export function flatten(coordinates: readonly Expr[]): Expr {
  return coordinates.reduce((at, x, n) => (n === 0 ? x : add(mul(at, variable(`size.${n}`)), x)), ZERO);
}

/**
 * Ranges of a side's variables over a tile of its space. Lines and lists are boxed by `i.lo`, `i.hi`, grids and boxes
 * by `i.0.lo`, `i.0.hi`, … (likewise j); everything else follows from these.
 */
export function boxOfSide(side: 'i' | 'j', space: Space, axes: number): Box {
  const v = (suffix: string): Expr => variable(`${side}.${suffix}`);
  const box = new Map<string, Range>();
  if (space.kind === 'grid' || space.kind === 'box') {
    const ends = space.sizes.map((_, n) => range(v(`${n}.lo`), v(`${n}.hi`)));
    ends.forEach((r, n) => box.set(`${side}.${n}`, r));
    box.set(side, range(flatten(ends.map((r) => r.lo)), flatten(ends.map((r) => r.hi))));
    return box;
  }
  const line =
    space.kind === 'line' ? range(v('lo'), v('hi'), space.modulus, space.residue) : range(v('lo'), v('hi'));
  box.set(side, line);
  if (axes > 0) {
    const cover = new Cover(new Map([[side, line]]));
    for (let n = 0; n < axes; n++)
      box.set(`${side}.${n}`, cover.range(coordinateOf(variable(side), n, axes)));
  }
  return box;
}

/** Everything that a side can be: for solving bounds. */
export function boxOfWholeSide(side: 'i' | 'j', axes: number): Box {
  const last = side === 'i' ? sub(add(FIRST, ROWS), ONE) : sub(KEYS, ONE);
  const box = new Map<string, Range>([[side, range(side === 'i' ? FIRST : ZERO, last)]]);
  for (let n = 0; n < axes; n++) {
    box.set(`${side}.${n}`, range(ZERO, sub(variable(`size.${n}`), ONE)));
  }
  return box;
}

/** Replaces variables of an expression. */
export function substitute(e: Expr, values: ReadonlyMap<string, Expr>): Expr {
  return rewrite(e, (n) => (n.op === 'var' ? (values.get(n.name) ?? n) : n));
}

function text(e: Expr): string {
  if (e.op === 'const') return String(e.value);
  if (e.op === 'param' || e.op === 'var') return e.name;
  return '…';
}

export const one = int(1);
