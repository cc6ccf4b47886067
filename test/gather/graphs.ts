// Graphs with rows of every length, for gathers.

import type { HostTensors } from '../../runtime/index.js';
import { generator } from '../runtime/data.js';

export type GraphKind = 'uniform' | 'power law' | 'one long row' | 'all long' | 'none' | 'communities';

export interface Csr {
  readonly rowPtr: Int32Array;
  readonly colIdx: Int32Array;
}

/** Neighbours of each row. */
function degreeOf(kind: GraphKind, row: number, keys: number, random: () => number): number {
  switch (kind) {
    case 'uniform':
      return 6;
    case 'power law':
      // Density x^−2.2 from 2 on; every ninth row has no edge.
      return row % 9 === 4 ? 0 : Math.round(2 * (1 - random()) ** (-1 / 1.2));
    case 'one long row':
      return row === 3 ? keys : row % 4 === 1 ? 0 : 1 + (row % 5);
    case 'all long':
      return Math.max(40, keys - row);
    case 'none':
      return 0;
    case 'communities':
      return 2;
  }
}

/** Nodes of a community: their borders are no borders of tiles. */
const COMMUNITY = 97;

/** Of the community of a row all nodes, in every other community nearly all: dense boxes, some of them full. */
function communityOf(row: number, keys: number, random: () => number): readonly number[] {
  const first = row - (row % COMMUNITY);
  const nodes = Array.from({ length: COMMUNITY }, (_, n) => first + n).filter((n) => n < keys);
  return first % 2 === 0 ? nodes : nodes.filter(() => random() < 0.8);
}

/** Rows of distinct columns in rising order. */
export function makeGraph(kind: GraphKind, rows: number, keys: number, seed: number): Csr {
  const random = generator(seed);
  const rowPtr = [0];
  const colIdx: number[] = [];
  for (let row = 0; row < rows; row++) {
    const wanted = Math.min(keys, degreeOf(kind, row, keys, random));
    const columns = new Set<number>();
    // Every column of a full row; else drawn.
    for (let n = 0; wanted === keys && n < keys; n++) columns.add(n);
    while (columns.size < wanted) columns.add(Math.floor(random() * keys));
    if (kind === 'communities') for (const n of communityOf(row, keys, random)) columns.add(n);
    colIdx.push(...[...columns].sort((a, b) => a - b));
    rowPtr.push(colIdx.length);
  }
  return { rowPtr: Int32Array.from(rowPtr), colIdx: Int32Array.from(colIdx) };
}

/** One graph for each (batch, head), row pointers counting on. */
export function joinGraphs(graphs: readonly Csr[]): Csr {
  let start = 0;
  const pointers = graphs.map((g) => {
    const own = g.rowPtr.map((x) => x + start);
    start += g.colIdx.length;
    return own;
  });
  return {
    rowPtr: Int32Array.from(pointers.flatMap((p) => [...p])),
    colIdx: Int32Array.from(graphs.flatMap((g) => [...g.colIdx])),
  };
}

export const graphInputs = (name: string, { rowPtr, colIdx }: Csr): HostTensors['inputs'] => ({
  [`${name}.row_ptr`]: rowPtr,
  [`${name}.col_idx`]: colIdx,
});

/** The same edges as a list in any order, some of them twice. */
export function asList(name: string, { rowPtr, colIdx }: Csr): HostTensors['inputs'] {
  const edges: [number, number][] = [];
  for (let row = 0; row + 1 < rowPtr.length; row++) {
    for (let n = rowPtr[row]; n < rowPtr[row + 1]; n++) {
      edges.push([row, colIdx[n]]);
      if (n % 3 === 0) edges.push([row, colIdx[n]]);
    }
  }
  const random = generator(77);
  const shuffled = edges.map((e) => ({ e, at: random() })).sort((a, b) => a.at - b.at);
  return {
    [`${name}.row`]: Int32Array.from(shuffled, ({ e }) => e[0]),
    [`${name}.col`]: Int32Array.from(shuffled, ({ e }) => e[1]),
  };
}
