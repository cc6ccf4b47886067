import type { Family, StorageTypes, Variant } from '../compiler/ir/program.js';
import { dividesGraphs } from '../compiler/ir/graph-boxes.js';
import { costOf } from '../compiler/ir/statistics.js';
import type { Schedule } from '../compiler/ir/schedule.js';
import type { Bound } from './bind.js';
import { valueOf } from './bind-shape.js';
import { AttncError, internalError, usageError } from './errors.js';
import { chooseTiling, tilingFacts, tilingLabel } from './choose-tiling.js';
import { hostInputs } from './input-uses.js';
import { kernelRangeError, tooWide, type TooWide } from './kernel-range.js';
import type { Bindings } from './bindings.js';
import { lacking, type Prepared } from './prepare.js';
import { byPreference, fittingGranules, noVariant, takes } from './storage.js';
import { bytesOfTables, tablesRead } from './words.js';
import { tunedKey, variantOf, type TunedChoices } from './tuned.js';

/** Which schedule runs, and by which kernels. */

export interface ChooseOptions {
  /** Number of the schedule (in `program.schedules`) to run, instead of the cheapest. */
  readonly schedule?: number | undefined;
  /** Kind of kernels to run, instead of the fastest that there is for the schedule. */
  readonly family?: Family | undefined;
  /** How the kernels divide their work, in the words of `stats.tiling`; by default what suits the pattern. */
  readonly tiling?: string | undefined;
  /** Choices that were measured; they hold where neither schedule nor family nor tiling is given. */
  readonly tuned?: TunedChoices | undefined;
  /** Divide the keys of every pass among workgroups (decoding kernels), or don't; by default where it pays. */
  readonly decode?: boolean | undefined;
  /** Most bytes of a tensor to bind at once; what the device allows if not given or more. Not less than a few rows. */
  readonly bindingBytes?: number | undefined;
  /** Run patterns that nothing bounds, by testing every pair, past `PAIR_BUDGET` too. */
  readonly allowDense?: boolean | undefined;
}

/** What tensors ask of the kernels: their storage types, and where they lie if it isn't a dense layout. */
export interface Storage extends StorageTypes {
  readonly tensors?: Pick<Bindings, 'q' | 'k' | 'v' | 'out'>;
}

/** What runs, and whether tuned choices said so. */
export interface Picked {
  readonly variant: Variant;
  readonly tuned: boolean;
}

/** The variant that `pickVariant` picks. */
export const chooseVariant = (
  prepared: Prepared,
  bound: Bound,
  storage: Storage,
  options: ChooseOptions = {},
): Variant => pickVariant(prepared, bound, storage, options).variant;

/**
 * The variant to run: of the schedules that fit these lengths the cheapest, of its variants that the device can run,
 * take the tensors' types and can read them where they lie, those of the fastest family, and of these the tiling that
 * suits the pattern; or what tuned choices say.
 */
export function pickVariant(
  prepared: Prepared,
  bound: Bound,
  storage: Storage,
  options: ChooseOptions = {},
): Picked {
  const { program, device } = prepared;
  const { shape } = bound.binding;
  const variants = usableVariants(prepared, storage, options);
  const fits = fitsLengths(bound);
  const best = (schedule: number): Picked => {
    const own = variants.filter((v) => v.schedule === schedule);
    const fastest = own.filter((v) => v.family === own[0].family);
    const facts = () => {
      const s = program.schedules[schedule];
      return hasHostInputs(s, bound) ? tilingFacts(s, shape, bound.inputs.host) : undefined;
    };
    return { variant: chooseTiling(fastest, facts), tuned: false };
  };
  const schedules = [...new Set(variants.map((v) => v.schedule))].sort((a, b) => a - b);
  if (options.schedule !== undefined) {
    const forced = schedules.find((s) => s === options.schedule);
    const wide = forced === undefined ? undefined : tooWide(program.schedules[forced], bound);
    if (wide) throw kernelRangeError(wide);
    if (forced !== undefined && fits(forced)) return best(forced);
    throw new AttncError('usage', `schedule ${options.schedule} does not fit these lengths`, {
      help: `the program has ${program.schedules.length}`,
    });
  }
  const fitting = schedules.filter(fits);
  if (fitting.length === 0) throw internalError('no schedule fits these lengths');
  const wide = fitting.map((s) => tooWide(program.schedules[s], bound));
  const usable = fitting.filter((_, n) => wide[n] === undefined);
  if (usable.length === 0) throw kernelRangeError(wide.find((w) => w !== undefined) as TooWide);
  if (options.tuned && options.family === undefined && options.tiling === undefined) {
    const { choices } = options.tuned;
    const key = tunedKey(program, device, storage, shape);
    const choice = Object.hasOwn(choices, key) ? choices[key] : undefined;
    // Whether to divide a graph is decided by its edges, of which a choice knows nothing.
    const open = usable.some((s) => dividesGraphs(program.schedules[s]))
      ? [cheapest(prepared, bound, variants, usable, options)]
      : usable;
    const there = choice ? variants.filter((v) => open.includes(v.schedule)) : [];
    const variant = choice && variantOf(program, there, choice);
    if (variant) return { variant, tuned: true };
  }
  return best(cheapest(prepared, bound, variants, usable, options));
}

/** What reads a table on the device cannot be planned, nor counted. */
function hasHostInputs(schedule: Schedule, bound: Bound): boolean {
  const needed = schedule.passes.flatMap((p) => (p.kind === 'tiles' ? [...hostInputs(p)] : []));
  return needed.every((name) => bound.inputs.host.has(name));
}

/** Of some schedules that can run, the number of the cheapest. */
function cheapest(
  { device, program }: Prepared,
  bound: Bound,
  variants: readonly Variant[],
  usable: readonly number[],
  { bindingBytes = Infinity }: ChooseOptions,
): number {
  if (usable.length === 1) return usable[0];
  // A graph and its parts may be more than a binding takes where the graph alone is not.
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize, bindingBytes);
  const tablesFit = (s: number): boolean =>
    bytesOfTables(bound.inputs, tablesRead(variants.filter((v) => v.schedule === s))) <= most;
  const costs = usable.map((s) => {
    const schedule = program.schedules[s];
    return hasHostInputs(schedule, bound) && tablesFit(s)
      ? costOf(schedule, bound.binding.shape, bound.inputs.host)
      : Infinity;
  });
  return usable[costs.indexOf(Math.min(...costs))];
}

/** Every variant that could run, the fastest family first: what there is to measure. */
export function candidates(
  prepared: Prepared,
  bound: Bound,
  storage: Storage,
  options: ChooseOptions = {},
): readonly Variant[] {
  const fits = fitsLengths(bound);
  const { schedules } = prepared.program;
  const variants = usableVariants(prepared, storage, options).filter(
    ({ schedule }) =>
      (options.schedule ?? schedule) === schedule && fits(schedule) && !tooWide(schedules[schedule], bound),
  );
  const usable = [...new Set(variants.map((v) => v.schedule))];
  if (!usable.some((s) => dividesGraphs(schedules[s]))) return variants;
  // A graph without dense boxes has nothing to gain from being divided.
  const best = cheapest(prepared, bound, variants, usable, options);
  return variants.filter((v) => v.schedule === best || !dividesGraphs(schedules[v.schedule]));
}

const fitsLengths =
  ({ program, binding: { shape } }: Bound) =>
  (schedule: number): boolean => {
    const { when } = program.schedules[schedule];
    return Array.from({ length: Math.max(1, shape.batch) }, (_, b) => valueOf(when, shape, b)).every(
      (x) => x !== 0,
    );
  };

/** Variants for the types, the layouts and, if asked for, the family and the tiling: the fastest family first. */
function usableVariants(
  prepared: Prepared,
  storage: Storage,
  { family, tiling }: ChooseOptions,
): readonly Variant[] {
  const { device, program } = prepared;
  const ofFamily = (v: Variant): boolean => family === undefined || v.family === family;
  const there = prepared.variants.filter(ofFamily);
  if (there.length === 0) {
    const problem = program.variants.filter(ofFamily).map((v) => lacking(device, v))[0];
    if (problem) throw problem;
    const has = [...new Set(program.variants.map((v) => v.family))].join(', ');
    throw usageError(`the program has no kernels of family ${String(family)}`, `it has ${has}`);
  }
  const typed = there.filter((v) => takes(v, storage));
  if (typed.length === 0) throw noVariant(program, family, storage);
  const readable = [...fittingGranules(typed, storage.tensors ?? {})].sort(byPreference);
  if (tiling === undefined) return readable;
  const tiled = readable.filter((v) => tilingLabel(v) === tiling);
  if (tiled.length > 0) return tiled;
  const labels = [...new Set(readable.map(tilingLabel))].join('; ');
  throw usageError(`no kernels with the tiling '${tiling}' can run here`, `there are: ${labels}`);
}
