import { totalmem } from 'node:os';
import { parameterValue } from '../compiler/print/edges.js';
import type { StorageType } from '../compiler/ir/program.js';
import { bind, type Bound } from '../runtime/bind.js';
import { bindShape, type ShapeBinding, type TensorShapes } from '../runtime/bind-shape.js';
import type { HostTensors, Settings as Bindings } from '../runtime/bindings.js';
import {
  AttncError,
  missingInput,
  outOfMemory,
  shapeText,
  usageError,
  wrongShape,
} from '../runtime/errors.js';
import type { Tensor } from '../runtime/tensor.js';
import { lengthsOf, readInputs, type GivenTensors } from './inputs.js';
import { toProgram, type Loaded, type Runnable } from './load.js';
import { isHeadSize, type PatternOptions, type ShapeOptions } from './options.js';
import { randomInput, randomTensor } from './random.js';
import type { Session } from './session.js';

/** What a command works on: shapes from the given tensors, or from `--length` and its like. */
export interface Task {
  readonly shapes: TensorShapes;
  /** Whether q, k and v are given; else they are made up where they are needed. */
  readonly hasTensors: boolean;
  readonly given: GivenTensors;
  readonly seed: number;
}

export interface Work extends Runnable {
  readonly task: Task;
  readonly bound: Bound;
  /** Everything but q, k and v. */
  readonly bindings: Bindings;
  /** What was made up, in words. */
  readonly madeUp: readonly string[];
}

/** @param loaded decides the head size where it is a compiled program */
export async function readTask(loaded: Loaded, options: ShapeOptions): Promise<Task> {
  const given = await readInputs(options.input ?? []);
  return taskOf(loaded, options, given, given.tensors);
}

/** @param tensors where q, k and v may be, or what is known of them */
export function taskOf(
  loaded: Loaded,
  options: ShapeOptions,
  given: GivenTensors,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Task {
  const seed = options.seed ?? 0;
  const [q, k, v] = ['q', 'k', 'v'].map((name) => tensors.get(name));
  if (q || k || v) {
    const names = [...tensors.keys()];
    if (!q) throw missingInput('q', 'float [batch, heads, queries, head size]', names);
    if (!k) throw missingInput('k', 'float [batch, key heads, keys, head size]', names);
    if (!v) throw missingInput('v', 'float [batch, key heads, keys, value size]', names);
    for (const name of SIZE_OPTIONS) {
      if (options[name] === undefined) continue;
      throw usageError(
        `--${kebab(name)} does not go with q, k and v in --input`,
        'they say how long they are',
      );
    }
    return { shapes: { q: q.shape, k: k.shape, v: v.shape }, hasTensors: true, given, seed };
  }
  return { shapes: shapesOf(loaded, options), hasTensors: false, given, seed };
}

const SIZE_OPTIONS = ['length', 'queries', 'heads', 'keyHeads', 'batch', 'headSize', 'valueSize'] as const;
const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

function shapesOf(loaded: Loaded, options: ShapeOptions): TensorShapes {
  const { length: keys } = options;
  if (keys === undefined) {
    throw usageError(
      'nothing says how many tokens there are',
      'give --length N, or --input FILE with q, k and v',
    );
  }
  const { batch = 1, heads = 4, queries = keys } = options;
  const { keyHeads = heads } = options;
  if (heads % keyHeads !== 0) {
    throw usageError(`--heads ${heads} must be a multiple of --key-heads ${keyHeads}`);
  }
  const program = loaded.kind === 'program' ? loaded.program : undefined;
  const dim = options.headSize ?? program?.dim ?? 64;
  const valueDim = options.valueSize ?? program?.valueDim ?? dim;
  return {
    q: [batch, heads, queries, dim],
    k: [batch, keyHeads, keys, dim],
    v: [batch, keyHeads, keys, valueDim],
  };
}

/**
 * Compiles, makes up the tables that are missing (if `makeUp`), and checks all of it against each other. What stands in
 * the files and is no input of the pattern is left out, with a note.
 * @param windows whether it is compiled for runs in parts
 */
export async function prepareWork(
  session: Session,
  loaded: Loaded,
  options: PatternOptions,
  task: Task,
  makeUp: boolean,
  windows = false,
): Promise<Work> {
  const { shapes, given } = task;
  for (const name of ['q', 'k', 'v'] as const) {
    if (shapes[name].length !== 4)
      throw wrongShape(name, ['batch', 'heads', 'rows', 'head size'], shapes[name]);
  }
  const sizes = { dim: shapes.q[3], valueDim: shapes.v[3], windows };
  if (loaded.kind === 'patterns') for (const n of [sizes.dim, sizes.valueDim]) checkHeadSize(n);
  session.progress.step('compiling', options.pattern);
  const runnable = await toProgram(session, loaded, options, sizes);
  const { program, parameters } = runnable;
  const { pattern } = program;

  const lengths = lengthsOf(given);
  const settings = { parameters, ...(lengths ? { lengths } : {}) };
  const binding = bindShape(pattern, shapes, settings, program);
  const inputs: Record<string, Tensor> = {};
  const used = new Set(['q', 'k', 'v', 'out', 'lse', 'lengths.queries', 'lengths.keys']);
  const madeUp: string[] = [];
  for (const declared of pattern.inputs) {
    const own = [...given.tensors].filter(
      ([name]) =>
        name === declared.name || (declared.type === 'edges' && name.startsWith(`${declared.name}.`)),
    );
    for (const [name, tensor] of own) {
      inputs[name] = tensor;
      used.add(name);
    }
    if (own.length > 0 || !makeUp) continue;
    session.progress.step('making up tables', declared.name);
    const made = randomInput(pattern, declared, binding, task.seed);
    Object.assign(inputs, made.tensors);
    madeUp.push(made.what);
  }
  const others = [...given.tensors.keys()].filter((name) => !used.has(name));
  if (others.length > 0) session.note(`attnc: '${program.name}' does not read ${others.join(', ')}`);
  const bindings: Bindings = { ...settings, inputs };
  return { ...runnable, task, bindings, madeUp, bound: bind(program, shapes, bindings) };
}

function checkHeadSize(n: number): void {
  if (isHeadSize(n)) return;
  throw new AttncError('wrong-shape', `the kernels have no head size ${n}`, {
    help: 'it must be a multiple of 8 from 16 to 256: pad q, k and v with zeros, and scale q',
  });
}

/** q, k and v as given, or made up. */
export function tensorsOf(work: Work, dtype: StorageType): HostTensors {
  const { task, bindings } = work;
  const tensor = (name: 'q' | 'k' | 'v'): Tensor => {
    const own = task.given.tensors.get(name);
    return own ?? randomTensor(name, dtype, task.shapes[name], task.seed);
  };
  if (!task.hasTensors) checkMemory(task.shapes);
  return { ...bindings, q: tensor('q'), k: tensor('k'), v: tensor('v') };
}

/** Tensors far larger than the machine would only be found out by its being brought down. */
function checkMemory(shapes: TensorShapes): void {
  const bytes = Object.values(bytesOfShapes(shapes, 4, 4)).reduce((a, b) => a + b, 0);
  if (bytes > MOST_MEMORY) throw outOfMemory(`q, k, v and out of --length ${shapes.k[2]}`, bytes);
}

/** Bytes that whole tensors may take in all: a part of the machine's memory. */
export const MOST_MEMORY = 0.8 * totalmem();

/** @param input, output bytes an element of q, k, v, and of out */
export function bytesOfShapes(
  { q, k, v }: TensorShapes,
  input: number,
  output: number,
): Readonly<Record<'q' | 'k' | 'v' | 'out', number>> {
  const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
  const out = [q[0], q[1], q[2], v[3]];
  return { q: input * count(q), k: input * count(k), v: input * count(v), out: output * count(out) };
}

/** `batch 1, 8 heads on 2, 17 queries × 129 keys, head size 64` */
export function shapeSummary(binding: ShapeBinding): string {
  const { batch, heads, keyHeads, dim } = binding.shape;
  const grouped = keyHeads === heads ? '' : ` on ${keyHeads}`;
  const value = binding.valueDim === dim ? '' : ` (values ${binding.valueDim})`;
  const sizes = `${binding.queries.toLocaleString('en')} queries × ${binding.keys.toLocaleString('en')} keys`;
  const grid = binding.shape.grid.length > 0 ? `, grid ${shapeText(binding.shape.grid)}` : '';
  return `batch ${batch}, ${heads} ${heads === 1 ? 'head' : 'heads'}${grouped}, ${sizes}, head size ${dim}${value}${grid}`;
}

/** `longformer: window = 256, globals = 64` */
export function patternSummary({ program, bound }: Work): string {
  const { parameters } = bound.binding.shape;
  const values = program.parameters.map((p) => {
    const value = parameters.get(p.name);
    return `${p.name} = ${parameterValue(value === undefined ? p : { ...p, value })}`;
  });
  return values.length === 0 ? program.name : `${program.name}: ${values.join(', ')}`;
}
