import type { InputDeclaration, Pattern } from '../compiler/ir/edges.js';
import type { StorageType } from '../compiler/ir/program.js';
import { outOfMemory } from '../runtime/errors.js';
import { graphExtent } from '../runtime/input-uses.js';
import { valueOf, type ShapeBinding } from '../runtime/bind-shape.js';
import { valueStream, writeValues } from '../runtime/stream/random-values.js';
import { bytesPerElement, fromBytes, tensor, type Tensor } from '../runtime/tensor.js';

/** Tensors and tables made up from a seed: the same numbers on every machine. */

/** Uniform in 0 … 1, with 32 bits of state (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A stream of its own for each name, so that one tensor's size doesn't change the next one. */
function streamOf(name: string, seed: number): () => number {
  let hash = 0x811c9dc5;
  for (const c of name) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193);
  return randomNumbers((hash ^ Math.imul(seed, 0x85ebca6b)) >>> 0);
}

/**
 * q, k or v of [batch, heads, rows, head size]: each value a function of the seed, the name and its place alone, the
 * same as streams of them have (runtime/stream/random-values.ts), and exact in every type.
 */
export function randomTensor(
  name: 'q' | 'k' | 'v',
  dtype: StorageType,
  shape: readonly number[],
  seed: number,
): Tensor {
  const [batches, heads, rows, dim] = shape;
  const headBytes = rows * dim * bytesPerElement[dtype];
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(batches * heads * headBytes);
  } catch (cause) {
    throw outOfMemory(`'${name}'`, batches * heads * headBytes, cause);
  }
  for (let plane = 0; plane < batches * heads; plane++) {
    const stream = valueStream(seed, name, Math.floor(plane / heads), plane % heads);
    writeValues(stream, dtype, 0, rows, dim, bytes.subarray(plane * headBytes, (plane + 1) * headBytes));
  }
  return fromBytes(dtype, shape, bytes, name);
}

export interface MadeUp {
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** What was made up, in words. */
  readonly what: string;
}

/**
 * The model of tables that are not given:
 * bool: one value in sixteen is true; int over keys or queries: 16 runs of uneven lengths, numbered 0, 1, 2 … (packed
 * documents); int over anything else: whole numbers from 0 to the number of keys; float over heads: ALiBi's slopes
 * 2^(−8(h + 1)/heads); float over anything else: −1 … 1 in 64ths; edges: 8 neighbours a row on average (0 to 16).
 */
export function randomInput(
  pattern: Pattern,
  declared: InputDeclaration,
  binding: ShapeBinding,
  seed: number,
): MadeUp {
  if (declared.type === 'edges') return randomGraph(pattern, declared, binding, seed);
  const { name, type, axes } = declared;
  const random = streamOf(name, seed);
  const shape = axes.map((axis): number => {
    switch (axis.kind) {
      case 'keys':
        return binding.keys;
      case 'queries':
        return binding.queries;
      case 'heads':
        return binding.shape.heads;
      case 'batch':
        return binding.shape.batch;
      case 'size':
        return Math.max(0, valueOf(axis.size, binding.shape));
    }
  });
  const count = shape.reduce((a, b) => a * b, 1);
  if (count > MOST_WORDS) throw outOfMemory(`'${name}', made up`, 4 * count);
  const last = axes.at(-1)?.kind;
  const of = (tensors: Tensor, what: string): MadeUp => ({
    tensors: { [name]: tensors },
    what: `${name}: ${what}`,
  });
  if (type === 'bool') {
    const data = Uint8Array.from({ length: count }, () => (random() < 1 / 16 ? 1 : 0));
    return of(tensor('bool', shape, data, name), 'one value in 16 is true');
  }
  if (type === 'int' && (last === 'keys' || last === 'queries')) {
    const tokens = shape[shape.length - 1];
    return of(
      tensor('i32', shape, runs(count, tokens, random), name),
      `up to ${RUNS} runs of uneven lengths`,
    );
  }
  if (type === 'int') {
    const data = Int32Array.from({ length: count }, () => Math.floor(random() * (binding.keys + 1)));
    return of(tensor('i32', shape, data, name), `whole numbers from 0 to ${binding.keys}`);
  }
  if (axes.length === 1 && last === 'heads') {
    const data = Float32Array.from({ length: count }, (_, h) => 2 ** ((-8 * (h + 1)) / count));
    return of(tensor('f32', shape, data, name), 'the slopes of ALiBi');
  }
  const data = Float32Array.from({ length: count }, () => Math.round((random() * 2 - 1) * 64) / 64);
  return of(tensor('f32', shape, data, name), 'numbers from -1 to 1');
}

/** Elements past which nothing is made up. */
const MOST_WORDS = 2 ** 29;
const RUNS = 16;

/** Runs of equal numbers that begin anew with every row of `tokens`. */
function runs(count: number, tokens: number, random: () => number): Int32Array {
  const data = new Int32Array(count);
  let current = -1;
  let left = 0;
  for (let n = 0; n < count; n++) {
    if (n % tokens === 0) {
      current = -1;
      left = 0;
    }
    if (left === 0) {
      current++;
      // From half to one and a half of the average.
      left = current === RUNS - 1 ? tokens : Math.max(1, Math.round((tokens / RUNS) * (0.5 + random())));
    }
    data[n] = current;
    left--;
  }
  return data;
}

const DEGREE = 8;

function randomGraph(
  pattern: Pattern,
  declared: InputDeclaration,
  binding: ShapeBinding,
  seed: number,
): MadeUp {
  const { name, weighted } = declared;
  const random = streamOf(name, seed);
  const extent = graphExtent(pattern, declared, binding.shape);
  const rows = extent.rows ?? binding.keys;
  const columns = extent.cols ?? binding.keys;
  const graphs = extent.batches * extent.heads;
  if (graphs * rows * DEGREE > MOST_WORDS)
    throw outOfMemory(`'${name}', made up`, 4 * graphs * rows * DEGREE);
  const rowPtr = new Int32Array(graphs * (rows + 1));
  const colIdx: number[] = [];
  for (let g = 0, at = 0; g < graphs; g++) {
    rowPtr[at++] = colIdx.length;
    for (let row = 0; row < rows; row++) {
      const wanted = Math.min(columns, Math.floor(random() * (2 * DEGREE + 1)));
      const chosen = new Set<number>();
      while (chosen.size < wanted) chosen.add(Math.floor(random() * columns));
      for (const c of [...chosen].sort((a, b) => a - b)) colIdx.push(c);
      rowPtr[at++] = colIdx.length;
    }
  }
  const leading = [
    ...(declared.axes.some((a) => a.kind === 'batch') ? [extent.batches] : []),
    ...(declared.axes.some((a) => a.kind === 'heads') ? [extent.heads] : []),
  ];
  const weights = Float32Array.from(
    { length: weighted ? colIdx.length : 0 },
    () => Math.round(random() * 64) / 64,
  );
  return {
    tensors: {
      [`${name}.row_ptr`]: tensor('i32', [...leading, rows + 1], rowPtr, name),
      [`${name}.col_idx`]: tensor('i32', [colIdx.length], Int32Array.from(colIdx), name),
      ...(weighted ? { [`${name}.weight`]: tensor('f32', [weights.length], weights, name) } : {}),
    },
    what: `${name}: a random graph, ${DEGREE} neighbours a row on average`,
  };
}
