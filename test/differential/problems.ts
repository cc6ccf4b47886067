import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkSource } from '../../compiler/check/index.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { bindInputs } from '../../runtime/bind-inputs.js';
import { bindShape } from '../../runtime/bind-shape.js';
import type { Inputs, Lengths, Settings } from '../../runtime/bindings.js';
import { checkBinding } from '../../runtime/check-binding.js';
import { tensor } from '../../runtime/tensor.js';
import { LENGTHS, QUERY_KEY_PAIRS, type SampleCase, type SampleSetting, type Tables } from '../shapes.js';

/** Samples brought to a shape: the lowered pattern, its tables, and both bound as the runtime binds them. */

export interface ProblemShape {
  readonly batch: number;
  readonly heads: number;
  readonly keyHeads?: number;
  readonly queries: number;
  readonly keys: number;
  /** Rows in use for each batch; the first batch should use all. */
  readonly lengths?: { readonly queries: readonly number[]; readonly keys: readonly number[] };
}

/** A pattern of samples/, lowered, with parameters set. */
export function lowerSample(
  sample: Pick<SampleCase, 'file' | 'pattern'>,
  set: SampleSetting['set'],
): Pattern {
  const read = (file: string): string => readFileSync(file, 'utf8');
  const checked = checkSource(
    { file: sample.file, text: read(sample.file) },
    {
      pattern: sample.pattern,
      set,
      resolve: (path) => ({ file: path, text: read(join('samples', path)) }),
    },
  );
  if (!checked.pattern || hasErrors(checked.diagnostics)) {
    throw new Error(`${sample.file}: ${checked.diagnostics.map((d) => d.message).join('; ')}`);
  }
  return checked.pattern;
}

/** Tables of plain numbers as tensors. Graphs and int or bool tables become i32. */
export function inputTensors(pattern: Pattern, tables: Tables): Inputs {
  const isFloat = (name: string): boolean =>
    name.endsWith('.weight') || pattern.inputs.some((d) => d.name === name && d.type === 'float');
  return Object.fromEntries(
    Object.entries(tables).map(([name, { shape, data }]) => [
      name,
      isFloat(name)
        ? tensor('f32', shape, Float32Array.from(data))
        : tensor('i32', shape, Int32Array.from(data)),
    ]),
  );
}

/** Inputs and lengths as `run` and `reference` take them. */
export function settingsFor(
  sample: SampleCase,
  pattern: Pattern,
  set: SampleSetting['set'],
  shape: ProblemShape,
  seed = 1,
): Settings & { readonly lengths?: Lengths } {
  const inputs = inputTensors(pattern, sample.tables(shape, seed, set));
  return shape.lengths ? { inputs, lengths: shape.lengths } : { inputs };
}

export interface Problem {
  readonly shape: BoundShape;
  readonly inputs: BoundInputs;
}

/** Shape and tables bound, and checked, as the runtime does it. Throws its typed errors. */
export function bindProblem(pattern: Pattern, shape: ProblemShape, settings: Settings, dim = 16): Problem {
  const { batch, heads, keyHeads = heads, queries, keys } = shape;
  const tensors = {
    q: [batch, heads, queries, dim],
    k: [batch, keyHeads, keys, dim],
    v: [batch, keyHeads, keys, dim],
  };
  const binding = bindShape(pattern, tensors, settings);
  const inputs = bindInputs(pattern, binding, settings.inputs).host;
  checkBinding(pattern, binding.shape, inputs);
  return { shape: binding.shape, inputs };
}

/** Has it query tiles that are boxes of the token grid? All tokens are queries there, and a tile has 64. */
export const isOnGrid = (schedule: Schedule): boolean =>
  schedule.passes.some((p) => p.kind === 'tiles' && p.queries.kind === 'grid');

/** May the schedule run at this shape? */
export function fitsShape(schedule: Schedule, shape: Pick<BoundShape, 'queries' | 'keys'>): boolean {
  return !isOnGrid(schedule) || shape.queries.every((n, b) => n === shape.keys[b]);
}

/** [queries, keys] of a setting: its lengths, then pairs that differ. Grids need whole rows of keys. */
export function sizesFor(sample: SampleCase, setting: SampleSetting): readonly (readonly [number, number])[] {
  const square = setting.lengths.map((n) => [n, n] as const);
  if (setting.lengths !== LENGTHS) {
    return [...square, ...setting.lengths.map((n) => [Math.ceil(n / 3), n] as const)];
  }
  const crossed = sample.moreQueries ? QUERY_KEY_PAIRS.map(([q, k]) => [k, q] as const) : [];
  return [...square, ...QUERY_KEY_PAIRS, ...crossed];
}

/** The tree of drafts needs as many tokens as it has nodes; every other sample takes any length. */
export function unequalLengths(
  sample: SampleCase,
  setting: SampleSetting,
  [queries, keys]: readonly [number, number],
): ProblemShape['lengths'] {
  // All sequences of a batch lie on the same grid.
  if (setting.lengths !== LENGTHS) {
    return { queries: [queries, Math.max(1, Math.floor(queries / 2))], keys: [keys, keys] };
  }
  const second = Math.max(1, Math.floor(keys * 0.6));
  const rows = sample.moreQueries
    ? Math.max(1, Math.floor(queries / 2))
    : Math.min(second, Math.ceil(queries / 2));
  return { queries: [queries, rows], keys: [keys, second] };
}
