/** Input tables for the samples, made from a seed: plain numbers, by tensor name. */

export interface TableShape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
}

export interface TableData {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export type Tables = Readonly<Record<string, TableData>>;

/** Uniform in 0 … 1, 32 bits of state (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = (seed ^ 0x5bd1e995) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const fill = (shape: readonly number[], next: () => number): TableData => ({
  shape,
  data: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next),
});

/** True for about one token in sixteen. */
export function sparseFlags(tokens: number, seed: number): TableData {
  const random = randomNumbers(seed);
  return fill([tokens], () => (random() < 1 / 16 ? 1 : 0));
}

/** Runs of equal numbers, 0 1 2 …, of uneven lengths; document 0 comes back once in a while. */
export function documentNumbers(shape: readonly number[], seed: number): TableData {
  const random = randomNumbers(seed);
  let current = 0;
  let left = 0;
  let next = 0;
  return fill(shape, () => {
    if (left === 0) {
      left = 1 + Math.floor(random() ** 2 * 60);
      current = random() < 0.15 ? 0 : next++;
    }
    left--;
    return current;
  });
}

/** Whole numbers 0 … most. */
export function wholeNumbers(shape: readonly number[], most: number, seed: number): TableData {
  const random = randomNumbers(seed);
  return fill(shape, () => Math.floor(random() * (most + 1)));
}

/** Numbers in -size … size that float16 holds exactly (steps of 1/64). */
export function floats(shape: readonly number[], size: number, seed: number): TableData {
  const random = randomNumbers(seed);
  return fill(shape, () => Math.round((random() * 2 - 1) * size * 64) / 64);
}

/** The slopes of Press et al. 2022 as float32. */
export function alibiSlopes(heads: number): TableData {
  return {
    shape: [heads],
    data: Array.from({ length: heads }, (_, h) => Math.fround(2 ** ((-8 * (h + 1)) / heads))),
  };
}

/** The ancestors of each node of a random tree, itself among them; node 0 is the root. */
export function ancestors(nodes: number, seed: number): TableData {
  const random = randomNumbers(seed);
  const rows: number[][] = [];
  for (let n = 0; n < nodes; n++) {
    const row = n === 0 ? Array.from({ length: nodes }, () => 0) : [...rows[Math.floor(random() * n)]];
    row[n] = 1;
    rows.push(row);
  }
  return { shape: [nodes, nodes], data: rows.flat() };
}

export interface GraphOptions {
  /** Rows and columns of one graph. */
  readonly rows: number;
  readonly columns: number;
  /** Edges a row, on average. */
  readonly degree: number;
  /** Axes before the rows, such as [heads]; offsets in row_ptr run on from graph to graph. */
  readonly graphs?: readonly number[];
  readonly weights?: boolean;
  /** Of these graphs (counted along `graphs`), no edge at all. */
  readonly empty?: readonly number[];
  /** The first so many nodes of larger graphs are nearly all linked to each other. */
  readonly community?: number;
}

/**
 * A random graph in CSR. Columns of a row are unsorted, some entries stand twice (with another weight the second time:
 * the first counts), and about one row in ten is empty.
 */
export function randomGraph(name: string, options: GraphOptions, seed: number): Tables {
  const random = randomNumbers(seed);
  const { rows, columns, degree, graphs = [], empty = [], community = 0 } = options;
  const linked = rows > community ? Math.min(community, columns) : 0;
  const count = graphs.reduce((a, b) => a * b, 1);
  const pointers: number[] = [];
  const entries: number[] = [];
  const weights: number[] = [];
  for (let g = 0; g < count; g++) {
    pointers.push(entries.length);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < linked && row < linked && !empty.includes(g); c++) {
        if (random() < 0.1) continue;
        entries.push(c);
        weights.push(Math.round(random() * 128 - 64) / 32);
      }
      const wanted = empty.includes(g) || random() < 0.1 ? 0 : Math.ceil(random() * 2 * degree);
      for (let e = 0; e < wanted; e++) {
        entries.push(Math.floor(random() * columns));
        weights.push(Math.round(random() * 128 - 64) / 32);
      }
      if (wanted > 0 && random() < 0.2) {
        entries.push(entries[entries.length - wanted]);
        weights.push(7);
      }
      pointers.push(entries.length);
    }
  }
  return {
    [`${name}.row_ptr`]: { shape: [...graphs, rows + 1], data: pointers },
    [`${name}.col_idx`]: { shape: [entries.length], data: entries },
    ...(options.weights ? { [`${name}.weight`]: { shape: [entries.length], data: weights } } : {}),
  };
}
