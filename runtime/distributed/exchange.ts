import { Arena } from '../arena.js';
import { MAP_MODE_READ, USAGE } from '../gpu-flags.js';
import { scoped, untilLost } from '../scopes.js';
import { headOf, type KeyPiece, type Shard } from './shard.js';
import type { RowMover, RowsAt } from './move-rows.js';
import type { Ranks } from './ranks.js';
import type { Message, Shipment, Slice } from './shipments.js';

/**
 * Keys and values on their way between ranks: packed on one device, read back, sent, and put at their places on the
 * other. MPI reads and writes plain memory, never a mapped buffer's: that would be gone with a device that is lost. Only so many messages of a pair of ranks are under way at a time;
 * the others wait for room, which keeps memory small, whatever the traffic is.
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
  const messages = shipments.flatMap((s) => s.messages.map((message) => ({ shipment: s, message })));
  const bytes = largest(messages.map((m) => m.message));
  // One for all: the queue keeps the order.
  const packed = arena.create('packed rows', bytes, USAGE.storage | USAGE.copySrc);
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
        const pieces = shard.keys.filter((p) => p.batch === shipment.batch && p.group === shipment.group);
        const problem = pack(exchange, message, pieces, packed, slot.readback);
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
  packed: GPUBuffer,
  readback: GPUBuffer,
): Promise<void> {
  const tables = new Arena(device);
  const { problem } = scoped(device, 'packing rows for another rank', () => {
    const encoder = device.createCommandEncoder({ label: 'attnc pack' });
    const pass = encoder.beginComputePass({ label: 'attnc pack' });
    for (const slice of slices) {
      for (const piece of pieces) {
        const size = rowBytes[slice.tensor];
        const from = headOf(piece[slice.tensor], slice.keyHead - piece.group.keyHead, piece.rows, size);
        mover.pack(pass, tables, from, packed, { runs: slice.runs, rowBytes: size, at: slice.at });
      }
    }
    pass.end();
    encoder.copyBufferToBuffer(packed, 0, readback, 0, bytes);
    device.queue.submit([encoder.finish()]);
  });
  tables.release();
  return thrown(problem);
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
  const slots = Array.from({ length: Math.min(ahead, messages.length) }, () => new Uint8Array(bytes));
  const viewOf = (n: number): Uint8Array<ArrayBuffer> =>
    slots[n % slots.length].subarray(0, messages[n].bytes);
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
      for (const message of shipment.messages) {
        const n = next++;
        await untilLost(device, pending[n]);
        const problem = unpack(exchange, message, shipment, viewOf(n), packed, into);
        // What it held has been copied.
        const after = n + slots.length;
        if (after < messages.length) pending[after] = receive(after);
        await problem;
      }
    },
  };
}

function unpack(
  { device, mover, rowBytes }: Exchange,
  { slices }: Message,
  { group, window }: Shipment,
  received: Uint8Array<ArrayBuffer>,
  packed: GPUBuffer,
  into: Readonly<Record<'k' | 'v', GPUBuffer>>,
): Promise<void> {
  const tables = new Arena(device);
  const placeOf = ({ tensor, keyHead }: Slice): RowsAt => {
    const headBytes = (window.hi - window.lo) * rowBytes[tensor];
    return { buffer: into[tensor], offset: (keyHead - group.keyHead) * headBytes, rows: window };
  };
  const { problem } = scoped(device, 'placing rows of another rank', () => {
    device.queue.writeBuffer(packed, 0, received);
    const encoder = device.createCommandEncoder({ label: 'attnc unpack' });
    const pass = encoder.beginComputePass({ label: 'attnc unpack' });
    for (const slice of slices) {
      const { runs, at, tensor } = slice;
      mover.unpack(pass, tables, packed, placeOf(slice), { runs, at, rowBytes: rowBytes[tensor] });
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
  });
  tables.release();
  return thrown(problem);
}
