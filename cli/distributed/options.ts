import type { Command } from 'commander';
import { usageError } from '../../runtime/errors.js';
import { wholeNumber } from '../options.js';
import type { DiagnosticsFormat } from '../session.js';
import type { StreamedOptions } from '../stream/options.js';

/** Options of runs on several ranks. */

export interface DistributedRunOptions extends StreamedOptions {
  readonly distributed?: boolean;
  readonly repeats?: number;
  readonly diagnostics: DiagnosticsFormat;
}

export function addDistributedOptions(command: Command): Command {
  return command
    .option('--distributed', 'run on all ranks that mpirun started, a part of the sequence each')
    .option('--repeats <n>', 'with --distributed: compute so often, to measure', wholeNumber(1, 1000));
}

/** Fails where options do not go together. */
export function checkDistributedOptions(file: string, options: DistributedRunOptions): void {
  if (!options.distributed) {
    throw usageError('--repeats is for runs on several ranks', 'add --distributed, or see attnc bench');
  }
  if (file === '-') {
    throw usageError('--distributed: mpirun gives standard input to one rank only', 'name a file');
  }
  for (const name of ['stream', 'resume', 'journal'] as const) {
    if (options[name] === undefined) continue;
    throw usageError(`--${name} does not go with --distributed`, 'every rank holds its part of the sequence');
  }
  if (options.checksum && options.output !== undefined) {
    throw usageError('--checksum writes no file, -o does', 'leave one of them out');
  }
}
