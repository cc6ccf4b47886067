import type { StorageTypes } from '../../compiler/ir/program.js';
import type { Comparison } from '../../runtime/reference/index.js';
import { count, listed, milliseconds, percent, scaled } from '../text.js';
import { tunedText } from '../tuned.js';
import { patternSummary, shapeSummary, type Work } from '../work.js';
import type { Ceilings } from './ceilings.js';
import type { WorkCounts } from './count-work.js';
import type { Measured, Redone } from './measure.js';
import type { Rates } from './rates.js';

/** All that `attnc bench` has to tell. */
export interface Report {
  readonly work: Work;
  readonly device: { readonly name: string; readonly kind: string; readonly why: string };
  readonly robustness: boolean;
  readonly types: StorageTypes;
  readonly checked: { readonly rows: number; readonly totalRows: number; readonly comparison: Comparison };
  readonly measured: Measured;
  readonly counts: WorkCounts;
  readonly ceilings: Ceilings;
  readonly rates: Rates;
}

/** Milliseconds with four digits: times differ in the third. */
export const precise = (t: number): string => `${t.toPrecision(4)} ms`;

export const clockAt = (share: number): string => `the clock at ${percent(share)} of its highest`;

const clockOf = ({ warmUp }: Measured['timing']): string =>
  warmUp.clock === undefined ? '' : `, then ${clockAt(warmUp.clock)}`;

/** Tells why scores take longer whose highest the kernels have not foreseen, and results that are not finite. */
export function redoneText({ workgroups, retried, rescaled }: Redone): string {
  const ways = [
    ...(retried > 0 ? [`${count(retried)} by the same kernel`] : []),
    ...(rescaled > 0
      ? [`${count(rescaled)}${retried > 0 ? ' (those or others)' : ''} by one that rescales`]
      : []),
  ];
  return ways.length === 0
    ? `none of ${count(workgroups)} workgroups`
    : `of ${count(workgroups)} workgroups ${ways.join(', ')}: weights were out of the range foreseen, or results not finite`;
}

export function reportText(report: Report): string {
  const { work, device, measured, counts, ceilings, rates, checked } = report;
  const { timing, stats, buffers } = measured;
  const { comparison } = checked;
  const made = [
    ...(work.task.hasTensors ? [] : [`q, k, v (${report.types.input}, seed ${work.task.seed})`]),
    ...work.madeUp,
  ];
  const clock = timing.clock === 'timestamps' ? 'timestamps' : `wall time, as ${timing.why}`;
  const about = counts.exact ? '' : ' (estimated)';
  const ceiling =
    rates.arithmetic === 'matrix'
      ? `on subgroup matrices ${ceilings.matrixShape}`
      : 'of f32 multiply-adds in registers';
  const lines: [string, string][] = [
    ['shape', shapeSummary(work.bound.binding)],
    ...(made.length > 0 ? [['made up', made.join('; ')] as [string, string]] : []),
    ['device', `${device.name}, ${device.kind}, robustness ${report.robustness ? 'on' : 'off'}`],
    [
      'kernels',
      `${stats.kernels.join(', ')} (${stats.family}, ${stats.tiling}${tunedText(stats)}, schedule ${stats.schedule}), ${stats.input} in, ` +
        `${stats.output} out` +
        (stats.splits > 1 ? `, keys in ${stats.splits} parts` : ''),
    ],
    [
      'checked',
      `${checked.rows === checked.totalRows ? `all ${count(checked.rows)}` : `${count(checked.rows)} of ${count(checked.totalRows)}`} rows ` +
        `against the float64 oracle: relative error ${comparison.whole.error.toExponential(2)}, worst row ` +
        `${comparison.worstRow.error.toExponential(2)} ≤ ${comparison.worstRow.tolerance.toExponential(2)}`,
    ],
    [
      'time',
      `${precise(timing.time.median)} median of ${count(timing.runs)} runs by ${clock}; 80 % of them between ` +
        `${precise(timing.time.p10)} and ${precise(timing.time.p90)}`,
    ],
    ...(measured.redone ? [['done again', redoneText(measured.redone)] as [string, string]] : []),
    [
      'warm-up',
      `${count(timing.warmUp.runs)} runs, ${milliseconds(timing.warmUp.milliseconds)}${clockOf(timing)}; ${buffers.sets} sets of buffers in ` +
        `turn, ${scaled(buffers.bytesASet, 'B')} each`,
    ],
    [
      'pairs',
      `${count(counts.needed)} needed, ${counts.waste.toPrecision(3)} × as many issued${about}; ` +
        `${scaled(counts.flops, 'FLOP')}, ${scaled(counts.bytes, 'B')} at least`,
    ],
    [
      'arithmetic',
      `${scaled(rates.flops, 'FLOP/s')} on needed pairs, ${percent(rates.ofArithmetic)} of ` +
        `${scaled(rates.ceiling, 'FLOP/s')} ${ceiling}`,
    ],
    [
      'bandwidth',
      `${scaled(rates.bytes, 'B/s')} of the least bytes, ${percent(rates.ofCopy)} of ` +
        `${scaled(ceilings.copy, 'B/s')} of a copy`,
    ],
    [
      'bound',
      `by ${rates.bound}: at its ceiling it would take ${precise(timing.time.median * rates.ofBound)}`,
    ],
    [
      'before it',
      `${milliseconds(stats.planMilliseconds)} planning, ${milliseconds(measured.compileMilliseconds)} compiling kernels, ` +
        `${scaled(stats.temporaryBytes, 'B')} temporary`,
    ],
  ];
  return `${patternSummary(work)}\n${listed(lines)}`;
}

export function reportJson(report: Report): unknown {
  const { work, measured, counts, ceilings, rates, checked } = report;
  const { shape, queries, keys, valueDim } = work.bound.binding;
  const { timing, stats } = measured;
  const { comparison } = checked;
  const { batch, heads, keyHeads, dim, grid } = shape;
  return {
    pattern: work.program.name,
    parameters: Object.fromEntries(shape.parameters),
    shape: { batch, heads, keyHeads, queries, keys, dim, valueDim, grid },
    dtype: report.types,
    device: { ...report.device, robustness: report.robustness },
    family: stats.family,
    schedule: stats.schedule,
    tiling: stats.tiling,
    tuned: stats.tuned,
    kernels: stats.kernels,
    splits: stats.splits,
    checked: {
      rows: checked.rows,
      totalRows: checked.totalRows,
      relativeError: comparison.whole.error,
      worstRow: comparison.worstRow.error,
      lse: comparison.lse?.error ?? null,
      tolerance: comparison.whole.tolerance,
    },
    milliseconds: { ...timing.time, runs: timing.runs, clock: timing.clock, why: timing.why ?? null },
    warmUp: { ...timing.warmUp, clock: timing.warmUp.clock ?? null },
    buffers: measured.buffers,
    pairs: { needed: counts.needed, issued: counts.issued, waste: counts.waste, exact: counts.exact },
    flops: counts.flops,
    bytes: counts.bytes,
    perSecond: { flops: rates.flops, bytes: rates.bytes },
    ceilings: {
      copy: ceilings.copy,
      f32: ceilings.f32,
      matrix: ceilings.matrix ?? null,
      matrixShape: ceilings.matrixShape,
    },
    ofCeiling: {
      arithmetic: rates.ofArithmetic,
      kind: rates.arithmetic,
      copy: rates.ofCopy,
      bound: rates.bound,
      ofBound: rates.ofBound,
    },
    doneAgain: measured.redone ?? null,
    planMilliseconds: stats.planMilliseconds,
    compileMilliseconds: measured.compileMilliseconds,
    temporaryBytes: stats.temporaryBytes,
    madeUp: [
      ...(work.task.hasTensors ? [] : [`q, k, v (${report.types.input}, seed ${work.task.seed})`]),
      ...work.madeUp,
    ],
  };
}
