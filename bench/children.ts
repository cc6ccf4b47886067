import { spawn, type ChildProcess } from 'node:child_process';
import { messageOf, type Message } from './messages.js';

/** Work that is done in processes of their own: one that dies or hangs costs its task, not the comparison. */

export interface ChildCommand {
  readonly command: string;
  /** Before the tasks. */
  readonly args: readonly string[];
  /** Seconds without a word after which a process is given up. */
  readonly patience: number;
  /** What stands at the front of what it prints besides messages. */
  readonly name: string;
  /** Besides the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** When the comparison must come to its end, by `performance.now()`. */
  readonly deadline: number;
}

export const OUT_OF_TIME = 'left out: the comparison was out of time';

export interface ChildResults {
  readonly results: ReadonlyMap<string, unknown>;
  readonly failures: ReadonlyMap<string, string>;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Runs the tasks one after the other in one process; where it dies, a new one goes on behind the task that it died of. */
export async function runTasks(
  child: ChildCommand,
  tasks: readonly string[],
  say: (line: string) => void,
): Promise<ChildResults> {
  const results = new Map<string, unknown>();
  const failures = new Map<string, string>();
  let facts: Record<string, unknown> = {};
  for (let left = tasks; left.length > 0;) {
    if (performance.now() >= child.deadline) {
      for (const task of left) failures.set(task, OUT_OF_TIME);
      say(`${child.name}: ${left.length} tasks left out, no time`);
      break;
    }
    let current: string | undefined;
    let since = performance.now();
    const end = await runOnce(child, left, (message) => {
      const seconds = `${((performance.now() - since) / 1000).toFixed(1)} s`;
      switch (message.kind) {
        case 'facts':
          facts = { ...facts, ...message.facts };
          break;
        case 'start':
          current = message.task;
          since = performance.now();
          break;
        case 'result':
          results.set(message.task, message.result);
          say(`${child.name} ${message.task}: ${medianOf(message.result) ?? 'done'} (${seconds})`);
          break;
        case 'failed':
          failures.set(message.task, message.why);
          say(`${child.name} ${message.task}: not done, ${message.why} (${seconds})`);
          break;
      }
    });
    left = left.filter((t) => !results.has(t) && !failures.has(t));
    if (left.length === 0) break;
    if (end === OUT_OF_TIME) continue;
    // Died before its first task, or between two: what it would have begun next is held responsible.
    const guilty = current !== undefined && left.includes(current) ? current : left[0];
    failures.set(guilty, end);
    say(`${child.name} ${guilty}: ${end}`);
    left = left.filter((t) => t !== guilty);
  }
  return { results, failures, facts };
}

function medianOf(result: unknown): string | undefined {
  const { milliseconds } = (result ?? {}) as { milliseconds?: { median: number } };
  return milliseconds && `${milliseconds.median.toPrecision(4)} ms`;
}

/** How it ended, in words. */
function runOnce(
  { command, args, patience, name, env, deadline }: ChildCommand,
  tasks: readonly string[],
  hear: (message: Message) => void,
): Promise<string> {
  return new Promise((resolve) => {
    const child: ChildProcess = spawn(command, [...args, ...tasks], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    let given: string | undefined;
    let timer: NodeJS.Timeout | undefined;
    let last = '';
    const alive = (): void => {
      clearTimeout(timer);
      const left = deadline - performance.now();
      const wait = Math.min(patience * 1000, left);
      timer = setTimeout(
        () => {
          given = wait === left ? OUT_OF_TIME : `given up after ${patience} s without a word`;
          child.kill('SIGKILL');
        },
        Math.max(0, wait),
      );
    };
    alive();
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const message = messageOf(line);
        if (message === undefined) continue;
        alive();
        hear(message);
      }
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      last = text.trim().split('\n').at(-1) || last;
      process.stderr.write(text.replace(/^(?=.)/gm, `  ${name}: `));
    });
    const done = (how: string): void => {
      clearTimeout(timer);
      resolve(given ?? how);
    };
    child.on('error', (error) => done(`${command} cannot be started: ${error.message}`));
    child.on('close', (code, signal) =>
      done(
        `the process ended (${signal ?? `status ${code}`})${last === '' ? '' : `: ${last.slice(0, 200)}`}`,
      ),
    );
  });
}

/** Runs every task in a process of its own, so many at a time. */
export async function runApart(
  child: ChildCommand,
  tasks: readonly string[],
  atOnce: number,
  say: (line: string) => void,
): Promise<ChildResults> {
  const results = new Map<string, unknown>();
  const failures = new Map<string, string>();
  let facts: Record<string, unknown> = {};
  const waiting = [...tasks];
  const worker = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      const one = await runTasks(child, [task], say);
      for (const [key, value] of one.results) results.set(key, value);
      for (const [key, value] of one.failures) failures.set(key, value);
      facts = { ...facts, ...one.facts };
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(atOnce, tasks.length)) }, worker));
  return { results, failures, facts };
}
