// The ranks that mpirun started, and what they say to each other: without blocking, next to Node's other work.

import { internalError } from '../../errors.js';
import { createAlarms, type Alarms } from './alarms.js';
import { loadMpi, MPI, type LibraryNames, type Mpi } from './library.js';
import { createMessages, type Pending } from './messages.js';
import { mpiFailed, noMpi } from './problems.js';
import { createRequests, type Outcome } from './requests.js';
import { watchStart } from './watchdog.js';

export interface Communicator {
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** Among the ranks on this host: which one this is, and how many they are. */
  readonly localRank: number;
  readonly localSize: number;
  /**
   * Everybody's bytes, in the order of ranks; their lengths may differ. As with `barrier`, all ranks must call the same
   * in the same order; calls may overlap.
   */
  allGather(bytes: Uint8Array): Promise<readonly Uint8Array[]>;
  barrier(): Promise<void>;
  /**
   * Messages between the same two ranks under one tag (0 to 32767) arrive in the order in which they were sent. The
   * receiver must know the length; another one fails on it. A rank may send to itself.
   */
  send(to: number, tag: number, bytes: Uint8Array): Pending;
  receive(from: number, tag: number, into: Uint8Array): Pending;
  /** Ends every rank at once, with this exit status; whoever calls it has said why. */
  abort(status: number): never;
  /** Waits for all ranks, and ends MPI. Nothing may be pending, and nothing can follow. */
  finish(): Promise<void>;
  /** For guardRanks. */
  readonly alarms: Alarms;
}

export interface StartOptions {
  /** Messages are cut into pieces of at most so many bytes; the same on all ranks. Default: 4 MiB. */
  readonly pieceBytes?: number | undefined;
  /** How long all ranks may take to start; the process is killed, with a message, when they don't. Default: 120. */
  readonly startSeconds?: number | undefined;
  /** For tests. */
  readonly libraries?: LibraryNames | undefined;
}

/** Below 2³¹ for MPI; so small that the event loop goes on (messages.ts), and large enough for full speed. */
const PIECE_BYTES = 2 ** 22;

/** Any implementation of MPI has at least so many. */
const LARGEST_TAG = 32767;

/** What Open MPI's mpirun, or a PMIx server such as Slurm's, sets for the processes that it starts. */
const LAUNCHED = ['OMPI_COMM_WORLD_SIZE', 'PMIX_RANK'];

/** The rank as the environment has it, for what is said before MPI tells. */
export const launchedRank = (): number =>
  Number(process.env.OMPI_COMM_WORLD_RANK ?? process.env.PMIX_RANK ?? 0);

/** Once in a process that mpirun started. Typed errors for each way in which MPI isn't there. */
export async function startMpi(options: StartOptions = {}): Promise<Communicator> {
  if (!LAUNCHED.some((name) => process.env[name] !== undefined)) {
    throw noMpi('this process was not started by mpirun', 'start it with mpirun -n 2 attnc …');
  }
  const { pieceBytes = PIECE_BYTES, startSeconds = 120 } = options;
  if (!Number.isInteger(pieceBytes) || pieceBytes < 1 || pieceBytes >= 2 ** 31)
    throw internalError(`MPI has no pieces of ${pieceBytes} bytes`);
  const mpi = loadMpi(options.libraries);
  const integer = integers(mpi);
  if (integer('MPI_Initialized', mpi.MPI_Initialized) !== 0)
    throw internalError('MPI was started twice in this process');
  const started = watchStart(startSeconds, launchedRank());
  // Node has other threads, but only this one calls MPI.
  integer('MPI_Init_thread', (at) => mpi.MPI_Init_thread(0n, 0n, MPI.threadFunneled, at));
  started();
  // Else MPI's errors would end the process.
  mpi.check('MPI_Comm_set_errhandler', mpi.MPI_Comm_set_errhandler(mpi.world, mpi.errorsReturn));
  return connect(mpi, placeOf(mpi), pieceBytes);
}

type Place = Pick<Communicator, 'rank' | 'size' | 'localRank' | 'localSize'>;

function placeOf(mpi: Mpi): Place {
  const integer = integers(mpi);
  const rankIn = (comm: bigint): number => integer('MPI_Comm_rank', (at) => mpi.MPI_Comm_rank(comm, at));
  const sizeOf = (comm: bigint): number => integer('MPI_Comm_size', (at) => mpi.MPI_Comm_size(comm, at));
  const host = communicators(mpi)('MPI_Comm_split_type', (at) =>
    mpi.MPI_Comm_split_type(mpi.world, MPI.typeShared, 0, mpi.noInfo, at),
  );
  return {
    rank: rankIn(mpi.world),
    size: sizeOf(mpi.world),
    localRank: rankIn(host),
    localSize: sizeOf(host),
  };
}

function connect(mpi: Mpi, place: Place, pieceBytes: number): Communicator {
  const { rank, size } = place;
  const communicator = communicators(mpi);
  const copy = (): bigint => communicator('MPI_Comm_dup', (at) => mpi.MPI_Comm_dup(mpi.world, at));
  const requests = createRequests(mpi);
  const comm = copy();
  const messages = createMessages(mpi, requests, comm, pieceBytes);

  let finished = false;
  const open = (): void => {
    if (finished) throw internalError('MPI was used after its end');
  };
  const checked = (peer: number, tag: number): void => {
    open();
    const fine = Number.isInteger(peer) && peer >= 0 && peer < size && tag >= 0 && tag <= LARGEST_TAG;
    if (!fine) throw internalError(`there is no rank ${peer} of ${size}, or no tag ${tag}`);
  };

  const wait = (what: string, keep: readonly ArrayBufferView[], start: (request: bigint) => number) =>
    new Promise<void>((resolve, reject) => {
      const ended = ({ code }: Outcome): void => {
        if (code === MPI.success) resolve();
        else reject(mpiFailed(what, code, mpi.reasonOf(code)));
      };
      requests.begin(what, start, { keep, ended });
    });
  const barrier = (): Promise<void> => wait('a barrier', [], (request) => mpi.MPI_Ibarrier(comm, request));
  const lengths = async (mine: number): Promise<readonly number[]> => {
    const from = new BigUint64Array([BigInt(mine)]);
    const into = new BigUint64Array(size);
    const [fromAt, intoAt] = [mpi.addressOf(from), mpi.addressOf(into)];
    await wait('gathering lengths', [from, into], (request) =>
      mpi.MPI_Iallgather(fromAt, 8, mpi.byte, intoAt, 8, mpi.byte, comm, request),
    );
    return [...into].map(Number);
  };
  const gather = async (bytes: Uint8Array): Promise<readonly Uint8Array[]> => {
    const all = (await lengths(bytes.length)).map((length) => new Uint8Array(length));
    all[rank]!.set(bytes);
    // A broadcast a rank: MPI's gather of unlike lengths counts all of them together with 32 bits.
    await Promise.all(all.map((part, root) => messages.broadcast(root, part).done));
    return all;
  };

  // MPI tells what all ranks do together by its order, so one such thing follows the other.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    open();
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };

  return {
    ...place,
    allGather: (bytes) => inTurn(() => gather(bytes)),
    barrier: () => inTurn(barrier),
    send: (to, tag, bytes) => {
      checked(to, tag);
      return messages.send(to, tag, bytes);
    },
    receive: (from, tag, into) => {
      checked(from, tag);
      return messages.receive(from, tag, into);
    },
    abort: (status) => {
      mpi.MPI_Abort(mpi.world, status);
      process.exit(status);
    },
    finish: async () => {
      // MPI_Finalize waits for all ranks as well, but blocks.
      await inTurn(async () => {
        if (requests.waiting > 0) throw internalError(unfinished(requests.waiting));
        await barrier();
      });
      finished = true;
      requests.stop();
      mpi.check('MPI_Finalize', mpi.MPI_Finalize());
    },
    alarms: createAlarms(mpi, requests, copy()),
  };
}

/** For functions that give back an int through their last argument. */
function integers(mpi: Mpi): (what: string, call: (at: bigint) => number) => number {
  const out = new Int32Array(1);
  const at = mpi.addressOf(out);
  return (what, call) => {
    mpi.check(what, call(at));
    return out[0]!;
  };
}

/** For functions that give back a communicator. */
function communicators(mpi: Mpi): (what: string, call: (at: bigint) => number) => bigint {
  const out = new BigUint64Array(1);
  const at = mpi.addressOf(out);
  return (what, call) => {
    mpi.check(what, call(at));
    mpi.check('MPI_Comm_set_errhandler', mpi.MPI_Comm_set_errhandler(out[0]!, mpi.errorsReturn));
    return out[0]!;
  };
}

const unfinished = (count: number): string =>
  `${count} ${count === 1 ? 'message was' : 'messages were'} never waited for`;
