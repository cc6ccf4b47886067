import type { InputDeclaration, Pattern } from '../../compiler/ir/edges.js';
import type { BoundGraph, BoundInputs, BoundTable } from '../../compiler/ir/inputs.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { graphExtent } from '../../runtime/input-uses.js';
import { valueOf } from '../../runtime/bind-shape.js';
import { ancestors, randomNumbers } from '../sample-tables.js';

/**
 * Tables for goldens and the bench, at any length and the same on every machine: packed documents of 256 to 7,936
 * tokens, 64 global tokens scattered over the sequence, graphs of degree 16. Short sequences get proportionally less.
 */

/** Tokens from which on the tables are those of the conformance shapes. */
const LONG = 16_384;
const SCATTERED = 64;
export const DEGREE = 16;

export function modelTables(pattern: Pattern, shape: BoundShape, degree = DEGREE): BoundInputs {
  return new Map(
    pattern.inputs.map((declared): [string, BoundTable | BoundGraph] => [
      declared.name,
      declared.type === 'edges' ? graphFor(pattern, declared, shape, degree) : tableFor(declared, shape),
    ]),
  );
}

function tableFor(declared: InputDeclaration, shape: BoundShape): BoundTable {
  const { type, axes } = declared;
  const tokens = Math.max(...shape.keys);
  const sizes = axes.map((axis): number => {
    switch (axis.kind) {
      case 'keys':
        return tokens;
      case 'queries':
        return Math.max(...shape.queries);
      case 'heads':
        return shape.heads;
      case 'batch':
        return shape.batch;
      case 'size':
        return valueOf(axis.size, shape);
    }
  });
  const count = sizes.reduce((a, b) => a * b, 1);
  const overTokens = axes.at(-1)?.kind === 'keys';
  switch (type) {
    case 'float':
      // Scores do not change a schedule.
      return { kind: 'table', type, sizes, data: new Float32Array(count) };
    case 'bool': {
      const data = overTokens ? scattered(count) : Uint8Array.from(ancestors(sizes[0], 1).data);
      return { kind: 'table', type, sizes, data };
    }
    case 'int': {
      // A whole number for each sequence is the length of its prompt.
      const data = overTokens ? documents(count) : new Int32Array(count).fill(Math.min(256, tokens >> 2));
      return { kind: 'table', type, sizes, data };
    }
    case 'edges':
      throw new Error('a graph is no table');
  }
}

/** 64 tokens, or one in sixteen of a short sequence. */
function scattered(tokens: number): Uint8Array {
  const random = randomNumbers(1);
  const data = new Uint8Array(tokens);
  const wanted = tokens >= LONG ? SCATTERED : Math.ceil(tokens / 16);
  for (let set = 0; set < wanted;) {
    const at = Math.floor(random() * tokens);
    set += 1 - data[at];
    data[at] = 1;
  }
  return data;
}

/** Runs of 0, 1, 2 …, of 256 to 7,936 tokens each, evenly spread over that range. */
function documents(tokens: number): Int32Array {
  const random = randomNumbers(2);
  const scale = Math.min(1, tokens / LONG);
  const data = new Int32Array(tokens);
  for (let at = 0, number = 0; at < tokens; number++) {
    const length = Math.max(1, Math.round((256 + random() * (7936 - 256)) * scale));
    data.fill(number, at, at + length);
    at += length;
  }
  return data;
}

/** A uniform random graph: a row's columns lie one in each of `degree` equal parts of the columns, so they are sorted. */
function graphFor(
  pattern: Pattern,
  declared: InputDeclaration,
  shape: BoundShape,
  wanted: number,
): BoundGraph {
  const extent = graphExtent(pattern, declared, shape);
  const tokens = Math.max(...shape.keys);
  const { rows = tokens, cols = tokens, batches, heads } = extent;
  const degree = Math.min(wanted, cols >> 2);
  const random = randomNumbers(3);
  const rowPtr = new Int32Array(batches * heads * (rows + 1));
  const colIdx = new Int32Array(rows * degree);
  for (let a = 0; a < rows; a++) {
    for (let n = 0; n < degree; n++) {
      colIdx[a * degree + n] = Math.floor(((n + random()) * cols) / degree);
    }
  }
  // Heads share the edges: what counts is how many there are.
  for (let at = 0; at < rowPtr.length; at++) rowPtr[at] = (at % (rows + 1)) * degree;
  const weight = declared.weighted ? new Float32Array(colIdx.length) : undefined;
  return { kind: 'graph', rows, cols, batches, heads, rowPtr, colIdx, weight };
}
