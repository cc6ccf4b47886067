import type { Program, StorageType, StorageTypes } from '../../compiler/ir/program.js';
import { bind, type Bound } from '../bind.js';
import type { Settings } from '../bindings.js';
import { usageError } from '../errors.js';
import type { ChooseOptions } from '../pick-variant.js';
import { MOST_ROUNDINGS } from '../stream/narrower.js';
import type { StreamSources } from '../stream/plan.js';
import { rowBytesOf } from '../stream/rows.js';
import { bytesPerElement } from '../tensor.js';
import { layoutOf, piecesOfRows, type RowRange, type ShardLayout } from './layout.js';
import { byDistance } from './shards.js';
import { shipmentsOf, type Shipment, type ShipmentOptions } from './shipments.js';
import { planTraffic, type Traffic } from './traffic.js';

/** A distributed run, planned: the same on all ranks, from the same program, shapes, options and limits. */
export interface DistributedPlan {
  readonly bound: Bound;
  readonly traffic: Traffic;
  readonly layout: ShardLayout;
  readonly input: StorageType;
  readonly output: StorageType;
  /** What kernels write: f32 where many parts add up, else the type of the results. */
  readonly computed: StorageType;
  readonly shipping: ShipmentOptions;
  /** Most messages under way between two ranks, in each direction. */
  readonly ahead: number;
  readonly hostBytes: number;
}

export interface DistributedOptions extends ChooseOptions {
  /** Type of the results; f32 if not given. */
  readonly out?: StorageType | undefined;
  /** Most bytes of buffers on a rank's device; what it has if not given. */
  readonly deviceBytes?: number | undefined;
  /** Most bytes of messages and results that are under way on a rank's host; 1 GiB if not given. */
  readonly hostBytes?: number | undefined;
  /** Most bytes of k and v of another rank that are at hand at once; 1 GiB if not given. */
  readonly windowBytes?: number | undefined;
  /** Rows without a needed one, from which on a window is cut in two. */
  readonly gap?: number | undefined;
  /** Times that keys are exchanged and everything is computed, for measuring; 1 if not given. */
  readonly repeats?: number | undefined;
}

const MESSAGE_BYTES = 2 ** 22;
const GAP = 4096;

export function planDistributed(
  program: Program,
  ranks: number,
  sources: StreamSources,
  settings: Settings,
  limits: { readonly maxStorageBufferBindingSize: number; readonly maxBufferSize: number },
  options: DistributedOptions = {},
): DistributedPlan {
  const { q, k, v } = sources;
  if (q.dtype !== k.dtype || q.dtype !== v.dtype)
    throw usageError(`q is ${q.dtype}, k ${k.dtype} and v ${v.dtype}`, 'give them one type');
  if (!program.windows)
    throw usageError('the program is not for runs in parts', 'compile with { windows: true }');
  const bound = bind(program, { q: q.shape, k: k.shape, v: v.shape }, settings);
  const traffic = planTraffic(bound, ranks);
  const { hostBytes = 2 ** 30, windowBytes = 2 ** 30, gap = GAP } = options;
  const bindingBytes = Math.min(
    limits.maxStorageBufferBindingSize,
    limits.maxBufferSize,
    options.bindingBytes ?? Infinity,
  );
  const largest = {
    queries: largestShard(traffic.queryCuts),
    keys: largestShard(traffic.keyCuts),
  };
  const rowBytes = { k: rowBytesOf(k), v: rowBytesOf(v) };
  // Half of the host's memory for what comes, half for what goes: as MPI has it, and as it crosses the bus.
  const peers = Math.max(1, ...traffic.parcels.map((own) => new Set(own.map((p) => p.from)).size));
  const messageBytes = Math.min(MESSAGE_BYTES, Math.floor(hostBytes / 8 / peers));
  if (messageBytes < Math.max(rowBytes.k, rowBytes.v)) {
    throw usageError(
      `a memory budget of ${hostBytes} bytes holds no message of a row to each rank`,
      'give more',
    );
  }
  const ahead = Math.max(2, Math.floor(hostBytes / 4 / peers / messageBytes));
  const shipping = { rowBytes, messageBytes, gap };
  const output = options.out ?? 'f32';
  const planFor = (computed: StorageType): DistributedPlan => {
    const types: StorageTypes = { input: q.dtype, output: computed };
    const layout = layoutOf(bound, types, largest, { bindingBytes, windowBytes });
    return { bound, traffic, layout, input: q.dtype, output, computed, shipping, ahead, hostBytes };
  };
  const plan = planFor(output);
  const many = output !== 'f32' && mostParts(plan) > MOST_ROUNDINGS;
  return many ? planFor('f32') : plan;
}

const largestShard = (cuts: readonly number[]): number =>
  cuts.slice(1).reduce((most, cut, n) => Math.max(most, cut - cuts[n]), 0);

/** What a rank receives, in the order in which it is computed: the nearest rank first, whichever comes first. */
export function arrivalsOf(
  plan: Pick<DistributedPlan, 'traffic' | 'layout' | 'shipping'>,
  rank: number,
): readonly { readonly from: number; readonly shipments: readonly Shipment[] }[] {
  return byDistance(rank, plan.traffic.ranks).flatMap((from) => {
    const shipments = between(plan, from, rank);
    return shipments.length === 0 ? [] : [{ from, shipments }];
  });
}

/** What a rank sends. */
export function departuresOf(
  plan: Pick<DistributedPlan, 'traffic' | 'layout' | 'shipping'>,
  rank: number,
): readonly { readonly to: number; readonly shipments: readonly Shipment[] }[] {
  return byDistance(rank, plan.traffic.ranks).flatMap((to) => {
    const shipments = between(plan, rank, to);
    return shipments.length === 0 ? [] : [{ to, shipments }];
  });
}

const between = (
  { traffic, layout, shipping }: Pick<DistributedPlan, 'traffic' | 'layout' | 'shipping'>,
  from: number,
  to: number,
): readonly Shipment[] =>
  shipmentsOf(
    traffic.parcels[to].filter((p) => p.from === from),
    layout,
    shipping,
  );

/** The most parts of keys that add up in a row of any rank. */
function mostParts(plan: DistributedPlan): number {
  const { traffic, layout } = plan;
  const counts = traffic.parcels.map((_, rank) => {
    const own = piecesOfRows(...rowsOf(traffic.keyCuts, rank), layout.keyRows).length;
    const places = new Map<string, number>();
    for (const { shipments } of arrivalsOf(plan, rank)) {
      for (const { batch, group } of shipments) {
        const name = `${batch} ${group.head}`;
        places.set(name, (places.get(name) ?? 0) + 1);
      }
    }
    return own + Math.max(0, ...places.values());
  });
  return Math.max(0, ...counts);
}

const rowsOf = (cuts: readonly number[], rank: number): readonly [number, number] => [
  cuts[rank],
  cuts[rank + 1],
];

export const queryRowsOf = ({ queryCuts }: Traffic, rank: number): RowRange => ({
  lo: queryCuts[rank],
  hi: queryCuts[rank + 1],
});

export const keyRowsOf = ({ keyCuts }: Traffic, rank: number): RowRange => ({
  lo: keyCuts[rank],
  hi: keyCuts[rank + 1],
});

/** Bytes of a rank's shard and its results on the device, and of the keys of others that are at hand. */
export function deviceBytesOf(
  plan: DistributedPlan,
  rank: number,
): { readonly shard: number; readonly window: number } {
  const { bound, traffic, input, computed, output, shipping } = plan;
  const { shape, valueDim } = bound.binding;
  const [queries, keys] = [queryRowsOf(traffic, rank), keyRowsOf(traffic, rank)];
  const pair = shipping.rowBytes.k + shipping.rowBytes.v;
  const row = shape.dim * bytesPerElement[input] + valueDim * bytesPerElement[computed] + 4;
  const narrowed = computed === output ? 0 : valueDim * bytesPerElement[output];
  const shard =
    shape.batch *
      (shape.heads * (queries.hi - queries.lo) * row + shape.keyHeads * (keys.hi - keys.lo) * pair) +
    Math.max(0, ...plan.layout.groups.map((g) => g.heads)) * (queries.hi - queries.lo) * narrowed;
  const windows = arrivalsOf(plan, rank).flatMap((a) => a.shipments);
  return { shard, window: windows.reduce((n, s) => Math.max(n, windowRowsOf(s) * pair), 0) };
}

/** Rows of all its key heads. */
export const windowRowsOf = ({ group, window }: Pick<Shipment, 'group' | 'window'>): number =>
  group.keyHeads * (window.hi - window.lo);
