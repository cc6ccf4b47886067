// What must be the same on all ranks, compared before anything relies on it.

import { createHash } from 'node:crypto';
import type { Communicator } from './communicator.js';
import { ranksDiffer, ranksText } from './problems.js';

/** What must be the same, by the name that a message calls it by; long things by their fingerprint. */
export type Facts = Readonly<Record<string, string>>;

/** Told of at most so many differences. */
const SHOWN = 3;
const LONGEST = 40;

/** Stands for a text or bytes of any length: 64 bits of their SHA-256. */
export function fingerprint(data: string | Uint8Array): string {
  return `sha256 ${createHash('sha256').update(data).digest('hex').slice(0, 16)}`;
}

/**
 * Throws the same typed error on every rank, with the names of what differs and the ranks, unless all ranks give the
 * same facts. guardRanks has only rank 0 print it.
 */
export async function agree(comm: Pick<Communicator, 'allGather'>, facts: Facts): Promise<void> {
  const gathered = await comm.allGather(new TextEncoder().encode(JSON.stringify(facts)));
  const differences = differencesOf(
    gathered.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Facts),
  );
  if (differences.length > 0)
    throw ranksDiffer(differences.slice(0, SHOWN), Math.max(0, differences.length - SHOWN));
}

/** `window is 64 on ranks 0 to 2, 128 on rank 3`, for each name whose values differ; `all` by rank. */
export function differencesOf(all: readonly Facts[]): readonly string[] {
  const names = [...new Set(all.flatMap((facts) => Object.keys(facts)))];
  return names.flatMap((name) => {
    const ranks = new Map<string | undefined, number[]>();
    all.forEach((facts, rank) => {
      const value = Object.hasOwn(facts, name) ? facts[name] : undefined;
      ranks.set(value, [...(ranks.get(value) ?? []), rank]);
    });
    if (ranks.size === 1) return [];
    const shown = [...ranks].map(([value, where]) => `${valueText(value)} on ${ranksText(where)}`);
    const more =
      shown.length > 4 ? [...shown.slice(0, 3), `${shown.length - 3} other values elsewhere`] : shown;
    return [`${name} is ${more.join(', ')}`];
  });
}

function valueText(value: string | undefined): string {
  if (value === undefined) return 'not given';
  return value.length > LONGEST ? `${value.slice(0, LONGEST - 3)}...` : value;
}
