/** `npm run bench:long`: sequences past one binding, past the device's memory, from files. README.md says how. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDevice } from '../runtime/node/index.js';
import { makeInputs, removeInputs, type Inputs } from './long/disk.js';
import { runFiles, type FilesResult } from './long/files.js';
import { runGenerated, type GeneratedResult } from './long/generated.js';
import { markdown, type LongResults, type Of, type ResidentPair } from './long/report.js';
import { runResident } from './long/resident.js';
import { SUBJECTS, type Subject } from './long/subjects.js';
import { warmUp } from './long/warm-up.js';
import { oneLine } from './messages.js';

const USAGE = `node dist/bench/long.js [options]

  --parts LIST    resident, generated, files (default: all)
  --subjects LIST window, dilated, longnet (default: all; generated runs LongNet alone)
  --out DIR       where long.json and long.md are written (default: .)
  --scale N       divides all lengths, to try it out on a software device (default: 1)
  --folder DIR    where files are written (default: a temporary folder)
  --file-tokens N tokens in files (default: 16000000)
  --cold          take files out of the machine's memory before they are read: as root, on Linux
  --binding BYTES most bytes bound at once (default: what the device allows)
  --memory BYTES  device memory of streamed runs (default: 16 GiB)
  --device NAME   as attnc --device has it
  --commit TEXT   what attnc was built from
  --deadline S    seconds after which nothing is begun any more
`;

const SHORT = 1_000_000;
const LONG = 160_000_000;
const BILLION = 1_000_000_000;
/** Rows that the oracle looks at. */
const ROWS = { resident: 64, generated: 1024, files: 256 } as const;

const begun = performance.now();
const seconds = (): number => (performance.now() - begun) / 1000;
const say = (line: string): void =>
  void process.stderr.write(`[${seconds().toFixed(0).padStart(4)} s] ${line}\n`);

function positive(option: string, text: string): number {
  const n = Number(text);
  if (n > 0 && Number.isFinite(n)) return n;
  throw new Error(`${option} ${text}: it takes a number past 0`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      parts: { type: 'string', default: 'resident,generated,files' },
      subjects: { type: 'string', default: SUBJECTS.map((s) => s.id).join(',') },
      out: { type: 'string', default: '.' },
      scale: { type: 'string', default: '1' },
      folder: { type: 'string' },
      'file-tokens': { type: 'string', default: '16000000' },
      cold: { type: 'boolean', default: false },
      binding: { type: 'string' },
      memory: { type: 'string', default: String(2 ** 34) },
      device: { type: 'string' },
      commit: { type: 'string' },
      deadline: { type: 'string', default: 'Infinity' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const parts = values.parts.split(',');
  const subjects = SUBJECTS.filter((s) => values.subjects.split(',').includes(s.id));
  const scale = positive('--scale', values.scale);
  const bindingBytes = values.binding === undefined ? undefined : positive('--binding', values.binding);
  const deviceBytes = positive('--memory', values.memory);
  const tokens = (n: number): number => Math.max(1, Math.round(n / scale));
  const failures: { what: string; why: string }[] = [];
  /** A part that fails doesn't keep the others from being measured. */
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<readonly T[]> => {
    if (seconds() > Number(values.deadline)) {
      failures.push({ what, why: 'not begun: out of time' });
      return [];
    }
    say(what);
    try {
      return [await work()];
    } catch (error) {
      failures.push({ what, why: oneLine(error) });
      say(`${what}: ${oneLine(error)}`);
      return [];
    }
  };

  const opened = await openDevice({
    device: values.device,
    features: 'offered',
    limits: 'offered',
    robustness: false,
    onProblem: say,
  });
  const { device } = opened;
  const named = (s: Subject) => ({ id: s.id, title: s.title });
  const resident: ResidentPair[] = [];
  const generated: Of<GeneratedResult>[] = [];
  const files: Of<FilesResult>[] = [];
  /** After every part: what comes later may take the process with it. */
  const keep = (): string => {
    const date = new Date().toISOString();
    const results: LongResults = {
      ...{ date, commit: values.commit, device: opened.name, scale },
      ...{ resident, generated, files, failures },
    };
    mkdirSync(values.out, { recursive: true });
    writeFileSync(join(values.out, 'long.json'), `${JSON.stringify(results, undefined, 1)}\n`);
    writeFileSync(join(values.out, 'long.md'), `${markdown(results)}\n`);
    return markdown(results);
  };
  const full = scale === 1;
  try {
    for (const s of parts.includes('resident') ? subjects : []) {
      const tried = full ? { warmUp: 300 } : { warmUp: 0, runs: 1 };
      const options = { bindingBytes, ...tried, settle: opened.kind === 'gpu', rows: ROWS.resident };
      const pair = await attempt(`${s.id}, resident`, async () => ({
        ...named(s),
        short: await runResident(device, s, tokens(SHORT), options),
        long: await runResident(device, s, tokens(LONG), { ...options, runs: full ? 5 : 1 }),
      }));
      resident.push(...pair);
      keep();
    }
    const generate = async (s: Subject): Promise<Of<GeneratedResult>> => {
      if (full) await warmUp(device, s, bindingBytes);
      const options = { deviceBytes, bindingBytes, rows: ROWS.generated, say };
      return { ...named(s), ...(await runGenerated(device, s, tokens(BILLION), options)) };
    };
    for (const s of parts.includes('generated') ? subjects.filter((x) => x.id === 'longnet') : []) {
      generated.push(...(await attempt(`${s.id}, generated`, () => generate(s))));
      keep();
    }
    const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'attnc-long-'));
    mkdirSync(folder, { recursive: true });
    let made: readonly Inputs[] = [];
    const stream = async (s: Subject, inputs: Inputs): Promise<Of<FilesResult>> => {
      if (full) await warmUp(device, s, bindingBytes);
      const options = { deviceBytes, hostBytes: 2 ** 29, bindingBytes, rows: ROWS.files, say };
      return { ...named(s), ...(await runFiles(device, s, inputs, options)) };
    };
    try {
      const make = () =>
        makeInputs(
          device,
          folder,
          tokens(positive('--file-tokens', values['file-tokens'])),
          values.cold,
          say,
        );
      const streamed = parts.includes('files') ? subjects.filter((x) => x.id !== 'dilated') : [];
      if (streamed.length > 0) made = await attempt('files', make);
      for (const inputs of made) {
        for (const s of streamed) {
          files.push(...(await attempt(`${s.id}, files`, () => stream(s, inputs))));
          keep();
        }
      }
    } finally {
      for (const inputs of made) removeInputs(inputs);
      if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
    }
    process.stdout.write(`${keep()}\n`);
    const right = [...resident.flatMap((r) => [r.short, r.long]), ...generated, ...files].every(
      (r) => r.pass,
    );
    return failures.length === 0 && right ? 0 : 1;
  } finally {
    opened.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${oneLine(error)}\n`);
  process.exitCode = 2;
}
