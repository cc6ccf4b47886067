import { randomNumbers } from '../cli/random.js';
import { tensor, type Tensor } from '../runtime/tensor.js';

/** Tables that patterns of the comparison read, drawn from a seed. */
export type TableRecipe =
  /** int[tokens]: documents one after the other, of lengths from `least` to `most`, as likely each. */
  | { readonly kind: 'documents'; readonly least: number; readonly most: number; readonly seed: number }
  /** bool[tokens]: `count` true ones scattered over the sequence. */
  | { readonly kind: 'scattered'; readonly count: number; readonly seed: number }
  /** edges: every row with `degree` columns drawn evenly from all. */
  | { readonly kind: 'uniform-graph'; readonly degree: number; readonly seed: number }
  /** edges: row degrees by a power law between a least degree that gives the mean and `most`; columns drawn evenly. */
  | {
      readonly kind: 'power-law-graph';
      readonly exponent: number;
      readonly mean: number;
      readonly most: number;
      readonly seed: number;
    }
  /**
   * edges: communities of `size` rows, one after the other, in which a pair is an edge with probability `share`; and of
   * each row `loose` more, drawn evenly from all columns.
   */
  | {
      readonly kind: 'community-graph';
      readonly size: number;
      readonly share: number;
      readonly loose: number;
      readonly seed: number;
    };

/** The tensors of input `name` for `length` tokens: for graphs `name.row_ptr` and `name.col_idx`. */
export function makeTables(
  name: string,
  recipe: TableRecipe,
  length: number,
): Readonly<Record<string, Tensor>> {
  const random = randomNumbers(recipe.seed);
  switch (recipe.kind) {
    case 'documents':
      return { [name]: tensor('i32', [length], documents(length, recipe.least, recipe.most, random), name) };
    case 'scattered':
      return { [name]: tensor('bool', [length], scattered(length, recipe.count, random), name) };
    case 'uniform-graph':
      return graph(
        name,
        length,
        evenly(length, () => recipe.degree, random),
      );
    case 'power-law-graph':
      return graph(name, length, evenly(length, powerLaw(recipe, random), random));
    case 'community-graph':
      return graph(name, length, communities(length, recipe, random));
  }
}

function documents(length: number, least: number, most: number, random: () => number): Int32Array {
  const data = new Int32Array(length);
  for (let at = 0, number = 0; at < length; number++) {
    const end = Math.min(length, at + least + Math.floor(random() * (most - least + 1)));
    data.fill(number, at, end);
    at = end;
  }
  return data;
}

function scattered(length: number, count: number, random: () => number): Uint8Array {
  const data = new Uint8Array(length);
  for (let left = Math.min(count, length); left > 0;) {
    const at = Math.floor(random() * length);
    if (data[at] === 1) continue;
    data[at] = 1;
    left--;
  }
  return data;
}

/** How many columns a row has, and what writes them: distinct, in rising order. */
type DrawRow = (row: number) => { readonly count: number; readonly write: (to: Int32Array) => void };

function evenly(rows: number, degree: () => number, random: () => number): DrawRow {
  return () => {
    const count = Math.min(rows, degree());
    const write = (drawn: Int32Array): void => {
      // Drawn again until all are distinct: a few columns of a long row at most.
      for (let have = 0; have < count;) {
        for (let n = have; n < count; n++) drawn[n] = Math.floor(random() * rows);
        drawn.sort();
        have = 0;
        for (let n = 0; n < count; n++) if (n === 0 || drawn[n] !== drawn[have - 1]) drawn[have++] = drawn[n];
      }
    };
    return { count, write };
  };
}

function communities(
  rows: number,
  { size, share, loose }: { readonly size: number; readonly share: number; readonly loose: number },
  random: () => number,
): DrawRow {
  return (row) => {
    const columns = new Set<number>();
    const first = row - (row % size);
    for (let n = first; n < Math.min(first + size, rows); n++) if (random() < share) columns.add(n);
    for (let n = 0; n < loose; n++) columns.add(Math.floor(random() * rows));
    return { count: columns.size, write: (to) => to.set(Int32Array.from(columns).sort()) };
  };
}

function graph(name: string, rows: number, draw: DrawRow): Readonly<Record<string, Tensor>> {
  const rowPtr = new Int32Array(rows + 1);
  let columns = new Int32Array(32 * rows);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    const { count, write } = draw(row);
    if (at + count > columns.length) {
      const more = new Int32Array(2 * columns.length + count);
      more.set(columns);
      columns = more;
    }
    write(columns.subarray(at, at + count));
    at += count;
    rowPtr[row + 1] = at;
  }
  return {
    [`${name}.row_ptr`]: tensor('i32', [rows + 1], rowPtr, name),
    [`${name}.col_idx`]: tensor('i32', [at], columns.slice(0, at), name),
  };
}

/**
 * Degrees with density ∝ x^−exponent from `least` to `most`, rounded. `least` is found by halving, so that the mean is
 * the one asked for: ∫ x^(1 − a) / ∫ x^(−a) over the range.
 */
function powerLaw(
  { exponent: a, mean, most }: { readonly exponent: number; readonly mean: number; readonly most: number },
  random: () => number,
): () => number {
  const moment = (power: number, least: number): number =>
    (most ** (power + 1) - least ** (power + 1)) / (power + 1);
  let [low, high] = [0.01, mean];
  for (let n = 0; n < 60; n++) {
    const middle = (low + high) / 2;
    if (moment(1 - a, middle) / moment(-a, middle) < mean) low = middle;
    else high = middle;
  }
  const least = low;
  const [first, last] = [least ** (1 - a), most ** (1 - a)];
  return () => Math.round((first + random() * (last - first)) ** (1 / (1 - a)));
}
