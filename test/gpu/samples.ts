import type { Pattern } from '../../compiler/ir/edges.js';
import type { Program } from '../../compiler/ir/program.js';
import { lowerSample } from '../differential/problems.js';
import { HEAD_SIZES, SAMPLES, type SampleCase, type SampleSetting } from '../shapes.js';
import { everySchedule } from './programs.js';

/** A sample compiled for the GPU, and the settings that its program serves. */
export interface CompiledSample {
  readonly name: string;
  readonly sample: SampleCase;
  readonly program: Program;
  readonly dim: number;
  readonly valueDim: number;
  /** A setting, the pattern with it, and the parameters that are set when the program runs. */
  readonly settings: readonly {
    readonly setting: SampleSetting;
    readonly pattern: Pattern;
    readonly parameters: Readonly<Record<string, number>>;
  }[];
}

export interface HeadSizes {
  readonly dim: number;
  readonly valueDim: number;
}

/** Every head size has its turn, and values are of another size; samples that take many runs have small ones. */
function headSizesOf(sample: SampleCase): HeadSizes {
  if (sample.heads >= 4) return { dim: 24, valueDim: 16 };
  const number = SAMPLES.filter((s) => s.heads < 4).indexOf(sample);
  return {
    dim: HEAD_SIZES[(7 * number) % HEAD_SIZES.length],
    valueDim: HEAD_SIZES[(11 * number + 3) % HEAD_SIZES.length],
  };
}

/** Programs of a sample: one for all settings that differ in dynamic parameters only. */
export function compileSample(
  sample: SampleCase,
  most = Infinity,
  { dim, valueDim }: HeadSizes = headSizesOf(sample),
): readonly CompiledSample[] {
  const groups = new Map<string, CompiledSample>();
  for (const setting of sample.settings) {
    const pattern = lowerSample(sample, setting.set);
    const fixed = pattern.parameters.filter((p) => p.fixed).map((p) => [p.name, p.value]);
    const key = JSON.stringify(fixed);
    const group = groups.get(key) ?? {
      name: `${sample.pattern}${fixed.length > 0 ? ` ${key}` : ''}`,
      sample,
      program: everySchedule(pattern, dim, valueDim),
      dim,
      valueDim,
      settings: [],
    };
    // All of them: the program's defaults are those of its first setting.
    const parameters = Object.fromEntries(
      pattern.parameters.flatMap((p) =>
        p.fixed || typeof p.value !== 'number' ? [] : [[p.name, p.value] as const],
      ),
    );
    groups.set(key, { ...group, settings: [...group.settings, { setting, pattern, parameters }] });
  }
  return [...groups.values()].slice(0, most);
}
