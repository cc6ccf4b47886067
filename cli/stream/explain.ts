import type { StorageType } from '../../compiler/ir/program.js';
import type { OpenedDevice } from '../../runtime/node/index.js';
import { planBudget } from '../../runtime/stream/budget.js';
import { estimateStream, type StreamEstimate } from '../../runtime/stream/estimate.js';
import { planStream, type StreamSources } from '../../runtime/stream/plan.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import type { Session } from '../session.js';
import { count, milliseconds, scaled } from '../text.js';
import { duration } from '../meter.js';
import { bytesOfShapes, type Work } from '../work.js';
import { budgetOf, type Budget } from './budget.js';
import { expectTime, type Expectation } from './measure.js';
import type { BudgetOptions } from './options.js';

/** What a streamed run will take and move, and how long. */

export interface LongExplanation {
  /** Bands there will be; exact where `estimate` is there. */
  readonly bands: number;
  /** Undefined where there are too many bands to plan all of them here. */
  readonly estimate: StreamEstimate | undefined;
  readonly budget: Budget & { readonly bindingBytes: number };
  readonly types: { readonly input: StorageType; readonly output: StorageType };
  readonly expected: Expectation | undefined;
}

/** What GPUs bind at once at most, as WebGPU has it. */
export const GPU_BINDING = 2 ** 31 - 4;

/** Bands that are planned: more take more than seconds. */
const MOST_BANDS = 20_000;

/** Is a tensor past what is bound at once? */
export function isLong(
  shapes: Parameters<typeof bytesOfShapes>[0],
  { input, output }: LongExplanation['types'],
  binding: number,
): boolean {
  const sizes = bytesOfShapes(shapes, bytesPerElement[input], bytesPerElement[output]);
  return Object.values(sizes).some((bytes) => bytes > binding);
}

export async function explainLong(
  session: Session,
  work: Work,
  types: LongExplanation['types'],
  options: BudgetOptions,
  opened: OpenedDevice | undefined,
): Promise<LongExplanation> {
  const { program, bindings, task, bound } = work;
  const limits = opened?.device.limits;
  const offered = limits ? Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize) : GPU_BINDING;
  const given = budgetOf(options, opened?.kind);
  const budget = { ...given, bindingBytes: Math.min(offered, given.bindingBytes ?? Infinity) };
  const source = (name: 'q' | 'k' | 'v') => randomRows(name, types.input, task.shapes[name], task.seed);
  const sources: StreamSources = { q: source('q'), k: source('k'), v: source('v') };
  const { limits: cut } = planBudget(bound, { ...types, computed: types.output }, budget);
  const { shape, queries } = bound.binding;
  const bands = shape.batch * Math.ceil(shape.heads / cut.heads) * Math.ceil(queries / cut.queryRows);
  if (bands > MOST_BANDS) return { bands, estimate: undefined, budget, types, expected: undefined };
  session.progress.step('planning bands', program.name);
  const stream = { ...budget, out: types.output };
  const device = { maxStorageBufferBindingSize: offered, maxBufferSize: limits?.maxBufferSize ?? Infinity };
  // As for rows that come from files, which take more memory than those that the device makes up.
  const hosted = (name: 'q' | 'k' | 'v'): RowSource => ({ ...sources[name], fill: undefined });
  const files = { q: hosted('q'), k: hosted('k'), v: hosted('v') };
  const planned = planStream(program, files, bindings, device, stream);
  const estimate = estimateStream(planned, sources, types.output);
  const expected = opened && (await expectTime(session, work, opened, sources, planned, estimate, stream));
  return { bands: estimate.bands, estimate, budget, types, expected };
}

export function longLines({ bands, estimate: e, budget, expected }: LongExplanation): [string, string][] {
  const bound = `${scaled(budget.bindingBytes, 'B')} bound at once`;
  const within = `${scaled(budget.deviceBytes, 'B')} on the device, ${scaled(budget.hostBytes, 'B')} on the host`;
  if (!e) {
    return [
      ['streamed', `about ${count(bands)} bands, too many to plan here: give more memory; ${bound}`],
      ['memory', `within ${within}`],
    ];
  }
  const rows =
    e.rows.least === e.rows.most ? count(e.rows.most) : `${count(e.rows.least)} to ${count(e.rows.most)}`;
  return [
    ['streamed', `${count(e.bands)} bands of ${rows} rows; ${bound}`],
    [
      'windows',
      `${count(e.steps)} of keys, at most ${count(e.mostWindows)} a band, of at most ${count(e.keyRows)} keys`,
    ],
    [
      'memory',
      `${scaled(e.deviceBytes, 'B')} on the device, ${scaled(e.hostBytes, 'B')} on the host; fits ${within}`,
    ],
    [
      'moved',
      `${scaled(e.uploadedBytes, 'B')} up (nothing with --random), ${scaled(e.downloadedBytes, 'B')} down ` +
        `(nothing with --checksum), ${scaled(e.keptBytes, 'B')} kept on the device`,
    ],
    ...(expected ? expectedLines(expected) : []),
  ];
}

function expectedLines({
  measured: m,
  seconds,
  computing,
  uploading,
  downloading,
  tokensPerSecond,
}: Expectation): [string, string][] {
  const some =
    m.keys >= m.keysOfRows ? '' : ` and the first ${count(m.keys)} of their ${count(m.keysOfRows)} keys`;
  return [
    [
      'measured',
      `${count(m.rows)} rows at row ${count(m.row)}${some} in ${milliseconds(m.milliseconds)}, ` +
        `${scaled(m.uploadRate, 'B')}/s up, ${scaled(m.downloadRate, 'B')}/s down`,
    ],
    [
      'expected',
      `${duration(seconds)}, ${scaled(Number(tokensPerSecond.toPrecision(3)), 'tokens')}/s: computing ${duration(computing)}, ` +
        `up ${duration(uploading)}, down ${duration(downloading)}, side by side`,
    ],
  ];
}
