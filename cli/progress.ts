import type { Io } from './io.js';
import { barText, meterText, Rate, type MeterState } from './meter.js';

/** Milliseconds of work before anything is shown. */
const PATIENCE = 1000;
/** Milliseconds between two changes of the line. */
const PACE = 100;
/** Milliseconds between two plain lines of a meter, where there is no terminal. */
const PLAIN_PACE = 15_000;

/**
 * What long work is at: on a terminal a line that changes, elsewhere one plain line, or one every so often where it is
 * known how far the work is. Nothing for the first second.
 */
export interface Progress {
  /** Begins a stage, or says more about it. Cheap enough to be called often. */
  step(stage: string, detail?: string): void;
  /** A stage of which it is known how far it is. */
  meter(state: MeterState): void;
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
  let metered: { state: MeterState; readonly rate: Rate; plainAt: number } | undefined;

  const show = (): void => {
    if (started === undefined || !wanted()) return;
    const now = performance.now();
    if (now - started < PATIENCE) return;
    if (!io.stderr.isTTY) {
      plain(now);
      return;
    }
    if (now - shownAt < PACE) return;
    shownAt = now;
    const seconds = Math.floor((now - started) / 1000);
    const room = (io.stderr.columns ?? 80) - 1;
    const text = metered
      ? `${metered.state.what} ${barText(metered.state)} ${meterText(metered.state, metered.rate.perSecond)}`
      : `${line} (${seconds} s)`;
    io.stderr.write(`\r\u001b[K${text.slice(0, room)}`);
    visible = true;
  };
  const plain = (now: number): void => {
    if (metered) {
      if (now < metered.plainAt) return;
      metered.plainAt = now + PLAIN_PACE;
      const { state, rate } = metered;
      io.stderr.write(`attnc: ${state.what}, ${meterText(state, rate.perSecond)} …\n`);
    } else if (!told) {
      io.stderr.write(`attnc: ${stage}, this takes a while …\n`);
      told = true;
    }
  };
  const clear = (): void => {
    if (visible) io.stderr.write('\r\u001b[K');
    visible = false;
    shownAt = 0;
  };
  const begin = (): void => {
    started ??= performance.now();
    // While a device works nothing calls here; the timer keeps no process alive.
    timer ??= setInterval(show, PATIENCE).unref();
  };
  return {
    step: (name, detail = '') => {
      begin();
      metered = undefined;
      stage = name;
      line = detail === '' ? name : `${name}: ${detail}`;
      show();
    },
    meter: (state) => {
      begin();
      const now = performance.now();
      if (metered?.state.what === state.what) metered.state = state;
      else metered = { state, rate: new Rate(), plainAt: 0 };
      metered.rate.add(now, state.done);
      show();
    },
    clear,
    done: () => {
      clear();
      clearInterval(timer);
      timer = undefined;
      started = undefined;
      metered = undefined;
    },
  };
}
