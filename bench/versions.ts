import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** A command's output without the line's end; undefined where there is no such command or it fails. */
export function outputOf(command: string, args: readonly string[], cwd?: string): string | undefined {
  try {
    const text = execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return text.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** What attnc runs on, and from what it was built. */
export function ownVersions(
  root: string,
  commit: string | undefined,
): Readonly<Record<string, string | undefined>> {
  const require = createRequire(join(root, 'package.json'));
  const version = (name: string): string => (require(name) as { version: string }).version;
  const clean = outputOf('git', ['status', '--porcelain', '--untracked-files=no'], root) === undefined;
  const head = outputOf('git', ['rev-parse', '--short=10', 'HEAD'], root);
  const built = commit ?? (head && `${head}${clean ? '' : ' with changes'}`);
  return {
    attnc: `${version('./package.json')}${built ? ` (${built})` : ''}`,
    node: process.versions.node,
    webgpu: version('webgpu/package.json'),
    driver: outputOf('nvidia-smi', ['--query-gpu=driver_version', '--format=csv,noheader'])?.split('\n')[0],
  };
}
