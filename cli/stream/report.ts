import type { OpenedDevice } from '../../runtime/node/index.js';
import type { StreamSources } from '../../runtime/stream/plan.js';
import type { Measure } from '../../runtime/reference/index.js';
import { duration } from '../meter.js';
import type { Session } from '../session.js';
import { count, listed, scaled } from '../text.js';
import { tunedText } from '../tuned.js';
import { patternSummary, shapeSummary, type Work } from '../work.js';
import type { StreamedOptions } from './options.js';
import type { StreamOutcome } from './run.js';
import type { SampleResult } from './sample.js';

/** What is said of a streamed run. */

type Device = Pick<OpenedDevice, 'name' | 'kind' | 'why'>;

export function reportStream(
  session: Session,
  work: Work,
  device: Device,
  sources: StreamSources,
  outcome: StreamOutcome,
  options: StreamedOptions,
): void {
  const made = [...(work.task.hasTensors ? [] : [`q, k, v (seed ${work.task.seed})`]), ...work.madeUp];
  const outShape = [...sources.q.shape.slice(0, 3), sources.v.shape[3]];
  session.io.stdout.write(
    options.json
      ? `${JSON.stringify(toJson(work, device, outcome, options, made, outShape), undefined, 2)}\n`
      : toText(work, device, outcome, options, made, outShape),
  );
}

function toText(
  work: Work,
  device: Device,
  { stats, rows, rowsBefore, seconds, summary, sample, resumedAt, deliveries }: StreamOutcome,
  options: StreamedOptions,
  made: readonly string[],
  outShape: readonly number[],
): string {
  const types = stats.input === 'f32' && stats.output === 'f32' ? '' : `, ${stats.input} to ${stats.output}`;
  const windows = stats.steps === 0 ? '' : `, ${count(stats.steps)} windows of keys`;
  const lines: [string, string][] = [
    ['pattern', patternSummary(work)],
    ['shape', shapeSummary(work.bound.binding)],
    ['device', `${device.name}, ${device.kind}`],
    [
      'kernels',
      `${stats.kernels.join(', ')} (${stats.family}${types}${tunedText(stats)}, schedule ${stats.schedule})`,
    ],
    ['streamed', `${count(stats.bands)} bands${windows}`],
    ...(resumedAt > 0
      ? [
          [
            'resumed',
            `at part ${count(resumedAt)} of ${count(deliveries)}, ${count(rowsBefore)} rows were done`,
          ] as [string, string],
        ]
      : []),
    ['time', `${duration(seconds)}, ${scaled(perSecond(rows, seconds), 'rows')}/s`],
    [
      'moved',
      `${scaled(stats.uploadedBytes, 'B')} up, ${scaled(stats.downloadedBytes, 'B')} down, ` +
        `${scaled(stats.keptBytes, 'B')} kept on the device`,
    ],
    [
      'memory',
      `${scaled(stats.deviceBytes, 'B')} on the device, ${scaled(stats.hostBytes, 'B')} on the host`,
    ],
    ...(made.length > 0 ? [['made up', made.join('; ')] as [string, string]] : []),
    ['out', `[${outShape.join(', ')}], lse [${outShape.slice(0, 3).join(', ')}]`],
    ['sum', summary.sum],
    ...(sample ? sampleLines(sample) : []),
    ...(options.output === undefined ? [] : [['written', options.output] as [string, string]]),
  ];
  return listed(lines);
}

function sampleLines(sample: SampleResult): [string, string][] {
  const { comparison: c, rows, skipped, pass } = sample;
  const left = skipped === 0 ? '' : `; ${count(skipped)} have too many keys for it`;
  const worst = (name: string, m: Measure): string => {
    const row = m.row === undefined ? undefined : rows[m.row];
    const where = row ? ` (batch ${row.batch}, head ${row.head}, row ${row.row})` : '';
    return `${name} ${m.error.toExponential(2)} ${m.error <= m.tolerance ? '≤' : '>'} ${m.tolerance.toExponential(2)}${where}`;
  };
  return [
    ['sample', `${pass ? 'PASS' : 'FAIL'}: ${count(rows.length)} rows against the float64 oracle${left}`],
    ['', [worst('worst row', c.worstRow), ...(c.lse ? [worst('lse', c.lse)] : [])].join(', ')],
    ...(c.misplaced > 0
      ? [
          ['', `${count(c.misplaced)} values are not finite where they should be, or the reverse`] as [
            string,
            string,
          ],
        ]
      : []),
  ];
}

const perSecond = (rows: number, seconds: number): number => Math.round(rows / Math.max(seconds, 1e-6));

function toJson(
  work: Work,
  device: Device,
  outcome: StreamOutcome,
  options: StreamedOptions,
  made: readonly string[],
  outShape: readonly number[],
): unknown {
  const { bound, program } = work;
  const { shape, queries, keys, valueDim } = bound.binding;
  const { stats, budget, rows, rowsBefore, seconds, summary, sample, resumedAt, deliveries } = outcome;
  return {
    pattern: program.name,
    device: { name: device.name, kind: device.kind, why: device.why },
    shape: {
      ...shape,
      parameters: Object.fromEntries(shape.parameters),
      ...{ rows: queries, columns: keys, valueDim },
    },
    out: outShape,
    lse: outShape.slice(0, 3),
    madeUp: made,
    streamed: true,
    budget,
    stats,
    rows,
    rowsBefore,
    resumedAt,
    parts: deliveries,
    seconds,
    rowsPerSecond: perSecond(rows, seconds),
    sum: summary.sum,
    sample: sample ? sampleJson(sample) : null,
    totalMilliseconds: seconds * 1000,
    output: options.output ?? null,
  };
}

function sampleJson({ pass, rows, skipped, comparison }: SampleResult): unknown {
  const { whole, worstRow, lse, misplaced } = comparison;
  const place = (m: Measure): unknown => ({ ...m, row: m.row === undefined ? null : rows[m.row] });
  return {
    pass,
    rows: rows.length,
    skipped,
    misplaced,
    out: place(whole),
    worstRow: place(worstRow),
    lse: lse ? place(lse) : null,
  };
}
