/**
 * What README shows, taken apart so that a test can run it:
 *
 * - ```` ```console ```` blocks: `$ command` lines, each with the output below it. `…` stands for what differs from run to
 *   run (times, devices); a line that is only `…` for any number of lines.
 * - pictures: `<!-- attnc draw FILE … -->` right before an `<img src="docs/…">`; with `-` for FILE, the `attn` block above.
 */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fencedBlocks } from './pictures.js';

export const readmeFile = 'README.md';
const BUILT = ['../../bin/attnc.js', '../../cli/main.js'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);
/** What users run: the bundle, where there is one. */
const CLI = BUILT.find((path) => existsSync(path)) ?? BUILT[1];

export interface Example {
  readonly command: string;
  /** What is shown of its output, markers included. */
  readonly shown: string;
}

export function examplesOf(document: string): readonly Example[] {
  const blocks = fencedBlocks(document).filter((b) => b.language === 'console');
  return blocks.flatMap(({ text }) =>
    text
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const [, command, shown] = /^((?:[^\n]*\\\n)*[^\n]*)\n([^]*)$/.exec(part) ?? ['', part, ''];
        return { command: command.replace(/\\\n\s*/g, ''), shown: shown.trimEnd() };
      }),
  );
}

/** Does the output look as shown? */
export function matches(output: string, shown: string): boolean {
  const escaped = shown.split('\n').map((line) =>
    line.trim() === '…'
      ? '(?:.*\\n)*?'
      : `${line
          .split('…')
          .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
          .join('.*')} *\\n`,
  );
  return new RegExp(`^${escaped.join('')}$`).test(`${output.trimEnd()}\n`);
}

export interface Picture {
  readonly file: string;
  /** Arguments of attnc. */
  readonly words: readonly string[];
  readonly stdin: string;
}

export function picturesOf(document: string): readonly Picture[] {
  const blocks = fencedBlocks(document).filter((b) => b.language === 'attn');
  return [...document.matchAll(/<!-- attnc (draw [^\n]*) -->\s*<img src="([^"]+)"/g)].map((m) => {
    const above = blocks.filter((b) => b.after <= m.index).at(-1);
    const words = m[1].split(' ');
    return { file: m[2], words, stdin: words[1] === '-' ? (above?.text ?? '') : '' };
  });
}

/** Redraws what is stale; returns the files' names. */
export async function updatePictures(): Promise<readonly string[]> {
  const changed: string[] = [];
  for (const picture of picturesOf(readFileSync(readmeFile, 'utf8'))) {
    const drawn = await draw(picture);
    const old = await Promise.resolve()
      .then(() => readFileSync(picture.file, 'utf8'))
      .catch(() => undefined);
    if (drawn === old) continue;
    writeFileSync(picture.file, drawn);
    changed.push(picture.file);
  }
  return changed;
}

export async function draw(picture: Picture): Promise<string> {
  const { status, stdout, stderr } = await execute(
    process.execPath,
    [CLI, ...picture.words, '--format', 'svg'],
    { stdin: picture.stdin },
  );
  if (status !== 0) throw new Error(`${picture.words.join(' ')}: ${stderr}`);
  return stdout;
}

export interface Executed {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function execute(
  file: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly path?: string; readonly stdin?: string } = {},
): Promise<Executed> {
  const { cwd, path, stdin = '' } = options;
  const env = { ...process.env, NO_COLOR: '1', ...(path === undefined ? {} : { PATH: path }) };
  return new Promise((done) => {
    const child = execFile(file, args, { cwd, env, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      done({ status, stdout, stderr });
    });
    // A command that reads nothing may be gone before it is given this.
    child.stdin?.on('error', () => undefined).end(stdin);
  });
}

/**
 * Runs command lines one after the other in a folder that looks like the package's root, as far as they need it, and
 * keeps what they write. `attnc` is the one that was built with this file.
 */
export async function runExamples(
  examples: readonly Example[],
  each: (example: Example, result: { readonly status: number; readonly output: string }) => void,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'attnc-readme-'));
  try {
    for (const name of ['samples', 'test']) symlinkSync(resolve(name), join(folder, name), 'dir');
    const shim = join(folder, 'attnc');
    writeFileSync(shim, `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`);
    chmodSync(shim, 0o755);
    const path = `${folder}:${process.env.PATH ?? ''}`;
    for (const example of examples) {
      const script = `exec 2>&1\n${example.command.replace(/\bnpx attnc\b/g, 'attnc')}\n`;
      const { status, stdout } = await execute('/bin/sh', ['-c', script], { cwd: folder, path });
      // What Dawn says of a driver, and attnc of work past a second.
      const output = stdout.replace(/^(attnc: .* …|Warning: .*)\n/gm, '');
      each(example, { status, output });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
