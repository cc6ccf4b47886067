import type { StorageType } from '../../compiler/ir/program.js';
import { AttncError, usageError } from '../../runtime/errors.js';
import type { OpenedDevice } from '../../runtime/node/index.js';
import { choose } from '../../runtime/prepare.js';
import { pickForBands, runStream, type StreamStats } from '../../runtime/stream/pipeline.js';
import { planStream, type PlannedStream, type StreamSources } from '../../runtime/stream/plan.js';
import type { SinkSummary } from '../../runtime/stream/rows.js';
import { bytesPerElement } from '../../runtime/tensor.js';
import type { TunedChoices } from '../../runtime/tuned.js';
import type { Session } from '../session.js';
import { bytesOfShapes, type Work } from '../work.js';
import { budgetOf, type Budget } from './budget.js';
import { identityOf } from './identity.js';
import type { StreamedOptions } from './options.js';
import { compareSample, rowsToKeep, type SampleResult } from './sample.js';
import { openSink, type OpenedSink } from './sink.js';
import { Stopped, stoppable } from './stop.js';

/** A streamed run: plan, sink, pipeline, and what is told of it. */

export interface StreamOutcome {
  readonly stats: StreamStats;
  readonly budget: Budget;
  readonly summary: SinkSummary;
  /** Rows (of heads) that this run computed, and those that an earlier one had. */
  readonly rows: number;
  readonly rowsBefore: number;
  readonly seconds: number;
  readonly sample: SampleResult | undefined;
  readonly resumedAt: number;
  readonly deliveries: number;
}

export interface StreamHooks {
  readonly tuned?: TunedChoices | undefined;
  /** Called when a band has gone out. */
  readonly onBand?: (rows: number) => void;
}

export async function streamWork(
  session: Session,
  work: Work,
  opened: Pick<OpenedDevice, 'device' | 'adapter' | 'name' | 'kind'>,
  sources: StreamSources,
  options: StreamedOptions,
  hooks: StreamHooks = {},
): Promise<StreamOutcome> {
  const { program, bindings } = work;
  if (!program.windows) {
    throw usageError('the program was compiled for runs in one piece', 'compile it with --windows');
  }
  const { device } = opened;
  const budget = budgetOf(options, opened.kind);
  const output: StorageType = options.outDtype ?? 'f32';
  const stream = { ...budget, out: output, tuned: hooks.tuned, allowDense: options.allowDense };
  session.progress.step('planning bands', program.name);
  const planned = planStream(program, sources, bindings, device.limits, stream);
  const prepared = choose(device, program);
  const picked = pickForBands(prepared, planned, sources.q.dtype, stream);
  const { deliveries } = planned;
  const keep = rowsToKeep(work, options.sample);
  const { sink, first, journal } = await openSink(options, {
    identity: await identityOf(work, opened, picked, sources, output),
    deliveries,
    dtype: output,
    shape: [...sources.q.shape.slice(0, 3), sources.v.shape[3]],
    keep,
    pattern: program.name,
  });
  const stopper = stoppable(sink, () => session.note('attnc: stopping …'));
  const start = performance.now();
  try {
    const rowsBefore = rowsOf(deliveries.slice(0, first));
    const total = rowsBefore + rowsOf(deliveries.slice(first));
    const meter = meterOf(session, planned, sources, output, total);
    meter(rowsBefore);
    const stats = await runStream(device, prepared, planned, sources, stopper.sink, {
      ...stream,
      done: first,
      onBand: ({ rows }) => {
        meter(rows);
        hooks.onBand?.(rows);
      },
    });
    // What is read may have changed after its last row was.
    for (const source of [sources.q, sources.k, sources.v]) await source.check();
    const summary = await sink.finish();
    const seconds = (performance.now() - start) / 1000;
    // From here on nothing is lost.
    stopper.release();
    const sample =
      options.sample === undefined
        ? undefined
        : await compareSample(session, work, sources, summary.kept, { input: sources.q.dtype, output });
    const rows = total - rowsBefore;
    const counts = { rows, rowsBefore, seconds, resumedAt: first, deliveries: deliveries.length };
    return { stats, budget, summary, sample, ...counts };
  } catch (error) {
    // Whatever is written by now is noted.
    await sink.close().catch(() => undefined);
    throw kept(error, journal, options);
  } finally {
    stopper.release();
    await sink.close().catch(() => undefined);
  }
}

const rowsOf = (bands: readonly { readonly lo: number; readonly hi: number }[]): number =>
  bands.reduce((n, b) => n + b.hi - b.lo, 0);

function meterOf(
  session: Session,
  { bound }: PlannedStream,
  { q, k, v }: StreamSources,
  output: StorageType,
  total: number,
): (rows: number) => void {
  const sizes = bytesOfShapes(
    { q: q.shape, k: k.shape, v: v.shape },
    bytesPerElement[q.dtype],
    bytesPerElement[output],
  );
  const bytes = Object.values(sizes).reduce((a, b) => a + b, 0);
  const what = `streaming ${bound.program.name}`;
  return (done) => session.progress.meter({ what, done, total, unit: 'rows', bytes });
}

/** A failure, with how the run goes on. */
function kept(error: unknown, journal: OpenedSink['journal'], options: StreamedOptions): unknown {
  const stopped = [error, error instanceof Error && error.cause].find((e) => e instanceof Stopped);
  if (stopped) {
    return new StoppedRun(
      stopped.signal,
      journal === undefined
        ? 'stopped; nothing of it is kept (-o FILE or --journal FILE would)'
        : `stopped; what is finished is kept: go on with --resume${options.resume ? '' : ' added'}`,
    );
  }
  // A changed file is another run's; a full disk says what to do already.
  if (journal === undefined || !(error instanceof AttncError)) return error;
  if (error.kind === 'file-changed' || error.kind === 'file-access') return error;
  const help = 'what is finished is kept: go on with --resume';
  return new AttncError(error.kind, error.problem, { help, details: error.details, cause: error });
}

export class StoppedRun extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals, message: string) {
    super(message);
    this.signal = signal;
  }
}
