import { clipRun, countKeys, keysInRun, type KeyRun } from '../../compiler/ir/key-runs.js';
import type { HeadGroup, RowRange, ShardLayout } from './layout.js';
import type { Parcel } from './traffic.js';

/** What one rank sends another, cut into windows that are computed on and into messages. Alike on both sides. */

/** Keys of a window that are needed, of one batch and the key heads of a group. */
export interface Shipment {
  readonly batch: number;
  readonly group: HeadGroup;
  /** Holds them all. */
  readonly window: RowRange;
  readonly messages: readonly Message[];
}

export interface Message {
  readonly bytes: number;
  readonly slices: readonly Slice[];
}

/** Rows of one key head of k or v, packed densely in the order of their runs. */
export interface Slice {
  readonly tensor: 'k' | 'v';
  readonly keyHead: number;
  readonly runs: readonly KeyRun[];
  readonly rows: number;
  /** Bytes from the message's start. */
  readonly at: number;
}

export interface ShipmentOptions {
  /** Bytes of a row of k and of v. */
  readonly rowBytes: Readonly<Record<'k' | 'v', number>>;
  /** Most bytes in a message; not less than a row. */
  readonly messageBytes: number;
  /** Rows without a needed one, from which on a window is cut in two. */
  readonly gap: number;
}

/** Windows that are cut for want of needed keys between them: each is a step over the queries that need it. */
const MOST_WINDOWS = 8;

/** @param parcels from one rank to one other */
export function shipmentsOf(
  parcels: readonly Parcel[],
  layout: ShardLayout,
  options: ShipmentOptions,
): readonly Shipment[] {
  const batches = [...new Set(parcels.map((p) => p.batch))].sort((a, b) => a - b);
  return batches.flatMap((batch) =>
    layout.groups.flatMap((group): Shipment[] => {
      const own = parcels.filter(
        (p) => p.batch === batch && p.keyHead >= group.keyHead && p.keyHead < group.keyHead + group.keyHeads,
      );
      const runs = [...new Set(own.map((p) => p.runs))].flat();
      return windowsOfRuns(runs, options.gap, layout.windowRows).flatMap((window): Shipment[] => {
        const messages = messagesOf(own, window, options);
        return messages.length === 0 ? [] : [{ batch, group, window, messages }];
      });
    }),
  );
}

/**
 * Windows that hold all keys of the runs, of at most `most` rows: cut where the largest gaps are, and evenly where that
 * isn't enough.
 */
export function windowsOfRuns(runs: readonly KeyRun[], gap: number, most: number): readonly RowRange[] {
  const ascending = runs.slice().sort((a, b) => a.lo - b.lo);
  const pieces: { lo: number; hi: number }[] = [];
  for (const { lo, hi } of ascending) {
    const last = pieces.at(-1);
    if (last && lo < last.hi + gap) last.hi = Math.max(last.hi, hi + 1);
    else pieces.push({ lo, hi: hi + 1 });
  }
  const gaps = pieces.slice(1).map((p, n) => ({ n, rows: p.lo - pieces[n].hi }));
  const cuts = new Set(
    gaps
      .sort((a, b) => b.rows - a.rows || a.n - b.n)
      .slice(0, MOST_WINDOWS - 1)
      .map((g) => g.n),
  );
  const windows: { lo: number; hi: number }[] = [];
  pieces.forEach(({ lo, hi }, n) => {
    const last = windows.at(-1);
    if (last && !cuts.has(n - 1)) last.hi = hi;
    else windows.push({ lo, hi });
  });
  return windows.flatMap(({ lo, hi }): RowRange[] => {
    const count = Math.ceil((hi - lo) / most);
    const cut = (n: number): number => lo + Math.floor(((hi - lo) * n) / count);
    return Array.from({ length: count }, (_, n) => ({ lo: cut(n), hi: cut(n + 1) }));
  });
}

function messagesOf(
  parcels: readonly Parcel[],
  window: RowRange,
  { rowBytes, messageBytes }: ShipmentOptions,
): readonly Message[] {
  const messages: { bytes: number; slices: Slice[] }[] = [];
  for (const { keyHead, runs } of parcels) {
    const inside = runs.flatMap((r) => clipRun(r, window.lo, window.hi - 1) ?? []);
    const total = countKeys(inside);
    for (const tensor of ['k', 'v'] as const) {
      const size = rowBytes[tensor];
      for (let done = 0; done < total;) {
        let message = messages.at(-1);
        if (!message || message.bytes + size > messageBytes)
          messages.push((message = { bytes: 0, slices: [] }));
        const rows = Math.min(total - done, Math.floor((messageBytes - message.bytes) / size));
        message.slices.push({ tensor, keyHead, runs: rowsOf(inside, done, rows), rows, at: message.bytes });
        message.bytes += rows * size;
        done += rows;
      }
    }
  }
  return messages;
}

/** Rows `skip` … `skip + count − 1` of all those of the runs, in their order. */
export function rowsOf(runs: readonly KeyRun[], skip: number, count: number): readonly KeyRun[] {
  const out: KeyRun[] = [];
  let first = 0;
  for (const r of runs) {
    const rows = keysInRun(r);
    const from = Math.max(0, skip - first);
    const to = Math.min(rows, skip + count - first);
    if (from < to) {
      const [lo, hi] = [r.lo + from * r.step, r.lo + (to - 1) * r.step];
      out.push({ lo, hi, step: lo === hi ? 1 : r.step });
    }
    first += rows;
    if (first >= skip + count) break;
  }
  return out;
}
