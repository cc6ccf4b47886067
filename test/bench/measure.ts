/** Timing and tables of the bench. */

export interface Time {
  /** Milliseconds. */
  readonly wall: number;
  /** User and system time of the process, all threads (JIT and garbage collection included), in milliseconds. */
  readonly cpu: number;
}

export function timed<Value>(work: () => Value): Time & { readonly value: Value } {
  const before = process.cpuUsage();
  const start = performance.now();
  const value = work();
  const wall = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return { wall, cpu: (user + system) / 1000, value };
}

export const median = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
};

/** Medians of both times over several runs. */
export function medianTime(times: readonly Time[]): Time {
  return { wall: median(times.map((t) => t.wall)), cpu: median(times.map((t) => t.cpu)) };
}

export const milliseconds = (n: number): string => (n < 10 ? n.toFixed(1) : n.toFixed(0));

/** `missed` where a number is past its target. */
export const verdict = (value: number, most: number): string => (value <= most ? 'yes' : 'missed');

/**
 * The smaller of both times, which is still an upper bound on a quiet machine's wall time: other work lengthens the
 * wall time, the engine's helper threads the CPU time.
 */
export const leastOf = (time: Time): number => Math.min(time.wall, time.cpu);

export function table(title: string, rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, n) => Math.max(...rows.map((r) => r[n].length)));
  // Names to the left, numbers to the right.
  const line = (r: readonly string[]): string =>
    `| ${r.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]) : cell.padStart(widths[n]))).join(' | ')} |`;
  const rule = `| ${widths.map((w, n) => (n === 0 ? '-'.repeat(w) : `${'-'.repeat(w - 1)}:`)).join(' | ')} |`;
  return [title, '', line(rows[0]), rule, ...rows.slice(1).map(line), ''].join('\n');
}
