import type { Io } from './io.js';

/** Milliseconds of work before anything is shown. */
const PATIENCE = 1000;
/** Milliseconds between two changes of the line. */
const PACE = 100;

/**
 * What long work is at: on a terminal a line that changes, elsewhere one plain line. Nothing for the
 * first second.
 */
export interface Progress {
  /** Begins a stage, or says more about it. Cheap enough to be called often. */
  step(stage: string, detail?: string): void;
  /** Takes the line away; the next `step` brings it back. */
  clear(): void;
  /** The work is over. */
  done(): void;
}

export function createProgress(io: Io, wanted: () => boolean): Progress {
  let started: number | undefined;
  let shownAt = 0;
  let line = '';
  let stage = '';
  let told = false;
  let visible = false;
  let timer: NodeJS.Timeout | undefined;

  const show = (): void => {
    if (started === undefined || !wanted()) return;
    const now = performance.now();
    if (now - started < PATIENCE) return;
    if (!io.stderr.isTTY) {
      if (!told) io.stderr.write(`attnc: ${stage}, this takes a while …\n`);
      told = true;
      return;
    }
    if (now - shownAt < PACE) return;
    shownAt = now;
    const seconds = Math.floor((now - started) / 1000);
    const room = (io.stderr.columns ?? 80) - 1;
    io.stderr.write(`\r\u001b[K${`${line} (${seconds} s)`.slice(0, room)}`);
    visible = true;
  };
  const clear = (): void => {
    if (visible) io.stderr.write('\r\u001b[K');
    visible = false;
    shownAt = 0;
  };
  return {
    step: (name, detail = '') => {
      started ??= performance.now();
      stage = name;
      line = detail === '' ? name : `${name}: ${detail}`;
      // While a device works nothing calls here; the timer keeps no process alive.
      timer ??= setInterval(show, PATIENCE).unref();
      show();
    },
    clear,
    done: () => {
      clear();
      clearInterval(timer);
      timer = undefined;
      started = undefined;
    },
  };
}
