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
  --patience S    seconds after which a run of some ranks is given up (default: 300)
  --out DIR       where ranks.json and ranks.md are written (default: .)
`;

/** What of `attnc run --distributed --json` is read. */
interface Told {
  readonly milliseconds: readonly number[];
  readonly gpuMilliseconds: readonly number[] | null;
  readonly exchanged: { readonly rows: number; readonly bytes: number };
  readonly ranks: readonly { readonly device: { readonly name: string } }[];
  readonly sample: {
    readonly pass: boolean;
    readonly rows: number;
    readonly out: { readonly error: number };
  };
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
  /** Rows that match the oracle, and their relative error. */
  readonly rows: number;
  readonly error: number;
  readonly pass: boolean;
}

interface Failure {
  readonly subject: string;
  readonly ranks: number;
  readonly why: string;
}

/** Rows that the oracle looks at. */
const ROWS = 256;

interface Setting {
  readonly length: string;
  readonly heads: string;
  readonly repeats: string;
  readonly device?: string | undefined;
  readonly patience: string;
}

async function measure(subject: Subject, ranks: number, setting: Setting): Promise<Measured> {
  const { length, heads, repeats, device, patience } = setting;
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
    await output('mpirun', [...root, ...how, ...through, process.execPath, cli, ...args], Number(patience)),
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
    error: told.sample.out.error,
    pass: told.sample.pass,
  };
}

/** Standard output of a program; what it says on standard error is its failure's reason. */
function output(file: string, args: readonly string[], patience: number): Promise<string> {
  return new Promise((resolve, reject) => {
    // mpirun ends its ranks before it ends itself.
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 1000 * patience });
    let [out, err] = ['', ''];
    child.stdout.on('data', (part: Buffer) => (out += part.toString()));
    child.stderr.on('data', (part: Buffer) => (err += part.toString()));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      const late = child.killed ? `was ended after ${patience} s` : `died of ${signal}`;
      const how = signal ? `${file} ${late}` : `${file} ended with status ${status}`;
      if (status === 0) resolve(out);
      else reject(new Error([how, err.trim()].filter((part) => part !== '').join(': ')));
    });
  });
}

function markdown(
  all: readonly Measured[],
  failures: readonly Failure[],
  { length, heads }: Setting,
): string {
  const head = ['subject', 'ranks', 'ms', 'ms by the GPUs’ clocks', 'exchanged', 'speed'];
  head.push('rows checked', 'error');
  const rows = all.map((m) => {
    const one = all.find((o) => o.subject === m.subject && o.ranks === 1);
    const ratio = (a: number | undefined, b: number | undefined): string =>
      a === undefined || b === undefined ? '–' : `${(a / b).toFixed(2)} ×`;
    const speed = `${ratio(one?.milliseconds, m.milliseconds)}, by the clocks ${ratio(one?.gpuMilliseconds, m.gpuMilliseconds)}`;
    return [
      ...[m.subject, `${m.ranks}`, m.milliseconds.toFixed(3), m.gpuMilliseconds?.toFixed(3) ?? '–'],
      ...[`${(m.exchangedBytes / 1e6).toPrecision(3)} MB`, speed, `${m.rows}${m.pass ? '' : ': WRONG'}`],
      m.error.toExponential(1),
    ];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
  const names = new Set(all.flatMap((m) => m.devices));
  const failed = failures.map((f) => `\n${f.subject}, ranks: ${f.ranks}: ${f.why}\n`);
  const what = `${Number(length).toLocaleString('en')} tokens, ${heads} heads of ${DIM}, ${DTYPE}`;
  return `${[what, ...names].join(', ')}\n\n${table}\n${failed.join('')}`;
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
      patience: { type: 'string', default: '300' },
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
  const failures: Failure[] = [];
  /** After every run: what comes later may take the process with it. */
  const keep = (): string => {
    const { length, heads } = values;
    const date = new Date().toISOString();
    const results = { date, length: Number(length), heads: Number(heads), all, failures };
    const text = markdown(all, failures, values);
    mkdirSync(values.out, { recursive: true });
    writeFileSync(join(values.out, 'ranks.json'), `${JSON.stringify(results, undefined, 1)}\n`);
    writeFileSync(join(values.out, 'ranks.md'), text);
    return text;
  };
  const begun = performance.now();
  const say = (line: string): void =>
    void process.stderr.write(`[${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s] ${line}\n`);
  for (const subject of SUBJECTS.filter((s) => wanted.includes(s.id))) {
    for (const ranks of values.ranks.split(',').map(Number)) {
      say(`${subject.id}, ranks: ${ranks}`);
      try {
        const measured = await measure(subject, ranks, values);
        all.push(measured);
        say(`${measured.milliseconds.toFixed(3)} ms, ${measured.pass ? 'as the oracle says' : 'WRONG'}`);
      } catch (error) {
        failures.push({ subject: subject.title, ranks, why: oneLine(error) });
        say(oneLine(error));
      }
      keep();
    }
  }
  process.stdout.write(keep());
  return failures.length === 0 && all.every((m) => m.pass) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${oneLine(error)}\n`);
  process.exitCode = 2;
}
