import { InvalidArgumentError, type Command } from 'commander';
import { usageError } from '../../runtime/errors.js';
import type { StorageType } from '../../compiler/ir/program.js';
import { wholeNumber, type PatternOptions, type ShapeOptions } from '../options.js';
import type { TunedOptions } from '../tuned.js';

/** Options of streamed runs, of `attnc run` and `attnc explain`. */

export interface BudgetOptions {
  /** Bytes. */
  readonly memory?: number;
  readonly hostMemory?: number;
  readonly binding?: number;
}

export interface StreamRunOptions extends BudgetOptions {
  readonly stream?: boolean;
  readonly resume?: boolean;
  readonly checksum?: boolean;
  readonly journal?: string;
  /** Rows. */
  readonly sample?: number;
}

/** All that `attnc run` passes on. */
export interface StreamedOptions extends StreamRunOptions, PatternOptions, ShapeOptions, TunedOptions {
  readonly random?: boolean;
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly output?: string;
  readonly device?: string;
  readonly allowDense?: boolean;
  readonly json?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** A number of bytes: `65536`, `64K`, `1.5G`; K is 1024. */
export function byteCount(text: string): number {
  const [, digits, unit] = /^(\d[\d_]*(?:\.\d+)?)([KMGT]?)$/i.exec(text) ?? [];
  const value =
    digits === undefined ? NaN : Math.floor(Number(digits.replaceAll('_', '')) * UNITS[unit.toUpperCase()]);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError('It must be a number of bytes, such as 65536, 64K, 1.5M or 8G.');
  }
  return value;
}

export function addBudgetOptions(command: Command): Command {
  return command
    .option('--memory <bytes>', 'most memory on the device: 1M, 8G (default: 4G)', byteCount)
    .option('--host-memory <bytes>', 'most memory for rows under way on the host (default: 1G)', byteCount)
    .option('--binding <bytes>', 'most bytes bound at once (default: what the device binds)', byteCount);
}

export function addStreamOptions(command: Command): Command {
  command.option('--stream', 'run band by band, as is done where tensors are past one binding or the memory');
  return addBudgetOptions(command)
    .option('--resume', 'go on with a streamed run that was stopped, at the band where it stopped')
    .option('--checksum', 'write no file, but say the sum of all rows')
    .option('--journal <file>', 'note here what a run without -o has finished, for --resume')
    .option(
      '--sample <n>',
      'compare n rows, spread over everything, with the oracle',
      wholeNumber(1, 1_000_000),
    );
}

const MEANING_STREAM = [
  'stream',
  'memory',
  'hostMemory',
  'binding',
  'resume',
  'checksum',
  'journal',
  'sample',
] as const;

/** Do the options ask for a streamed run? Any that only such a run has does. */
export const asksForStream = (options: StreamRunOptions): boolean =>
  MEANING_STREAM.some((name) => options[name] !== undefined);

/** Fails where options do not go together. */
export function checkStreamOptions(options: StreamRunOptions & { readonly output?: string }): void {
  if (options.checksum && options.output !== undefined) {
    throw usageError('--checksum writes no file, -o does', 'leave one of them out');
  }
  if (options.journal !== undefined && options.output !== undefined) {
    throw usageError('--journal is for runs without -o', `that of -o is ${options.output}.part.journal`);
  }
  if (options.resume && options.output === undefined && options.journal === undefined) {
    throw usageError(
      'nothing says what --resume goes on with',
      'give -o FILE or --journal FILE as the first run had it',
    );
  }
}
