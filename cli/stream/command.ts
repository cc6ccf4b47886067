import { isAttncError } from '../../runtime/errors.js';
import { openFor } from '../device.js';
import { checkDense } from '../fallback.js';
import { readPlaces } from '../inputs.js';
import type { Loaded } from '../load.js';
import { scheduleFor } from '../schedule.js';
import { STATUS, type Session } from '../session.js';
import { tunedFor } from '../tuned.js';
import { prepareWork } from '../work.js';
import { checkStreamOptions, type StreamedOptions } from './options.js';
import { reportStream } from './report.js';
import { StoppedRun, streamWork } from './run.js';
import { STATUS_OF_SIGNAL } from './stop.js';
import { closeSources, openSources, placesToStream, streamTask, type Places } from './task.js';

/** `attnc run` of what is larger than a binding or the memory. */

/** Runs it, if it is to be streamed; returns the exit status, or undefined where it is a run in one piece. */
export async function streamedRun(
  session: Session,
  loaded: Loaded,
  options: StreamedOptions,
): Promise<number | undefined> {
  checkStreamOptions(options);
  const places = await placesToStream(session, loaded, options);
  return places && streamPlaces(session, loaded, options, places);
}

/** After a run in one piece that failed: streams it, if it was for lack of memory, which nobody knows before. */
export async function streamedAfter(
  session: Session,
  loaded: Loaded,
  options: StreamedOptions,
  error: unknown,
): Promise<number> {
  const fits = isAttncError(error, 'out-of-memory') && (loaded.kind === 'patterns' || loaded.program.windows);
  if (!fits) throw error;
  session.note(`attnc: ${error.problem}: it is streamed instead`);
  return streamPlaces(session, loaded, options, await readPlaces(options.input ?? []));
}

async function streamPlaces(
  session: Session,
  loaded: Loaded,
  options: StreamedOptions,
  places: Places,
): Promise<number> {
  const task = await streamTask(loaded, options, places);
  const work = await prepareWork(session, loaded, options, task, options.random === true, true);
  const { shape } = work.bound.binding;
  const inputs = work.bound.inputs.host;
  if (!options.allowDense) checkDense(scheduleFor(work.program, shape, inputs), shape, inputs);
  const sources = await openSources(task, places, options);
  try {
    const tuned = await tunedFor(session, options);
    const opened = await openFor(session, options.device);
    try {
      const outcome = await streamWork(session, work, opened, sources, options, { tuned });
      session.progress.clear();
      reportStream(session, work, opened, sources, outcome, options);
      return outcome.sample?.pass === false ? STATUS.failed : STATUS.done;
    } catch (error) {
      if (!(error instanceof StoppedRun)) throw error;
      session.note(`attnc: ${error.message}`);
      return STATUS_OF_SIGNAL[error.signal] ?? STATUS.failed;
    } finally {
      opened.close();
    }
  } finally {
    await closeSources(sources);
  }
}
