import type { Arena } from '../arena.js';
import { MAP_MODE_READ, MAP_MODE_WRITE, USAGE } from '../gpu-flags.js';
import { scoped, untilLost } from '../scopes.js';
import { headOf, type KeyPiece, type Shard } from './shard.js';
import { tableBytes, tableOf, type MoveTable, type RowMover, type RowsAt } from './move-rows.js';
import type { Ranks } from './ranks.js';
import type { Message, Shipment, Slice } from './shipments.js';

/**
 * Keys and values on their way between ranks: packed on one device, read back, sent, and put at their places on the
 * other. MPI reads and writes plain memory, never a mapped buffer's: that would be gone with a device that is lost.
 * Only so many messages of a pair of ranks are under way at a time; the others wait for room, which keeps memory small,
 * whatever the traffic is.
 *
 * All buffers are made beforehand: making or freeing one that is mapped takes drivers a millisecond or more, and may
 * wait for what the device computes.
 */

/** Of all messages of a run: between two ranks they are told apart by their order. */
const TAG = 1;

/** What both directions need. */
export interface Exchange {
  readonly device: GPUDevice;
  readonly ranks: Ranks;
  readonly mover: RowMover;
  /** Of the buffers below. */
  readonly arena: Arena;
  readonly rowBytes: Readonly<Record<'k' | 'v', number>>;
  /** Most messages under way between two ranks, in each direction: what travels while the ranks compute. */
  readonly ahead: number;
}

const largest = (messages: readonly Message[]): number => messages.reduce((n, m) => Math.max(n, m.bytes), 0);

/** What holds the table of any of the messages, whose rows lie in `pieces` buffers of each tensor at most. */
function tableBuffer(arena: Arena, messages: readonly Message[], pieces: number): GPUBuffer {
  const runsOf = ({ slices }: Message): number => slices.reduce((n, s) => n + s.runs.length, 0);
  const runs = messages.reduce((n, m) => Math.max(n, runsOf(m)), 0);
  const bytes = tableBytes(runs * pieces, 2 * pieces);
  return arena.create('runs of rows', bytes, USAGE.storage | USAGE.copyDst);
}

/** What one other rank needs of this one. */
export interface Outbox {
  /** Sends it, in order; what can begin at once has been submitted when it returns. Once at a time. */
  send(): Promise<void>;
}

export function createOutbox(
  exchange: Exchange,
  to: number,
  shipments: readonly Shipment[],
  shard: Shard,
): Outbox {
  const { device, ranks, arena, ahead } = exchange;
  const piecesOf = ({ batch, group }: Shipment): readonly KeyPiece[] =>
    shard.keys.filter((p) => p.batch === batch && p.group === group);
  const messages = shipments.flatMap((s) => s.messages.map((message) => ({ shipment: s, message })));
  const bytes = largest(messages.map((m) => m.message));
  // One for all: the queue keeps the order.
  const packed = arena.create('packed rows', bytes, USAGE.storage | USAGE.copySrc);
  const table = tableBuffer(
    arena,
    messages.map((m) => m.message),
    shipments.reduce((n, s) => Math.max(n, piecesOf(s).length), 1),
  );
  const slots = Array.from({ length: Math.min(ahead, messages.length) }, () => ({
    readback: arena.create('rows to send', bytes, USAGE.mapRead | USAGE.copyDst),
    memory: new Uint8Array(bytes),
    free: Promise.resolve(),
  }));
  return {
    send: async () => {
      let sent: Promise<unknown> = Promise.resolve();
      for (const [n, { shipment, message }] of messages.entries()) {
        const slot = slots[n % slots.length];
        if (n >= slots.length) await slot.free;
        const problem = pack(exchange, message, piecesOf(shipment), {
          table,
          packed,
          readback: slot.readback,
        });
        const mapped = untilLost(device, slot.readback.mapAsync(MAP_MODE_READ));
        // In the order of messages, whichever is mapped first.
        const sending = Promise.all([mapped, problem, sent]).then(() => {
          const view = slot.memory.subarray(0, message.bytes);
          view.set(new Uint8Array(slot.readback.getMappedRange(0, message.bytes)));
          slot.readback.unmap();
          return ranks.send(to, TAG, view);
        });
        sent = sending;
        slot.free = sending.then(({ done }) => done);
        slot.free.catch(() => undefined);
      }
      await Promise.all(slots.map((s) => s.free));
    },
  };
}

function pack(
  { device, mover, rowBytes }: Exchange,
  { bytes, slices }: Message,
  pieces: readonly KeyPiece[],
  { table, packed, readback }: Readonly<Record<'table' | 'packed' | 'readback', GPUBuffer>>,
): Promise<void> {
  const made = tableOf(
    slices.flatMap(({ tensor, keyHead, runs, at }) =>
      pieces.map((piece) => {
        const size = rowBytes[tensor];
        const spread = headOf(piece[tensor], keyHead - piece.group.keyHead, piece.rows, size);
        return { spread, runs, rowBytes: size, at };
      }),
    ),
  );
  const { problem } = scoped(device, 'packing rows for another rank', () => {
    const encoder = device.createCommandEncoder({ label: 'attnc pack' });
    move(device, encoder, 'attnc pack', made, table, (pass) => mover.pack(pass, made, table, packed));
    encoder.copyBufferToBuffer(packed, 0, readback, 0, bytes);
    device.queue.submit([encoder.finish()]);
  });
  return thrown(problem);
}

/** The queue keeps order: what is dispatched reads the table that was written just before. */
function move(
  device: GPUDevice,
  encoder: GPUCommandEncoder,
  label: string,
  { words }: MoveTable,
  table: GPUBuffer,
  record: (pass: GPUComputePassEncoder) => void,
): void {
  device.queue.writeBuffer(table, 0, words);
  const pass = encoder.beginComputePass({ label });
  record(pass);
  pass.end();
}

const thrown = async (problem: Promise<Error | undefined>): Promise<void> => {
  const error = await problem;
  if (error) throw error;
};

/** What one other rank sends, message by message. */
export interface Inbox {
  /** Posts receives, as many as there is room for; the others follow as soon as room is free again. Once at a time. */
  open(): void;
  /** Puts the next shipment into buffers of k and v; when it resolves, that has been submitted. */
  take(shipment: Shipment, into: Readonly<Record<'k' | 'v', GPUBuffer>>): Promise<void>;
}

export function createInbox(exchange: Exchange, from: number, shipments: readonly Shipment[]): Inbox {
  const { device, ranks, arena, ahead } = exchange;
  const messages = shipments.flatMap((s) => s.messages);
  const bytes = largest(messages);
  const packed = arena.create('received rows', bytes, USAGE.storage | USAGE.copyDst);
  const table = tableBuffer(arena, messages, 1);
  const slots = Array.from({ length: Math.min(ahead, messages.length) }, () => ({
    memory: new Uint8Array(bytes),
    upload: arena.create('rows received', bytes, USAGE.mapWrite | USAGE.copySrc, true),
    /** Until the upload buffer is mapped. */
    mapped: Promise.resolve(),
  }));
  const viewOf = (n: number): Uint8Array<ArrayBuffer> =>
    slots[n % slots.length].memory.subarray(0, messages[n].bytes);
  const receive = (n: number): Promise<void> => {
    const { done } = ranks.receive(from, TAG, viewOf(n));
    done.catch(() => undefined);
    return done;
  };
  let pending: Promise<void>[] = [];
  let next = 0;
  return {
    open: () => {
      next = 0;
      pending = slots.map((_, n) => receive(n));
    },
    take: async (shipment, into) => {
      const problems: Promise<void>[] = [];
      for (const message of shipment.messages) {
        const n = next++;
        const slot = slots[n % slots.length];
        await untilLost(device, pending[n]);
        await slot.mapped;
        new Uint8Array(slot.upload.getMappedRange(0, bytes)).set(viewOf(n));
        slot.upload.unmap();
        // What it held has been copied.
        const after = n + slots.length;
        if (after < messages.length) pending[after] = receive(after);
        const problem = unpack(exchange, message, shipment, { table, packed, upload: slot.upload }, into);
        problem.catch(() => undefined);
        problems.push(problem);
        slot.mapped = untilLost(device, slot.upload.mapAsync(MAP_MODE_WRITE));
        slot.mapped.catch(() => undefined);
      }
      await Promise.all(problems);
    },
  };
}

function unpack(
  { device, mover, rowBytes }: Exchange,
  { bytes, slices }: Message,
  { group, window }: Shipment,
  { table, packed, upload }: Readonly<Record<'table' | 'packed' | 'upload', GPUBuffer>>,
  into: Readonly<Record<'k' | 'v', GPUBuffer>>,
): Promise<void> {
  const placeOf = ({ tensor, keyHead }: Slice): RowsAt => {
    const headBytes = (window.hi - window.lo) * rowBytes[tensor];
    return { buffer: into[tensor], offset: (keyHead - group.keyHead) * headBytes, rows: window };
  };
  const made = tableOf(
    slices.map((slice) => ({
      spread: placeOf(slice),
      runs: slice.runs,
      rowBytes: rowBytes[slice.tensor],
      at: slice.at,
    })),
  );
  const { problem } = scoped(device, 'placing rows of another rank', () => {
    const encoder = device.createCommandEncoder({ label: 'attnc unpack' });
    encoder.copyBufferToBuffer(upload, 0, packed, 0, bytes);
    move(device, encoder, 'attnc unpack', made, table, (pass) => mover.unpack(pass, made, table, packed));
    device.queue.submit([encoder.finish()]);
  });
  return thrown(problem);
}
