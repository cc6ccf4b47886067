import type { Edges, Pattern } from '../compiler/ir/edges.js';
import { evaluatePairs, multiplicity } from '../compiler/ir/evaluate.js';
import { lt, ZERO } from '../compiler/ir/build.js';
import type { BoundInputs } from '../compiler/ir/inputs.js';
import type { StorageTypes } from '../compiler/ir/program.js';
import { planPass, planTiles } from '../compiler/ir/plan.js';
import { makeSegment } from '../compiler/ir/segment.js';
import { TILE, type Pass, type Schedule, type Space, type TilePass } from '../compiler/ir/schedule.js';
import { baseOf, type BoundShape } from '../compiler/ir/shape.js';
import { rowsSpace } from '../compiler/ir/space.js';
import { countPass, spread } from '../compiler/ir/statistics.js';
import { bytesPerElement } from '../runtime/tensor.js';
import { conditionsOfRules } from './rules.js';
import { countTilePass, type PassCounts } from './count-pass.js';
import { allPairs, fallbacksOf, type Fallback } from './fallback.js';
import { scheduleFor } from './schedule.js';
import type { Session } from './session.js';
import type { Work } from './work.js';

/** What a pattern costs at a bound shape. */
export interface Explanation {
  readonly pattern: string;
  readonly schedule: string;
  /** All schedules that the program carries. */
  readonly schedules: readonly string[];
  readonly edges: {
    /** Σm. */
    readonly sum: number;
    /** Pairs with an edge. */
    readonly distinct: number;
    /** distinct / (queries × keys), over batches and heads. */
    readonly density: number;
    readonly exact: boolean;
  };
  readonly tiles: { readonly full: number; readonly partial: number; readonly share: number };
  /** Query tiles (of gather passes: rows) that were looked at, and how many there are. */
  readonly counted: { readonly sampled: number; readonly total: number; readonly exact: boolean };
  /** Pairs that kernels compute. */
  readonly issued: number;
  /** issued / Σm. */
  readonly waste: number;
  /** 2 · dim for a score and 2 · valueDim for its value. */
  readonly flops: { readonly needed: number; readonly issued: number };
  readonly bytes: Readonly<Record<'q' | 'k' | 'v' | 'out' | 'lse' | 'tables' | 'plan', number>>;
  readonly passes: readonly PassSummary[];
  readonly planning: {
    /** Box tests on the host, of the passes that it plans. */
    readonly steps: number;
    /** Undefined where there would be too many to try. */
    readonly milliseconds: number | undefined;
    /** Box tests that kernels make, each for its own query tile. */
    readonly kernelSteps: number;
  };
  readonly fallbacks: readonly Fallback[];
  readonly maxLength: number;
  readonly madeUp: readonly string[];
}

export interface PassSummary {
  readonly kind: Pass['kind'];
  readonly plan: 'kernel' | 'host' | 'none';
  readonly queries: string;
  readonly segments: readonly {
    readonly keys: string;
    readonly labels: readonly string[];
    readonly full: number;
    readonly partial: number;
  }[];
}

/** Query tiles looked at, pairs evaluated in partial tiles, and steps past which a plan is estimated, not made. */
const COUNT = { most: 512, pairs: 2 ** 24, steps: 2 ** 22 } as const;
/** Rows looked at for the number of distinct pairs; prime, so that no pattern's period keeps step with them. */
const ROWS = { least: 499, most: 8191, pairs: 2 ** 25 } as const;

/** @param types of q, k and v, and of out */
export function explain(session: Session, work: Work, types: StorageTypes): Explanation {
  const { program, bound } = work;
  const { shape, queries, keys, valueDim } = bound.binding;
  const inputs = bound.inputs.host;
  const schedule = scheduleFor(program, shape, inputs);
  const step = (): void => session.progress.step('counting tiles', program.name);
  const counts = schedule.passes.map((pass) => countAny(pass, shape, inputs, step));
  const tilesOf = (pick: (s: { full: number; partial: number }) => number): number =>
    counts.reduce((sum, c) => sum + c.counts.segments.reduce((n, s) => n + pick(s), 0), 0);
  const full = Math.round(tilesOf((s) => s.full));
  const partial = Math.round(tilesOf((s) => s.partial));
  const gathered = counts.reduce((sum, c) => sum + c.gathered, 0);
  const issued = (full + partial) * TILE * TILE + gathered;
  const sum = Math.round(counts.reduce((n, c) => n + c.counts.segments.reduce((m, s) => m + s.edges, 0), 0));
  session.progress.step('counting edges', program.name);
  const distinct = adds(program.pattern.edges)
    ? countDistinct(program.pattern, shape, inputs)
    : { pairs: sum, exact: true };
  const exact = counts.every((c) => c.counts.exact);
  const planning = plan(
    session,
    schedule,
    shape,
    inputs,
    counts.map((c) => c.counts),
  );
  const perPair = 2 * shape.dim + 2 * valueDim;
  const rows = shape.batch * shape.heads * queries;
  const keyRows = shape.batch * shape.keyHeads * keys;
  return {
    pattern: program.name,
    schedule: schedule.name,
    schedules: program.schedules.map((s) => s.name),
    edges: {
      sum,
      distinct: distinct.pairs,
      density: distinct.pairs / Math.max(1, allPairs(shape)),
      exact: exact && distinct.exact,
    },
    tiles: { full, partial, share: full / Math.max(1, full + partial) },
    counted: {
      sampled: counts.reduce((n, c) => n + c.counts.sampled, 0),
      total: counts.reduce((n, c) => n + c.counts.total, 0),
      exact,
    },
    issued,
    waste: issued / Math.max(1, sum),
    flops: { needed: sum * perPair, issued: issued * perPair },
    bytes: {
      q: bytesPerElement[types.input] * rows * shape.dim,
      k: bytesPerElement[types.input] * keyRows * shape.dim,
      v: bytesPerElement[types.input] * keyRows * valueDim,
      out: bytesPerElement[types.output] * rows * valueDim,
      lse: 4 * rows,
      tables: tableBytes(inputs),
      plan: planning.bytes,
    },
    passes: schedule.passes.map((pass, n) => summarise(pass, counts[n].counts)),
    planning: {
      steps: planning.steps,
      milliseconds: planning.milliseconds,
      kernelSteps: planning.kernelSteps,
    },
    fallbacks: fallbacksOf(
      schedule,
      counts.map((c) => c.counts),
      shape,
    ),
    maxLength: program.maxLength,
    madeUp: work.madeUp,
  };
}

interface Counted {
  readonly counts: PassCounts;
  /** Pairs of gather passes; 0 for tiles. */
  readonly gathered: number;
}

function countAny(pass: Pass, shape: BoundShape, inputs: BoundInputs, step: () => void): Counted {
  if (pass.kind === 'tiles')
    return { counts: countTilePass(pass, shape, inputs, { ...COUNT, step }), gathered: 0 };
  const c = countPass(pass, shape, inputs, { most: COUNT.most, pairs: true });
  const segments = [{ full: 0, partial: 0, edges: c.needed }];
  const exact = c.sampled === c.total;
  return { counts: { segments, steps: 0, sampled: c.sampled, total: c.total, exact }, gathered: c.issued };
}

/** Can a pair's multiplicity be larger than 1? */
function adds(edges: Edges): boolean {
  return edges.overlaps === 'add' && edges.parts.length > 1
    ? true
    : edges.overlaps === 'add' && edges.parts.some((p) => p.kind === 'edges' && adds(p));
}

/** Pairs with m > 0, from rows spread over the sequence; full tiles are counted without a look inside. */
function countDistinct(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
): { readonly pairs: number; readonly exact: boolean } {
  const terms = conditionsOfRules(pattern);
  const queries = rowsSpace('i');
  const segment = makeSegment(terms, queries, rowsSpace('j'), shape.grid.length);
  const pass: TilePass = { kind: 'tiles', queries, segments: [segment], plan: 'host', complete: true };
  const planner = planTiles(pass, shape, inputs, 1);
  const some = evaluatePairs([lt(ZERO, multiplicity(pattern.edges))], shape, inputs);
  const rows = Math.max(0, ...shape.queries);
  const affordable = Math.floor(ROWS.pairs / Math.max(1, ...shape.keys));
  const most = affordable >= ROWS.most ? ROWS.most : ROWS.least;
  const chosen = spread(shape.batch * shape.heads * rows, most);
  let pairs = 0;
  for (const { n, weight } of chosen) {
    const row = n % rows;
    const head = Math.floor(n / rows) % shape.heads;
    const batch = Math.floor(n / (rows * shape.heads));
    if (row >= shape.queries[batch]) continue;
    some.row(batch, head, row + baseOf(shape, batch));
    planner.tile(batch, head, 0, row, (_, first, count, full) => {
      const end = Math.min((first + count) * TILE, shape.keys[batch]);
      if (full) pairs += (end - first * TILE) * weight;
      else for (let j = first * TILE; j < end; j++) pairs += some.at(j) * weight;
    });
  }
  return { pairs: Math.round(pairs), exact: chosen.length === shape.batch * shape.heads * rows };
}

interface Planned {
  readonly steps: number;
  readonly kernelSteps: number;
  readonly milliseconds: number | undefined;
  readonly bytes: number;
}

function plan(
  session: Session,
  schedule: Schedule,
  shape: BoundShape,
  inputs: BoundInputs,
  counts: readonly PassCounts[],
): Planned {
  let steps = 0;
  let kernelSteps = 0;
  let milliseconds: number | undefined = 0;
  let bytes = 0;
  schedule.passes.forEach((pass, n) => {
    if (pass.kind !== 'tiles') return;
    // As the runtime plans: what doesn't differ between heads is planned once.
    if (pass.plan === 'kernel') kernelSteps += Math.round(counts[n].steps);
    if (pass.plan === 'host' && counts[n].steps > COUNT.steps) {
      steps += Math.round(counts[n].steps);
      milliseconds = undefined;
      return;
    }
    session.progress.step('planning', `pass ${n + 1} of ${schedule.passes.length}`);
    const start = performance.now();
    const made = planPass(pass, shape, inputs);
    if (milliseconds !== undefined) milliseconds += performance.now() - start;
    if (pass.plan === 'host') steps += made.steps;
    bytes += made.offsets.byteLength + made.runs.byteLength;
    for (const list of made.lists) bytes += list.offsets.byteLength + list.values.byteLength;
  });
  return { steps, kernelSteps, milliseconds, bytes };
}

function summarise(pass: Pass, counts: PassCounts): PassSummary {
  if (pass.kind === 'gather') {
    const keys = pass.neighbours.kind === 'graph' ? `rows of ${pass.neighbours.input}` : 'a family';
    const segments = [{ keys, labels: pass.labels, full: 0, partial: 0 }];
    return { kind: 'gather', plan: 'none', queries: 'rows', segments };
  }
  return {
    kind: 'tiles',
    plan: pass.plan,
    queries: spaceName(pass.queries),
    segments: pass.segments.map((s, n) => ({
      keys: spaceName(s.space),
      labels: s.labels,
      full: Math.round(counts.segments[n].full),
      partial: Math.round(counts.segments[n].partial),
    })),
  };
}

const spaceName = (space: Space): string => space.name;

function tableBytes(inputs: BoundInputs): number {
  let bytes = 0;
  for (const input of inputs.values()) {
    bytes +=
      input.kind === 'table'
        ? 4 * input.data.length
        : input.rowPtr.byteLength + input.colIdx.byteLength + (input.weight?.byteLength ?? 0);
  }
  return bytes;
}
