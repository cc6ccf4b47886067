// How ranks tell rank 0 that they failed, beside all other messages: see guard.ts.

import { MPI, type Mpi } from './library.js';
import type { Requests } from './requests.js';

/** The longest alarm, in bytes; what is longer is cut. */
const LONGEST = 4096;

export interface Alarms {
  /** From any rank but 0, to rank 0. */
  raise(bytes: Uint8Array): void;
  /** On rank 0: calls `heard` for each, until the communicator finishes. */
  listen(heard: (from: number, bytes: Uint8Array) => void): void;
}

/** `comm` is a communicator that carries nothing else. */
export function createAlarms(mpi: Mpi, requests: Requests, comm: bigint): Alarms {
  const listen: Alarms['listen'] = (heard) => {
    const into = new Uint8Array(LONGEST);
    const at = mpi.addressOf(into);
    requests.begin(
      'listening to other ranks',
      (request) => mpi.MPI_Irecv(at, LONGEST, mpi.byte, MPI.anySource, 0, comm, request),
      {
        keep: [into],
        background: true,
        ended: ({ code, from, bytes }) => {
          if (code !== MPI.success) return;
          listen(heard);
          heard(from, into.subarray(0, bytes));
        },
      },
    );
  };
  return {
    listen,
    raise: (bytes) => {
      const sent = bytes.slice(0, LONGEST);
      const at = mpi.addressOf(sent);
      requests.begin(
        'telling rank 0',
        (request) => mpi.MPI_Isend(at, sent.length, mpi.byte, 0, 0, comm, request),
        // Who raises an alarm waits for its end, not for this.
        { keep: [sent], ended: () => undefined },
      );
    },
  };
}
