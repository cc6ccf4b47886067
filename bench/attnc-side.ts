/**
 * `node attnc-side.js FOLDER TASK…`: checks and times rows through attnc, with Dawn's robustness on or off. A task is
 * `ROW/on` or `ROW/off`. Its first line tells the device and its ceilings.
 */
import { compare, type Comparison } from '../runtime/reference/index.js';
import { wrongResult } from '../runtime/errors.js';
import { openDevice, type OpenedDevice } from '../runtime/node/index.js';
import {
  countWork,
  makeReady,
  matricesOf,
  measure,
  measureCeilings,
  type Measured,
  type Rows,
  type Subject,
  type WorkCounts,
} from '../cli/bench/index.js';
import { readJobs, readTables, writeOut, type Job } from './jobs.js';
import { oneLine, tell } from './messages.js';
import { pick, readOracle, referenceOf } from './oracle.js';
import { compileRow, rowIndices, shapesOf, tensorsOf } from './subject.js';

/** What is known of a row that attnc ran. */
export interface OwnResult {
  readonly milliseconds: { readonly median: number; readonly p10: number; readonly p90: number };
  readonly runs: number;
  readonly clock: string;
  /** The device's clock when timing began, over the highest seen; missing where nothing tells, and from old files. */
  readonly clockShare?: number | undefined;
  readonly family: string;
  readonly schedule: string;
  readonly splits: number;
  readonly needed: number;
  readonly issued: number;
  readonly exact: boolean;
  readonly flops: number;
  readonly bytes: number;
  /** Relative error of the whole and of the worst row, against the oracle. */
  readonly error: number;
  readonly worstRow: number;
  readonly oracleRows: number;
  readonly planMilliseconds: number;
  readonly compileMilliseconds: number;
  /** Sampled rows of out. */
  readonly file: string;
}

/** Milliseconds in which the kernels of all rows should be compiled. */
const COMPILE_PATIENCE = 60_000;

const [folder, ...tasks] = process.argv.slice(2);
const { jobs, device: asked, warmUp, patience } = readJobs(folder);
const wanted = tasks.map((task) => {
  const [id, robustness] = task.split('/');
  const job = jobs.find((j) => j.row.id === id);
  if (!job) throw new Error(`there is no row ${id}`);
  return { task, job, robust: robustness === 'on' };
});

const counted = new Map<string, WorkCounts>();
const opened = new Map<boolean, OpenedDevice>();
async function deviceFor(robustness: boolean): Promise<OpenedDevice> {
  const known = opened.get(robustness);
  if (known) return known;
  const made = await openDevice({
    device: asked ?? undefined,
    features: 'offered',
    limits: 'offered',
    robustness,
    onProblem: (message) => process.stderr.write(`${message}\n`),
  });
  opened.set(robustness, made);
  return made;
}

const first = await deviceFor(wanted[0]?.robust ?? false);
const ceilings = await measureCeilings(first.device, {
  software: first.kind !== 'gpu',
  matrices: matricesOf(first.adapter),
});
tell({
  kind: 'facts',
  facts: {
    device: first.name,
    deviceKind: first.kind,
    ceilings,
    features: [...first.device.features].sort(),
  },
});

// Kernels of all rows are compiled side by side before anything is timed; what takes too long is waited for in its turn.
const compiling = performance.now();
const compiled = Promise.allSettled(
  wanted.map(async ({ job, robust }) => {
    const { device } = await deviceFor(robust);
    const shapes = shapesOf(job.row.shape);
    const bare = (name: 'q' | 'k' | 'v') => ({ dtype: job.row.dtype, shape: shapes[name] });
    const tensors = { q: bare('q'), k: bare('k'), v: bare('v'), inputs: readTables(folder, job) };
    await makeReady(device, { ...subjectOf(job), tensors });
    tell({ kind: 'facts', facts: {} });
  }),
);
let timer: NodeJS.Timeout | undefined;
const enough = new Promise((resolve) => (timer = setTimeout(resolve, COMPILE_PATIENCE)));
await Promise.race([compiled, enough]);
clearTimeout(timer);
process.stderr.write(`kernels compiled in ${((performance.now() - compiling) / 1000).toFixed(1)} s\n`);

let tensors: { readonly id: string; readonly value: Subject['tensors'] } | undefined;
for (const { task, job, robust } of wanted) {
  tell({ kind: 'start', task });
  try {
    const { device, kind } = await deviceFor(robust);
    if (tensors?.id !== job.row.id) {
      tensors = undefined;
      tensors = { id: job.row.id, value: tensorsOf(job, job.row.dtype, readTables(folder, job)) };
    }
    const result = await runRow(device, kind === 'gpu', job, tensors.value, robust);
    tell({ kind: 'result', task, result });
  } catch (error) {
    tell({ kind: 'failed', task, why: oneLine(error) });
  }
}
for (const { close } of opened.values()) close();

function subjectOf(job: Job): Omit<Subject, 'tensors'> {
  const { family, dtype } = job.row;
  return { program: compileRow(job.row), output: dtype, choose: { family } };
}

/** Counted once for both devices. */
function countsOf({ row: { id, dtype } }: Job, { schedule, bound, tileRows }: Measured): WorkCounts {
  const key = JSON.stringify([id, schedule.name, tileRows]);
  const known = counted.get(key);
  if (known) return known;
  const made = countWork(schedule, bound, { input: dtype, output: dtype }, tileRows);
  counted.set(key, made);
  return made;
}

async function runRow(
  device: GPUDevice,
  hardware: boolean,
  job: Job,
  tensors: Subject['tensors'],
  robust: boolean,
): Promise<OwnResult> {
  const { id, dtype } = job.row;
  const oracle = readOracle(folder, id);
  const expected = referenceOf(oracle);
  const types = { input: dtype, output: dtype };
  let comparison: Comparison | undefined;
  let kept: Rows | undefined;
  const measured = await measure(
    device,
    { ...subjectOf(job), tensors },
    {
      rows: rowIndices(job),
      check: (rows) => {
        const actual = { out: pick(rows.out, oracle), lse: pick(rows.lse, oracle, 1) };
        comparison = compare(actual, expected, types);
        kept = rows;
        if (comparison.pass) return;
        const { worstRow, misplaced } = comparison;
        const what = misplaced > 0 ? `${misplaced} values not finite, or the reverse` : `${worstRow.error}`;
        throw wrongResult(`out differs from the oracle: ${what}`);
      },
      timing: { warmUp, patience, settle: hardware },
      sets: hardware ? undefined : 2,
    },
  );
  const { timing, stats } = measured;
  const counts = countsOf(job, measured);
  const { median, p10, p90 } = timing.time;
  return {
    milliseconds: { median, p10, p90 },
    runs: timing.runs,
    clock: timing.clock,
    clockShare: timing.warmUp.clock,
    family: stats.family,
    schedule: stats.schedule,
    splits: stats.splits,
    needed: counts.needed,
    issued: counts.issued,
    exact: counts.exact,
    flops: counts.flops,
    bytes: counts.bytes,
    error: comparison?.whole.error ?? NaN,
    worstRow: comparison?.worstRow.error ?? NaN,
    oracleRows: oracle.picked.length,
    planMilliseconds: stats.planMilliseconds,
    compileMilliseconds: measured.compileMilliseconds,
    file: writeOut(folder, `${id}.attnc-${robust ? 'on' : 'off'}`, (kept as Rows).out),
  };
}
