import { baseOf } from '../../compiler/ir/shape.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import type { ChooseOptions, HostTensors, RunResult } from '../../runtime/index.js';
import { bindProblem, fitsShape, settingsFor, type ProblemShape } from '../differential/problems.js';
import { trueMultiplicity } from '../differential/schedule-edges.js';
import { FULL } from '../differential/settings.js';
import type { CompiledSample } from './samples.js';
import { fillRow, makeTensors } from './tensors.js';

/**
 * NaN and infinity in a k or v row reach the queries with an edge to it, all of them, and no others: rows without an
 * edge and rows past a sequence's end change nothing, not a bit. Only where kernels do a tile again with care, by other
 * arithmetic, the tile's other rows may be rounded otherwise.
 */
export async function checkNotFinite(
  t: { readonly fail: (message: string) => void },
  compiled: CompiledSample,
  go: (tensors: HostTensors, options: ChooseOptions) => Promise<RunResult>,
  waysFor: (compiled: CompiledSample, fits: (s: Schedule) => boolean) => readonly ChooseOptions[],
  shape: ProblemShape,
): Promise<number> {
  const { sample, dim, valueDim } = compiled;
  const [{ setting, pattern, parameters }] = compiled.settings;
  const given = { ...settingsFor(sample, pattern, setting.set, shape), parameters };
  const problem = bindProblem(pattern, shape, given, dim);
  const { heads, keyHeads } = problem.shape;
  const truth = trueMultiplicity(pattern, problem.shape, problem.inputs);
  const clean = makeTensors(shape, dim, valueDim, 'plain', 9);
  const bad = { q: copy(clean.q), k: copy(clean.k), v: copy(clean.v) };

  /** Poisoned keys of each (batch, key head): every 23rd, and all that no query of the group has an edge to. */
  const poisoned = new Set<string>();
  const values = [NaN, Infinity, -Infinity];
  for (let batch = 0; batch < shape.batch; batch++) {
    const keys = problem.shape.keys[batch];
    for (let keyHead = 0; keyHead < keyHeads; keyHead++) {
      for (let j = 0; j < shape.keys; j++) {
        const group = Array.from({ length: heads / keyHeads }, (_, n) => keyHead * (heads / keyHeads) + n);
        const seen = group.some((head) => {
          const matrix = truth[batch * heads + head];
          for (let at = j; at < matrix.length; at += keys) if (matrix[at] > 0) return true;
          return false;
        });
        const inside = j < keys;
        if (inside && seen && j % 23 !== 5) continue;
        fillRow(j % 2 === 0 ? bad.k : bad.v, [batch, keyHead, j], values[j % 3]);
        if (!inside || !seen) fillRow(j % 2 === 0 ? bad.v : bad.k, [batch, keyHead, j], values[(j + 1) % 3]);
        if (inside) poisoned.add(`${batch} ${keyHead} ${j}`);
      }
    }
  }

  for (let line = 0; line < shape.batch * heads; line++) {
    const [batch, head] = [Math.floor(line / heads), line % heads];
    for (let row = problem.shape.queries[batch]; row < shape.queries; row++)
      fillRow(bad.q, [batch, head, row], NaN);
  }

  let rows = 0;
  // The last schedule in one go, and one with its keys divided.
  const ways = waysFor(compiled, (s) => fitsShape(s, problem.shape));
  const few = [false, true].flatMap((decode) => ways.filter((w) => w.decode === decode).slice(-1));
  for (const way of FULL ? ways : few) {
    const before = await go({ ...clean, ...given }, way);
    const after = await go({ ...bad, ...given }, way);
    for (let line = 0; line < shape.batch * heads; line++) {
      const [batch, head] = [Math.floor(line / heads), line % heads];
      const keys = problem.shape.keys[batch];
      const keyHead = Math.floor(head / (heads / keyHeads));
      for (let row = 0; row < problem.shape.queries[batch]; row++) {
        let reached = false;
        for (let j = 0; j < keys && !reached; j++) {
          reached = truth[line][row * keys + j] > 0 && poisoned.has(`${batch} ${keyHead} ${j}`);
        }
        const at = line * shape.queries + row;
        const pick = ({ out, lse }: RunResult): number[] => [
          ...out.data.subarray(at * valueDim, (at + 1) * valueDim),
          lse.data[at],
        ];
        const [was, is] = [pick(before), pick(after)];
        const same = / steady/.test(after.stats.tiling)
          ? isNear(was)
          : (x: number, n: number) => Object.is(x, was[n]);
        const isRight = (x: number, n: number): boolean => (reached ? Number.isNaN(x) : same(x, n));
        const right = is.every(isRight);
        rows++;
        if (right) continue;
        const i = row + baseOf(problem.shape, batch);
        const n = is.findIndex((x, c) => !isRight(x, c));
        const what = reached ? 'should be NaN' : `was ${was[n]} without NaN elsewhere`;
        t.fail(
          `${JSON.stringify(way)}: batch ${batch}, head ${head}, i = ${i}, column ${n} is ${is[n]}, ${what}`,
        );
        return rows;
      }
    }
  }
  return rows;
}

/** Is a column, or lse at the end, what it was but for a rounding of f16? What is not finite stays just that. */
function isNear(was: readonly number[]): (x: number, n: number) => boolean {
  const scale = Math.max(...was.slice(0, -1).map(Math.abs));
  return (x, n) => Object.is(x, was[n]) || Math.abs(x - was[n]) <= (n < was.length - 1 ? 2e-3 * scale : 1e-3);
}

function copy<T extends { readonly data: Float32Array }>(t: T): T {
  return { ...t, data: t.data.slice() };
}
