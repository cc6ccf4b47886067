/** Ranks on this machine, for tests: mpirun with our own scripts. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';

export interface Ran {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

export interface RunOptions {
  /** What carries the messages: shared memory, or TCP over the loopback. */
  readonly transport?: 'vader' | 'tcp';
  readonly env?: Readonly<Record<string, string>>;
  /** After which it is ended; 60 if not given. */
  readonly seconds?: number;
  /** Called with each piece of standard output, and what sends mpirun a signal. */
  readonly onOutput?: (text: string, signal: (name: NodeJS.Signals) => void) => void;
}

const scenarios = fileURLToPath(new URL('./scenarios.js', import.meta.url));

/** The command for one of scenarios.ts. */
export const scenario = (name: string): readonly string[] => [
  process.execPath,
  '--expose-gc',
  scenarios,
  name,
];

/** Nothing leaves the machine: no remote shell, no other network than the loopback. */
function mpirunArguments(ranks: number, transport: 'vader' | 'tcp'): string[] {
  const mca = {
    plm: 'isolated',
    pml: 'ob1',
    btl: `self,${transport}`,
    btl_tcp_if_include: 'lo',
    oob_tcp_if_include: 'lo',
  };
  return [
    ...(process.getuid?.() === 0 ? ['--allow-run-as-root'] : []),
    ...['-q', '--oversubscribe', '--bind-to', 'none', '-n', `${ranks}`],
    ...Object.entries(mca).flatMap(([name, value]) => ['--mca', name, value]),
  ];
}

/** Runs a command on each rank; one that hangs is ended, with a signal as its status. */
export function mpirun(ranks: number, command: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { transport = 'vader', env = {}, seconds = 60, onOutput } = options;
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn('mpirun', [...mpirunArguments(ranks, transport), ...command], {
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 1000 * seconds,
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (part: Buffer) => {
      stdout += part.toString();
      onOutput?.(stdout, (name) => child.kill(name));
    });
    child.stderr.on('data', (part: Buffer) => {
      stderr += part.toString();
    });
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, stdout, stderr, seconds: (performance.now() - began) / 1000 });
    });
  });
}

const there = process.platform === 'linux' && spawnSync('mpirun', ['--version']).status === 0;
if (!there)
  console.log('skipped: tests of several ranks, as there is no mpirun (apt-get install openmpi-bin)');

/** Tests that need mpirun; skipped, with a note, where there is none, or for want of what else they need. */
export const mpiTestWith = (more: boolean) => (there && more ? test.serial : test.serial.skip);
export const mpiTest = mpiTestWith(true);
