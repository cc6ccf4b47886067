import { isConst } from '../compiler/ir/build.js';
import type { Kernel, Variant } from '../compiler/ir/program.js';
import { planGather, type GatherPlan } from '../compiler/ir/gather-plan.js';
import { planPass } from '../compiler/ir/plan.js';
import { countPass } from '../compiler/ir/statistics.js';
import type { Pass, PassPlan, Schedule, TilePass } from '../compiler/ir/schedule.js';
import type { Bound } from './bind.js';
import { requireHost } from './bind.js';
import { DECODE_QUERIES, divisionPays, packingFor, splitsFor, type Packing } from './divide.js';
import { denseBudget, isAttncError, lengthOutOfRange } from './errors.js';
import { gatherBytes, gatherWorkgroups } from './gathers.js';
import { hostInputs } from './input-uses.js';
import type { ChooseOptions } from './pick-variant.js';

/** What a variant dispatches. */

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

/** Pairs that may be tested one by one because the analysis found no bound for them. */
export const PAIR_BUDGET = 2 ** 34;
/** Box tests that planning on the host may make. */
const STEP_BUDGET = 2 ** 25;

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

/** Most workgroups that do again what is listed: they fill a large device, once, since all of them begin where nothing is. */
const MOST_AGAIN = 256;

/** @param whole of a kernel that takes the keys as a whole @param divided of one that takes parts of them */
function workgroupsOf(
  role: Kernel['role'],
  whole: number,
  divided: number,
  division: Division | undefined,
): number {
  switch (role) {
    case 'tiles_again':
      return Math.min(whole, MOST_AGAIN);
    case 'decode':
      return divided;
    case 'decode_again':
      return Math.min(divided, MOST_AGAIN);
    case 'merge':
      return division ? division.workgroups * division.packing.rows : whole;
    default:
      return whole;
  }
}

/**
 * Of variants the first of those that would run the same kernels: tilings share the kernels that divide the keys, for
 * one. What cannot be planned stays.
 */
export function unlikeLaunches(
  variants: readonly Variant[],
  bound: Bound,
  options: ChooseOptions = {},
): readonly Variant[] {
  const seen = new Set<string>();
  return variants.filter((variant) => {
    let launches: readonly Launch[];
    try {
      ({ launches } = planLaunches(variant, bound, options));
    } catch (error) {
      if (isAttncError(error)) return true;
      throw error;
    }
    const kernels = launches.map(({ kernel, total }) => [kernel.directives, kernel.wgsl, total]);
    const key = JSON.stringify([variant.schedule, kernels]);
    return !seen.has(key) && seen.add(key);
  });
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
