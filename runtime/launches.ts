import { isConst } from '../compiler/ir/build.js';
import type { Family, Kernel, StorageTypes, Variant } from '../compiler/ir/program.js';
import { planPass } from '../compiler/ir/plan.js';
import { costOf, countPass } from '../compiler/ir/statistics.js';
import type { PassPlan, Schedule, Space, TilePass } from '../compiler/ir/schedule.js';
import type { Expr } from '../compiler/ir/expr.js';
import type { Bound } from './bind.js';
import { requireHost } from './bind.js';
import { valueOf } from './bind-shape.js';
import { AttncError, denseBudget, internalError, lengthOutOfRange, usageError } from './errors.js';
import { inputsOf } from './input-uses.js';
import { kernelRangeError, tooWide, type TooWide } from './kernel-range.js';
import type { Bindings } from './bindings.js';
import { lacking, type Prepared } from './prepare.js';
import { byPreference, fittingGranules, noVariant, takes } from './storage.js';

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
  readonly launches: readonly Launch[];
  /** Parts that each query tile's keys are divided into by decoding kernels; 1 without them. */
  readonly splits: number;
  /** Query tiles times classes of the largest pass that is split. */
  readonly splitTiles: number;
}

/** Most queries for which the keys are divided among workgroups. */
export const DECODE_QUERIES = 64;
/** Fewest keys for which that pays. */
export const DECODE_KEYS = 2048;
/** Workgroups that fill a device, and the most parts. */
const FILL = 256;
const MOST_SPLITS = 64;
/** Key tiles that a part should hold at least. */
const TILES_A_SPLIT = 8;
const TILE = 64;
const MOST_WORKGROUPS = 65535;

export interface ChooseOptions {
  /** Number of the schedule (in `program.schedules`) to run, instead of the cheapest. */
  readonly schedule?: number | undefined;
  /** Kind of kernels to run, instead of the fastest that there is for the schedule. */
  readonly family?: Family | undefined;
  /** Divide the keys among workgroups (decoding kernels), or don't; by default where it pays. */
  readonly decode?: boolean | undefined;
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

/**
 * The variant to run: of the schedules that fit these lengths the cheapest, and of its variants that the device can run,
 * take the tensors' types and can read them where they lie, that of the fastest family.
 */
export function chooseVariant(
  prepared: Prepared,
  bound: Bound,
  storage: Storage,
  options: ChooseOptions = {},
): Variant {
  const { program } = prepared;
  const { shape } = bound.binding;
  const variants = usableVariants(prepared, storage, options.family);
  const fits = (schedule: number): boolean => {
    const { when } = program.schedules[schedule];
    return Array.from({ length: Math.max(1, shape.batch) }, (_, b) => valueOf(when, shape, b)).every(
      (x) => x !== 0,
    );
  };
  const best = (schedule: number): Variant => variants.find((v) => v.schedule === schedule) as Variant;
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
  if (usable.length === 1) return best(usable[0]);
  const costs = usable.map((s) => {
    const schedule = program.schedules[s];
    // What reads a table on the device cannot be planned, nor counted.
    const needed = schedule.passes.flatMap((p) => (p.kind === 'tiles' ? [...hostInputs(p)] : []));
    const here = needed.every((name) => bound.inputs.host.has(name));
    return here ? costOf(schedule, shape, bound.inputs.host) : Infinity;
  });
  return best(usable[costs.indexOf(Math.min(...costs))]);
}

/** Variants for the types, the layouts and, if asked for, the family: the fastest family first. */
function usableVariants(
  prepared: Prepared,
  storage: Storage,
  family: Family | undefined,
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
  return [...fittingGranules(typed, storage.tensors ?? {})].sort(byPreference);
}

/** Plans every pass and sizes every dispatch. */
export function planLaunches(variant: Variant, bound: Bound, options: ChooseOptions = {}): Choice {
  const { shape } = bound.binding;
  const schedule = bound.program.schedules[variant.schedule];
  const most = { queries: Math.max(0, ...shape.queries), keys: Math.max(0, ...shape.keys) };
  const decode = options.decode ?? (most.queries <= DECODE_QUERIES && most.keys >= DECODE_KEYS);
  const kernels = kernelsFor(variant, decode);
  const plans = schedule.passes.map((pass, n) => {
    if (pass.kind !== 'tiles') return undefined;
    requireHost(bound.inputs, hostInputs(pass), 'the tiles to visit are planned with it');
    if (options.allowDense !== true) checkBudget(pass, bound);
    const kernel = kernels.find((k) => k.pass === n && (k.role === 'tiles' || k.role === 'decode'));
    return planPass(pass, shape, bound.inputs.host, kernel?.rows);
  });

  const splitTiles = kernels.reduce((most, k) => {
    const plan = k.role === 'decode' && k.pass !== undefined ? plans[k.pass] : undefined;
    return plan ? Math.max(most, plan.tiles * plan.classes) : most;
  }, 0);
  const splits = splitTiles === 0 ? 1 : splitsFor(splitTiles * shape.heads * shape.batch, most.keys);
  const launches = kernels.map((kernel): Launch => {
    const plan = kernel.pass === undefined ? undefined : plans[kernel.pass];
    const tiles = plan ? plan.tiles * plan.classes : Math.ceil(most.queries / kernel.rows);
    const total = tiles * shape.heads * shape.batch * (kernel.role === 'decode' ? splits : 1);
    return { kernel, total, workgroups: dimensions(total) };
  });
  return { variant, schedule, plans, launches, splits, splitTiles };
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

/** Of the passes that have both, either the kernels that divide the keys or those that don't. */
export function kernelsFor(variant: Variant, decode: boolean): readonly Kernel[] {
  const has = (pass: number | undefined, role: Kernel['role']): boolean =>
    variant.kernels.some((k) => k.pass === pass && k.role === role);
  return variant.kernels.filter((k) => {
    if (k.role === 'tiles') return !(decode && has(k.pass, 'decode'));
    if (k.role === 'decode' || k.role === 'merge') return decode || !has(k.pass, 'tiles');
    return true;
  });
}

function splitsFor(workgroups: number, keys: number): number {
  const wanted = Math.ceil(FILL / Math.max(1, workgroups));
  const most = Math.ceil(keys / TILE / TILES_A_SPLIT);
  return Math.max(1, Math.min(wanted, most, MOST_SPLITS));
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
