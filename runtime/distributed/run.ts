import { Arena } from '../arena.js';
import type { TensorBinding } from '../bindings.js';
import type { EncodeStats } from '../encode.js';
import { usageError } from '../errors.js';
import { USAGE } from '../gpu-flags.js';
import { pickVariant, type Picked } from '../pick-variant.js';
import { bindPart } from '../parts/part.js';
import type { Prepared } from '../prepare.js';
import { guarded, scoped } from '../scopes.js';
import type { StreamSources } from '../stream/plan.js';
import { rowBytesOf, type RowSink } from '../stream/rows.js';
import type { DoneBand } from '../stream/tally.js';
import { Uploader } from '../stream/uploader.js';
import { createTimestamps, type Timestamps } from '../timing/timestamps.js';
import { isConst } from '../../compiler/ir/build.js';
import { createComputer, hasSink, partOf, type Computer, type StepWork } from './compute.js';
import { deliver } from './deliver.js';
import { createInbox, createOutbox, type Inbox, type Outbox } from './exchange.js';
import { createRowMover } from './move-rows.js';
import {
  arrivalsOf,
  departuresOf,
  deviceBytesOf,
  keyRowsOf,
  queryRowsOf,
  windowRowsOf,
  type DistributedOptions,
  type DistributedPlan,
} from './plan.js';
import type { Ranks } from './ranks.js';
import { loadShard, makeShard, rowsOfPiece, type Shard } from './shard.js';
import type { Shipment } from './shipments.js';
import { stepsOfPiece, type KeyPart, type RankStep } from './steps.js';

/**
 * A run on several devices, a shard of the sequence each: while keys and values that others need are on their way, a
 * rank computes with its own; then with those of the others, a window at a time, merged through (out, lse).
 */

export interface RankStats {
  readonly rank: number;
  /** Of the steps; undefined on a rank without query rows. */
  readonly kernels: EncodeStats | undefined;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Of buffers: the shard and its results, keys of others, and, on the host too, messages. */
  readonly deviceBytes: number;
  readonly messageBytes: number;
  /** Reading the shard. */
  readonly loadMilliseconds: number;
  /** Compiling kernels, and planning and binding all steps. */
  readonly prepareMilliseconds: number;
  /** For each repeat: from the moment when all ranks are ready to the end of this rank's work. */
  readonly milliseconds: readonly number[];
  /** For each repeat: of the steps, by the device's clock; undefined where it has none. */
  readonly gpuMilliseconds: readonly number[] | undefined;
  /** Writing the results. */
  readonly writeMilliseconds: number;
}

export interface RankResult {
  readonly stats: RankStats;
  /** What the sink said of this rank's rows. */
  readonly bands: readonly DoneBand[];
}

/** The variant that all ranks run: chosen for the largest shard, so that it does not depend on the rank. */
export function pickForRanks(
  prepared: Prepared,
  plan: DistributedPlan,
  options: DistributedOptions = {},
): Picked {
  const { bound, traffic, layout, input, computed } = plan;
  const sizes = traffic.queryCuts.slice(1).map((cut, n) => cut - traffic.queryCuts[n]);
  const rank = Math.max(0, sizes.indexOf(Math.max(...sizes)));
  const types = { input, output: computed };
  const [group] = layout.groups;
  if (!group) return pickVariant(prepared, bound, types, options);
  const keys = keyRowsOf(traffic, rank);
  const { lo, hi } = queryRowsOf(traffic, rank);
  const rows = { lo, hi: Math.min(hi, lo + layout.queryRows) };
  const part = bindPart(bound, partOf({ batch: 0, group }, rows), keys);
  return pickVariant(prepared, part, types, options);
}

/** All ranks call it with the same plan. Results go to this rank's sink, which is not finished. */
export async function runDistributed(
  ranks: Ranks,
  prepared: Prepared,
  plan: DistributedPlan,
  picked: Picked,
  sources: StreamSources,
  sink: RowSink,
  options: DistributedOptions = {},
): Promise<RankResult> {
  const { device } = prepared;
  checkBudget(plan, ranks.rank, options);
  return guarded(device, async () => {
    const arena = new Arena(device);
    try {
      return await runRank(ranks, prepared, plan, picked, sources, sink, options, arena);
    } finally {
      arena.release();
    }
  });
}

function checkBudget(
  plan: DistributedPlan,
  rank: number,
  { deviceBytes = Infinity }: DistributedOptions,
): void {
  const { shard, window } = deviceBytesOf(plan, rank);
  if (shard + window <= deviceBytes) return;
  throw usageError(
    `the shard of rank ${rank} and its results take ${shard} bytes on the device, keys of other ranks up to ${window}, and there are ${deviceBytes}`,
    'start more ranks, or give a larger budget',
  );
}

async function runRank(
  ranks: Ranks,
  prepared: Prepared,
  plan: DistributedPlan,
  picked: Picked,
  sources: StreamSources,
  sink: RowSink,
  options: DistributedOptions,
  arena: Arena,
): Promise<RankResult> {
  const { device, program } = prepared;
  const { bound, traffic, layout, input, output, computed, hostBytes } = plan;
  const { shape, valueDim } = bound.binding;
  const { rank } = ranks;
  const [arrivals, departures] = [arrivalsOf(plan, rank), departuresOf(plan, rank)];
  const shipments = arrivals.flatMap((a) => a.shipments);
  const { result: made, problem } = scoped(device, `the shard of rank ${rank}`, () => {
    const rows = [queryRowsOf(traffic, rank), keyRowsOf(traffic, rank)] as const;
    const sizes = { batch: shape.batch, dim: shape.dim, valueDim };
    const shard = makeShard(arena, layout, sizes, ...rows, { input, output: computed });
    // A step without any key binds a row all the same.
    const least = Math.max(1, ...layout.groups.map((g) => g.keyHeads));
    const windowRows = shipments.reduce((n, s) => Math.max(n, windowRowsOf(s)), least);
    const { k, v } = plan.shipping.rowBytes;
    const usage = USAGE.storage | USAGE.copyDst;
    const window = {
      k: arena.create('k of others', windowRows * k, usage),
      v: arena.create('v of others', windowRows * v, usage),
    };
    return { shard, window, mover: createRowMover(device) };
  });
  const failed = (await problem) ?? (await made.mover.problem);
  if (failed) throw failed;
  const { shard, window, mover } = made;

  const begun = performance.now();
  const filled = [sources.q, sources.k, sources.v].every((s) => s.fill);
  const rowBytes = Math.max(...[sources.q, sources.k, sources.v].map(rowBytesOf));
  const chunk = filled ? rowBytes : Math.max(rowBytes, Math.min(UPLOAD, Math.floor(hostBytes / 8)));
  const uploader = new Uploader(device, chunk, 4);
  try {
    await loadShard(shard, sources, uploader);
    for (const source of [sources.q, sources.k, sources.v]) await source.check();
    await device.queue.onSubmittedWorkDone();
  } finally {
    uploader.release();
  }
  const loadMilliseconds = performance.now() - begun;

  const preparing = performance.now();
  const types = { input, output: computed };
  const steps = stepsOf(plan, picked, shard, shipments, window);
  const computer = await createComputer(prepared, bound, picked, types, options, steps, arena);
  const messages = new Arena(device);
  const { result: boxes, problem: noRoom } = scoped(device, 'messages to other ranks', () => {
    const { shipping, ahead } = plan;
    const exchange = { device, ranks, mover, arena: messages, rowBytes: shipping.rowBytes, ahead };
    return {
      inboxes: arrivals.map((a) => ({ ...a, inbox: createInbox(exchange, a.from, a.shipments) })),
      outboxes: departures.map((d) => createOutbox(exchange, d.to, d.shipments, shard)),
    };
  });
  const unable = await noRoom;
  if (unable) throw unable;
  const prepareMilliseconds = performance.now() - preparing;
  // Made once: freeing what it is read back through may wait for what the device computes.
  const stamps = steps.length === 0 ? undefined : createTimestamps(device, steps.length);
  const timestamps = typeof stamps === 'string' ? undefined : stamps;
  const work: Work = { ranks, window, steps, computer, timestamps, ...boxes };
  const repeats: Repeat[] = [];
  try {
    for (let n = 0; n < (options.repeats ?? 1); n++) repeats.push(await once(work));
  } finally {
    timestamps?.release();
  }

  const writing = performance.now();
  const { queries } = shape;
  const delivery = { output, computed, valueDim, queries, hostBytes };
  const bands = await deliver(device, program, shard.queries, sink, delivery);
  const messageBytes = messages.bytes;
  messages.release();
  const gpu = repeats.flatMap((r) => r.gpuMilliseconds ?? []);
  const bytesOf = (all: readonly { readonly shipments: readonly Shipment[] }[]): number =>
    all.reduce((n, a) => n + a.shipments.reduce((m, s) => m + bytesOfShipment(s), 0), 0);
  const stats: RankStats = {
    rank,
    kernels: computer.stats,
    sentBytes: bytesOf(departures),
    receivedBytes: bytesOf(arrivals),
    deviceBytes: arena.bytes,
    messageBytes,
    loadMilliseconds,
    prepareMilliseconds,
    milliseconds: repeats.map((r) => r.milliseconds),
    gpuMilliseconds: gpu.length === repeats.length ? gpu : undefined,
    writeMilliseconds: performance.now() - writing,
  };
  return { stats, bands };
}

const UPLOAD = 2 ** 25;

export const bytesOfShipment = ({ messages }: Shipment): number => messages.reduce((n, m) => n + m.bytes, 0);

/** Of each piece of query rows: with its own keys first, then with what arrives, in its order. */
function stepsOf(
  { bound, traffic, input }: DistributedPlan,
  { variant }: Picked,
  shard: Shard,
  shipments: readonly Shipment[],
  window: Readonly<Record<'k' | 'v', GPUBuffer>>,
): readonly StepWork[] {
  const { program, binding } = bound;
  const { shape, valueDim } = binding;
  const whole = !isConst(program.schedules[variant.schedule].when, 1);
  const sink = hasSink(program);
  return shard.queries.flatMap((piece) => {
    const { batch, group } = piece;
    const own = shard.keys.flatMap((k, n): KeyPart[] =>
      k.batch === batch && k.group === group ? [{ window: k.rows, piece: n, shipment: undefined }] : [],
    );
    const others = shipments.flatMap((s, n): KeyPart[] =>
      s.batch === batch && s.group === group ? [{ window: s.window, shipment: n, piece: undefined }] : [],
    );
    const keysOf = ({ window: { lo, hi }, piece: number }: RankStep): StepWork['keys'] => {
      const held = number === undefined ? undefined : shard.keys[number];
      const bind = (name: 'k' | 'v', dim: number): TensorBinding =>
        held
          ? rowsOfPiece(name, held[name], held.rows, { lo, hi })
          : { buffer: window[name], dtype: input, shape: [1, group.keyHeads, hi - lo, dim], row: lo };
      return { k: bind('k', shape.dim), v: bind('v', valueDim) };
    };
    return stepsOfPiece(traffic.needs, shape, piece, [...own, ...others], whole, sink).map((step) => ({
      piece,
      step,
      keys: keysOf(step),
    }));
  });
}

interface Work {
  readonly ranks: Ranks;
  readonly window: Readonly<Record<'k' | 'v', GPUBuffer>>;
  readonly steps: readonly StepWork[];
  readonly computer: Computer;
  readonly timestamps: Timestamps | undefined;
  readonly inboxes: readonly { readonly shipments: readonly Shipment[]; readonly inbox: Inbox }[];
  readonly outboxes: readonly Outbox[];
}

interface Repeat {
  readonly milliseconds: number;
  readonly gpuMilliseconds: number | undefined;
}

/** Exchanges and computes once. */
async function once(work: Work): Promise<Repeat> {
  const { ranks, window, steps, computer, timestamps, inboxes, outboxes } = work;
  await ranks.barrier();
  const start = performance.now();
  for (const { inbox } of inboxes) inbox.open();
  const sends = outboxes.map((outbox) => outbox.send());
  // Whatever is waited for, a message that cannot be sent ends it.
  const failure = new Promise<never>((_, reject) => sends.forEach((s) => s.catch(reject)));
  failure.catch(() => undefined);
  const { submit, finish } = computer.start(timestamps);
  const compute = async (shipment: number | undefined): Promise<void> => {
    for (const [n, { step }] of steps.entries()) if (step.shipment === shipment) await submit(n);
  };

  await Promise.race([failure, compute(undefined)]);
  let number = 0;
  for (const { shipments, inbox } of inboxes) {
    for (const shipment of shipments) {
      await Promise.race([failure, inbox.take(shipment, window)]);
      await Promise.race([failure, compute(number++)]);
    }
  }
  await Promise.all(sends);
  await finish();
  const milliseconds = performance.now() - start;
  const times = timestamps ? await timestamps.read() : [];
  const told = times.length > 0 && times.every((t) => t > 0);
  const gpuMilliseconds = told ? times.reduce((a, b) => a + b, 0) : steps.length === 0 ? 0 : undefined;
  return { milliseconds, gpuMilliseconds };
}
