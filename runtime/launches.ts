import { isConst } from '../compiler/ir/build.js';
import type { Family, Kernel, StorageTypes, Variant } from '../compiler/ir/program.js';
import { planGather, type GatherPlan } from '../compiler/ir/gather-plan.js';
import { dividesGraphs } from '../compiler/ir/graph-boxes.js';
import { planPass } from '../compiler/ir/plan.js';
import { costOf, countPass } from '../compiler/ir/statistics.js';
import type { Pass, PassPlan, Schedule, Space, TilePass } from '../compiler/ir/schedule.js';
import type { Expr } from '../compiler/ir/expr.js';
import type { Bound } from './bind.js';
import { requireHost } from './bind.js';
import { valueOf } from './bind-shape.js';
import { DECODE_QUERIES, divisionPays, packingFor, splitsFor, type Packing } from './divide.js';
import { AttncError, denseBudget, internalError, lengthOutOfRange, usageError } from './errors.js';
import { chooseTiling, tilingFacts, tilingLabel } from './choose-tiling.js';
import { gatherBytes, gatherWorkgroups } from './gathers.js';
import { inputsOf } from './input-uses.js';
import { kernelRangeError, tooWide, type TooWide } from './kernel-range.js';
import type { Bindings } from './bindings.js';
import { lacking, type Prepared } from './prepare.js';
import { byPreference, fittingGranules, noVariant, takes } from './storage.js';
import { bytesOfTables, tablesRead } from './words.js';
import { tunedKey, variantOf, type TunedChoices } from './tuned.js';

/** Which schedule runs, and what it dispatches. */

export interface Launch {
  readonly kernel: Kernel;
  readonly workgroups: readonly [number, number];
  readonly total: number;
}

export interface Choice {
  readonly variant: Variant;
  readonly schedule: Schedule;
  /** By pass; undefined for gathers. */
  readonly plans: readonly (PassPlan | undefined)[];
  /** By pass; undefined for tiles. */
  readonly gathers: readonly (GatherPlan | undefined)[];
  /** Bytes of the results of parts of long rows, of one gather at a time. */
  readonly gatherBytes: number;
  readonly launches: readonly Launch[];
  /** The pass before which (out, lse) hold nothing, in programs for runs in parts. */
  readonly freshPass: number | undefined;
  /** The most parts that a query tile's keys are divided into by decoding kernels; 1 without them. */
  readonly splits: number;
  /** By pass; undefined where keys are not divided. */
  readonly divisions: readonly (Division | undefined)[];
}

/** How the keys of a pass are divided among workgroups. */
export interface Division {
  readonly splits: number;
  readonly packing: Packing;
  /** Workgroups for each part of the keys. */
  readonly workgroups: number;
  /** That the results of all parts take. */
  readonly bytes: number;
}

const TILE = 64;
const MOST_WORKGROUPS = 65535;

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

/** Pairs that may be tested one by one because the analysis found no bound for them. */
export const PAIR_BUDGET = 2 ** 34;
/** Box tests that planning on the host may make. */
const STEP_BUDGET = 2 ** 25;

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

/** Where a launch stands among those that add up to the same rows of (out, lse), each with other keys at hand. */
export interface Step {
  /** It sets what the others add to. */
  readonly first: boolean;
  /** All keys have been seen after it. */
  readonly last: boolean;
}

export const ONLY_STEP: Step = { first: true, last: true };

const isIn = ({ first, last }: Step, { role }: Kernel, freshPass: number | undefined): boolean =>
  role === 'initialise' ? first && freshPass === undefined : role === 'sink' ? last : true;

/** Plans every pass and sizes every dispatch. */
export function planLaunches(
  variant: Variant,
  bound: Bound,
  options: ChooseOptions = {},
  step: Step = ONLY_STEP,
): Choice {
  const { shape } = bound.binding;
  const schedule = bound.program.schedules[variant.schedule];
  const passes = schedule.passes.map((pass, n) => planOf(variant, pass, n, bound, options));
  const { windows } = bound.program;
  const freshPass = windows && step.first && schedule.passes[0]?.complete ? 0 : undefined;
  const kernels = variant.kernels
    .filter((k) => isIn(step, k, freshPass))
    .filter(
      (k) =>
        k.pass === undefined ||
        k.role === 'gather' ||
        k.role === 'gather_merge' ||
        passes[k.pass]?.kernels.includes(k),
    );
  const gathers = schedule.passes.map((pass) =>
    pass.kind === 'gather' ? planGather(pass, shape, bound.inputs.host) : undefined,
  );
  const rows = Math.max(0, ...shape.queries);
  const launches = kernels.flatMap((kernel): readonly Launch[] => {
    const gather = kernel.pass === undefined ? undefined : gathers[kernel.pass];
    if (gather) {
      const total = gatherWorkgroups(kernel, gather);
      // Seldom are there long rows to merge.
      return total === 0 ? [] : [{ kernel, total, workgroups: dimensions(total) }];
    }
    const planned = kernel.pass === undefined ? undefined : passes[kernel.pass];
    const { plan, division } = planned ?? {};
    const tiles = plan ? plan.tiles * plan.classes : Math.ceil(rows / kernel.rows);
    const whole = tiles * shape.heads * shape.batch;
    const divided = division ? division.workgroups * division.splits : whole;
    const total = workgroupsOf(kernel.role, whole, divided, division);
    return [{ kernel, total, workgroups: dimensions(total) }];
  });
  const divisions = passes.map((p) => p?.division);
  const splits = Math.max(1, ...divisions.map((d) => d?.splits ?? 1));
  const plans = passes.map((p) => p?.plan);
  const bytes = Math.max(0, ...gathers.map((g) => (g ? gatherBytes(g, bound.binding.valueDim) : 0)));
  return { variant, schedule, plans, gathers, gatherBytes: bytes, launches, splits, divisions, freshPass };
}

/** Most workgroups that look for marks: they fill a large device, and cost it a few microseconds where there are none. */
const MOST_LOOKING = 1024;

/** @param whole of a kernel that takes the keys as a whole @param divided of one that takes parts of them */
function workgroupsOf(
  role: Kernel['role'],
  whole: number,
  divided: number,
  division: Division | undefined,
): number {
  switch (role) {
    case 'tiles_again':
      return Math.min(whole, MOST_LOOKING);
    case 'decode':
      return divided;
    case 'decode_again':
      return Math.min(divided, MOST_LOOKING);
    case 'merge':
      return division ? division.workgroups * division.packing.rows : whole;
    default:
      return whole;
  }
}

interface PlannedPass {
  readonly kernels: readonly Kernel[];
  readonly plan: PassPlan;
  readonly division: Division | undefined;
}

/** The kernels that run a pass, either with its keys divided or not, and its plan; undefined for gathers. */
function planOf(
  variant: Variant,
  pass: Pass,
  number: number,
  bound: Bound,
  options: ChooseOptions,
): PlannedPass | undefined {
  if (pass.kind !== 'tiles') return undefined;
  const { shape, valueDim } = bound.binding;
  requireHost(bound.inputs, hostInputs(pass), 'the tiles to visit are planned with it');
  if (options.allowDense !== true) checkBudget(pass, bound);
  const kernelsOf = (...roles: readonly Kernel['role'][]): readonly Kernel[] =>
    variant.kernels.filter((k) => k.pass === number && roles.includes(k.role));
  const [[tiles], [decode], [merge]] = [kernelsOf('tiles'), kernelsOf('decode'), kernelsOf('merge')] as const;
  const planFor = (rows: number | undefined): PassPlan => planPass(pass, shape, bound.inputs.host, rows);
  const whole = (plan: PassPlan): PlannedPass => ({
    kernels: kernelsOf('tiles', 'tiles_again'),
    plan,
    division: undefined,
  });
  if (!decode || !merge || (tiles && options.decode === false)) return whole(planFor(tiles?.rows));

  const most = { queries: Math.max(0, ...shape.queries), keys: Math.max(0, ...shape.keys) };
  const few = most.queries <= DECODE_QUERIES;
  const undivided = few || options.decode === true || !tiles ? undefined : planFor(tiles.rows);
  const workgroups = undivided ? undivided.tiles * undivided.classes * shape.heads * shape.batch : 0;
  const mayPay = (keyTiles: number): boolean =>
    !tiles || options.decode === true || divisionPays({ ...work, workgroups, keyTiles });
  const work = { ...most, heads: shape.heads, keyHeads: shape.keyHeads };
  // Counting takes a moment: not where it can't matter.
  if (tiles && !mayPay(Infinity)) return whole(undivided ?? planFor(tiles.rows));
  const keyTiles = averageKeyTiles(pass, bound);
  if (tiles && !mayPay(keyTiles)) return whole(undivided ?? planFor(tiles.rows));

  const packing = packingFor(decode, { ...work, workgroups, keyTiles });
  const plan = planFor(packing.queries);
  const own = plan.tiles * plan.classes * shape.keyHeads * packing.blocks * shape.batch;
  const bytes = own * packing.rows * (valueDim + 4) * 4;
  const splits = splitsFor(own, keyTiles, bytes);
  return {
    kernels: kernelsOf('decode', 'decode_again', 'merge'),
    plan,
    division: { packing, splits, workgroups: own, bytes: bytes * splits },
  };
}

/** Key tiles that a tile of 64 queries visits, from a few of them. */
function averageKeyTiles(pass: TilePass, bound: Bound): number {
  // The tiles are the same however they are found, and subdivision finds large full boxes in one step.
  const found: TilePass = { ...pass, plan: 'host' };
  const { full, partial, total } = countPass(found, bound.binding.shape, bound.inputs.host, {
    most: 6,
    pairs: false,
  });
  return total === 0 ? 0 : (full + partial) / total;
}

/**
 * Where the analysis found no bound, every pair is tested, by the kernel or (box by box) in planning. Looked at only
 * where that could take long.
 */
function checkBudget(pass: TilePass, bound: Bound): void {
  const { shape } = bound.binding;
  const pairs = shape.heads * shape.queries.reduce((sum, n, b) => sum + n * shape.keys[b], 0);
  const labels = pass.segments.flatMap((s) => s.labels).join(', ');
  const unbounded = pass.segments.some((s) => isConst(s.any, 1) && isConst(s.all, 0));
  if (unbounded && pairs > PAIR_BUDGET) throw denseBudget(labels, pairs, PAIR_BUDGET);
  if (pass.plan === 'kernel' || pairs / TILE ** 2 < STEP_BUDGET) return;
  const { steps } = countPass(pass, shape, bound.inputs.host, { most: 16, pairs: false });
  if (steps > STEP_BUDGET) throw denseBudget(labels, pairs, PAIR_BUDGET);
}

/** A dispatch has at most 65535 workgroups a dimension; kernels count x + y · (number of x). */
function dimensions(total: number): readonly [number, number] {
  const x = Math.min(total, MOST_WORKGROUPS);
  const y = total === 0 ? 0 : Math.ceil(total / x);
  if (y > MOST_WORKGROUPS) throw lengthOutOfRange('the number of workgroups', total, 0, MOST_WORKGROUPS ** 2);
  return [x, y];
}

/** Inputs that the host reads to plan a pass. */
function hostInputs(pass: TilePass): ReadonlySet<string> {
  const lists = [pass.queries, ...pass.segments.map((s) => s.space)].flatMap((s: Space) =>
    s.kind === 'list' ? [s.condition] : [],
  );
  const segments: Expr[] =
    pass.plan === 'kernel'
      ? []
      : pass.segments.flatMap((s) => [
          s.any,
          s.all,
          ...s.seeds.flatMap((seed): readonly Expr[] => {
            switch (seed.kind) {
              case 'interval':
                return [...seed.lo, ...seed.hi];
              case 'sample':
                return [...seed.args, seed.lo, seed.hi];
              case 'edges':
                return [seed.batch, seed.head, seed.rowLo, seed.rowHi, seed.lo, seed.hi];
            }
          }),
        ]);
  return inputsOf([...lists, ...segments]);
}
