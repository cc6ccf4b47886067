import { Option, type Command } from 'commander';
import type { EncodeStats } from '../runtime/encode.js';
import type { TunedChoices } from '../runtime/tuned.js';
import type { Session } from './session.js';

/** Choices that `attnc tune` kept, for the commands that run programs. */

export interface TunedOptions {
  readonly tuned?: boolean;
  readonly cache?: string;
}

export const cacheOption = (): Option =>
  new Option(
    '--cache <file>',
    'file of tuned choices (default: ATTNC_TUNED, or tuned.json in the user’s cache folder)',
  );

export const addTunedOptions = (command: Command): Command =>
  command.addOption(cacheOption()).option('--no-tuned', 'choose kernels without what `attnc tune` measured');

/** The file that the options or the environment name. */
export async function cacheFile(session: Session, options: TunedOptions): Promise<string> {
  const { tunedFile } = await import('../runtime/node/index.js');
  return options.cache ?? tunedFile(session.io.env);
}

/** A broken file is told of and ignored. */
export async function tunedFor(session: Session, options: TunedOptions): Promise<TunedChoices | undefined> {
  if (options.tuned === false) return undefined;
  const { loadTuned } = await import('../runtime/node/index.js');
  return loadTuned(await cacheFile(session, options), (message) => session.note(`attnc: ${message}`));
}

/** ", tuned" behind the name of what runs. */
export const tunedText = ({ tuned }: Pick<EncodeStats, 'tuned'>): string => (tuned ? ', tuned' : '');
