import type { Pattern } from '../ir/edges.js';
import type { BoundGraph, BoundInputs, BoundTable } from '../ir/inputs.js';
import { setShape, type BoundShape } from '../ir/shape.js';
import { compileTape } from '../ir/tape.js';

/** A shape and inputs to choose schedules by, before anything is bound. */

const TOKENS = 16_384;
const HEADS = 4;
/** One flag in so many is set in a boolean table, and so many documents share an integer one. */
const SPARSITY = 64;
const DOCUMENTS = 16;
const DEGREE = 16;

export function modelShape(pattern: Pattern, tokens: number = TOKENS, dim = 64): BoundShape {
  const parameters = new Map<string, number>();
  for (const p of pattern.parameters) {
    if (!p.fixed && typeof p.value === 'number') parameters.set(p.name, p.value);
  }
  const shape = (keys: number, grid: readonly number[]): BoundShape => ({
    batch: 1,
    heads: HEADS,
    keyHeads: HEADS,
    dim,
    queries: [keys],
    keys: [keys],
    grid,
    align: pattern.align,
    parameters,
  });
  if (!pattern.grid) return shape(tokens, []);
  const tape = compileTape(
    pattern.grid.flatMap((g) => (g.size ? [g.size] : [])),
    { precision: 'f32' },
  );
  setShape(tape, shape(tokens, []), 0, 0);
  tape.run();
  let n = 0;
  const known = pattern.grid.map((g) => (g.size ? tape.result(n++) : undefined));
  const product = known.reduce<number>((a, b) => a * (b ?? 1), 1);
  const grid = known.map((s) => s ?? Math.max(1, Math.round(tokens / product)));
  return shape(
    grid.reduce((a, b) => a * b, 1),
    grid,
  );
}

export function modelInputs(pattern: Pattern, shape: BoundShape): BoundInputs {
  const inputs = new Map<string, BoundTable | BoundGraph>();
  for (const input of pattern.inputs) {
    if (input.type === 'edges') {
      const has = (axis: 'batch' | 'heads'): boolean => input.axes.some((a) => a.kind === axis);
      const graphs = { batches: has('batch') ? shape.batch : 1, heads: has('heads') ? shape.heads : 1 };
      inputs.set(input.name, modelGraph(shape.keys[0], graphs, input.weighted));
      continue;
    }
    const sizes = input.axes.map((a) => {
      switch (a.kind) {
        case 'keys':
          return shape.keys[0];
        case 'queries':
          return shape.queries[0];
        case 'heads':
          return shape.heads;
        case 'batch':
          return shape.batch;
        case 'size': {
          const tape = compileTape([a.size], { precision: 'f32' });
          setShape(tape, shape, 0, 0);
          tape.run();
          return Math.max(0, tape.result(0));
        }
      }
    });
    inputs.set(input.name, modelTable(input.type, sizes));
  }
  return inputs;
}

function modelTable(type: 'int' | 'float' | 'bool', sizes: readonly number[]): BoundTable {
  // A table over pairs of positions stays small: what is outside reads 0.
  const most = 1 << 22;
  const total = sizes.reduce((a, b) => a * b, 1);
  const kept = total <= most ? sizes : sizes.map(() => 1);
  const count = kept.reduce((a, b) => a * b, 1);
  const data =
    type === 'float'
      ? new Float32Array(count)
      : type === 'int'
        ? new Int32Array(count)
        : new Uint8Array(count);
  if (type === 'int') for (let n = 0; n < count; n++) data[n] = Math.floor((n * DOCUMENTS) / count);
  if (type === 'bool') for (let n = 0; n < count; n += SPARSITY) data[n] = 1;
  return { kind: 'table', type, sizes: kept, data };
}

/** Neighbours spread evenly over the tokens, each token its own neighbour; all batches and heads share the edges. */
function modelGraph(
  tokens: number,
  graphs: { readonly batches: number; readonly heads: number },
  weighted: boolean,
): BoundGraph {
  const degree = Math.min(DEGREE, tokens);
  const step = Math.floor(tokens / degree);
  const rowPtr = new Int32Array(graphs.batches * graphs.heads * (tokens + 1));
  const colIdx = new Int32Array(tokens * degree);
  for (let at = 0; at < rowPtr.length; at++) rowPtr[at] = (at % (tokens + 1)) * degree;
  for (let a = 0; a < tokens; a++) {
    for (let n = 0; n < degree; n++) colIdx[a * degree + n] = (a % step) + n * step;
  }
  const weight = weighted ? new Float32Array(colIdx.length).fill(1) : undefined;
  return { kind: 'graph', rows: tokens, cols: tokens, ...graphs, rowPtr, colIdx, weight };
}
