import type { Pattern } from '../compiler/ir/edges.js';
import { setShape, type BoundShape } from '../compiler/ir/shape.js';
import { compileTape } from '../compiler/ir/tape.js';
import type { Expr } from '../compiler/ir/expr.js';
import type { Settings } from './bindings.js';
import { bindParameters } from './bind-parameters.js';
import { AttncError, lengthOutOfRange, parameterOutOfRange, wrongShape } from './errors.js';
import { elementCount } from './tensor.js';

/** Shapes of q, k and v against each other, lengths, parameters and the grid: what a run is bound to. */

export interface TensorShapes {
  readonly q: readonly number[];
  readonly k: readonly number[];
  readonly v: readonly number[];
}

/** Head sizes that the program was compiled for; none in the oracle, which takes any. */
export interface HeadSizes {
  readonly dim: number;
  readonly valueDim: number;
}

export interface ShapeBinding {
  readonly shape: BoundShape;
  /** Rows of the tensors: the most that any batch uses. */
  readonly queries: number;
  readonly keys: number;
  readonly valueDim: number;
}

/** Positions are 32-bit integers on the GPU. */
const LONGEST = 2 ** 31 - 1;

export function bindShape(
  pattern: Pattern,
  shapes: TensorShapes,
  settings: Settings,
  sizes?: HeadSizes,
): ShapeBinding {
  const dim = sizes?.dim ?? 'dim';
  for (const name of ['q', 'k', 'v'] as const) {
    const axes = name === 'q' ? ['batch', 'heads', 'queries', dim] : ['batch', 'key heads', 'keys', dim];
    if (name === 'v') axes[3] = sizes?.valueDim ?? 'value dim';
    const s = shapes[name];
    if (s.length !== 4 || elementCount(s) === undefined) throw wrongShape(name, axes, s);
    if (typeof axes[3] === 'number' && s[3] !== axes[3]) {
      throw wrongShape(name, axes, s, `the program was compiled for head size ${axes[3]}`);
    }
  }
  const [batch, heads, queries, headSize] = shapes.q;
  const [, keyHeads, keys] = shapes.k;
  if (shapes.k[0] !== batch || shapes.k[3] !== headSize) {
    throw wrongShape('k', [batch, 'key heads', 'keys', headSize], shapes.k, 'q and k must agree');
  }
  const valueDim = shapes.v[3];
  if (shapes.v[0] !== batch || shapes.v[1] !== keyHeads || shapes.v[2] !== keys) {
    throw wrongShape('v', [batch, keyHeads, keys, valueDim], shapes.v, 'k and v must agree');
  }
  if (heads > 0 && (keyHeads === 0 || heads % keyHeads !== 0)) {
    throw wrongShape('q', ['batch', `a multiple of ${keyHeads} key heads`, 'queries', headSize], shapes.q);
  }
  for (const [axis, n] of Object.entries({ queries, keys })) {
    if (n > LONGEST) throw lengthOutOfRange(`the number of ${axis}`, n, 0, LONGEST);
  }
  const queryLengths = lengthsOf('queries', settings.lengths?.queries, batch, queries);
  const keyLengths = lengthsOf('keys', settings.lengths?.keys, batch, keys);
  if (pattern.align === 'end') {
    queryLengths.forEach((n, b) => {
      if (n > keyLengths[b]) {
        const why = 'queries are aligned at the end; `align start` in the pattern allows more';
        throw lengthOutOfRange(`the number of queries of batch ${b}`, n, 0, keyLengths[b], why);
      }
    });
  }
  const bare: BoundShape = {
    batch,
    heads,
    keyHeads,
    dim: headSize,
    queries: queryLengths,
    keys: keyLengths,
    grid: [],
    align: pattern.align,
    parameters: bindParameters(pattern.parameters, settings.parameters),
  };
  const shape = { ...bare, grid: gridOf(pattern, bare, settings.grid) };
  return { shape, queries, keys, valueDim };
}

function lengthsOf(
  name: 'queries' | 'keys',
  given: readonly number[] | undefined,
  batch: number,
  most: number,
): number[] {
  if (given === undefined) return new Array<number>(batch).fill(most);
  if (given.length !== batch) throw wrongShape(`lengths.${name}`, [batch], [given.length]);
  return Array.from(given, (n, b) => {
    if (!Number.isInteger(n) || n < 0 || n > most)
      throw lengthOutOfRange(`lengths.${name}[${b}]`, n, 0, most);
    return n;
  });
}

/** The value of an expression over lengths and parameters. */
export function valueOf(expr: Expr, shape: BoundShape, batch = 0): number {
  const tape = compileTape([expr], { precision: 'f32' });
  setShape(tape, shape, batch, 0);
  tape.run();
  return tape.result(0);
}

/** Grid sizes, slowest first; one that is left open follows from the number of keys. */
function gridOf(
  pattern: Pattern,
  shape: BoundShape,
  given: readonly number[] | undefined,
): readonly number[] {
  const axes = pattern.grid;
  if (axes === undefined) {
    if (given === undefined || given.length === 0) return [];
    throw new AttncError('wrong-shape', 'a grid was given, but the pattern has no `tokens (…)`');
  }
  if (given !== undefined && given.length !== axes.length) {
    throw wrongShape(
      'grid',
      axes.map((a) => a.name),
      given,
    );
  }
  const length = shape.keys[0] ?? 0;
  if (shape.keys.some((n) => n !== length)) {
    throw new AttncError('length-out-of-range', `the tokens lie on a grid, so all batches need one length`, {
      help: `the lengths are ${shape.keys.join(', ')}`,
    });
  }
  const declared = axes.map((a) => (a.size === undefined ? undefined : valueOf(a.size, shape)));
  declared.forEach((size, n) => {
    if (size !== undefined && !(size >= 1)) {
      throw parameterOutOfRange(`${axes[n].name}.size`, size, 'at least 1');
    }
    if (given && size !== undefined && given[n] !== size) {
      throw wrongShape(
        'grid',
        declared.map((s, m) => s ?? axes[m].name),
        given,
      );
    }
  });
  const known = declared.reduce<number>((product, size) => product * (size ?? 1), 1);
  const sizes = declared.map((size, n) => size ?? given?.[n] ?? Math.floor(length / known));
  const product = sizes.reduce((a, b) => a * b, 1);
  if (product !== length) {
    const shown = axes.map((a, n) => `${a.name}: ${declared[n] ?? given?.[n] ?? '?'}`).join(', ');
    const help = declared.includes(undefined)
      ? `the number of keys must be a multiple of ${known}`
      : `their product is ${product}`;
    throw new AttncError('wrong-shape', `${length} keys do not fill the grid (${shown})`, {
      help,
      details: { length, sizes },
    });
  }
  return sizes;
}
