/** Numbers and tables in print. */

export const count = (n: number): string => Math.round(n).toLocaleString('en');

/** Three digits: `1.23 GFLOP`, `456 MB`. */
export function scaled(n: number, unit: string): string {
  const steps = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];
  let step = 0;
  let value = n;
  while (value >= 999.5 && step < steps.length - 1) {
    value /= 1000;
    step++;
  }
  return `${step === 0 ? String(value) : value.toPrecision(3)} ${steps[step]}${unit}`;
}

export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–';
  const value = 100 * share;
  return `${value === 0 || value >= 99.95 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(2)} %`;
}

export function milliseconds(t: number): string {
  return t >= 1000 ? `${(t / 1000).toFixed(2)} s` : `${t.toFixed(t < 10 ? 2 : 1)} ms`;
}

/** Lines of a name and a text, the texts below each other. */
export function listed(lines: readonly (readonly [name: string, text: string])[]): string {
  const width = Math.max(0, ...lines.map(([name]) => name.length));
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`.trimEnd() + '\n').join('');
}
