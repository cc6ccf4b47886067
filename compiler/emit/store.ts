import { printReturn } from './expression.js';
import { rowStart } from './place.js';
import type { Shader } from './shader.js';
import { printerFor, type Target } from './target.js';
import { lines, wgsl } from './wgsl.js';

/**
 * How a row's result reaches (out, lse): its factors by `mix_row`, and the row by `store_row`. Matrix kernels, whose lanes
 * don't have whole rows, write quads of columns by the factors instead.
 */

export interface StoreOptions {
  /** Merge with what (out, lse) hold. */
  readonly merge: boolean;
  /** Apply the sink: only where nothing merges with the row later. */
  readonly sink: boolean;
  /** Columns (vec4s) that one call writes: `column + step * n`. */
  readonly columns: number;
  readonly step: number;
  /** They come in pairs instead: column, column + 1, column + step, column + step + 1, … */
  readonly paired?: boolean;
}

/** Bits that WGSL has no literal for. */
export const SPECIAL_VALUES = wgsl`
  // Scores below this count as none: their weight is exactly 0.
  const LOWEST = -3.4e38;
  const INFINITY_BITS = 0x7f800000u;
  const NEGATIVE_INFINITY_BITS = 0xff800000u;
  const NAN_BITS = 0x7fc00000u;`;

/** The bits that `lse` holds for a row before this pass. */
export function emitReadBefore(shader: Shader): string {
  const fresh = (): string => shader.uniform('fresh', 'u32', { kind: 'shape', name: 'fresh' });
  return wgsl`
    // What lse holds for the row of position i, as bits.
    fn lse_before(at: Place, i: i32) -> u32 {
      ${
        shader.windows
          ? wgsl`
            // Nothing yet.
            if (${fresh()} != 0u) {
              return NEGATIVE_INFINITY_BITS;
            }`
          : ''
      }
      return ${shader.bind('lse', 'read_write')}[${rowStart(shader, 'lse', 'u32(i - at.first)')}];
    }`;
}

/**
 * `mix_row`: what becomes of a row, from the sum of its weights.
 * @param merge with what (out, lse) hold
 * @param sink whether the sink is applied: only where nothing merges with the row later
 */
export function emitMix(
  shader: Shader,
  target: Target,
  options: Pick<StoreOptions, 'merge' | 'sink'>,
): readonly string[] {
  const { merge } = options;
  const sink = options.sink && target.mix.sink ? 'sink_factor(at, i, mix.lse)' : undefined;
  const mergeLines = wgsl`
    // log(exp(a) + exp(b)) of this pass and those before.
    let own_lse = select(LOWEST, highest + log(total), total > 0.0);
    let old_lse = select(bitcast<f32>(before), LOWEST, before == NEGATIVE_INFINITY_BITS || old_is_nan);
    let top = max(own_lse, old_lse);
    let own_weight = select(0.0, exp(own_lse - top), own_lse > LOWEST);
    let old_weight = select(0.0, exp(old_lse - top), old_lse > LOWEST);
    let weight = own_weight + old_weight;
    mix.found = weight > 0.0;
    mix.lse = top + log(select(1.0, weight, mix.found));
    ${sink ? `let keeps = ${sink};` : ''}
    mix.share = select(0.0, own_weight / (weight * total), own_weight > 0.0)${sink ? ' * keeps' : ''};
    mix.old_share = select(0.0, old_weight / weight, old_weight > 0.0)${sink ? ' * keeps' : ''};`;
  const plainLines = wgsl`
    mix.found = total > 0.0;
    mix.lse = highest + log(select(1.0, total, mix.found));
    mix.share = select(0.0, ${sink ? `${sink} / total` : '1.0 / total'}, mix.found);`;
  const mix = wgsl`
    // A row's factors: of the sums${merge ? ', and of what stands in out' : ''}. And its lse, if there was an edge.
    struct Mix {
      share: f32,
      ${merge ? 'old_share: f32,' : ''}
      is_nan: bool,
      found: bool,
      lse: f32,
    }
    // Of the row of position i, where total is the sum of the weights, relative to exp(highest).${merge ? ' They merge with what earlier passes left.' : ''}
    fn mix_row(at: Place, i: i32, highest: f32, total: f32, poisoned: bool${merge ? ', before: u32' : ''}) -> Mix {
      var mix: Mix;
      ${merge ? 'let old_is_nan = (before & 0x7fffffffu) > INFINITY_BITS;' : ''}
      // A sum past the range of f32 is told too.
      mix.is_nan = poisoned || (bitcast<u32>(total) & INFINITY_BITS) == INFINITY_BITS${merge ? ' || old_is_nan' : ''};
      ${merge ? mergeLines : plainLines}
      return mix;
    }
    // The bits of its lse.
    fn lse_bits(mix: Mix) -> u32 {
      let bits = select(NEGATIVE_INFINITY_BITS, bitcast<u32>(mix.lse), mix.found);
      return select(bits, NAN_BITS, mix.is_nan);
    }`;
  return sink ? [mix, emitSinkFactor(shader, target)] : [mix];
}

/** WGSL of what `writeQuad` writes: the place, the sums, and a row's factors (see `Mix`). */
export interface Quad {
  readonly at: string;
  readonly sums: string;
  readonly share: string;
  readonly oldShare: string;
  readonly isNaN: string;
}

/** A statement that writes four columns of out. */
export function writeQuad(
  shader: Shader,
  { merge }: Pick<StoreOptions, 'merge'>,
  { at, sums, share, oldShare, isNaN }: Quad,
): string {
  const out = shader.bind('out', 'read_write');
  const nan = shader.uniform('nan', 'u32', { kind: 'bits', value: 0x7fc00000 });
  const write = (value: string): string =>
    `${out}[${at}] = write_out(select(${value}, vec4<f32>(bitcast<f32>(${nan})), ${isNaN}));`;
  return merge
    ? wgsl`
      {
        // A share of 0 keeps nothing, whatever stood there.
        var value = ${sums} * ${share};
        if (${oldShare} > 0.0) {
          value += read_out(${out}[${at}]) * ${oldShare};
        }
        ${write('value')}
      }`
    : write(`${sums} * ${share}`);
}

export function emitStore(shader: Shader, target: Target, options: StoreOptions): readonly string[] {
  const lse = shader.bind('lse', 'read_write');
  const width = target.valueDim / 4;

  // How many steps, and how much more.
  const steps = (n: number): number => (options.paired ? n >> 1 : n);
  const offset = (n: number): number => options.step * steps(n) + (options.paired ? n & 1 : 0);
  const column = (n: number): string => (n === 0 ? 'column' : `column + ${offset(n)}u`);
  const write = (n: number): string => {
    const line = writeQuad(shader, options, {
      at: `row_start + ${column(n)}`,
      sums: `sums_${n}`,
      share: 'mix.share',
      oldShare: 'mix.old_share',
      isNaN: 'mix.is_nan',
    });
    const fits = options.step * (steps(n) + 1) <= width;
    return fits
      ? line
      : wgsl`
        if (${column(n)} < ${width}u) {
          ${line}
        }`;
  };
  const store = wgsl`
    // Writes the row of position i: sums are the weighted values of some of its columns, total the sum of the weights,
    // both relative to exp(highest).
    fn store_row(
      at: Place,
      i: i32,
      highest: f32,
      total: f32,
      poisoned: bool,
      ${options.merge ? 'before: u32,' : ''}
      column: u32,
      ${lines(options.columns, (n) => `sums_${n}: vec4<f32>,`)}
    ) {
      let row = u32(i - at.first);
      let mix = mix_row(at, i, highest, total, poisoned${options.merge ? ', before' : ''});
      let row_start = ${rowStart(shader, 'out', 'row')};
      ${lines(options.columns, write)}
      if (column == 0u) {
        ${lse}[${rowStart(shader, 'lse', 'row')}] = lse_bits(mix);
      }
    }`;
  return [store, ...emitMix(shader, target, options)];
}

/** What the sink leaves of a row: exp(lse) / (exp(lse) + exp(sink)). */
export function emitSinkFactor(shader: Shader, target: Target): string {
  const { sink } = target.mix;
  if (sink === undefined) return '';
  return wgsl`
    // The sink's logit for a row.
    fn sink(at: Place, i: i32) -> f32 {
      ${printReturn(sink, printerFor(shader, target))}
    }
    // exp(lse) / (exp(lse) + exp(sink)): what the sink leaves of a row.
    fn sink_factor(at: Place, i: i32, row_lse: f32) -> f32 {
      return 1.0 / (1.0 + exp(clamp(max(sink(at, i), LOWEST) - row_lse, -80.0, 80.0)));
    }`;
}
