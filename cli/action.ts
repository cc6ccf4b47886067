import { Reported } from './load.js';
import { STATUS, type DiagnosticsFormat, type Session } from './session.js';

interface Common {
  readonly diagnostics?: DiagnosticsFormat;
}

/**
 * A command's action: what it returns is the exit status, and whatever it throws is reported in the format that
 * `--diagnostics` asks for.
 */
export function action<A, O extends Common>(
  session: Session,
  work: (argument: A, options: O) => Promise<number>,
): (argument: A, options: O) => Promise<void> {
  return async (argument, options) => {
    session.setFormat(options.diagnostics ?? 'pretty');
    try {
      session.status = await work(argument, options);
    } catch (error) {
      session.status = error instanceof Reported ? STATUS.failed : session.error(error);
    } finally {
      session.progress.done();
    }
  };
}
