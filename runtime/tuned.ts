import { packProgram } from '../compiler/ir/pack.js';
import type { Family, Program, StorageTypes, Variant } from '../compiler/ir/program.js';
import type { BoundShape } from '../compiler/ir/shape.js';
import { tilingLabel } from './choose-tiling.js';

/** Choices that `attnc tune` measured: plain data, which an app may load, ship or write itself. */

export interface TunedChoices {
  readonly format: 'attnc-tuned';
  readonly version: 1;
  /** By `tunedKey`. */
  readonly choices: Readonly<Record<string, TunedChoice>>;
}

export interface TunedChoice {
  /** By name. */
  readonly schedule: string;
  readonly family: Family;
  /** As `tilingLabel` has it. */
  readonly tiling: string;
  /** Median of the runs that were measured. */
  readonly milliseconds: number;
}

export const NOTHING_TUNED: TunedChoices = { format: 'attnc-tuned', version: 1, choices: {} };

/**
 * What a choice holds for: the program, the device, the storage types, and lengths and heads, each rounded to the nearest
 * power of two. Parameters count as they are: a window decides as much as a length does.
 */
export function tunedKey(
  program: Program,
  device: GPUDevice,
  { input, output }: StorageTypes,
  shape: BoundShape,
): string {
  const { heads, keyHeads, batch } = shape;
  const lengths = [Math.max(0, ...shape.queries), Math.max(0, ...shape.keys), heads * batch].map(
    nearestPower,
  );
  const parameters = [...shape.parameters].map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [
    `${program.name} ${fingerprint(program)}`,
    adapterText(device),
    `${input} to ${output}`,
    `${lengths[0]} queries x ${lengths[1]} keys, ${lengths[2]} heads, ${heads / Math.max(1, keyHeads)} a key head`,
    ...(shape.grid.length > 0 ? [`grid ${shape.grid.map(nearestPower).join(' x ')}`] : []),
    ...parameters,
  ].join(' | ');
}

/** In logarithms; 0 stays 0. */
export const nearestPower = (n: number): number => (n <= 0 ? 0 : 2 ** Math.round(Math.log2(n)));

/** The adapter and its driver, as the device knows them. */
function adapterText(device: GPUDevice): string {
  const info = device.adapterInfo as GPUAdapterInfo | undefined;
  return [info?.vendor, info?.architecture, info?.device, info?.description].filter(Boolean).join(' ');
}

const fingerprints = new WeakMap<Program, string>();

/** 16 hexadecimal digits of what a program computes and how: schedules, pattern and head sizes; not its kernels' text. */
export function fingerprint(program: Program): string {
  const before = fingerprints.get(program);
  if (before !== undefined) return before;
  const made = hash(packProgram({ ...program, name: '', doc: undefined, variants: [] }));
  fingerprints.set(program, made);
  return made;
}

/** FNV-1a over UTF-16 units, twice, from two beginnings: it tells programs apart, and guards nothing. */
function hash(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x2f0b4a27;
  for (let n = 0; n < text.length; n++) {
    const unit = text.charCodeAt(n);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit ^ (a >>> 15), 0x01000193);
  }
  return [a, b].map((x) => (x >>> 0).toString(16).padStart(8, '0')).join('');
}

/** How a variant of the program is named in the data. */
export const choiceOf = (program: Program, variant: Variant): Omit<TunedChoice, 'milliseconds'> => ({
  schedule: program.schedules[variant.schedule].name,
  family: variant.family,
  tiling: tilingLabel(variant),
});

/** The variant that a choice names; undefined where there is none (any more). */
export function variantOf(
  program: Program,
  variants: readonly Variant[],
  choice: Omit<TunedChoice, 'milliseconds'>,
): Variant | undefined {
  return variants.find((v) => {
    const own = choiceOf(program, v);
    return own.schedule === choice.schedule && own.family === choice.family && own.tiling === choice.tiling;
  });
}

/** The choices with one more, or another. */
export const withChoice = (tuned: TunedChoices, key: string, choice: TunedChoice): TunedChoices => ({
  ...tuned,
  choices: { ...tuned.choices, [key]: choice },
});

/** Why something read is no `TunedChoices`; undefined if it is. Files are written by anyone. */
export function tunedProblem(read: unknown): string | undefined {
  const isRecord = (x: unknown): x is Record<string, unknown> =>
    typeof x === 'object' && x !== null && !Array.isArray(x);
  if (!isRecord(read) || read.format !== 'attnc-tuned') return 'it holds no tuned choices';
  if (read.version !== 1) return `version ${String(read.version)} of tuned choices is not known here`;
  if (!isRecord(read.choices)) return 'it has no choices';
  const broken = Object.values(read.choices).some(
    (c) =>
      !isRecord(c) ||
      [c.schedule, c.family, c.tiling].some((x) => typeof x !== 'string') ||
      typeof c.milliseconds !== 'number',
  );
  return broken ? 'a choice lacks its schedule, family, tiling or milliseconds' : undefined;
}
