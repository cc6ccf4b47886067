import type { StorageTypes } from '../../compiler/ir/program.js';
import { wrongResult } from '../../runtime/errors.js';
import { compare, type Comparison, type Reference } from '../../runtime/reference/index.js';
import type { Rows } from './buffers.js';

/** Rows of a result against the oracle's: a time of something wrong is worth nothing. */

/** Throws `wrong-result` where a row, or all of them together, are further from the oracle than they may be. */
export function checkRows(actual: Rows, expected: Reference, types: StorageTypes): Comparison {
  const found = compare(actual, expected, types);
  if (found.pass) return found;
  const place = (row: number | undefined): string => {
    const at = row === undefined ? undefined : expected.rows?.[row];
    return at ? ` in batch ${at.batch}, head ${at.head}, row ${at.row}` : '';
  };
  if (found.firstMisplaced) {
    const { what, row } = found.firstMisplaced;
    throw wrongResult(`${what} is not finite where the oracle is, or the reverse,${place(row)}`);
  }
  const measures = [
    { what: 'out', ...found.worstRow },
    { what: 'out', ...found.whole },
    ...(found.lse ? [{ what: 'lse', ...found.lse }] : []),
  ];
  const worst = measures.find((m) => m.error > m.tolerance) ?? measures[0];
  throw wrongResult(
    `${worst.what} differs from the oracle by ${worst.error.toExponential(2)}${place(worst.row)}, ` +
      `which may be ${worst.tolerance.toExponential(2)}`,
  );
}
