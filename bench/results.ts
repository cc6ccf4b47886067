import type { OwnResult } from './attnc-side.js';
import { judge, checksOf, type Checks, type GoalVerdict, type PeerTime } from './verdict.js';
import type { Peer, Row } from './rows.js';

/** What a comparison found: the JSON file, from which tables are made. */
export interface Results {
  readonly format: 'attnc-comparison';
  readonly version: 1;
  /** Of the run's begin, ISO 8601. */
  readonly date: string;
  readonly versions: Readonly<Record<string, unknown>>;
  readonly card: string;
  readonly ceilings: {
    readonly copy: number;
    readonly f32: number;
    readonly matrix?: number;
    readonly matrixShape: string;
  };
  /** Small sizes, for trying it out: times mean nothing. */
  readonly small: boolean;
  readonly rows: readonly RowResult[];
}

export interface RowResult {
  readonly row: Row;
  /** With Dawn's robustness off, or why there is none. */
  readonly off: OwnResult | { readonly why: string };
  readonly on: OwnResult | { readonly why: string } | undefined;
  readonly peers: Readonly<Partial<Record<Peer, PeerTime>>>;
  readonly goals: readonly GoalVerdict[];
  readonly checks: Checks | undefined;
}

export function rowResult(
  row: Row,
  off: RowResult['off'],
  on: RowResult['on'],
  peers: RowResult['peers'],
): RowResult {
  const own = 'why' in off ? undefined : off;
  return {
    row,
    off,
    on,
    peers,
    goals: row.goals.map((goal) => judge(goal, own?.milliseconds.median, peers)),
    checks:
      own &&
      checksOf(row, {
        error: Math.max(own.error, own.worstRow),
        waste: own.issued / Math.max(1, own.needed),
        off: own.milliseconds.median,
        on: on === undefined || 'why' in on ? undefined : on.milliseconds.median,
      }),
  };
}
