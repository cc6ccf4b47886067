import { InvalidArgumentError, Option, type Command } from 'commander';
import { STORAGE_TYPES } from '../compiler/ir/program.js';

/** Options that several commands share, and what turns their texts into values. */

export type SettingValue = number | boolean | readonly number[];
export type Settings = Readonly<Record<string, SettingValue>>;

/** Positions are 32-bit integers on the GPU. */
export const LONGEST = 2 ** 31 - 1;

/** A whole number: `16384`, `1_000_000` or `1e6`. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const plain = text.replace(/(?<=\d)_(?=\d)/g, '');
    const value = /^[+-]?\d+(\.\d+)?(e\+?\d+)?$/i.test(plain) ? Number(plain) : NaN;
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

/** A head size that kernels take. */
export function headSize(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!isHeadSize(value)) throw new InvalidArgumentError('It must be a multiple of 8 from 16 to 256.');
  return value;
}

export const isHeadSize = (n: number): boolean => Number.isInteger(n) && n >= 16 && n <= 256 && n % 8 === 0;

/** `window=128`, `w=[64,128]`, `w=64,128`, `causal=true`: collected into one record. */
export function setting(text: string, before: Settings = {}): Settings {
  const split = /^\s*([A-Za-z_]\w*)\s*=(.*)$/s.exec(text);
  if (!split) throw new InvalidArgumentError('It must be NAME=VALUE, such as window=128.');
  const [, name, written] = split;
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`'${name}' is set twice.`);
  return Object.fromEntries([...Object.entries(before), [name, settingValue(written.trim())]]);
}

function settingValue(text: string): SettingValue {
  if (text === 'true') return true;
  if (text === 'false') return false;
  const list = /^\[(.*)\]$/s.exec(text);
  if (list || text.includes(',')) {
    const inner = (list ? list[1] : text).trim();
    return inner === '' ? [] : inner.split(',').map((item) => numberOf(item.trim()));
  }
  return numberOf(text);
}

function numberOf(text: string): number {
  const plain = text.replace(/(?<=\d)_(?=\d)/g, '');
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) || !Number.isFinite(Number(plain))) {
    throw new InvalidArgumentError(
      `The value '${text}' must be a number, true, false, or a list such as [1,2].`,
    );
  }
  return Number(plain);
}

/** Options given several times, in order. */
export const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

export interface PatternOptions {
  readonly pattern?: string;
  readonly set?: Settings;
}

export interface ShapeOptions {
  readonly input?: readonly string[];
  readonly length?: number;
  readonly queries?: number;
  readonly heads?: number;
  readonly keyHeads?: number;
  readonly batch?: number;
  readonly headSize?: number;
  readonly valueSize?: number;
  readonly seed?: number;
}

export const diagnosticsOption = (): Option =>
  new Option('--diagnostics <format>', 'how to print diagnostics, on standard error')
    .choices(['pretty', 'plain', 'json'])
    .default('pretty');

export const jsonOption = (): Option => new Option('--json', 'print the result as JSON');

export const dtypeOption = (): Option =>
  new Option('--dtype <type>', 'element type of random tensors (default: f32)').choices(STORAGE_TYPES);

export const outDtypeOption = (): Option =>
  new Option('--out-dtype <type>', 'element type of out (default: f32); lse is f32').choices(STORAGE_TYPES);

/** Of `bench` and `tune`, which measure what comes and goes in one type. */
export const benchOutDtypeOption = (): Option =>
  new Option('--out-dtype <type>', 'element type of out (default: that of q); lse is f32').choices(
    STORAGE_TYPES,
  );

export function addPatternOptions(command: Command): Command {
  return command
    .option('--pattern <name>', 'the pattern (default: the only one, the one named like the file, the last)')
    .option('--set <name=value>', 'set a parameter: window=128, w=[64,128]; may be repeated', setting);
}

export function addSizeOptions(command: Command): Command {
  return command
    .option('--head-size <n>', 'head size of q and k: a multiple of 8 from 16 to 256 (default: 64)', headSize)
    .option('--value-size <n>', 'head size of v (default: that of q and k)', headSize);
}

/** What tensors to work on: files, or sizes. */
export function addShapeOptions(command: Command): Command {
  const count = wholeNumber(1, LONGEST);
  command
    .option(
      '--input <file>',
      'tensors: .safetensors, or NAME=FILE.npy, NAME=FILE.mtx; may be repeated',
      collect,
    )
    .option('--length <n>', 'number of keys (and queries)', count)
    .option('--queries <n>', 'number of queries, where it differs', count)
    .option('--heads <n>', 'number of heads (default: 4)', wholeNumber(1, 65536))
    .option('--key-heads <n>', 'number of key heads (default: as many as heads)', wholeNumber(1, 65536))
    .option('--batch <n>', 'number of sequences (default: 1)', wholeNumber(1, 65536))
    .option('--seed <n>', 'seed of what is made up (default: 0)', wholeNumber(0, 2 ** 32 - 1));
  return addSizeOptions(command);
}

export function addDeviceOptions(command: Command): Command {
  return command
    .option('--device <name>', 'gpu, lavapipe, swiftshader, or part of a name that `attnc devices` prints')
    .option('--allow-dense', 'run even where a rule can only be found by testing all pairs');
}
