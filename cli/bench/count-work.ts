import type { BoundInputs } from '../../compiler/ir/inputs.js';
import type { StorageTypes } from '../../compiler/ir/program.js';
import { TILE, type Schedule } from '../../compiler/ir/schedule.js';
import { countPass } from '../../compiler/ir/statistics.js';
import type { Bound } from '../../runtime/bind.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import { countTilePass } from '../count-pass.js';

/** What there is to do, whatever kernel does it. */
export interface WorkCounts {
  /** Σm: pairs, each as often as it is an edge. */
  readonly needed: number;
  /** Pairs that the schedule's tiles hold, and those it gathers. */
  readonly issued: number;
  /** issued / needed. */
  readonly waste: number;
  /** False where they were counted on a sample. */
  readonly exact: boolean;
  /** Of the needed pairs: 2 · dim for a score and 2 · valueDim for its value. */
  readonly flops: number;
  /** The least that must be moved: q, k, v and tables read once, out and lse written once. */
  readonly bytes: number;
}

/** Query tiles looked at and pairs evaluated in partial tiles; rows of gathers. */
const COUNT = { most: 1024, pairs: 2 ** 24 } as const;
const ROWS = 2 ** 20;
/** Rows of gathers that are looked at for each of `most` in countPass. */
const ROWS_A_TILE = 8;

/** @param rowsOf query rows of a tile in the kernels of each pass; `TILE` if not given */
export function countWork(
  schedule: Schedule,
  bound: Bound,
  types: StorageTypes,
  rowsOf: readonly (number | undefined)[] = [],
): WorkCounts {
  const { shape, queries, keys, valueDim } = bound.binding;
  const inputs = bound.inputs.host;
  let needed = 0;
  let issued = 0;
  let exact = true;
  for (const [n, pass] of schedule.passes.entries()) {
    if (pass.kind === 'tiles') {
      const tileRows = rowsOf[n] ?? TILE;
      const found = countTilePass(pass, shape, inputs, { ...COUNT, rows: tileRows });
      for (const s of found.segments) {
        needed += s.edges;
        issued += (s.full + s.partial) * TILE * tileRows;
      }
      exact &&= found.exact;
    } else {
      const found = countPass(pass, shape, inputs, { most: ROWS / ROWS_A_TILE, pairs: true });
      needed += found.needed;
      issued += found.issued;
      exact &&= found.sampled === found.total;
    }
  }
  const rows = shape.batch * shape.heads * queries;
  const keyRows = shape.batch * shape.keyHeads * keys;
  const inputBytes = bytesPerElement[types.input] * (rows * shape.dim + keyRows * (shape.dim + valueDim));
  const outputBytes = bytesPerElement[types.output] * rows * valueDim + 4 * rows;
  return {
    needed: Math.round(needed),
    issued: Math.round(issued),
    waste: issued / Math.max(1, needed),
    exact,
    flops: needed * (2 * shape.dim + 2 * valueDim),
    bytes: inputBytes + outputBytes + tableBytes(inputs),
  };
}

function tableBytes(inputs: BoundInputs): number {
  let bytes = 0;
  for (const input of inputs.values()) {
    bytes +=
      input.kind === 'table'
        ? 4 * input.data.length
        : input.rowPtr.byteLength + input.colIdx.byteLength + (input.weight?.byteLength ?? 0);
  }
  return bytes;
}
