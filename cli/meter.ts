import { count, percent, scaled } from './text.js';

/** How far long work is, at what rate, and when it will be done. */

export interface MeterState {
  readonly what: string;
  /** Things done, of how many. */
  readonly done: number;
  readonly total: number;
  /** What the things are: `rows`. */
  readonly unit: string;
  /** Bytes that all of them are. */
  readonly bytes: number;
}

/** Milliseconds over which the rate is taken. */
const WINDOW = 20_000;

/** The rate of late: what was done before the first sample (by an earlier run) doesn't count. */
export class Rate {
  #samples: { readonly at: number; readonly done: number }[] = [];

  add(at: number, done: number): void {
    this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - this.#samples[1].at > WINDOW) this.#samples.shift();
  }

  /** Things a second; undefined as long as nothing is known. */
  get perSecond(): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.done <= first.done || last.at <= first.at) return undefined;
    return ((last.done - first.done) / (last.at - first.at)) * 1000;
  }
}

/** `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h` */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const two = (a: number, unit: string, b: number, part: string): string =>
    b === 0 ? `${a} ${unit}` : `${a} ${unit} ${b} ${part}`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return two(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return two(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

/** `1,200 of 9,000 rows (13.3 %), 5.00 Mrow/s, 1.2 GB/s, 3 min left` */
export function meterText({ done, total, unit, bytes }: MeterState, rate: number | undefined): string {
  const share = total === 0 ? 1 : done / total;
  const parts = [`${count(done)} of ${count(total)} ${unit} (${percent(share)})`];
  if (rate !== undefined) {
    parts.push(`${scaled(Number(rate.toPrecision(3)), unit)}/s`);
    if (bytes > 0) parts.push(`${scaled(Number(((rate / total) * bytes).toPrecision(3)), 'B')}/s`);
    parts.push(`${duration((total - done) / rate)} left`);
  }
  return parts.join(', ');
}

const BAR = 20;

/** `[#####---------------]` */
export function barText({ done, total }: MeterState): string {
  const filled = total === 0 ? BAR : Math.min(BAR, Math.floor((BAR * done) / total));
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR - filled)}]`;
}
