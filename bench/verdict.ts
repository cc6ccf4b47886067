import type { Goal, Peer, Row } from './rows.js';

/** Whether what was asked of a row is reached. */

export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** A side's time, or why there is none. */
export type PeerTime =
  | {
      readonly milliseconds: Spread;
      /** Which of the ways that were tried. */
      readonly variant: string;
      /** Relative differences of its sampled rows from ours, as a whole; undefined of what nobody ran. */
      readonly difference: number | undefined;
    }
  | { readonly why: string };

export interface GoalVerdict {
  readonly goal: Goal;
  /** The peer that counts: the fastest of the goal's. */
  readonly peer: Peer | undefined;
  /** Our time over the peer's (`time`) or the inverse (`speed`); undefined where either is missing. */
  readonly ratio: number | undefined;
  readonly must: 'reached' | 'missed' | 'unknown' | 'none';
  readonly aim: 'reached' | 'missed' | 'unknown' | 'none';
}

export function judge(
  goal: Goal,
  own: number | undefined,
  peers: Readonly<Partial<Record<Peer, PeerTime>>>,
): GoalVerdict {
  const timed = goal.peers.flatMap((peer) => {
    const found = peers[peer];
    return found !== undefined && 'milliseconds' in found
      ? [{ peer, median: found.milliseconds.median }]
      : [];
  });
  // Where one of several is missing, the others still say what must be reached at least.
  const best = timed.reduce<(typeof timed)[number] | undefined>(
    (a, b) => (a === undefined || b.median < a.median ? b : a),
    undefined,
  );
  const ratio =
    own === undefined || best === undefined
      ? undefined
      : goal.kind === 'time'
        ? own / best.median
        : best.median / own;
  const reached = (wanted: number | undefined): GoalVerdict['must'] => {
    if (wanted === undefined) return 'none';
    if (ratio === undefined) return 'unknown';
    return (goal.kind === 'time' ? ratio <= wanted : ratio >= wanted) ? 'reached' : 'missed';
  };
  return { goal, peer: best?.peer, ratio, must: reached(goal.must), aim: reached(goal.aim) };
}

/** What is asked of every row, whoever it is compared with. */
export const LIMITS = {
  /** Relative error against float64, of the whole and of the worst row. */
  error: 2e-3,
  /** Time with robustness on over that without. */
  robustness: 1.25,
} as const;

/** How far a peer's rows may be from ours, as a whole: both round to f16 on the way. */
export const PEER_DIFFERENCE = 5e-3;

export interface Checks {
  readonly error: boolean;
  /** Undefined where it wasn't measured or isn't asked. */
  readonly waste: boolean | undefined;
  readonly robustness: boolean | undefined;
}

export function checksOf(
  row: Pick<Row, 'waste'>,
  found: {
    readonly error: number;
    readonly waste: number;
    readonly off: number;
    readonly on: number | undefined;
  },
): Checks {
  return {
    error: found.error <= LIMITS.error,
    waste: row.waste === undefined ? undefined : found.waste <= row.waste,
    robustness: found.on === undefined ? undefined : found.on <= LIMITS.robustness * found.off,
  };
}

/** ‖a − b‖ / ‖b‖; infinite where one has numbers that are not finite and the other hasn't. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let error = 0;
  let norm = 0;
  for (let n = 0; n < a.length; n++) {
    if (!Number.isFinite(a[n]) || !Number.isFinite(b[n])) {
      if (Object.is(a[n], b[n])) continue;
      return Infinity;
    }
    error += (a[n] - b[n]) ** 2;
    norm += b[n] ** 2;
  }
  return norm === 0 ? Math.sqrt(error) : Math.sqrt(error / norm);
}
