import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNumbers } from '../cli/random.js';
import { bytesOf, fromBytes, type Tensor } from '../runtime/tensor.js';
import type { Row } from './rows.js';
import { makeTables } from './tables.js';

/** What the processes of a comparison work on: a folder with a list of jobs, tables, and what each of them leaves. */
export interface Job {
  readonly row: Row;
  readonly tables: readonly TableFile[];
  /** Query rows looked at, rising, the same of every head. */
  readonly rows: readonly number[];
  /** Robustness settings that attnc runs with. */
  readonly robustness: readonly boolean[];
  /** Module and metadata of `attnc export --to flex`, where FlexAttention is a peer; or why there is none. */
  readonly flex: { readonly module: string } | { readonly why: string } | undefined;
}

export interface TableFile {
  readonly name: string;
  readonly dtype: 'i32' | 'bool';
  readonly shape: readonly number[];
  /** In the folder; little-endian, row-major; a byte for each bool. */
  readonly file: string;
}

export interface Jobs {
  readonly jobs: readonly Job[];
  /** As `attnc --device` has it; the best device if not given. */
  readonly device: string | null;
  /** Milliseconds of warm-up and of timed work. */
  readonly warmUp: number;
  readonly patience: number;
  /** Block sizes that FlexAttention is tried with. */
  readonly blocks: readonly number[];
}

/** Rows of each head that both sides write. */
const SAMPLED = 256;

/** The first, the last, and rows drawn from those between. */
export function sampledRows(queries: number, most: number = SAMPLED, seed = 1): readonly number[] {
  if (queries <= most) return Array.from({ length: queries }, (_, n) => n);
  const random = randomNumbers(seed);
  const chosen = new Set([0, queries - 1]);
  while (chosen.size < most) chosen.add(Math.floor(random() * queries));
  return [...chosen].sort((a, b) => a - b);
}

/** Makes the tables of a row and writes them to the folder. */
export function writeTables(folder: string, row: Row): readonly TableFile[] {
  mkdirSync(folder, { recursive: true });
  return Object.entries(row.tables).flatMap(([input, recipe]) =>
    Object.entries(makeTables(input, recipe, row.shape.keys)).map(([name, tensor]): TableFile => {
      if (tensor.dtype !== 'i32' && tensor.dtype !== 'bool') throw new Error(`${name} is ${tensor.dtype}`);
      const file = `${row.id}.${name}.bin`;
      writeFileSync(join(folder, file), bytesOf(tensor));
      return { name, dtype: tensor.dtype, shape: tensor.shape, file };
    }),
  );
}

export function readTables(folder: string, job: Job): Readonly<Record<string, Tensor>> {
  return Object.fromEntries(
    job.tables.map(({ name, dtype, shape, file }) => [
      name,
      fromBytes(dtype, shape, readFileSync(join(folder, file)), name),
    ]),
  );
}

export const JOBS = 'jobs.json';

export function writeJobs(folder: string, jobs: Jobs): void {
  writeFileSync(join(folder, JOBS), JSON.stringify(jobs, undefined, 1));
}

export function readJobs(folder: string): Jobs {
  return JSON.parse(readFileSync(join(folder, JOBS), 'utf8')) as Jobs;
}

/** Sampled rows of all heads, in the order [batch, head, row], that one side computed. */
export function writeOut(folder: string, name: string, out: Float32Array): string {
  const file = `${name}.out.f32`;
  writeFileSync(join(folder, file), new Uint8Array(out.buffer, out.byteOffset, out.byteLength));
  return file;
}

export function readOut(folder: string, file: string): Float32Array {
  const bytes = readFileSync(join(folder, file));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
