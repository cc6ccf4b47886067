/** Runs the command line inside the test's process, or as a process of its own. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { run } from '../../cli/run.js';
import type { Io, Output } from '../../cli/io.js';

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it was written. */
  readonly bytes: Uint8Array;
}

export interface Surroundings {
  readonly stdin?: string | Uint8Array;
  readonly terminal?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** One run in this process. A line of words, or the arguments one by one. */
export async function attnc(args: string | readonly string[], around: Surroundings = {}): Promise<Outcome> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const output = (into: Uint8Array[]): Output => ({
    write: (data) => into.push(typeof data === 'string' ? Buffer.from(data) : data),
    isTTY: around.terminal ?? false,
    columns: around.terminal ? 100 : undefined,
  });
  const { stdin = '' } = around;
  const io: Io = {
    stdout: output(out),
    stderr: output(err),
    stdin: async () => (typeof stdin === 'string' ? Buffer.from(stdin) : stdin),
    // Nobody's own tuned choices.
    env: { ATTNC_TUNED: join(tmpdir(), 'attnc-nothing-tuned.json'), ...around.env },
  };
  const status = await run(typeof args === 'string' ? words(args) : args, io);
  const bytes = Buffer.concat(out);
  return { status, bytes, stdout: bytes.toString(), stderr: withoutProgress(Buffer.concat(err).toString()) };
}

/** Whether work takes longer than a second is the machine's business. */
const withoutProgress = (text: string): string => text.replace(/^attnc: (?!error).* …\n/gm, '');

const words = (line: string): string[] => line.split(' ').filter((w) => w !== '');

/** The command as installed, where it has been built; else its modules. */
export const COMMAND = ['../../bin/attnc.js', '../../cli/main.js']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path))!;

/** A process of its own: what a shell sees. */
export function spawned(
  command: string,
  args: readonly string[],
  stdin = '',
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: { ...process.env, NO_COLOR: '1' } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => out.push(part));
    child.stderr.on('data', (part: Buffer) => err.push(part));
    child.on('error', reject);
    child.on('close', (status) =>
      resolve({
        status,
        stdout: Buffer.concat(out).toString(),
        stderr: withoutProgress(Buffer.concat(err).toString()),
      }),
    );
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
  });
}

/** A folder that is gone after the test. */
export function scratch(t: ExecutionContext): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'attnc-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

/** The software device that tests run on, unless the environment says another. */
export const DEVICE = process.env.ATTNC_DEVICE ?? (process.platform === 'linux' ? 'swiftshader' : 'gpu');

/** No line of a stack trace, and nothing but whole lines. */
export function isTidy(text: string): boolean {
  return !/\n\s+at .*:\d+:\d+/.test(text) && (text === '' || text.endsWith('\n'));
}
