import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNumbers } from '../cli/random.js';
import { sampledReference, type Reference, type RowIndex } from '../runtime/reference/index.js';
import { readTables, type Job } from './jobs.js';
import { compileRow, rowIndices, tensorsOf } from './subject.js';

/** The float64 oracle on as many of the sampled rows as time allows, left in a file for whoever compares. */

export interface OracleFile {
  /** Numbers of the rows, in the order of all sampled rows. */
  readonly picked: readonly number[];
  readonly valueDim: number;
  readonly out: readonly number[];
  readonly lse: readonly (number | null)[];
  readonly maxScore: readonly number[];
}

const LEAST = 16;

/** @param patience milliseconds */
export function computeOracle(folder: string, job: Job, patience: number): OracleFile {
  const all = rowIndices(job);
  const order = shuffled(all.length);
  const program = compileRow(job.row);
  const tensors = tensorsOf(job, 'f32', readTables(folder, job));
  const rows = order.map((n): RowIndex => all[n]);
  const found = sampledReference(program.pattern, tensors, rows, { least: LEAST, patience });
  const count = found.rows?.length ?? 0;
  return {
    picked: order.slice(0, count),
    valueDim: found.valueDim,
    out: [...found.out],
    lse: [...found.lse].map((x) => (Number.isFinite(x) ? x : null)),
    maxScore: [...found.maxScore],
  };
}

/** The first and the last, then the others in a random order. */
function shuffled(count: number): readonly number[] {
  const random = randomNumbers(9);
  const inner = Array.from({ length: Math.max(0, count - 2) }, (_, n) => n + 1);
  for (let n = inner.length - 1; n > 0; n--) {
    const other = Math.floor(random() * (n + 1));
    [inner[n], inner[other]] = [inner[other], inner[n]];
  }
  return count === 1 ? [0] : [0, count - 1, ...inner];
}

const fileOf = (folder: string, id: string): string => join(folder, `${id}.oracle.json`);

export function writeOracle(folder: string, id: string, oracle: OracleFile): void {
  writeFileSync(fileOf(folder, id), JSON.stringify(oracle));
}

export function readOracle(folder: string, id: string): OracleFile {
  return JSON.parse(readFileSync(fileOf(folder, id), 'utf8')) as OracleFile;
}

/** As what `compare` takes. */
export function referenceOf(oracle: OracleFile): Reference {
  const count = oracle.picked.length;
  return {
    out: Float64Array.from(oracle.out),
    lse: Float64Array.from(oracle.lse, (x) => x ?? -Infinity),
    maxScore: Float64Array.from(oracle.maxScore),
    tainted: new Uint8Array(count),
    edges: new Float64Array(count),
    valueDim: oracle.valueDim,
    rows: undefined,
  };
}

/** The oracle's rows of all that were sampled. */
export function pick(out: Float32Array, oracle: OracleFile, dim: number = oracle.valueDim): Float32Array {
  const picked = new Float32Array(oracle.picked.length * dim);
  oracle.picked.forEach((n, at) => picked.set(out.subarray(n * dim, (n + 1) * dim), at * dim));
  return picked;
}
