// The ways in which ranks fail that no other part of the runtime knows.

import { AttncError } from '../../errors.js';

/** MPI cannot be used at all. `why` is a clause. */
export function noMpi(why: string, help: string, cause?: unknown): AttncError {
  return new AttncError('no-mpi', `MPI cannot be used: ${why}`, { help, details: { why }, cause });
}

/** An MPI function returned an error. `reason` is MPI's own text for `code`. */
export function mpiFailed(what: string, code: number, reason: string): AttncError {
  return new AttncError('mpi-failed', `${what} failed: ${reason}`, { details: { what, code, reason } });
}

/** Not all ranks came to MPI's start. */
export function mpiStuck(seconds: number): AttncError {
  return new AttncError('mpi-failed', `after ${seconds} s not all ranks have started MPI`, {
    help: 'a rank ended before, or hosts do not reach each other (mpirun --mca btl_tcp_if_include names a network)',
    details: { seconds },
  });
}

/** A message whose length is not the one that its receiver counted on; `sent` is undefined where it was longer. */
export function wrongLength(
  from: number,
  tag: number,
  expected: number,
  sent: number | undefined,
): AttncError {
  const actual = sent === undefined ? 'more' : `${sent}`;
  return new AttncError(
    'mpi-failed',
    `the message of tag ${tag} from rank ${from} must have ${expected} bytes, but has ${actual}`,
    { help: 'this is a bug in attnc, please report it', details: { from, tag, expected, sent } },
  );
}

/** Ranks were given unlike things. Thrown on all ranks alike, with the same text. */
export function ranksDiffer(differences: readonly string[], left: number): AttncError {
  const more = left === 0 ? '' : `; and ${left} more`;
  return new AttncError('ranks-differ', `the ranks differ: ${differences.join('; ')}${more}`, {
    help: 'start all ranks with the same program, options and inputs',
    details: { differences },
  });
}

/** `rank 3`, `ranks 0 to 2 and 5`: for messages. Ascending numbers in. */
export function ranksText(ranks: readonly number[]): string {
  const runs: (readonly [first: number, last: number])[] = [];
  for (const rank of ranks) {
    const before = runs.at(-1);
    if (before !== undefined && before[1] === rank - 1) runs[runs.length - 1] = [before[0], rank];
    else runs.push([rank, rank]);
  }
  const words = runs.flatMap(([first, last]) => {
    if (first === last) return [`${first}`];
    return last === first + 1 ? [`${first}`, `${last}`] : [`${first} to ${last}`];
  });
  const shown = words.length > 6 ? [...words.slice(0, 5), `${words.length - 5} more`] : words;
  const list = shown.length === 1 ? shown[0]! : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)!}`;
  return `${ranks.length === 1 ? 'rank' : 'ranks'} ${list}`;
}
