// A failure of one rank ends all of them, with one message.
//
// The rank that fails tells rank 0 (alarms.ts) and waits to be ended. Rank 0 listens all the time; it collects what comes
// within a moment, as ranks often fail alike (a file that is missing everywhere), prints one message, and aborts. If it
// does not answer (a long computation that never returns to the event loop), the rank that failed does both itself.

import { setTimeout as sleep } from 'node:timers/promises';
import { AttncError, errorTable, internalError, isAttncError, type ErrorKind } from '../../errors.js';
import { launchedRank, startMpi, type Communicator, type StartOptions } from './communicator.js';
import { ranksText } from './problems.js';

/** How errors are printed, and the exit statuses that go with them. */
export interface Reporter {
  /** To standard error, and at once: the process may end right after it. */
  print(error: AttncError): void;
  /** Not 0. */
  statusOf(error: AttncError): number;
}

/** Milliseconds in which rank 0 collects failures. */
const MOMENT = 200;
/** Milliseconds that a rank that failed gives rank 0, and one that never started gives rank 0 to end. */
const PATIENCE = 3000;

/** An error on its way to rank 0. */
interface Report {
  readonly kind: ErrorKind;
  readonly problem: string;
  readonly help?: string | undefined;
}

/**
 * Starts MPI, does the work on every rank, and ends MPI. Gives the work's exit status, or, after a failure to start or
 * one that all ranks know of (`ranks-differ`), that of the error; any other failure ends all ranks' processes.
 */
export async function runRanks(
  work: (comm: Communicator) => Promise<number>,
  reporter: Reporter,
  options?: StartOptions,
): Promise<number> {
  let comm: Communicator;
  try {
    comm = await startMpi(options);
  } catch (error) {
    return failAlone(asAttncError(error), reporter);
  }
  return guardRanks(comm, () => work(comm), reporter);
}

/** The same, with MPI started. Until it is over, errors that nobody caught on this process count as failures. */
export function guardRanks(
  comm: Communicator,
  work: () => Promise<number>,
  reporter: Reporter,
): Promise<number> {
  return new Promise((resolve) => {
    let failed = false;
    const fail = (error: unknown): void => {
      if (failed) return;
      failed = true;
      raise(asAttncError(error));
    };
    const raise = comm.rank === 0 ? collector(comm, reporter) : messenger(comm, reporter);
    const over = (status: number): void => {
      process.off('uncaughtException', fail);
      process.off('unhandledRejection', fail);
      resolve(status);
    };
    process.on('uncaughtException', fail);
    process.on('unhandledRejection', fail);

    const run = async (): Promise<number> => {
      const status = await work().catch((error: unknown) => {
        if (!isAttncError(error, 'ranks-differ')) throw error;
        if (comm.rank === 0) reporter.print(error);
        return reporter.statusOf(error);
      });
      await comm.finish();
      return status;
    };
    run().then(over, fail);
  });
}

/** On rank 0: failures of this rank go in, those of others are listened for; the first starts the clock. */
function collector(comm: Communicator, reporter: Reporter): (error: AttncError) => void {
  const reports = new Map<number, Report>();
  const add = (rank: number, report: Report): void => {
    if (reports.size === 0) {
      setTimeout(() => {
        const error = combine(reports);
        reporter.print(error);
        comm.abort(reporter.statusOf(error));
      }, MOMENT);
    }
    reports.set(rank, report);
  };
  comm.alarms.listen((rank, bytes) => add(rank, readReport(bytes)));
  return (error) => add(0, error);
}

function messenger(comm: Communicator, reporter: Reporter): (error: AttncError) => void {
  return (error) => {
    setTimeout(() => {
      reporter.print(combine(new Map([[comm.rank, error]])));
      comm.abort(reporter.statusOf(error));
    }, PATIENCE);
    comm.alarms.raise(writeReport(error));
  };
}

/** One error for all: the lowest rank's, with the ranks that said the same, and how many said something else. */
export function combine(reports: ReadonlyMap<number, Report>): AttncError {
  const ranks = [...reports.keys()].sort((a, b) => a - b);
  const first = reports.get(ranks[0]!)!;
  const alike = ranks.filter((rank) => reports.get(rank)!.problem === first.problem);
  const others = ranks.length - alike.length;
  const more = others === 0 ? '' : ` (and ${others} other ${others === 1 ? 'rank' : 'ranks'} failed)`;
  return new AttncError(first.kind, `${ranksText(alike)}: ${first.problem}${more}`, {
    help: first.help,
    details: { ranks },
  });
}

/** Before MPI runs there is nobody to tell. Rank 0 speaks first: mpirun then ends the others, who mostly failed alike. */
async function failAlone(error: AttncError, reporter: Reporter): Promise<number> {
  const rank = launchedRank();
  if (rank > 0) await sleep(PATIENCE);
  reporter.print(rank > 0 ? combine(new Map([[rank, error]])) : error);
  return reporter.statusOf(error);
}

/** As JSON that an alarm has room for. */
function writeReport({ kind, problem, help }: AttncError): Uint8Array {
  const report: Report = { kind, problem: problem.slice(0, 600), help: help?.slice(0, 300) };
  return new TextEncoder().encode(JSON.stringify(report));
}

function readReport(bytes: Uint8Array): Report {
  const { kind, problem, help } = JSON.parse(new TextDecoder().decode(bytes)) as Report;
  return { kind: Object.hasOwn(errorTable, kind) ? kind : 'internal', problem, help };
}

/** What is no error of ours is our bug; its stack belongs to whoever asks for it. */
function asAttncError(error: unknown): AttncError {
  if (isAttncError(error)) return error;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return internalError(text.split('\n')[0]!, error);
}
