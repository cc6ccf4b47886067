import type { RankStats, TrafficPair } from '../../runtime/distributed/index.js';
import type { SinkSummary } from '../../runtime/stream/rows.js';
import type { Session } from '../session.js';
import { sampleJson, sampleLines } from '../stream/report.js';
import type { SampleResult } from '../stream/sample.js';
import { count, listed, milliseconds, scaled } from '../text.js';
import { tunedText } from '../tuned.js';
import { patternSummary, shapeSummary, type Work } from '../work.js';
import type { DistributedRunOptions } from './options.js';
import type { SharedResults } from './sink.js';
import { rangeText } from './text.js';

/** What rank 0 says of a run on several ranks. */

export interface RankReport extends RankStats {
  readonly host: string;
  readonly device: { readonly name: string; readonly kind: string; readonly why: string };
  /** Its rows: the first, and one past the last. */
  readonly queries: readonly [number, number];
  readonly keys: readonly [number, number];
  readonly planMilliseconds: number;
}

export interface DistributedOutcome {
  readonly ranks: readonly RankReport[];
  readonly pairs: readonly TrafficPair[];
  /** Of a row of k and one of v. */
  readonly rowBytes: number;
  /** False if rows were exchanged that may not have been needed. */
  readonly exact: boolean;
  readonly summary: SinkSummary;
  readonly sample: SampleResult | undefined;
  readonly results: SharedResults;
}

export function reportDistributed(
  session: Session,
  work: Work,
  outcome: DistributedOutcome,
  options: DistributedRunOptions,
): void {
  session.io.stdout.write(
    options.json
      ? `${JSON.stringify(toJson(work, outcome, options), undefined, 2)}\n`
      : toText(work, outcome, options),
  );
}

/** Ranks listed one by one. */
const MOST_RANKS = 16;

interface Times {
  /** For each repeat, that of the slowest rank. */
  readonly runs: readonly number[];
  /** The same by the devices' clocks; undefined if one has none. */
  readonly gpu: readonly number[] | undefined;
}

function timesOf(ranks: readonly RankReport[]): Times {
  const slowest = (of: readonly (readonly number[])[]): readonly number[] =>
    of[0].map((_, n) => Math.max(...of.map((times) => times[n])));
  const gpu = ranks.flatMap((r) => (r.gpuMilliseconds ? [r.gpuMilliseconds] : []));
  return {
    runs: slowest(ranks.map((r) => r.milliseconds)),
    gpu: gpu.length === ranks.length ? slowest(gpu) : undefined,
  };
}

const best = (times: readonly number[]): number => Math.min(...times);
const most = (ranks: readonly RankReport[], of: (rank: RankReport) => number): number =>
  Math.max(...ranks.map(of));

function madeUpOf({ task, madeUp }: Work): readonly string[] {
  return [...(task.hasTensors ? [] : [`q, k, v (seed ${task.seed})`]), ...madeUp];
}

function toText(work: Work, outcome: DistributedOutcome, options: DistributedRunOptions): string {
  const { ranks, pairs, rowBytes, exact, summary, sample, results } = outcome;
  const { runs, gpu } = timesOf(ranks);
  const kernels = ranks.map((r) => r.kernels).find((k) => k !== undefined);
  const rows = pairs.reduce((n, p) => n + p.rows, 0);
  const made = madeUpOf(work);
  const types =
    !kernels || (kernels.input === 'f32' && results.dtype === 'f32')
      ? ''
      : `, ${kernels.input} to ${results.dtype}`;
  const gpuText = gpu === undefined ? '' : `, ${milliseconds(best(gpu))} by the devices’ clocks`;
  const often = runs.length === 1 ? '' : ` (the best of ${runs.length})`;
  const lines: [string, string][] = [
    ['pattern', patternSummary(work)],
    ['shape', shapeSummary(work.bound.binding)],
    ['ranks', `${ranks.length}: ${devicesText(ranks)}`],
    ...(kernels
      ? [
          [
            'kernels',
            `${kernels.kernels.join(', ')} (${kernels.family}${types}${tunedText(kernels)}, schedule ${kernels.schedule})`,
          ] as [string, string],
        ]
      : []),
    ['time', `${milliseconds(best(runs))} on the slowest rank${gpuText}${often}`],
    [
      'besides',
      `${milliseconds(most(ranks, (r) => r.planMilliseconds))} planning, ` +
        `${milliseconds(most(ranks, (r) => r.loadMilliseconds))} reading, ` +
        `${milliseconds(most(ranks, (r) => r.prepareMilliseconds))} preparing kernels, ` +
        `${milliseconds(most(ranks, (r) => r.writeMilliseconds))} writing`,
    ],
    [
      'exchanged',
      `${count(rows)} rows of k and v, ${scaled(rows * rowBytes, 'B')}` +
        (exact ? '' : ' (some may not be needed: finding out was given up)'),
    ],
    ...(ranks.length > MOST_RANKS ? [] : ranks.map(rankLine)),
    [
      'memory',
      `up to ${scaled(
        most(ranks, (r) => r.deviceBytes),
        'B',
      )} on a device, ` +
        `${scaled(
          most(ranks, (r) => r.messageBytes),
          'B',
        )} for messages`,
    ],
    ...(made.length > 0 ? [['made up', made.join('; ')] as [string, string]] : []),
    ['out', `[${results.shape.join(', ')}], lse [${results.shape.slice(0, 3).join(', ')}]`],
    ['sum', summary.sum],
    ...(sample ? sampleLines(sample) : []),
    ...(options.output === undefined ? [] : [['written', options.output] as [string, string]]),
  ];
  return listed(lines);
}

function rankLine({
  rank,
  queries,
  keys,
  sentBytes,
  receivedBytes,
  milliseconds: times,
}: RankReport): [string, string] {
  return [
    `rank ${rank}`,
    `queries ${rangeText(queries)}, keys ${rangeText(keys)}; sent ${scaled(sentBytes, 'B')}, ` +
      `received ${scaled(receivedBytes, 'B')}; ${milliseconds(best(times))}`,
  ];
}

/** `3 × NVIDIA H200, 1 × …` */
function devicesText(ranks: readonly RankReport[]): string {
  const names = new Map<string, number>();
  for (const { device } of ranks) names.set(device.name, (names.get(device.name) ?? 0) + 1);
  const hosts = new Set(ranks.map((r) => r.host)).size;
  const list = [...names].map(([name, n]) => (n === 1 ? name : `${n} × ${name}`)).join(', ');
  return `${list}${hosts === 1 ? '' : ` on ${hosts} hosts`}`;
}

function toJson(work: Work, outcome: DistributedOutcome, options: DistributedRunOptions): unknown {
  const { ranks, pairs, rowBytes, exact, summary, sample, results } = outcome;
  const { program, bound } = work;
  const { shape, queries, keys, valueDim } = bound.binding;
  const { runs, gpu } = timesOf(ranks);
  return {
    pattern: program.name,
    shape: {
      ...shape,
      parameters: Object.fromEntries(shape.parameters),
      ...{ rows: queries, columns: keys, valueDim },
    },
    out: results.shape,
    lse: results.shape.slice(0, 3),
    outType: results.dtype,
    madeUp: madeUpOf(work),
    /** Of the slowest rank, for each repeat. */
    milliseconds: runs,
    gpuMilliseconds: gpu ?? null,
    ranks: ranks.map((r) => ({
      ...r,
      kernels: r.kernels ?? null,
      gpuMilliseconds: r.gpuMilliseconds ?? null,
    })),
    exchanged: {
      exact,
      rows: pairs.reduce((n, p) => n + p.rows, 0),
      bytes: pairs.reduce((n, p) => n + p.rows, 0) * rowBytes,
      pairs: pairs.map((p) => ({ ...p, bytes: p.rows * rowBytes })),
    },
    sum: summary.sum,
    sample: sample ? sampleJson(sample) : null,
    output: options.output ?? null,
  };
}
