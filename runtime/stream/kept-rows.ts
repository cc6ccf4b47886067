import { valueOutOfRange } from '../errors.js';
import type { RowPlace } from './rows.js';

/** Rows that a sink keeps, by head, ascending: those of a band are found by bisection. */
export interface KeptPlaces {
  /** Ascending row numbers in lo … hi − 1. */
  of(batch: number, head: number, lo: number, hi: number): readonly number[];
}

/** @param shape [batch, heads, rows, …] that the places must lie in */
export function keptPlaces(places: readonly RowPlace[], shape: readonly number[]): KeptPlaces {
  const heads = new Map<number, number[]>();
  const inside = (what: string, x: number, size: number): void => {
    if (!Number.isInteger(x) || x < 0 || x >= size) throw valueOutOfRange(what, x, 0, size - 1);
  };
  for (const { batch, head, row } of places) {
    inside('the batch of a kept row', batch, shape[0]);
    inside('the head of a kept row', head, shape[1]);
    inside('a kept row', row, shape[2]);
    const plane = batch * shape[1] + head;
    const rows = heads.get(plane) ?? [];
    heads.set(plane, rows);
    rows.push(row);
  }
  for (const [plane, rows] of heads)
    heads.set(
      plane,
      [...new Set(rows)].sort((a, b) => a - b),
    );
  return {
    of: (batch, head, lo, hi) => {
      const rows = heads.get(batch * shape[1] + head) ?? [];
      return rows.slice(firstAtLeast(rows, lo), firstAtLeast(rows, hi));
    },
  };
}

function firstAtLeast(rows: readonly number[], x: number): number {
  let lo = 0;
  let hi = rows.length;
  while (lo < hi) {
    const middle = (lo + hi) >> 1;
    if (rows[middle] < x) lo = middle + 1;
    else hi = middle;
  }
  return lo;
}
