import { InvalidArgumentError } from 'commander';

/** Values of options that `bench` and `tune` share. */

export function runs(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 100_000) {
    throw new InvalidArgumentError('It must be a whole number from 1 to 100000.');
  }
  return n;
}

export function warmUp(text: string): number {
  const n = Number(text);
  if (!(n >= 0 && n <= 60_000)) throw new InvalidArgumentError('It must be a number from 0 to 60000.');
  return n;
}
