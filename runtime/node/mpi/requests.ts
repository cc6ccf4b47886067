// Progress of all that is on its way. MPI moves data only while it is called, and Node must go on meanwhile: so all
// requests are tested together, without blocking, between two turns of the event loop.

import { MPI, type Mpi } from './library.js';

/** How a request ended: bytes received (0 for what isn't a receive), the sender, and MPI's error code. */
export interface Outcome {
  readonly bytes: number;
  readonly from: number;
  readonly code: number;
}

export interface Watch {
  /** Buffers that MPI reads or writes until the request is done: reachable from here, they are not collected. */
  readonly keep: readonly ArrayBufferView[];
  /** Called once. Must not throw. */
  readonly ended: (outcome: Outcome) => void;
  /** Something that may never happen: it is tested seldom, and keeps no process alive. */
  readonly background?: boolean;
}

export interface Requests {
  /** Calls `start` with the address that an MPI function writes its request to, and watches that. */
  begin(what: string, start: (request: bigint) => number, watch: Watch): void;
  /** How many are not done, background ones not counted. */
  readonly waiting: number;
  /** Cancels those in the background and watches nothing any more. */
  stop(): void;
}

/**
 * Milliseconds after something began or ended during which every turn of the event loop looks again. Large messages
 * come in pieces, so on a fast network there is always one that ended lately.
 */
const EAGER = 20;
/** Milliseconds between two looks: after that, and where there are only background requests. */
const PATIENT = 1;
const IDLE = 10;

interface Ended {
  readonly watch: Watch;
  readonly outcome: Outcome;
}

/** Arrays that MPI_Testsome reads and writes, and where they lie. */
interface Table {
  readonly capacity: number;
  readonly requests: BigUint64Array;
  readonly indices: Int32Array;
  readonly statuses: Int32Array;
  readonly at: { readonly requests: bigint; readonly indices: bigint; readonly statuses: bigint };
}

export function createRequests(mpi: Mpi): Requests {
  // watches[i] belongs to table.requests[i].
  let watches: Watch[] = [];
  let table = createTable(mpi, 64);
  let waiting = 0;
  let lastEvent = 0;
  let immediate: NodeJS.Immediate | undefined;
  let timer: NodeJS.Timeout | undefined;
  const one = new BigUint64Array(1);
  const oneAt = mpi.addressOf(one);
  const found = new Int32Array(1);
  const foundAt = mpi.addressOf(found);
  const count = new Int32Array(1);
  const countAt = mpi.addressOf(count);
  // After an error that is of no request in particular, MPI may still write into their buffers.
  const lost: Watch[] = [];

  const sleep = (): void => {
    clearImmediate(immediate);
    clearTimeout(timer);
    immediate = timer = undefined;
    if (watches.length === 0) return;
    if (waiting === 0) timer = setTimeout(look, IDLE).unref();
    else if (performance.now() - lastEvent < EAGER) immediate = setImmediate(look);
    else timer = setTimeout(look, PATIENT);
  };

  const look = (): void => {
    const code = testSome();
    const ended =
      code === MPI.success || code === MPI.errorInStatus
        ? takeEnded(code)
        : takeAll({ bytes: 0, from: 0, code });
    if (ended.length > 0) lastEvent = performance.now();
    for (const { watch, outcome } of ended) watch.ended(outcome);
    sleep();
  };

  const testSome = (): number => {
    const { at } = table;
    return mpi.MPI_Testsome(watches.length, at.requests, foundAt, at.indices, at.statuses);
  };

  /** What MPI_Testsome found; the rest moves together. */
  const takeEnded = (code: number): Ended[] => {
    // Negative (MPI_UNDEFINED) where nothing is active.
    const indices = [...table.indices.subarray(0, Math.max(0, found[0]!))];
    const ended = indices.map((index, n) => ({ watch: watches[index]!, outcome: outcomeAt(n, code) }));
    const gone = new Set(indices);
    let kept = 0;
    watches = watches.filter((_, index) => {
      if (gone.has(index)) return false;
      table.requests[kept++] = table.requests[index]!;
      return true;
    });
    waiting -= ended.filter(({ watch }) => watch.background !== true).length;
    return ended;
  };

  const takeAll = (outcome: Outcome): Ended[] => {
    const all = watches;
    lost.push(...all);
    watches = [];
    waiting = 0;
    return all.map((watch) => ({ watch, outcome }));
  };

  /** Of the nth that was found. A status says what went wrong only where MPI_Testsome points to it. */
  const outcomeAt = (n: number, code: number): Outcome => {
    const [from, , error] = table.statuses.subarray((n * MPI.statusBytes) / 4);
    mpi.MPI_Get_count(table.at.statuses + BigInt(n * MPI.statusBytes), mpi.byte, countAt);
    return {
      bytes: Math.max(0, count[0]!),
      from: from!,
      code: code === MPI.success ? MPI.success : error!,
    };
  };

  return {
    begin: (what, start, watch) => {
      mpi.check(what, start(oneAt));
      if (watches.length === table.capacity) table = grown(mpi, table);
      table.requests[watches.length] = one[0]!;
      watches.push(watch);
      if (watch.background !== true) {
        waiting++;
        lastEvent = performance.now();
      }
      if (immediate === undefined) sleep();
    },
    get waiting() {
      return waiting;
    },
    stop: () => {
      watches.forEach(({ background }, index) => {
        if (background === true) mpi.MPI_Cancel(table.at.requests + BigInt(index * 8));
      });
      testSome();
      watches = [];
      sleep();
    },
  };
}

function createTable(mpi: Mpi, capacity: number): Table {
  const requests = new BigUint64Array(capacity);
  const indices = new Int32Array(capacity);
  const statuses = new Int32Array((capacity * MPI.statusBytes) / 4);
  const at = {
    requests: mpi.addressOf(requests),
    indices: mpi.addressOf(indices),
    statuses: mpi.addressOf(statuses),
  };
  return { capacity, requests, indices, statuses, at };
}

function grown(mpi: Mpi, { capacity, requests }: Table): Table {
  const larger = createTable(mpi, 2 * capacity);
  larger.requests.set(requests);
  return larger;
}
