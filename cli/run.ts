import { CommanderError } from 'commander';
import { usageError } from '../runtime/errors.js';
import { createProgram } from './program.js';
import type { Io } from './io.js';
import { createSession, STATUS, type DiagnosticsFormat } from './session.js';

/**
 * The whole command line: arguments without `node` and the script's name in, exit status out. 0 done, 1 diagnostics or
 * verification failed, 2 wrong usage, 3 no usable device. Never throws, never exits the process.
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const session = createSession(io, formatOf(argv));
  try {
    await createProgram(session).parseAsync([...argv], { from: 'user' });
  } catch (error) {
    session.status = error instanceof CommanderError ? wrongUsage(error) : session.error(error);
  }
  session.finish();
  return session.status;

  function wrongUsage(error: CommanderError): number {
    // Help and the version were asked for and have been printed; `commander.help` is help for lack of a command.
    if (error.exitCode === 0) return STATUS.done;
    if (error.code === 'commander.help') return STATUS.usage;
    const [problem, ...more] = error.message
      .replace(/^error: /, '')
      .replace(/\.$/, '')
      .split('\n');
    const hint = more.join(' ').replace(/^\(|\)$/g, '');
    const text = problem.replace(/ argument '(.*)' is invalid\. It must be /s, ": '$1' must be ");
    return session.error(usageError(text, hint === '' ? 'see --help' : hint));
  }
}

/** Wanted before the arguments are known to be right: for saying what is wrong with them. */
function formatOf(argv: readonly string[]): DiagnosticsFormat {
  const at = argv.findIndex((a) => a === '--diagnostics' || a.startsWith('--diagnostics='));
  const value = at < 0 ? '' : (argv[at].split('=')[1] ?? argv[at + 1] ?? '');
  return value === 'plain' || value === 'json' ? value : 'pretty';
}
