import type { Expr } from '../../compiler/ir/expr.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import { setShape, setSide, type BoundShape } from '../../compiler/ir/shape.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { valueOutOfRange } from '../errors.js';
import type { RowIndex } from './reference.js';

/** Scores of pairs and sinks of rows in float64, for the oracles. */

/** Four sums side by side, so that additions need not wait for each other. */
export function dotProduct(
  a: Float32Array,
  aAt: number,
  b: Float32Array,
  bAt: number,
  length: number,
): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let d = 0;
  for (; d + 4 <= length; d += 4) {
    s0 += a[aAt + d] * b[bAt + d];
    s1 += a[aAt + d + 1] * b[bAt + d + 1];
    s2 += a[aAt + d + 2] * b[bAt + d + 2];
    s3 += a[aAt + d + 3] * b[bAt + d + 3];
  }
  for (; d < length; d++) s0 += a[aAt + d] * b[bAt + d];
  return s0 + s1 + (s2 + s3);
}

export interface ScoreFunction {
  row(batch: number, head: number, i: number): void;
  at(j: number, dot: number): number;
}

export function scoreFunction(
  score: Expr | undefined,
  shape: BoundShape,
  inputs: BoundInputs,
): ScoreFunction {
  const scale = 1 / Math.sqrt(shape.dim);
  if (score === undefined) return { row: () => undefined, at: (_, dot) => dot * scale };
  const tape = compileTape([score], { precision: 'f64' });
  const dotSlot = tape.slot('dot');
  return {
    row: (batch, head, i) => {
      setShape(tape, shape, batch, head);
      tape.set('scale', scale);
      setSide(tape, 'i', i, shape.grid);
    },
    at: (j, dot) => {
      setSide(tape, 'j', j, shape.grid);
      if (dotSlot >= 0) tape.registers[dotSlot] = dot;
      tape.run(inputs);
      return tape.result(0);
    },
  };
}

/** The sink's score of a row; undefined where the mix has none. */
export function sinkFunction(
  sink: Expr | undefined,
  shape: BoundShape,
  inputs: BoundInputs,
): (batch: number, head: number, i: number) => number | undefined {
  if (sink === undefined) return () => undefined;
  const tape = compileTape([sink], { precision: 'f64' });
  return (batch, head, i) => {
    setShape(tape, shape, batch, head);
    tape.set('scale', 1 / Math.sqrt(shape.dim));
    setSide(tape, 'i', i, shape.grid);
    tape.run(inputs);
    return tape.result(0);
  };
}

/** Is it a row of the shape? */
export function checkRow(r: RowIndex, shape: BoundShape): void {
  const inside = (what: string, x: number, size: number): void => {
    if (!Number.isInteger(x) || x < 0 || x >= size) throw valueOutOfRange(what, x, 0, size - 1);
  };
  inside('the batch of a row', r.batch, shape.batch);
  inside('the head of a row', r.head, shape.heads);
  inside('a row', r.row, shape.queries[r.batch]);
}
