import { AttncError, isAttncError } from '../../errors.js';
import { named } from '../../files/node.js';

/** Runs `work`, which writes to `file`; a failure tells what becomes of the bands before it. */
export async function keepingDone<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await named(file, work);
  } catch (error) {
    if (!isAttncError(error, 'file-access')) throw error;
    throw new AttncError('file-access', error.problem, {
      help: 'what is finished is kept: make room and go on with --resume',
      details: error.details,
      cause: error.cause,
    });
  }
}
