import { planGather, type GatherPlan } from '../../compiler/ir/gather-plan.js';
import { planPass } from '../../compiler/ir/plan.js';
import type { PassPlan } from '../../compiler/ir/schedule.js';
import { DEGREE } from '../tools/model-tables.js';
import { CASES, type GoldenCase } from '../golden/cases.js';
import { bindSample, compileSample, type Subject } from '../golden/subject.js';
import { leastOf, medianTime, milliseconds, table, timed, verdict, type Time } from './measure.js';

const TOKENS = 1_000_000;
const RUNS = 7;
/** Plans before those that count; the very first is told apart. */
const WARM_UP = 4;
const MOST_TIME = 50;
const MOST_BYTES = 10e6;

interface Planned {
  /** The first plan of this schedule, before the engine has compiled what runs often. */
  readonly first: Time;
  readonly time: Time;
  readonly bytes: number;
  readonly steps: number;
  readonly where: string;
}

const bytesOf = (p: PassPlan | GatherPlan): number =>
  'longRows' in p ? 4 * (p.parts.length + (p.order?.length ?? 0) + p.longRows.length) : bytesOfTiles(p);

const bytesOfTiles = (p: PassPlan): number =>
  p.offsets.byteLength +
  p.runs.byteLength +
  p.lists.reduce((sum, l) => sum + l.offsets.byteLength + l.values.byteLength, 0);

/** Plans every pass of the schedule in use, as the runtime does before a run. */
function plan({ schedule, shape, inputs }: Subject): Planned {
  const tiles = schedule.passes.filter((p) => p.kind === 'tiles');
  const all = Array.from({ length: WARM_UP + RUNS }, () =>
    timed(() =>
      schedule.passes.map((p) =>
        p.kind === 'tiles' ? planPass(p, shape, inputs) : planGather(p, shape, inputs),
      ),
    ),
  );
  const plans = all[0].value;
  const host = tiles.some((p) => p.plan === 'host');
  return {
    first: all[0],
    time: medianTime(all.slice(WARM_UP)),
    bytes: plans.reduce((sum, p) => sum + bytesOf(p), 0),
    steps: plans.reduce((sum, p) => sum + ('steps' in p ? p.steps : 0), 0),
    where: tiles.length === 0 ? 'gather, host' : host ? 'host' : 'kernel',
  };
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);

/** Structured samples: from lengths and parameters alone. */
export function planTimes(): string {
  const structured = CASES.filter((c) => c.most !== undefined);
  return table(
    `Planning at ${TOKENS.toLocaleString('en-US')} tokens (grids: the nearest whole rows), 1 head: median of ${RUNS} in a warm process, ` +
      `at most ${MOST_TIME} ms and ${MOST_BYTES / 1e6} MB`,
    [
      ['pattern', 'planned by', 'wall ms', 'CPU ms', 'first, CPU ms', 'MB', 'box tests', 'reached'],
      ...structured.map((c) => {
        const subject = bindSample(compileSample(c, c.set), { length: TOKENS }, 1);
        const { first, time, bytes, steps, where } = plan(subject);
        const reached = leastOf(time) <= MOST_TIME ? verdict(bytes, MOST_BYTES) : 'missed';
        return [
          `${c.file}: ${c.pattern}`,
          where,
          milliseconds(time.wall),
          milliseconds(time.cpu),
          milliseconds(first.cpu),
          megabytes(bytes),
          steps.toLocaleString('en-US'),
          reached,
        ];
      }),
    ],
  );
}

const GROWTH = [250_000, 500_000, TOKENS] as const;

/** What depends on tables: linear in tokens and in edges. */
export function growthTimes(): string {
  const find = (pattern: string): GoldenCase => {
    const found = CASES.find((c) => c.pattern === pattern);
    if (!found) throw new Error(`no sample ${pattern}`);
    return found;
  };
  const subjects = [
    'documents',
    'documents_causal',
    'shared_prefix_causal',
    'global_sliding',
    'graph',
    'graph_blocks',
  ];
  const rows = subjects.map((pattern) => {
    const c = find(pattern);
    const program = compileSample(c, c.set);
    const times = GROWTH.map((length) => plan(bindSample(program, { length }, 1)));
    return [
      `${c.file}: ${pattern}`,
      ...times.map((t) => milliseconds(t.time.cpu)),
      (times[2].time.cpu / times[0].time.cpu).toFixed(1),
      times[0].steps === 0 ? '–' : (times[2].steps / times[0].steps).toFixed(1),
      megabytes(times[2].bytes),
    ];
  });
  return table(
    `Planning from tables, 1 head: CPU ms, median of ${RUNS}; linear is a growth of 4.0 from first to last ` +
      `(of graphs the long rows are divided; both have degree ${DEGREE})`,
    [
      [
        'pattern',
        ...GROWTH.map((n) => `${n / 1000}k`),
        'growth of time',
        'growth of box tests',
        'MB at the last',
      ],
      ...rows,
    ],
  );
}
