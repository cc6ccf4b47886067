import type { StorageTypes } from '../../compiler/ir/program.js';
import {
  compare,
  rowReference,
  sampleRows,
  type Comparison,
  type RowIndex,
} from '../../runtime/reference/index.js';
import type { StreamSources } from '../../runtime/stream/plan.js';
import type { KeptRow } from '../../runtime/stream/rows.js';
import { keptResults } from '../../runtime/stream/summary.js';
import { randomNumbers } from '../random.js';
import type { Session } from '../session.js';
import type { Work } from '../work.js';

/** Some rows of a streamed run against the oracle. */

export interface SampleResult {
  readonly pass: boolean;
  /** Rows that were compared, in the comparison's order. */
  readonly rows: readonly RowIndex[];
  /** Rows with more keys than the oracle looks at. */
  readonly skipped: number;
  readonly comparison: Comparison;
}

/** The rows to keep, in the order in which the run has them. */
export function rowsToKeep({ bound, task }: Work, count: number | undefined): readonly RowIndex[] {
  if (count === undefined) return [];
  const { shape } = bound.binding;
  const total = shape.heads * shape.queries.reduce((a, b) => a + b, 0);
  const rows = sampleRows(shape, Math.min(count, total), randomNumbers(task.seed));
  return rows.slice(0, count).sort((a, b) => a.batch - b.batch || a.head - b.head || a.row - b.row);
}

/** @param kept in the order of (batch, head, row) */
export async function compareSample(
  session: Session,
  work: Work,
  sources: StreamSources,
  kept: readonly KeptRow[],
  types: StorageTypes,
): Promise<SampleResult> {
  const places = kept.map(({ batch, head, row }) => ({ batch, head, row }));
  const step = (done: number): void =>
    session.progress.step('computing the oracle', `row ${done + 1} of ${places.length}`);
  const expected = await rowReference(work.program.pattern, { ...work.bindings, ...sources }, places, {
    step,
  });
  const computed = new Set(expected.rows.map(keyOf));
  const compared = kept.filter((row) => computed.has(keyOf(row)));
  const comparison = compare(keptResults(compared, types.output), expected, types);
  return {
    // Nothing compared is nothing shown.
    pass: comparison.pass && compared.length > 0,
    rows: expected.rows,
    skipped: expected.skipped.length,
    comparison,
  };
}

const keyOf = ({ batch, head, row }: RowIndex): string => `${batch}:${head}:${row}`;
