import { keyNeeds, type KeyNeeds } from '../../compiler/ir/needs.js';
import { needsBySource, type NeedsBySource } from '../../compiler/ir/needs-sources.js';
import type { KeyRun } from '../../compiler/ir/key-runs.js';
import { ruleConditions } from '../../compiler/ir/evaluate.js';
import { baseOf } from '../../compiler/ir/shape.js';
import type { Bound } from '../bind.js';
import { requireHost } from '../bind.js';
import { inputsOf } from '../input-uses.js';
import { shardCuts } from './shards.js';

/** Which key rows each rank needs from which other: planned alike by all, so that a sender knows what is expected. */
export interface Traffic {
  readonly ranks: number;
  /** Rank r holds query rows queryCuts[r] … queryCuts[r + 1] − 1 of every batch and head, and key rows likewise. */
  readonly queryCuts: readonly number[];
  readonly keyCuts: readonly number[];
  /** What is needed, by the rank that needs it, from the one that holds it (perhaps itself). */
  readonly parcels: readonly (readonly Parcel[])[];
  /** False if rows are counted that may not be needed: the search for them was given up. */
  readonly exact: boolean;
  readonly needs: KeyNeeds;
}

/** Rows of a key head, from one rank to another. */
export interface Parcel {
  readonly from: number;
  readonly to: number;
  readonly batch: number;
  readonly keyHead: number;
  readonly runs: readonly KeyRun[];
  readonly rows: number;
}

export function planTraffic(bound: Bound, ranks: number): Traffic {
  const { program, binding, inputs } = bound;
  const { shape } = binding;
  const read = inputsOf(ruleConditions(program.pattern.edges).map((r) => r.when));
  requireHost(inputs, read, 'it says which keys ranks need from each other');
  const needs = keyNeeds(program.pattern, shape, inputs.host);
  const queryCuts = shardCuts(binding.queries, ranks);
  const keyCuts = shardCuts(binding.keys, ranks);
  const shared = shape.heads / shape.keyHeads;
  let exact = true;
  const parcels = Array.from({ length: ranks }, (_, to) => {
    // What doesn't differ between batches and heads is looked for once.
    const found = new Map<string, NeedsBySource>();
    const neededAt = (batch: number, keyHead: number): NeedsBySource => {
      const classes = Array.from({ length: shared }, (_, n) => needs.classOf(batch, keyHead * shared + n));
      const name = [...new Set(classes)].sort((a, b) => a - b).join();
      const known = found.get(name);
      if (known) return known;
      const base = baseOf(shape, batch);
      const [lo, hi] = [base + queryCuts[to], base + queryCuts[to + 1]];
      const made = needsBySource(needs, shape, batch, keyHead, lo, hi, keyCuts);
      found.set(name, made);
      return made;
    };
    const own: Parcel[] = [];
    for (let batch = 0; batch < shape.batch; batch++) {
      for (let keyHead = 0; keyHead < shape.keyHeads; keyHead++) {
        const { sources, exact: proven } = neededAt(batch, keyHead);
        exact &&= proven;
        for (const { source, runs, rows } of sources)
          own.push({ from: source, to, batch, keyHead, runs, rows });
      }
    }
    return own;
  });
  return { ranks, queryCuts, keyCuts, parcels, exact, needs };
}

/** Rows (over batches and key heads) that one rank needs from another. */
export interface TrafficPair {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

/** Pairs of ranks between which there is something, local shares among them: by receiver, then by sender. */
export function trafficPairs({ parcels }: Pick<Traffic, 'parcels'>): readonly TrafficPair[] {
  return parcels.flatMap((own, to) => {
    const rows = new Map<number, number>();
    for (const p of own) rows.set(p.from, (rows.get(p.from) ?? 0) + p.rows);
    return [...rows].sort(([a], [b]) => a - b).map(([from, n]) => ({ from, to, rows: n }));
  });
}

/** The whole plan as numbers, for a fingerprint of it. */
export function trafficNumbers({ queryCuts, keyCuts, parcels }: Traffic): Float64Array {
  const numbers: number[] = [...queryCuts, ...keyCuts];
  // Parcels of heads that need the same share their runs: these count once.
  const known = new Map<readonly KeyRun[], number>();
  for (const { from, to, batch, keyHead, runs } of parcels.flat()) {
    const before = known.get(runs);
    numbers.push(from, to, batch, keyHead, before ?? -1);
    if (before !== undefined) continue;
    known.set(runs, known.size);
    for (const { lo, hi, step } of runs) numbers.push(lo, hi, step);
  }
  return Float64Array.from(numbers);
}
