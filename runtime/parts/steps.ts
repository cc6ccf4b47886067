import type { Program } from '../../compiler/ir/program.js';
import { baseOf } from '../../compiler/ir/shape.js';
import type { Arena } from '../arena.js';
import type { Bound } from '../bind.js';
import type { Bindings, LentTensor, LongBindings, TensorBinding } from '../bindings.js';
import { limitTooSmall, usageError } from '../errors.js';
import { USAGE } from '../gpu-flags.js';
import { ONLY_STEP, type Step } from '../launches.js';
import { type ChooseOptions } from '../pick-variant.js';
import type { TensorName } from '../place.js';
import { planBands, type Band, type BandLimits, type FindKeys } from './bands.js';
import { bindPart, keyHeadsOf, type RunPart } from './part.js';
import { breaksOf, lentShape, piecesOf, spanBytes, viewOf, type ViewRange } from './views.js';

/** The steps of a run on lent tensors: one where everything can be bound at once, or bands of queries times windows of keys. */

export interface RunStep {
  readonly bound: Bound;
  readonly bindings: Bindings;
  readonly step: Step;
}

const NAMES = ['q', 'k', 'v', 'out', 'lse'] as const;

/** A binding starts where the device's alignment allows: up to this much before its first element. */
const SLACK = 256;

/** Shapes of q, k and v, whole. */
export const lentShapes = ({
  q,
  k,
  v,
}: LongBindings): Readonly<Record<'q' | 'k' | 'v', readonly number[]>> => ({
  q: lentShape('q', q),
  k: lentShape('k', k),
  v: lentShape('v', v),
});

/** For what all pieces of a tensor have in common. */
export const firstPieces = (bindings: LongBindings): Bindings => {
  const first = (tensor: LentTensor): TensorBinding => piecesOf(tensor)[0];
  const { q, k, v, out, lse } = bindings;
  return { ...bindings, q: first(q), k: first(k), v: first(v), out: first(out), lse: lse && first(lse) };
};

/** What can be bound at once, in bytes: what the device allows, or less. */
export const bindable = ({ limits }: GPUDevice, { bindingBytes = Infinity }: ChooseOptions): number =>
  Math.min(limits.maxStorageBufferBindingSize, bindingBytes);

/** The tensors as single buffers, if each is one that can be bound whole. */
export function wholeBindings(bindings: LongBindings, most: number): Bindings | undefined {
  const single = (name: TensorName, tensor: LentTensor): TensorBinding | undefined => {
    const [piece, ...more] = piecesOf(tensor);
    const [batch, heads, rows] = piece.shape;
    return more.length === 0 && spanBytes(name, piece, batch, heads, rows) <= most ? piece : undefined;
  };
  const [q, k, v] = [single('q', bindings.q), single('k', bindings.k), single('v', bindings.v)];
  const out = single('out', bindings.out);
  const lse = bindings.lse && single('lse', bindings.lse);
  if (!q || !k || !v || !out || (bindings.lse && !lse)) return undefined;
  return { ...bindings, q, k, v, out, lse };
}

/** @param needed of what needs to be known only where keys don't fit one binding */
export function stepsOf(
  device: GPUDevice,
  bound: Bound,
  bindings: LongBindings,
  arena: Arena,
  options: ChooseOptions,
  needed: () => FindKeys,
): readonly RunStep[] {
  const most = bindable(device, options);
  const whole = wholeBindings(bindings, most);
  if (whole) return [{ bound, bindings: whole, step: ONLY_STEP }];
  checkWindows(bound.program, bindings, most);
  const { shape } = bound.binding;
  const bands = planBands(shape, (b) => baseOf(shape, b), needed(), bindingLimits(bound, bindings, most));
  const lse = bindings.lse ? undefined : scratch(arena, bands);
  return bands.flatMap((band) => stepsOfBand(bound, bindings, band, lse));
}

function stepsOfBand(
  bound: Bound,
  bindings: LongBindings,
  band: Band,
  lse: GPUBuffer | undefined,
): readonly RunStep[] {
  const { batch, batches, head, heads, row, rows } = band;
  const keyHeads = keyHeadsOf(bound.binding.shape, band);
  const queries: ViewRange = { batch, batches, head, heads, lo: row, hi: row + rows };
  return band.windows.map((window, n): RunStep => {
    const keys: ViewRange = { batch, batches, head: keyHeads.first, heads: keyHeads.count, ...window };
    return {
      bound: bindPart(bound, band, window),
      bindings: {
        ...bindings,
        q: viewOf('q', bindings.q, queries),
        k: viewOf('k', bindings.k, keys),
        v: viewOf('v', bindings.v, keys),
        out: viewOf('out', bindings.out, queries),
        lse: bindings.lse
          ? viewOf('lse', bindings.lse, queries)
          : lse && { buffer: lse, shape: [batches, heads, rows] },
      },
      step: { first: n === 0, last: n === band.windows.length - 1 },
    };
  });
}

/** lse of the band that is being computed, where nobody wants it. */
function scratch(arena: Arena, bands: readonly RunPart[]): GPUBuffer {
  const rows = bands.map((b) => b.batches * b.heads * b.rows);
  return arena.create('lse', 4 * rows.reduce((a, b) => Math.max(a, b), 0), USAGE.storage);
}

function checkWindows(program: Program, bindings: LongBindings, most: number): void {
  if (program.windows) return;
  const help = 'compile with { windows: true } to run in parts, or ask for more when the device is made';
  for (const name of NAMES) {
    const tensor = bindings[name];
    if (!tensor) continue;
    for (const piece of piecesOf(tensor)) {
      const [batch, heads, rows] = piece.shape;
      const bytes = spanBytes(name, piece, batch, heads, rows);
      if (bytes > most) throw limitTooSmall('maxStorageBufferBindingSize', bytes, most, help);
    }
  }
  throw usageError(
    'a tensor in several buffers needs a program for runs in parts',
    'compile with { windows: true }',
  );
}

/** Bands and windows that can be bound: as many batches and heads at once as leave most rows to a band. */
function bindingLimits(bound: Bound, bindings: LongBindings, bytes: number): BandLimits {
  const { shape, queries, keys } = bound.binding;
  const most = bytes - SLACK;
  const rowsOf = (names: readonly TensorName[], batches: number, heads: number, wanted: number): number => {
    const fits = (rows: number): boolean =>
      names.every((name) => {
        const tensor = bindings[name];
        return !tensor || piecesOf(tensor).every((p) => spanBytes(name, p, batches, heads, rows) <= most);
      });
    return largest(wanted, fits);
  };
  const choices = lineChoices(shape.batch, shape.heads, shape.keyHeads).map(({ batches, heads }) => {
    const keyHeads = keyHeadsOf(shape, { head: 0, heads }).count;
    const queryRows = rowsOf(['q', 'out', 'lse'], batches, heads, Math.max(1, queries));
    const keyRows = rowsOf(['k', 'v'], batches, keyHeads, Math.max(1, keys));
    return { batches, heads, queryRows, keyRows };
  });
  const possible = choices.filter((c) => c.queryRows > 0 && c.keyRows > 0);
  if (possible.length === 0) {
    const row = Math.max(...piecesOf(bindings.q).map((p) => spanBytes('q', p, 1, 1, 1)));
    throw limitTooSmall(
      'maxStorageBufferBindingSize',
      row + SLACK,
      most + SLACK,
      'not even a row can be bound',
    );
  }
  const worth = (c: (typeof choices)[number]): number =>
    c.batches * c.heads * c.queryRows * Math.min(1, (2 * c.keyRows) / c.queryRows);
  const best = possible.reduce((a, b) => (worth(b) > worth(a) ? b : a));
  const queryBreaks = (['q', 'out', 'lse'] as const).flatMap((n) =>
    bindings[n] ? breaksOf(bindings[n]) : [],
  );
  const keyBreaks = (['k', 'v'] as const).flatMap((n) => breaksOf(bindings[n]));
  const ascending = (x: readonly number[]): readonly number[] => [...new Set(x)].sort((a, b) => a - b);
  return { ...best, queryBreaks: ascending(queryBreaks), keyBreaks: ascending(keyBreaks), gap: Infinity };
}

/** Batches and heads that may be computed together, most first: whole key heads' groups, or equal parts of one group. */
export function lineChoices(
  batch: number,
  heads: number,
  keyHeads: number,
): readonly { readonly batches: number; readonly heads: number }[] {
  const sharers = keyHeads === 0 ? 1 : heads / keyHeads;
  const groups = Array.from({ length: keyHeads }, (_, n) => (keyHeads - n) * sharers);
  const parts = Array.from({ length: sharers }, (_, n) => sharers - n).filter(
    (n) => n < sharers && sharers % n === 0,
  );
  const one = [...groups, ...parts].map((h) => ({ batches: 1, heads: h }));
  return batch > 1 ? [{ batches: batch, heads }, ...one] : one;
}

/** The largest whole number up to `most` that fits; 0 if none does. What fits, fits smaller. */
function largest(most: number, fits: (n: number) => boolean): number {
  if (fits(most)) return most;
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
