/** A streamed run, prepared as the command does it, so that a test may step in while it runs. */
import type { OpenedDevice } from '../../runtime/node/index.js';
import { load } from '../../cli/load.js';
import { createSession, type Session } from '../../cli/session.js';
import type { StreamedOptions } from '../../cli/stream/options.js';
import { streamWork, type StreamHooks, type StreamOutcome } from '../../cli/stream/run.js';
import { closeSources, openSources, placesToStream, streamTask } from '../../cli/stream/task.js';
import { prepareWork } from '../../cli/work.js';
import type { Io, Output } from '../../cli/io.js';

export async function streamFile(
  opened: OpenedDevice,
  file: string,
  options: StreamedOptions,
  hooks: StreamHooks = {},
): Promise<StreamOutcome> {
  const session = quietSession();
  const loaded = await load(session, file);
  const places = await placesToStream(session, loaded, { stream: true, ...options });
  if (!places) throw new Error('it is not streamed');
  const task = await streamTask(loaded, options, places);
  const work = await prepareWork(session, loaded, options, task, true, true);
  const sources = await openSources(task, places, options);
  try {
    return await streamWork(session, work, opened, sources, options, hooks);
  } finally {
    session.progress.done();
    await closeSources(sources);
  }
}

export function quietSession(): Session {
  const output: Output = { write: () => undefined, isTTY: false, columns: undefined };
  const io: Io = { stdout: output, stderr: output, stdin: async () => new Uint8Array(), env: {} };
  return createSession(io, 'plain');
}
