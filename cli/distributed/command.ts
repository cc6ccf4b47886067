import { hostname } from 'node:os';
import {
  gatherValues,
  pickForRanks,
  planDistributed,
  runDistributed,
  trafficPairs,
} from '../../runtime/distributed/index.js';
import { usageError } from '../../runtime/errors.js';
import { agree, deviceForRank, runRanks, type Communicator } from '../../runtime/node/mpi/index.js';
import { choose } from '../../runtime/prepare.js';
import { openFor } from '../device.js';
import { checkDense } from '../fallback.js';
import { readPlaces } from '../inputs.js';
import { load, Reported } from '../load.js';
import { scheduleFor } from '../schedule.js';
import { createSession, STATUS, statusOf, type Session } from '../session.js';
import { compareSample, rowsToKeep } from '../stream/sample.js';
import { closeSources, openSources, streamTask } from '../stream/task.js';
import { tunedFor } from '../tuned.js';
import { prepareWork, type Work } from '../work.js';
import { factsOfCommand, factsOfRun } from './facts.js';
import { checkDistributedOptions, type DistributedRunOptions } from './options.js';
import { reportDistributed, type RankReport } from './report.js';
import { finishShared, openSharedSink } from './sink.js';

/** `mpirun … attnc run --distributed`: this process is one of several ranks. Loaded only there. */

/** @param check of what `attnc run` is given in any case: by the ranks together, so that they have one message */
export async function distributedRun(
  session: Session,
  file: string,
  options: DistributedRunOptions,
  check: () => Promise<void>,
): Promise<number> {
  if (!options.distributed) checkDistributedOptions(file, options);
  const print = (error: Parameters<typeof statusOf>[0]): void => {
    // Printed at once: the process may end right after it.
    const own = createSession(session.io, options.diagnostics);
    own.error(error);
    own.finish();
    session.setFormat('pretty');
  };
  return runRanks(
    async (comm) => {
      checkDistributedOptions(file, options);
      await check();
      if (comm.rank === 0) return runRank(session, comm, file, options);
      // One rank speaks; what is wrong elsewhere is told as an error.
      session.setFormat('pretty');
      const silent = { write: () => undefined, isTTY: false, columns: undefined };
      const quiet = createSession({ ...session.io, stdout: silent, stderr: silent }, 'pretty');
      return runRank(quiet, comm, file, options).finally(() => quiet.progress.done());
    },
    { print, statusOf },
  );
}

async function runRank(
  session: Session,
  comm: Communicator,
  file: string,
  options: DistributedRunOptions,
): Promise<number> {
  const loaded = await load(session, file);
  await agree(comm, factsOfCommand(loaded, options));
  const places = await readPlaces(options.input ?? []);
  const task = await streamTask(loaded, options, places);
  let work: Work | undefined;
  try {
    work = await prepareWork(session, loaded, options, task, options.random === true, true);
  } catch (error) {
    // Diagnostics have been printed, by rank 0; all ranks end in order.
    if (!(error instanceof Reported)) throw error;
  }
  await agree(comm, { 'what compiling ends with': work ? 'a program' : 'diagnostics' });
  if (!work) return STATUS.failed;
  const { program, bound } = work;
  if (!program.windows) {
    throw usageError('the program was compiled for runs in one piece', 'compile it with --windows');
  }
  const { shape } = bound.binding;
  if (!options.allowDense)
    checkDense(scheduleFor(program, shape, bound.inputs.host), shape, bound.inputs.host);
  const sources = await openSources(task, places, options);
  try {
    const chosen = await deviceForRank(comm, options.device);
    const opened = await openFor(session, chosen.device);
    try {
      return await onDevice(session, comm, options, work, sources, opened, chosen.why);
    } finally {
      opened.close();
    }
  } finally {
    await closeSources(sources);
  }
}

async function onDevice(
  session: Session,
  comm: Communicator,
  options: DistributedRunOptions,
  work: Work,
  sources: Awaited<ReturnType<typeof openSources>>,
  opened: Awaited<ReturnType<typeof openFor>>,
  why: string,
): Promise<number> {
  const { program, bindings } = work;
  const { device } = opened;
  const begun = performance.now();
  session.progress.step('planning the exchange', program.name);
  // Ranks on unlike devices bind what all of them can.
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  const offered = await gatherValues(comm, { maxStorageBufferBindingSize, maxBufferSize });
  const limits = {
    maxStorageBufferBindingSize: Math.min(...offered.map((l) => l.maxStorageBufferBindingSize)),
    maxBufferSize: Math.min(...offered.map((l) => l.maxBufferSize)),
  };
  const distributed = {
    out: options.outDtype,
    tuned: await tunedFor(session, options),
    allowDense: options.allowDense,
    deviceBytes: options.memory,
    hostBytes: options.hostMemory,
    bindingBytes: options.binding,
    repeats: options.repeats,
  };
  const plan = planDistributed(program, comm.size, sources, bindings, limits, distributed);
  const prepared = choose(device, program);
  const picked = pickForRanks(prepared, plan, distributed);
  await agree(comm, await factsOfRun(work, plan, picked, sources));
  const planMilliseconds = performance.now() - begun;

  const results = {
    output: options.output,
    dtype: plan.output,
    shape: [...sources.q.shape.slice(0, 3), sources.v.shape[3]],
    keep: rowsToKeep(work, options.sample),
    pattern: program.name,
  };
  const shared = await openSharedSink(comm, results);
  session.progress.step('running', `${comm.size} ranks`);
  const { stats, bands } = await runDistributed(
    comm,
    prepared,
    plan,
    picked,
    sources,
    shared.sink,
    distributed,
  );
  for (const source of [sources.q, sources.k, sources.v]) await source.check();
  const summary = await finishShared(comm, shared, bands, results);
  const { name, kind } = opened;
  const { queryCuts, keyCuts } = plan.traffic;
  const own: RankReport = {
    ...stats,
    host: hostname(),
    device: { name, kind, why },
    queries: [queryCuts[comm.rank], queryCuts[comm.rank + 1]],
    keys: [keyCuts[comm.rank], keyCuts[comm.rank + 1]],
    planMilliseconds,
  };
  const ranks = await gatherValues(comm, own);
  if (!summary) return STATUS.done;
  const sample =
    options.sample === undefined
      ? undefined
      : await compareSample(session, work, sources, summary.kept, { input: plan.input, output: plan.output });
  const { exact } = plan.traffic;
  const rowBytes = plan.shipping.rowBytes.k + plan.shipping.rowBytes.v;
  const pairs = trafficPairs(plan.traffic).filter((p) => p.from !== p.to);
  session.progress.clear();
  reportDistributed(session, work, { ranks, pairs, rowBytes, exact, summary, sample, results }, options);
  return sample?.pass === false ? STATUS.failed : STATUS.done;
}
