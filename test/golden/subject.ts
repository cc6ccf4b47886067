import { compile } from '../../compiler/index.js';
import type { BoundInputs } from '../../compiler/ir/inputs.js';
import type { Program } from '../../compiler/ir/program.js';
import type { Schedule } from '../../compiler/ir/schedule.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { countPass, type Counts } from '../../compiler/ir/statistics.js';
import { modelShape } from '../../compiler/schedule/index.js';
import { scheduleFor } from '../../cli/schedule.js';
import { readFileSync } from 'node:fs';
import { resolveSource } from '../tools/golden-errors.js';
import { modelTables } from '../tools/model-tables.js';
import type { GoldenCase, Settings, View } from './cases.js';

/** A sample compiled with parameters set, and bound to a shape with model tables. */
export interface Subject {
  readonly program: Program;
  readonly shape: BoundShape;
  readonly inputs: BoundInputs;
  /** The one that the runtime takes. */
  readonly schedule: Schedule;
}

type Name = Pick<GoldenCase, 'file' | 'pattern'>;

export function compileSample({ file, pattern }: Name, set: Settings): Program {
  const path = `samples/${file}.attn`;
  const source = { file: path, text: readFileSync(path, 'utf8') };
  const { program, diagnostics } = compile(source, { pattern, set, resolve: resolveSource });
  if (!program) throw new Error(`${path}: ${diagnostics.map((d) => d.message).join('; ')}`);
  return program;
}

export function bindSample(program: Program, view: Omit<View, 'set'>, heads = 4): Subject {
  const square = modelShape(program.pattern, view.length);
  const shape = { ...square, heads, keyHeads: heads, queries: [view.queries ?? square.keys[0]] };
  const inputs = modelTables(program.pattern, shape);
  return { program, shape, inputs, schedule: scheduleFor(program, shape, inputs) };
}

export interface Statistics {
  readonly tokens: number;
  readonly schedule: string;
  readonly passes: readonly Counts[];
  /** Σ m. */
  readonly edges: number;
  readonly issued: number;
  /** issued / edges */
  readonly waste: number;
  readonly full: number;
  readonly partial: number;
  /** Box tests. */
  readonly steps: number;
}

/** Query tiles that are looked at, evenly spread. */
const TILES_COUNTED = 64;

export function statisticsOf({ shape, inputs, schedule }: Subject): Statistics {
  const passes = schedule.passes.map((p) =>
    countPass(p, shape, inputs, { most: TILES_COUNTED, pairs: true }),
  );
  const sum = (of: (c: Counts) => number): number => passes.reduce((a, c) => a + of(c), 0);
  const edges = sum((c) => c.needed);
  const issued = sum((c) => c.issued);
  return {
    tokens: shape.keys[0],
    schedule: schedule.name,
    passes,
    edges,
    issued,
    waste: issued / edges,
    full: sum((c) => c.full),
    partial: sum((c) => c.partial),
    steps: sum((c) => c.steps),
  };
}
