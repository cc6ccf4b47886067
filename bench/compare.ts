/** `npm run bench:compare`: attnc against others on this machine. README.md says what it does and what it needs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OwnResult } from './attnc-side.js';
import { runApart, runTasks, type ChildResults } from './children.js';
import { writeFlex } from './flex.js';
import { readOut, sampledRows, writeJobs, writeTables, type Job } from './jobs.js';
import { oneLine } from './messages.js';
import { pick, readOracle } from './oracle.js';
import { readOptions, USAGE, type Options } from './options.js';
import { packageRoot } from './package-root.js';
import { markdown } from './report.js';
import { rowResult, type Results, type RowResult } from './results.js';
import { CITED, ROWS, type Peer, type Row } from './rows.js';
import { PEER_DIFFERENCE, relativeDifference, type PeerTime, type Spread } from './verdict.js';
import { ownVersions } from './versions.js';

/** Milliseconds that the oracle may take for a row, beyond its first rows. */
const ORACLE_PATIENCE = 4000;
/** Seconds of silence after which a process is given up. */
const SILENCE = { prepare: 150, time: 90, attnc: 120, oracle: 120, onnx: 120 } as const;

const TORCH: readonly Peer[] = ['flex', 'sdpa_flash', 'sdpa_cudnn', 'longnet_eager', 'longnet_compiled'];
/** What takes long to compile. */
const COMPILED: readonly Peer[] = ['flex', 'longnet_compiled'];

const none: ChildResults = { results: new Map(), failures: new Map(), facts: {} };
const begun = performance.now();
const say = (line: string): void => {
  process.stderr.write(`[${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s] ${line}\n`);
};
const script = (name: string): string => fileURLToPath(new URL(`./${name}`, import.meta.url));

async function main(): Promise<number> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${oneLine(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (options === 'list') {
    for (const r of ROWS) process.stdout.write(`${r.group.padEnd(8)} ${r.id.padEnd(24)} ${r.title}\n`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), 'attnc-comparison-'));
  try {
    const results = await compare(folder, options);
    mkdirSync(options.out, { recursive: true });
    const files = ['comparison.json', 'comparison.md'].map((name) => join(options.out, name));
    writeFileSync(files[0], `${JSON.stringify(results, undefined, 1)}\n`);
    writeFileSync(files[1], `${markdown(results)}\n`);
    process.stdout.write(`${markdown(results)}\n`);
    say(`written: ${files.join(', ')}`);
    return results.rows.every((r) => !('why' in r.off)) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function compare(folder: string, options: Options): Promise<Results> {
  const date = new Date().toISOString();
  const root = packageRoot();
  const { rows, without, blocks, device, warmUp, patience } = options;
  const deadline = begun + options.deadline;
  say(`tables of ${rows.length} rows`);
  const jobs = rows.map((row): Job => {
    const robust = !without.includes('robust') && row.goals.length > 0;
    return {
      row,
      tables: writeTables(folder, row),
      rows: sampledRows(row.shape.queries),
      robustness: robust ? [false, true] : [false],
      flex: row.peers.includes('flex') ? writeFlex(folder, row) : undefined,
    };
  });
  writeJobs(folder, { jobs, device: device ?? null, warmUp, patience, blocks });

  const peers = join(root, 'bench/peers/main.py');
  const torch = (mode: 'prepare' | 'time') => ({
    command: options.python,
    args: [peers, mode, folder],
    patience: SILENCE[mode === 'prepare' ? 'prepare' : 'time'],
    name: mode === 'prepare' ? 'torch, preparing' : 'torch',
    // Many compile beside each other already.
    env: { TORCHINDUCTOR_COMPILE_THREADS: '1', OMP_NUM_THREADS: '2', PYTHONWARNINGS: 'ignore' },
    deadline,
  });
  const node = (name: 'attnc' | 'oracle' | 'onnx', ...args: readonly string[]) => ({
    command: process.execPath,
    // Tensors of several hundred megabytes are no rarity here.
    args: ['--max-old-space-size=16384', script(`${name}-side.js`), folder, ...args],
    patience: SILENCE[name],
    name,
    deadline,
  });
  const torchTasks = without.includes('torch') ? [] : tasksOf(jobs, TORCH);
  const compiled = torchTasks.filter((t) => COMPILED.some((p) => t.endsWith(`/${p}`)));

  // Nothing is timed here, so all of it may go on at once.
  const atOnce = options.atOnce ?? Math.max(1, Math.floor((3 * cpus().length) / 4));
  const [oracle, prepared] = await Promise.all([
    runApart(
      node('oracle', String(ORACLE_PATIENCE)),
      rows.map((r) => r.id),
      Math.ceil(atOnce / 2),
      say,
    ),
    runApart(torch('prepare'), compiled, atOnce, say),
  ]);

  // From here on one process at a time has the device.
  const ready = jobs.filter((j) => !oracle.failures.has(j.row.id));
  const own = await runTasks(
    node('attnc'),
    ready.flatMap((j) => j.robustness.map((on) => `${j.row.id}/${on ? 'on' : 'off'}`)),
    say,
  );
  const timedTasks = torchTasks.filter((t) => !prepared.failures.has(t));
  const timed = timedTasks.length === 0 ? none : await runTasks(torch('time'), timedTasks, say);
  const onnxRows = rows.filter((r) => r.peers.includes('onnx'));
  const onnx = without.includes('onnx')
    ? none
    : await runTasks(
        node('onnx'),
        onnxRows.map((r) => r.id),
        say,
      );

  const ceilings = (own.facts.ceilings ?? {
    copy: NaN,
    f32: NaN,
    matrixShape: 'not measured',
  }) as Results['ceilings'];
  const found = rows.map((row): RowResult => {
    const mine = (setting: 'off' | 'on'): OwnResult | { readonly why: string } => {
      const task = `${row.id}/${setting}`;
      const why = own.failures.get(task) ?? oracle.failures.get(row.id) ?? 'not run';
      return (own.results.get(task) as OwnResult | undefined) ?? { why };
    };
    const off = mine('off');
    const robust = jobs.find((j) => j.row === row)?.robustness.includes(true) ?? false;
    const times = row.peers.map((peer): [Peer, PeerTime] => {
      const task = `${row.id}/${peer}`;
      if (peer === 'bound' || peer === 'cited') return [peer, computed(peer, row, off, ceilings)];
      const [side, key] = peer === 'onnx' ? [onnx, row.id] : [timed, task];
      const result = side.results.get(key) as PeerResult | undefined;
      const why = side.failures.get(key) ?? prepared.failures.get(key) ?? 'left out';
      return [peer, result === undefined ? { why } : compared(folder, row, off, result)];
    });
    return rowResult(row, off, robust ? mine('on') : undefined, Object.fromEntries(times));
  });
  const { torch: torchVersion, triton, cuda, cudnn } = { ...prepared.facts, ...timed.facts };
  return {
    format: 'attnc-comparison',
    version: 1,
    date,
    versions: {
      ...ownVersions(root, options.commit),
      torch: torchVersion,
      triton,
      CUDA: cuda,
      cuDNN: cudnn,
      onnxruntime: onnx.facts.onnxruntime,
    },
    card: String(own.facts.device ?? 'no device'),
    ceilings,
    small: options.small,
    rows: found,
  };
}

const tasksOf = (jobs: readonly Job[], peers: readonly Peer[]): readonly string[] =>
  jobs.flatMap((j) =>
    [...new Set(j.row.peers)].filter((p) => peers.includes(p)).map((p) => `${j.row.id}/${p}`),
  );

interface PeerResult {
  readonly milliseconds: Spread;
  readonly variant?: string;
  readonly how?: string;
  readonly file: string;
}

/** A peer's time, if its rows are ours and the oracle's. */
function compared(folder: string, row: Row, off: RowResult['off'], result: PeerResult): PeerTime {
  const theirs = readOut(folder, result.file);
  const oracle = readOracle(folder, row.id);
  const fromOracle = relativeDifference(pick(theirs, oracle), oracle.out);
  if (!(fromOracle <= PEER_DIFFERENCE)) {
    return { why: `its rows differ from the oracle's by ${fromOracle.toExponential(1)}` };
  }
  const difference = 'why' in off ? undefined : relativeDifference(readOut(folder, off.file), theirs);
  if (difference !== undefined && !(difference <= PEER_DIFFERENCE)) {
    return { why: `its rows differ from ours by ${difference.toExponential(1)}` };
  }
  return { milliseconds: result.milliseconds, variant: result.variant ?? result.how ?? '', difference };
}

/** Times that nobody ran: one on record, and K's and V's rows read once an edge at a copy's speed. */
function computed(
  peer: 'bound' | 'cited',
  row: Row,
  off: RowResult['off'],
  ceilings: Results['ceilings'],
): PeerTime {
  const exactly = (median: number): Spread => ({ median, p10: median, p90: median });
  if (peer === 'cited') return { milliseconds: exactly(CITED), variant: 'on record', difference: undefined };
  if ('why' in off) return { why: 'the edges were not counted' };
  const bytes = off.needed * (row.shape.dim + row.shape.valueDim) * (row.dtype === 'f16' ? 2 : 4);
  return {
    milliseconds: exactly((1000 * bytes) / ceilings.copy),
    variant: 'computed',
    difference: undefined,
  };
}

process.exitCode = await main();
