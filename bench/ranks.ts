/** `npm run bench:ranks`: several GPUs of this host against one of them. README.md says how. */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { quantile } from '../runtime/timing/index.js';
import { DIM, DTYPE, SEED, SUBJECTS, type Subject } from './long/subjects.js';
import { oneLine } from './messages.js';
import { packageRoot } from './package-root.js';

const USAGE = `node dist/bench/ranks.js [options]

  --ranks LIST    numbers of ranks, each a GPU: 1 is what the others are compared with (default: 1,2)
  --subjects LIST window, dilated, longnet (default: window,longnet)
  --length N      tokens (default: 4000000)
  --heads N       (default: 8)
  --repeats N     runs that are timed (default: 20); the first fifth of them warms up
  --device NAME   as attnc --device has it; the ranks then share it, and one-gpu-a-rank.sh is left out
  --out DIR       where ranks.json and ranks.md are written (default: .)
`;

/** What of `attnc run --distributed --json` is read. */
interface Told {
  readonly milliseconds: readonly number[];
  readonly gpuMilliseconds: readonly number[] | null;
  readonly exchanged: { readonly rows: number; readonly bytes: number };
  readonly ranks: readonly { readonly device: { readonly name: string } }[];
  readonly sample: { readonly pass: boolean; readonly rows: number };
}

interface Measured {
  readonly subject: string;
  readonly ranks: number;
  readonly devices: readonly string[];
  /** Of the slowest rank, the median: from all ranks ready to the end of exchange and work. */
  readonly milliseconds: number;
  /** By the devices' clocks, where they have one. */
  readonly gpuMilliseconds: number | undefined;
  readonly exchangedBytes: number;
  /** Rows that match the oracle. */
  readonly rows: number;
  readonly pass: boolean;
}

/** Rows that the oracle looks at. */
const ROWS = 256;

interface Setting {
  readonly length: string;
  readonly heads: string;
  readonly repeats: string;
  readonly device?: string | undefined;
}

async function measure(subject: Subject, ranks: number, setting: Setting): Promise<Measured> {
  const { length, heads, repeats, device } = setting;
  const root = process.getuid?.() === 0 ? ['--allow-run-as-root'] : [];
  const how = ['-q', '--oversubscribe', '--bind-to', 'none', '--mca', 'plm', 'isolated', '-n', `${ranks}`];
  const through = device === undefined ? [join(packageRoot(), 'docs', 'one-gpu-a-rank.sh')] : [];
  const cli = fileURLToPath(new URL('../cli/main.js', import.meta.url));
  const pattern = [join(packageRoot(), 'samples', subject.file), '--pattern', subject.pattern];
  const set = Object.entries(subject.set).flatMap(([name, value]) => ['--set', `${name}=${String(value)}`]);
  const sizes = [
    '--random',
    '--length',
    length,
    '--heads',
    heads,
    '--head-size',
    `${DIM}`,
    '--seed',
    `${SEED}`,
  ];
  const types = ['--dtype', DTYPE, '--out-dtype', DTYPE];
  const rest = ['--distributed', '--repeats', repeats, '--sample', `${ROWS}`, '--json'];
  const own = device === undefined ? [] : ['--device', device];
  const args = ['run', ...pattern, ...set, ...sizes, ...types, ...own, ...rest];
  const told = JSON.parse(
    await output('mpirun', [...root, ...how, ...through, process.execPath, cli, ...args]),
  ) as Told;
  const steady = (times: readonly number[]): number =>
    quantile(
      times.slice(Math.floor(times.length / 5)).sort((a, b) => a - b),
      0.5,
    );
  return {
    ...{ subject: subject.title, ranks },
    devices: told.ranks.map((r) => r.device.name),
    milliseconds: steady(told.milliseconds),
    gpuMilliseconds: told.gpuMilliseconds ? steady(told.gpuMilliseconds) : undefined,
    exchangedBytes: told.exchanged.bytes,
    rows: told.sample.rows,
    pass: told.sample.pass,
  };
}

/** Standard output of a program; what it says on standard error is its failure's reason. */
function output(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (part: Buffer) => (out += part.toString()));
    child.stderr.on('data', (part: Buffer) => (err += part.toString()));
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(out);
      else reject(new Error(err.trim() || `${file} ended with status ${String(status)}`));
    });
  });
}

function markdown(all: readonly Measured[], { length, heads }: Setting): string {
  const head = ['subject', 'ranks', 'ms', 'ms by the GPUs’ clocks', 'exchanged', 'speed', 'rows checked'];
  const rows = all.map((m) => {
    const one = all.find((o) => o.subject === m.subject && o.ranks === 1);
    const ratio = (a: number | undefined, b: number | undefined): string =>
      a === undefined || b === undefined ? '–' : `${(a / b).toFixed(2)} ×`;
    const speed = `${ratio(one?.milliseconds, m.milliseconds)}, by the clocks ${ratio(one?.gpuMilliseconds, m.gpuMilliseconds)}`;
    return [
      ...[m.subject, `${m.ranks}`, m.milliseconds.toFixed(3), m.gpuMilliseconds?.toFixed(3) ?? '–'],
      ...[`${(m.exchangedBytes / 1e6).toPrecision(3)} MB`, speed, `${m.rows}${m.pass ? '' : ': WRONG'}`],
    ];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
  const names = [...new Set(all.flatMap((m) => m.devices))].join(', ');
  return `${Number(length).toLocaleString('en')} tokens, ${heads} heads of ${DIM}, ${DTYPE}, ${names}\n\n${table}\n`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      ranks: { type: 'string', default: '1,2' },
      subjects: { type: 'string', default: 'window,longnet' },
      length: { type: 'string', default: '4000000' },
      heads: { type: 'string', default: '8' },
      repeats: { type: 'string', default: '20' },
      device: { type: 'string' },
      out: { type: 'string', default: '.' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const wanted = values.subjects.split(',');
  const all: Measured[] = [];
  for (const subject of SUBJECTS.filter((s) => wanted.includes(s.id))) {
    for (const ranks of values.ranks.split(',').map(Number)) {
      process.stderr.write(`${subject.id}, ${ranks} ranks\n`);
      all.push(await measure(subject, ranks, values));
    }
  }
  const results = {
    date: new Date().toISOString(),
    length: Number(values.length),
    heads: Number(values.heads),
    all,
  };
  mkdirSync(values.out, { recursive: true });
  writeFileSync(join(values.out, 'ranks.json'), `${JSON.stringify(results, undefined, 1)}\n`);
  writeFileSync(join(values.out, 'ranks.md'), markdown(all, values));
  process.stdout.write(markdown(all, values));
  return all.every((m) => m.pass) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${oneLine(error)}\n`);
  process.exitCode = 2;
}
