import { evaluatePairs, evaluator } from '../../compiler/ir/evaluate.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import { planPass, planTiles } from '../../compiler/ir/plan.js';
import { TILE, type GatherPass, type Schedule, type TilePass } from '../../compiler/ir/schedule.js';
import { baseOf, type BoundShape } from '../../compiler/ir/shape.js';
import { neighbourFinder } from '../../compiler/ir/statistics.js';

/**
 * The multiplicities that a schedule computes, counted pair by pair: full tiles count every pair in them, partial tiles
 * those that `keep` holds for. One matrix of queries × keys for each (batch, head).
 */
export function scheduledMultiplicity(
  schedule: Schedule,
  shape: BoundShape,
  inputs: BoundInputs,
  rows = TILE,
): readonly Uint16Array[] {
  const out = matrices(shape);
  for (const pass of schedule.passes) {
    if (pass.kind === 'tiles') addTiles(pass, shape, inputs, rows, out);
    else addGather(pass, shape, inputs, out);
  }
  return out;
}

/** The multiplicities by definition. */
export function trueMultiplicity(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
): readonly Uint16Array[] {
  const m = evaluator(pattern, shape, inputs);
  return matrices(shape).map((matrix, n) => {
    const [batch, head] = [Math.floor(n / shape.heads), n % shape.heads];
    const base = baseOf(shape, batch);
    for (let t = 0; t < shape.queries[batch]; t++) {
      m.row(batch, head, t + base);
      for (let j = 0; j < shape.keys[batch]; j++) matrix[t * shape.keys[batch] + j] = m.at(j);
    }
    return matrix;
  });
}

function matrices(shape: BoundShape): Uint16Array[] {
  return Array.from({ length: shape.batch * shape.heads }, (_, n) => {
    const batch = Math.floor(n / shape.heads);
    return new Uint16Array(shape.queries[batch] * shape.keys[batch]);
  });
}

function addTiles(
  pass: TilePass,
  shape: BoundShape,
  inputs: BoundInputs,
  rows: number,
  out: readonly Uint16Array[],
): void {
  const planner = planTiles(pass, shape, inputs, rows);
  const plan = planPass(pass, shape, inputs, rows);
  const keeps = pass.segments.map((s) => evaluatePairs([s.keep], shape, inputs));
  for (let batch = 0; batch < shape.batch; batch++) {
    const base = baseOf(shape, batch);
    for (let head = 0; head < shape.heads; head++) {
      const matrix = out[batch * shape.heads + head];
      for (let cls = 0; cls < planner.classes; cls++) {
        for (let tile = 0; tile < planner.tiles; tile++) {
          const queries = planner.queryPositions(batch, head, cls, tile);
          const add = (segment: number, first: number, count: number, full: boolean): void => {
            for (let t = first; t < first + count; t++) {
              const keys = planner.keyPositions(segment, batch, head, cls, tile, t);
              for (const i of queries) {
                if (!full) keeps[segment].row(batch, head, i);
                for (const j of keys) {
                  if (full || keeps[segment].at(j)) matrix[(i - base) * shape.keys[batch] + j]++;
                }
              }
            }
          };
          if (pass.plan === 'kernel') {
            planner.tile(batch, head, cls, tile, add);
            continue;
          }
          // What the kernel reads: the runs of the plan.
          const heads = plan.byHead ? shape.heads : 1;
          const row =
            (((plan.byBatch ? batch : 0) * heads + (plan.byHead ? head : 0)) * plan.classes + cls) *
              plan.tiles +
            tile;
          for (let n = plan.offsets[row]; n < plan.offsets[row + 1]; n++) {
            const [kind, first, count] = plan.runs.subarray(3 * n, 3 * n + 3);
            add(kind >> 1, first, count, (kind & 1) === 1);
          }
        }
      }
    }
  }
}

function addGather(
  pass: GatherPass,
  shape: BoundShape,
  inputs: BoundInputs,
  out: readonly Uint16Array[],
): void {
  const find = neighbourFinder(pass, shape, inputs);
  const keep = evaluatePairs([pass.keep], shape, inputs);
  for (let batch = 0; batch < shape.batch; batch++) {
    const base = baseOf(shape, batch);
    for (let head = 0; head < shape.heads; head++) {
      const matrix = out[batch * shape.heads + head];
      for (let t = 0; t < shape.queries[batch]; t++) {
        keep.row(batch, head, t + base);
        for (const j of find(batch, head, t + base)) {
          if (keep.at(j)) matrix[t * shape.keys[batch] + j]++;
        }
      }
    }
  }
}

/** The first pair at which two sets of matrices differ, or undefined. */
export function firstDifference(
  actual: readonly Uint16Array[],
  expected: readonly Uint16Array[],
  shape: BoundShape,
): string | undefined {
  for (let n = 0; n < expected.length; n++) {
    const [batch, head] = [Math.floor(n / shape.heads), n % shape.heads];
    for (let at = 0; at < expected[n].length; at++) {
      if (actual[n][at] === expected[n][at]) continue;
      const i = Math.floor(at / shape.keys[batch]) + baseOf(shape, batch);
      const j = at % shape.keys[batch];
      return `batch ${batch}, head ${head}, i = ${i}, j = ${j}: m is ${expected[n][at]}, the schedule has ${actual[n][at]}`;
    }
  }
  return undefined;
}
