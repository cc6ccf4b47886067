import type { StorageTypes } from '../../compiler/ir/program.js';
import { CLOCK_UP, type Spread, type Timing } from '../../runtime/timing/index.js';
import type { TunedChoice } from '../../runtime/tuned.js';
import { count, listed } from '../text.js';
import { patternSummary, shapeSummary, type Work } from '../work.js';
import { clockAt, precise } from './report.js';

type Choice = Omit<TunedChoice, 'milliseconds'>;

/** A candidate: its time, or why it has none. */
export interface Tried extends Choice {
  readonly time: Spread | undefined;
  readonly clock: Timing['clock'] | undefined;
  /** The device's clock when timing began, over the highest seen; undefined where nothing tells. */
  readonly clockShare: number | undefined;
  readonly problem: string | undefined;
}

/** All that `attnc tune` has to tell. */
export interface TuneReport {
  readonly work: Work;
  readonly device: { readonly name: string; readonly kind: string; readonly why: string };
  readonly robustness: boolean;
  readonly types: StorageTypes;
  /** That were held against the oracle, of each candidate. */
  readonly rows: number;
  readonly tried: readonly Tried[];
  /** What runs where nothing is tuned. */
  readonly usual: Choice;
  readonly kept: TunedChoice;
  readonly key: string;
  readonly cache: string;
}

const same = (a: Choice, b: Choice): boolean =>
  a.schedule === b.schedule && a.family === b.family && a.tiling === b.tiling;

/** Was it timed although the device's clock had not risen? Then others may have been faster for that alone. */
const wasSlow = (t: Tried): t is Tried & { readonly clockShare: number } =>
  t.clockShare !== undefined && t.clockShare < CLOCK_UP;

/** What came of a candidate. */
export function triedText(t: Tried): string {
  if (!t.time) return `no time: ${t.problem}`;
  const { median, p10, p90 } = t.time;
  const time = `${precise(median)} (80 % between ${precise(p10)} and ${precise(p90)})`;
  return wasSlow(t) ? `${time}, ${clockAt(t.clockShare)}` : time;
}

/** Says so if times may not be comparable. */
export function clockText(tried: readonly Tried[]): string | undefined {
  const slow = tried.filter(wasSlow).length;
  return slow === 0
    ? undefined
    : `low while ${count(slow)} of ${count(tried.length)} were timed: tune again when nothing else runs on the device`;
}

export function tuneText(report: TuneReport): string {
  const { work, device, types, tried, usual, kept } = report;
  const head: [string, string][] = [
    ['shape', shapeSummary(work.bound.binding)],
    ['types', `${types.input} in, ${types.output} out`],
    ['device', `${device.name}, ${device.kind}, robustness ${report.robustness ? 'on' : 'off'}`],
    ['checked', `${count(report.rows)} rows of each against the float64 oracle`],
  ];
  const table = tried.map((t) => {
    const marks = [...(same(t, kept) ? ['kept'] : []), ...(same(t, usual) ? ['chosen without tuning'] : [])];
    return [t.family, t.schedule, t.tiling, [triedText(t), ...marks].join(', ')];
  });
  const widths = [0, 1, 2].map((n) => Math.max(...table.map((row) => row[n].length)));
  const lines = table.map((row) => `  ${row.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join('  ')}\n`);
  const clock = clockText(tried);
  const foot: [string, string][] = [
    ['kept in', report.cache],
    ...(clock ? [['clock', clock] as [string, string]] : []),
  ];
  return `${patternSummary(work)}\n${listed(head)}\n${lines.join('')}\n${listed(foot)}`;
}

export function tuneJson(report: TuneReport): unknown {
  const { work, tried, usual, kept } = report;
  const { name, kind, why } = report.device;
  const { shape, queries, keys, valueDim } = work.bound.binding;
  const { batch, heads, keyHeads, dim, grid } = shape;
  return {
    pattern: work.program.name,
    parameters: Object.fromEntries(shape.parameters),
    shape: { batch, heads, keyHeads, queries, keys, dim, valueDim, grid },
    dtype: report.types,
    device: { name, kind, why, robustness: report.robustness },
    checkedRows: report.rows,
    candidates: tried.map((t) => ({
      schedule: t.schedule,
      family: t.family,
      tiling: t.tiling,
      milliseconds: t.time ?? null,
      clock: t.clock ?? null,
      clockShare: t.clockShare ?? null,
      problem: t.problem ?? null,
      kept: same(t, kept),
      usual: same(t, usual),
    })),
    kept,
    key: report.key,
    cache: report.cache,
  };
}
