/** What each rank does in a test: `node scenarios.js NAME`, under mpirun. A rank for which all is well prints `ok RANK`. */
import { strict as assert } from 'node:assert';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAttncError, type AttncError } from '../../runtime/errors.js';
import { openDevice } from '../../runtime/node/index.js';
import { agree, deviceForRank, runRanks, startMpi, type Communicator } from '../../runtime/node/mpi/index.js';

/** Bytes that say who sent them, under which tag, and where in the message they stand. */
export function pattern(length: number, from: number, tag: number): Uint8Array {
  return Uint8Array.from({ length }, (_, n) => (n * 7 + (n >> 8) * 13 + from * 31 + tag * 101) & 255);
}

function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  // Not deepEqual, which prints all of them.
  assert.equal(Buffer.compare(actual, expected), 0, what);
}

async function ring(comm: Communicator): Promise<void> {
  const { rank, size } = comm;
  const [left, right] = [(rank + size - 1) % size, (rank + 1) % size];
  for (const [tag, length] of [0, 1, 8, 63, 64, 4096, 100_000, 3_000_000].entries()) {
    const into = new Uint8Array(length);
    const pending = [comm.receive(left, tag, into), comm.send(right, tag, pattern(length, rank, tag))];
    await Promise.all(pending.map((p) => p.done));
    same(into, pattern(length, left, tag), `${length} bytes`);
  }
}

/** Messages of all lengths under one tag, begun at once: they arrive in order, however they are cut. */
async function line(comm: Communicator): Promise<void> {
  const { rank, size } = comm;
  const [left, right] = [(rank + size - 1) % size, (rank + 1) % size];
  const all = [20_000, 0, 1, 999, 1000, 1001, 50_000, 8, 4000, 12_345];
  const into = all.map((length) => new Uint8Array(length));
  const pending = [
    ...into.map((bytes) => comm.receive(left, 3, bytes)),
    ...all.map((length, n) => comm.send(right, 3, pattern(length, rank, n))),
  ];
  await Promise.all(pending.map((p) => p.done));
  into.forEach((bytes, n) => same(bytes, pattern(all[n]!, left, n), `message ${n}`));
}

async function gather(comm: Communicator): Promise<void> {
  const length = (rank: number, turn: number): number => (rank === 0 ? 0 : rank * 1001 * turn);
  // Overlapping: all are called before the first one is done.
  const turns = [1, 2, 3].map(async (turn) => {
    const all = await comm.allGather(pattern(length(comm.rank, turn), comm.rank, turn));
    assert.equal(all.length, comm.size);
    all.forEach((bytes, from) => {
      assert.equal(bytes.length, length(from, turn));
      same(bytes, pattern(bytes.length, from, turn), `of rank ${from}`);
    });
  });
  await Promise.all([...turns, comm.barrier()]);
}

/** To all ranks, itself included, with many requests in flight that are posted in unlike orders. */
async function many(comm: Communicator): Promise<void> {
  const count = 300;
  const length = (tag: number): number => (tag * 37) % 200;
  const received: { readonly from: number; readonly tag: number; readonly into: Uint8Array }[] = [];
  const pending: Promise<void>[] = [];
  for (let peer = 0; peer < comm.size; peer++) {
    for (let tag = 0; tag < count; tag++) {
      const into = new Uint8Array(length(count - 1 - tag));
      received.push({ from: peer, tag: count - 1 - tag, into });
      pending.push(comm.receive(peer, count - 1 - tag, into).done);
    }
  }
  // Arrays of this size lie inside of V8's heap; what moves or collects them now breaks the messages.
  const churn = (): void => {
    Array.from({ length: 200 }, () => new Uint8Array(40).fill(255));
    (globalThis as { gc?: () => void }).gc?.();
  };
  churn();
  for (let tag = 0; tag < count; tag++) {
    for (let peer = 0; peer < comm.size; peer++) {
      pending.push(comm.send(peer, tag, pattern(length(tag), comm.rank, tag)).done);
    }
    if (tag % 50 === 0) {
      churn();
      await sleep(1);
    }
  }
  churn();
  await Promise.all(pending);
  for (const { from, tag, into } of received) same(into, pattern(length(tag), from, tag), `${from} ${tag}`);
}

/** Two ranks: rank 0 waits for a message, and counts how long the event loop stood still meanwhile. */
async function alive(comm: Communicator): Promise<void> {
  // Made and touched before the clock runs: that takes long, too.
  const large = new Uint8Array(2 ** 26).fill(comm.rank);
  await comm.barrier();
  let [ticks, longest, last] = [0, 0, performance.now()];
  const clock = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    ticks++;
  }, 5);
  const into = new Uint8Array(100);
  if (comm.rank === 0) await comm.receive(1, 0, into).done;
  else {
    await sleep(1000);
    await comm.send(0, 0, into).done;
  }
  const waited = ticks;
  await (comm.rank === 0 ? comm.receive(1, 1, large) : comm.send(0, 1, large)).done;
  clearInterval(clock);
  assert.ok(large.every((byte) => byte === 1));
  assert.ok(waited > 50, `${waited} turns of the event loop in a second`);
  // A second is what a receive that blocks would take.
  assert.ok(longest < 800, `the event loop stood still for ${longest} ms`);
}

/** Two ranks: what rank 0 expects is not what rank 1 sends. */
async function lengths(comm: Communicator): Promise<void> {
  const cases = [
    { sent: 100, expected: 64, told: /must have 64 bytes, but has more/ },
    { sent: 64, expected: 100, told: /must have 100 bytes, but has 64/ },
    { sent: 5000, expected: 3000, told: /must have 3000 bytes, but has 5000/ },
    { sent: 5000, expected: 900, told: /must have 900 bytes, but has 8/ },
    { sent: 900, expected: 5000, told: /must have 5000 bytes, but has more/ },
  ];
  for (const [tag, { sent, expected, told }] of cases.entries()) {
    if (comm.rank === 1) void comm.send(0, tag, new Uint8Array(sent));
    else {
      const { done } = comm.receive(1, tag, new Uint8Array(expected));
      await assert.rejects(done, (e: AttncError) => isAttncError(e, 'mpi-failed') && told.test(e.message));
    }
  }
  assert.throws(() => comm.send(2, 0, new Uint8Array(1)), /no rank 2 of 2/);
  assert.throws(() => comm.send(-1, 0, new Uint8Array(1)), /no rank -1/);
  assert.throws(() => comm.send(0, 40_000, new Uint8Array(1)), /no tag 40000/);
  await comm.barrier();
  // Messages stay behind on purpose, so this can't end in order.
  process.stdout.write(`ok ${comm.rank}\n`);
  if (comm.rank === 0) {
    await sleep(300);
    comm.abort(7);
  }
  await sleep(60_000);
}

async function place(comm: Communicator): Promise<void> {
  assert.equal(comm.size, Number(process.env.OMPI_COMM_WORLD_SIZE));
  assert.equal(comm.rank, Number(process.env.OMPI_COMM_WORLD_RANK));
  assert.equal(comm.localRank, Number(process.env.OMPI_COMM_WORLD_LOCAL_RANK));
  assert.equal(comm.localSize, Number(process.env.OMPI_COMM_WORLD_LOCAL_SIZE));
  await assert.rejects(startMpi(), /started twice/);
}

async function device(comm: Communicator): Promise<void> {
  const { device, sharedWith, why } = await deviceForRank(comm, 'swiftshader');
  assert.deepEqual(
    { device, sharedWith, why },
    { device: 'swiftshader', sharedWith: [], why: "'swiftshader' was asked for" },
  );
  const opened = await openDevice({ device });
  assert.equal(opened.kind, 'swiftshader');
  opened.close();
}

/** All ranks wait for something that never comes, but for those that `act`. */
async function waiting(comm: Communicator, act: (comm: Communicator) => void | Promise<void>): Promise<void> {
  await comm.barrier();
  const peer = (comm.rank + 1) % comm.size;
  const message = comm.receive(peer, 9, new Uint8Array(10)).done;
  process.stdout.write(`waits ${comm.rank} ${process.pid}\n`);
  await act(comm);
  await (comm.rank % 2 === 0 ? message : comm.barrier());
}

const onRank =
  (rank: number, act: () => void | Promise<void>) =>
  async (comm: Communicator): Promise<void> => {
    if (comm.rank !== rank) return;
    await sleep(100);
    await act();
  };

const broken = (): never => {
  throw new TypeError('something is undefined');
};

const SCENARIOS: Readonly<Record<string, (comm: Communicator) => Promise<void>>> = {
  ring,
  line,
  gather,
  many,
  alive,
  lengths,
  place,
  device,
  agreed: (comm) => agree(comm, { program: 'sha256 1', length: '4096' }),
  disagreed: (comm) =>
    agree(comm, {
      program: 'sha256 1',
      length: comm.rank === 2 ? '8192' : '4096',
      ...(comm.rank > 0 && { "input 'doc'": 'sha256 2' }),
    }),
  throws: (comm) => waiting(comm, onRank(1, broken)),
  first: (comm) => waiting(comm, onRank(0, broken)),
  alike: (comm) => waiting(comm, broken),
  unlike: (comm) =>
    waiting(comm, ({ rank }) => {
      throw new Error(rank === 1 ? 'one thing' : 'another');
    }),
  rejection: (comm) =>
    waiting(
      comm,
      onRank(1, () => void Promise.reject(new Error('nobody waits for this'))),
    ),
  exception: (comm) =>
    waiting(
      comm,
      onRank(1, () => void setTimeout(broken, 10)),
    ),
  // Rank 0 is away for longer than the others wait for it.
  busy: (comm) =>
    waiting(comm, async ({ rank }) => {
      if (rank === 1) broken();
      if (rank === 0) for (const until = performance.now() + 15_000; performance.now() < until;);
    }),
  killed: (comm) =>
    waiting(
      comm,
      onRank(1, () => void process.kill(process.pid, 'SIGKILL')),
    ),
  leaves: (comm) =>
    waiting(
      comm,
      onRank(1, () => process.exit(0)),
    ),
  waits: (comm) => waiting(comm, () => undefined),
  unfinished: async (comm) => {
    if (comm.rank === 0) void comm.receive(1, 0, new Uint8Array(1));
  },
};

async function main(name: string): Promise<number> {
  const rank = Number(process.env.OMPI_COMM_WORLD_RANK);
  const early = /^early-(\d)$/.exec(name);
  if (early && rank === 1) process.exit(Number(early[1]));
  const scenario = SCENARIOS[early ? 'waits' : name];
  assert.ok(scenario, name);
  // So that rank 1 is gone before the others come to MPI.
  if (early) await sleep(500);
  const { ATTNC_TEST_PIECES: pieces, ATTNC_TEST_START: start, ATTNC_TEST_LIBMPI: libmpi } = process.env;
  return runRanks(
    async (comm) => {
      await scenario(comm);
      process.stdout.write(`ok ${comm.rank}\n`);
      return 0;
    },
    {
      print: ({ code, message }) => void process.stderr.write(`error[${code}]: ${message}\n`),
      statusOf: () => 5,
    },
    {
      pieceBytes: pieces === undefined ? undefined : Number(pieces),
      startSeconds: start === undefined ? undefined : Number(start),
      libraries: libmpi === undefined ? undefined : { koffi: 'koffi', mpi: [libmpi] },
    },
  );
}

process.exitCode = await main(process.argv[2]!);
