import type { StorageType, StorageTypes } from '../compiler/ir/program.js';
import type { Precision, Comparison, Measure, Reference, RowIndex } from '../runtime/reference/index.js';
import { compare, pickRows, reference, sampledReference, sampleRows } from '../runtime/reference/index.js';
import { wrongShape, wrongType } from '../runtime/errors.js';
import type { HostTensors } from '../runtime/bindings.js';
import { run, type RunStats } from '../runtime/run.js';
import { toFloat32, toFloat64, type Tensor } from '../runtime/tensor.js';
import { randomNumbers } from './random.js';
import type { Session } from './session.js';
import { tensorsOf, type Work } from './work.js';

/** One pattern run on a device, against the float64 oracle and against results that came with the tensors. */
export interface Verification {
  readonly pattern: string;
  readonly precision: Precision;
  readonly pass: boolean;
  /** Rows of the oracle, and how many there are. */
  readonly rows: number;
  readonly totalRows: number;
  readonly oracle: Comparison;
  /** Against `out` (and `lse`) of the input file, where it has them. */
  readonly file: Comparison | undefined;
  /** Rows compared with the oracle, for messages; undefined for all. */
  readonly sample: readonly RowIndex[] | undefined;
  readonly stats: RunStats;
}

/** Pairs that the oracle tries one by one, all rows against all keys; past it a sample of rows is checked. */
const ALL_ROWS = 2 ** 24;
/** Rows of a sample, and milliseconds after which no more than the first few are looked at. */
const SAMPLE = { most: 256, least: 16, patience: 5000 } as const;

export interface VerifyOptions {
  /** Check every row, however many there are. */
  readonly all: boolean;
  /** Of made-up tensors. */
  readonly dtype: StorageType;
  readonly out: StorageType;
}

export async function verify(
  session: Session,
  device: GPUDevice,
  work: Work,
  options: VerifyOptions,
): Promise<Verification> {
  const { program } = work;
  session.progress.step('making up tensors', program.name);
  const tensors = tensorsOf(work, options.dtype);
  const precision = precisionOf(tensors);
  session.progress.step('running', program.name);
  const result = await run(device, program, tensors, { out: options.out });
  const out = toFloat32(result.out);
  const types: StorageTypes = { input: precision, output: options.out };

  const { shape, queries, keys } = work.bound.binding;
  const totalRows = shape.heads * shape.queries.reduce((a, b) => a + b, 0);
  const whole = options.all || totalRows * keys <= ALL_ROWS;
  const expected = whole ? oracleOfAll(session, work, tensors) : oracleOfSample(session, work, tensors);
  const rows = expected.rows;
  const sizes = { heads: shape.heads, queries };
  const actual = rows
    ? {
        out: pickRows(out, rows, { ...sizes, dim: expected.valueDim }),
        lse: pickRows(result.lse.data, rows, { ...sizes, dim: 1 }),
      }
    : { out, lse: result.lse.data };
  const oracle = compare(actual, expected, types);
  const given = expectedFrom(work, expected);
  const file = given && compare(given.actual(out, result.lse.data), given.reference, types);
  return {
    pattern: program.name,
    precision,
    pass: oracle.pass && (file?.pass ?? true),
    rows: rows ? rows.length : totalRows,
    totalRows,
    oracle,
    file,
    sample: rows,
    stats: result.stats,
  };
}

/** The least precise of q, k and v decides. */
export function precisionOf(tensors: HostTensors): Precision {
  const types = [tensors.q, tensors.k, tensors.v].map((t) => t.dtype);
  return types.includes('bf16') ? 'bf16' : types.includes('f16') ? 'f16' : 'f32';
}

function oracleOfAll(session: Session, work: Work, tensors: HostTensors): Reference {
  session.progress.step('computing the oracle', `${work.program.name}, all rows`);
  return reference(work.program.pattern, tensors);
}

function oracleOfSample(session: Session, work: Work, tensors: HostTensors): Reference {
  const { program, bound, task } = work;
  const rows = sampleRows(bound.binding.shape, SAMPLE.most, randomNumbers(task.seed));
  const step = (done: number): void =>
    session.progress.step('computing the oracle', `${program.name}, row ${done} of ${rows.length}`);
  return sampledReference(program.pattern, tensors, rows, { ...SAMPLE, step });
}

interface Given {
  readonly reference: Reference;
  readonly actual: (
    out: Float32Array,
    lse: Float32Array,
  ) => { readonly out: ArrayLike<number>; readonly lse?: ArrayLike<number> };
}

/** `out` and `lse` of the input file, with the oracle's scores for the tolerance. */
function expectedFrom(work: Work, oracle: Reference): Given | undefined {
  const { tensors } = work.task.given;
  const { shape, queries, valueDim } = work.bound.binding;
  const out = tensors.get('out');
  const lse = tensors.get('lse');
  if (out === undefined) return undefined;
  const outShape = [shape.batch, shape.heads, queries, valueDim];
  checkGiven('out', out, outShape);
  if (lse) checkGiven('lse', lse, outShape.slice(0, 3));
  const count = shape.batch * shape.heads * queries;
  // Of a sample of rows, the largest score stands for all.
  const most = oracle.maxScore.reduce((a, b) => Math.max(a, b), 0);
  const reference: Reference = {
    out: toFloat64(out),
    lse: lse ? toFloat64(lse) : new Float64Array(count),
    maxScore: oracle.rows ? new Float64Array(count).fill(most) : oracle.maxScore,
    tainted: oracle.rows ? new Uint8Array(count) : oracle.tainted,
    edges: new Float64Array(count),
    valueDim,
    rows: undefined,
  };
  return { reference, actual: (o, l) => (lse ? { out: o, lse: l } : { out: o }) };
}

function checkGiven(name: string, t: Tensor, shape: readonly number[]): void {
  if (t.shape.length !== shape.length || t.shape.some((n, axis) => n !== shape[axis])) {
    throw wrongShape(name, shape, t.shape, 'it is what the result is compared with');
  }
  if (t.dtype !== 'f32' && t.dtype !== 'f16' && t.dtype !== 'bf16')
    throw wrongType(name, ['f32', 'f16', 'bf16'], t.dtype);
}

export interface Finding {
  readonly against: 'oracle' | 'file';
  readonly measure: 'out' | 'worst row' | 'lse';
  readonly error: number;
  readonly tolerance: number;
  readonly pass: boolean;
  readonly row: RowIndex | undefined;
}

/** Every measure as a line of a table. */
export function findingsOf(v: Verification, work: Work): readonly Finding[] {
  const { shape, queries } = work.bound.binding;
  const place = (row: number | undefined, sample: readonly RowIndex[] | undefined): RowIndex | undefined => {
    if (row === undefined) return undefined;
    if (sample) return sample[row];
    return {
      batch: Math.floor(row / queries / shape.heads),
      head: Math.floor(row / queries) % shape.heads,
      row: row % queries,
    };
  };
  const of = (
    against: Finding['against'],
    c: Comparison,
    sample: readonly RowIndex[] | undefined,
  ): Finding[] => {
    const finding = (measure: Finding['measure'], m: Measure): Finding => ({
      against,
      measure,
      error: m.error,
      tolerance: m.tolerance,
      pass: m.error <= m.tolerance,
      row: place(m.row, sample),
    });
    return [
      finding('out', c.whole),
      finding('worst row', c.worstRow),
      ...(c.lse ? [finding('lse', c.lse)] : []),
    ];
  };
  return [...of('oracle', v.oracle, v.sample), ...(v.file ? of('file', v.file, undefined) : [])];
}
