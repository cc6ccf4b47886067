import type { RowSink } from '../../runtime/stream/rows.js';

/** Ctrl-C: the run ends with the band that is written, so that what is finished is noted. */

/** Thrown where a run was stopped by a signal. */
export class Stopped extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

/** What shells say of a process that a signal ended. */
export const STATUS_OF_SIGNAL: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGINT: 130,
  SIGTERM: 143,
};

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];

export interface Stoppable {
  readonly sink: RowSink;
  /** Signals mean again what they did before. */
  release(): void;
}

/** The first signal makes the sink refuse what comes next; a second one ends the process as ever. */
export function stoppable(sink: RowSink, told: () => void): Stoppable {
  let stopped: NodeJS.Signals | undefined;
  const listeners = SIGNALS.map((signal) => {
    const listener = (): void => {
      if (stopped === undefined) told();
      stopped ??= signal;
    };
    process.once(signal, listener);
    return { signal, listener };
  });
  const unlessStopped = <T>(work: () => Promise<T>): Promise<T> =>
    stopped === undefined ? work() : Promise.reject(new Stopped(stopped));
  const { absorb } = sink;
  return {
    sink: {
      ...sink,
      write: (...band) => unlessStopped(() => sink.write(...band)),
      ...(absorb ? { absorb: (...band) => unlessStopped(() => absorb(...band)) } : {}),
    },
    release: () => {
      for (const { signal, listener } of listeners) process.removeListener(signal, listener);
    },
  };
}
