// Messages of any length over one communicator: cut into pieces, as MPI counts with 32 bits, and checked.

import { MPI, type Mpi } from './library.js';
import { wrongLength } from './problems.js';
import type { Outcome, Requests } from './requests.js';

/** Something on its way. */
export interface Pending {
  /** Until then the bytes must stay as they are: not written, not detached, and not read where they are received. */
  readonly done: Promise<void>;
}

export interface Messages {
  send(to: number, tag: number, bytes: Uint8Array): Pending;
  receive(from: number, tag: number, into: Uint8Array): Pending;
  /** Every rank calls it with as many bytes; those of `root` arrive at all. */
  broadcast(root: number, bytes: Uint8Array): Pending;
}

/**
 * A message of more than a piece goes as its length (8 bytes) and its pieces, all of one tag: MPI keeps the order
 * between two ranks. So a receiver that counts on another length is told, and never waits for a piece that doesn't
 * come.
 *
 * Only so many pieces of a message are under way at a time. Within a host Open MPI copies a piece in one go, and all
 * that are there when it is called: with more, the event loop would stand still for long.
 */
const UNDER_WAY = 4;

export function createMessages(mpi: Mpi, requests: Requests, comm: bigint, pieceBytes: number): Messages {
  // What begins in order on one rank must do so on the other: a line for each peer, tag and direction.
  const lines = new Map<string, Message[]>();

  const advance = (key: string): void => {
    const line = lines.get(key) ?? [];
    while (line.length > 0) {
      const message = line[0]!;
      while (message.begun < message.parts.length && message.begun - message.ended < UNDER_WAY) {
        begin(key, message, message.begun++);
      }
      if (message.begun < message.parts.length) return;
      line.shift();
    }
    lines.delete(key);
  };

  const begin = (key: string, message: Message, n: number): void => {
    const { what, call, parts, check, resolve, reject } = message;
    const part = parts[n]!;
    const ended = (outcome: Outcome): void => {
      message.ended++;
      try {
        if (outcome.code !== MPI.truncated) mpi.check(what, outcome.code);
        check?.(n, outcome);
      } catch (error) {
        reject(error as Error);
      }
      if (message.ended === parts.length) resolve();
      else if (message.begun < parts.length) advance(key);
    };
    const at = mpi.addressOf(part);
    try {
      requests.begin(what, (request) => call(at, part.length, request), { keep: [part], ended });
    } catch (error) {
      reject(error as Error);
    }
  };

  const pending = (
    key: string,
    what: string,
    parts: readonly Uint8Array[],
    call: Call,
    check?: Check,
  ): Pending => ({
    done: new Promise((resolve, reject) => {
      const message = { what, parts, call, check, resolve, reject, begun: 0, ended: 0 };
      const line = lines.get(key);
      if (line === undefined) lines.set(key, [message]);
      else line.push(message);
      advance(key);
    }),
  });

  return {
    send: (to, tag, bytes) => {
      const pieces = cut(bytes, pieceBytes);
      const parts = pieces.length === 1 ? pieces : [lengthBytes(bytes.length), ...pieces];
      return pending(`to ${to} ${tag}`, `sending to rank ${to}`, parts, (at, length, request) =>
        mpi.MPI_Isend(at, length, mpi.byte, to, tag, comm, request),
      );
    },
    receive: (from, tag, into) => {
      const pieces = cut(into, pieceBytes);
      const length = lengthBytes(0);
      const parts = pieces.length === 1 ? pieces : [length, ...pieces];
      const call: Call = (at, count, request) => mpi.MPI_Irecv(at, count, mpi.byte, from, tag, comm, request);
      return pending(
        `from ${from} ${tag}`,
        `receiving from rank ${from}`,
        parts,
        call,
        (n, { code, bytes }) => {
          const truncated = code === MPI.truncated;
          const whole = !truncated && bytes === parts[n]!.length;
          if (whole && (parts[n] !== length || lengthOf(length) === into.length)) return;
          // A message of one piece, or the length of one of several.
          const sent = whole ? lengthOf(length) : truncated ? undefined : bytes;
          throw wrongLength(from, tag, into.length, sent);
        },
      );
    },
    // All in one line: MPI tells them apart by their order alone.
    broadcast: (root, bytes) =>
      pending('to all', `a broadcast of rank ${root}`, cut(bytes, pieceBytes), (at, length, request) =>
        mpi.MPI_Ibcast(at, length, mpi.byte, root, comm, request),
      ),
  };
}

/** Starts an MPI request for a part. */
type Call = (at: bigint, length: number, request: bigint) => number;
/** Throws for a part that didn't arrive as it should. */
type Check = (part: number, outcome: Outcome) => void;

interface Message {
  readonly what: string;
  readonly parts: readonly Uint8Array[];
  readonly call: Call;
  readonly check: Check | undefined;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** How many of its parts. */
  begun: number;
  ended: number;
}

/** Views of the same bytes, none longer than `most`; one, if only an empty one, at least. */
export function cut(bytes: Uint8Array, most: number): readonly Uint8Array[] {
  const count = Math.max(1, Math.ceil(bytes.length / most));
  return Array.from({ length: count }, (_, n) => bytes.subarray(n * most, (n + 1) * most));
}

function lengthBytes(length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(length), true);
  return new Uint8Array(view.buffer);
}

const lengthOf = (bytes: Uint8Array): number => Number(new DataView(bytes.buffer).getBigUint64(0, true));
