import type { StorageType } from '../compiler/ir/program.js';
import { planTraffic, trafficPairs } from '../runtime/distributed/index.js';
import { bytesPerElement } from '../runtime/tensor.js';
import { count, percent, scaled } from './text.js';
import { rangeText } from './distributed/text.js';
import type { Work } from './work.js';

/** What ranks would send each other: the plan of a distributed run, without any rank. */
export interface RanksExplanation {
  readonly ranks: number;
  readonly dtype: StorageType;
  /** Of a row of k and one of v. */
  readonly rowBytes: number;
  /** False if rows are counted that may not be needed. */
  readonly exact: boolean;
  readonly shards: readonly RankShare[];
  /** What a rank needs from another; pairs without anything are left out. */
  readonly pairs: readonly {
    readonly from: number;
    readonly to: number;
    readonly rows: number;
    readonly bytes: number;
  }[];
  readonly total: { readonly rows: number; readonly bytes: number };
  /** Of all key rows that ranks need, those that they hold themselves. */
  readonly localShare: number;
}

export interface RankShare {
  readonly rank: number;
  /** Rows of a head: the first, and one past the last. */
  readonly queries: readonly [number, number];
  readonly keys: readonly [number, number];
  /** Key rows that it needs and holds, over batches and key heads. */
  readonly localRows: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export function explainRanks({ bound }: Work, ranks: number, dtype: StorageType): RanksExplanation {
  const traffic = planTraffic(bound, ranks);
  const { shape, valueDim } = bound.binding;
  const rowBytes = (shape.dim + valueDim) * bytesPerElement[dtype];
  const all = trafficPairs(traffic);
  const rowsOf = (pairs: readonly { readonly rows: number }[]): number =>
    pairs.reduce((n, p) => n + p.rows, 0);
  const pairs = all
    .filter((p) => p.from !== p.to)
    .map(({ from, to, rows }) => ({ from, to, rows, bytes: rows * rowBytes }));
  const shards = Array.from({ length: ranks }, (_, rank): RankShare => ({
    rank,
    queries: [traffic.queryCuts[rank], traffic.queryCuts[rank + 1]],
    keys: [traffic.keyCuts[rank], traffic.keyCuts[rank + 1]],
    localRows: rowsOf(all.filter((p) => p.from === rank && p.to === rank)),
    sentBytes: rowsOf(pairs.filter((p) => p.from === rank)) * rowBytes,
    receivedBytes: rowsOf(pairs.filter((p) => p.to === rank)) * rowBytes,
  }));
  const rows = rowsOf(pairs);
  const needed = rowsOf(all);
  return {
    ...{ ranks, dtype, rowBytes, exact: traffic.exact, shards, pairs },
    total: { rows, bytes: rows * rowBytes },
    localShare: needed === 0 ? 1 : (needed - rows) / needed,
  };
}

/** Ranks that have a row and a column of their own. */
const MOST_RANKS = 16;

/** Lines of a name and a text. */
export function ranksLines(e: RanksExplanation): [string, string][] {
  const most = (of: (shard: RankShare) => number): number => Math.max(...e.shards.map(of));
  const neighbours = e.pairs.filter((p) => Math.abs(p.from - p.to) === 1).reduce((n, p) => n + p.rows, 0);
  return [
    [
      'ranks',
      `${e.ranks}, shards of ${count(most((s) => s.queries[1] - s.queries[0]))} queries and ` +
        `${count(most((s) => s.keys[1] - s.keys[0]))} keys at most, ${e.dtype}, ${e.rowBytes} B a row of k and v`,
    ],
    [
      'exchanged',
      `${count(e.total.rows)} rows, ${scaled(e.total.bytes, 'B')}` +
        (e.total.rows === 0 ? '' : `, ${percent(neighbours / e.total.rows)} between neighbours`) +
        (e.exact ? '' : '; some may not be needed: finding out was given up'),
    ],
    [
      'a rank',
      `sends up to ${scaled(
        most((s) => s.sentBytes),
        'B',
      )}, receives up to ` +
        `${scaled(
          most((s) => s.receivedBytes),
          'B',
        )}; holds ${percent(e.localShare)} of the rows that it needs`,
    ],
  ];
}

/** Rows that each rank needs, by the rank that has them; nothing where there are too many ranks. */
export function ranksTable({ ranks, shards, pairs }: RanksExplanation): string {
  if (ranks > MOST_RANKS) return '';
  const names = shards.map((s) => `of ${s.rank}`);
  const head = ['', 'queries', ...names, 'bytes received'];
  const body = shards.map(({ rank, queries, localRows, receivedBytes }) => {
    const cells = Array.from({ length: ranks }, (_, from) => {
      if (from === rank) return `(${count(localRows)})`;
      return count(pairs.find((p) => p.from === from && p.to === rank)?.rows ?? 0);
    });
    return [`rank ${rank} needs`, rangeText(queries), ...cells, scaled(receivedBytes, 'B')];
  });
  const rows = [head, ...body];
  const widths = head.map((_, n) => Math.max(...rows.map((r) => r[n].length)));
  const line = (cells: readonly string[]): string =>
    cells.map((c, n) => (n < 1 ? c.padEnd(widths[n]) : c.padStart(widths[n]))).join('  ');
  return rows.map((r) => `${line(r).trimEnd()}\n`).join('');
}
