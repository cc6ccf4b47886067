// Processes that mpirun starts: what they say to each other, and how all of them end when one fails.

import { readFileSync } from 'node:fs';
import test from 'ava';
import { isAttncError } from '../../runtime/errors.js';
import { loadMpi } from '../../runtime/node/mpi/library.js';
import { startMpi } from '../../runtime/node/mpi/index.js';
import { mpirun, mpiTest, scenario, type Ran, type RunOptions } from './mpirun.js';

const run = (ranks: number, name: string, options?: RunOptions): Promise<Ran> =>
  mpirun(ranks, scenario(name), options);

const okLines = (ranks: number): readonly string[] =>
  Array.from({ length: ranks }, (_, rank) => `ok ${rank}`);

interface Good extends RunOptions {
  readonly name: string;
  readonly ranks: readonly number[];
}

const pieces = (bytes: number): RunOptions['env'] => ({ ATTNC_TEST_PIECES: `${bytes}` });

const GOOD: readonly Good[] = [
  { name: 'place', ranks: [1, 2, 4] },
  { name: 'ring', ranks: [1, 2, 4] },
  { name: 'ring', ranks: [4], transport: 'tcp' },
  { name: 'ring', ranks: [2], env: pieces(1000) },
  { name: 'line', ranks: [2] },
  { name: 'line', ranks: [4], env: pieces(1000) },
  { name: 'line', ranks: [2], env: pieces(7), transport: 'tcp' },
  { name: 'gather', ranks: [1, 4] },
  { name: 'gather', ranks: [2], transport: 'tcp' },
  { name: 'gather', ranks: [4], env: pieces(100) },
  { name: 'many', ranks: [2, 4] },
  { name: 'alive', ranks: [2] },
  { name: 'alive', ranks: [2], transport: 'tcp' },
  { name: 'agreed', ranks: [4] },
  { name: 'device', ranks: [2] },
];

for (const { name, ranks, ...options } of GOOD) {
  for (const count of ranks) {
    const how = [options.transport ?? '', ...Object.values(options.env ?? {})].join(' ').trim();
    mpiTest(`${name}, ${count} ranks ${how}`.trim(), async (t) => {
      const { status, stdout, stderr } = await run(count, name, options);
      t.is(stderr, '');
      t.deepEqual(stdout.trim().split('\n').sort(), okLines(count));
      t.is(status, 0);
    });
  }
}

mpiTest('a message of another length than expected is a typed error', async (t) => {
  const { status, stdout, stderr } = await run(2, 'lengths', { env: pieces(1000) });
  t.is(stderr, '');
  t.deepEqual(stdout.trim().split('\n').sort(), okLines(2));
  // Messages are left over, so the scenario ends by abort(7).
  t.is(status, 7);
});

/** What is printed where ranks fail: one line, whatever the number of ranks; '' where mpirun alone says something. */
const BAD: readonly (readonly [name: string, ranks: number, told: RegExp, options?: RunOptions])[] = [
  [
    'disagreed',
    4,
    /^error\[ATTN4203\]: the ranks differ: length is 4096 on ranks 0, 1 and 3, 8192 on rank 2; input 'doc' is not given on rank 0, sha256 2 on ranks 1 to 3; start all ranks .*\n$/,
  ],
  ['throws', 2, /^error\[ATTN4099\]: rank 1: TypeError: something is undefined; .*\n$/],
  ['throws', 4, /^error\[ATTN4099\]: rank 1: .*\n$/, { transport: 'tcp' }],
  ['first', 4, /^error\[ATTN4099\]: rank 0: .*\n$/],
  ['alike', 4, /^error\[ATTN4099\]: ranks 0 to 3: .*\n$/],
  ['unlike', 4, /^error\[ATTN4099\]: ranks? .*: Error: .* \(and \d other ranks? failed\); .*\n$/],
  ['rejection', 2, /^error\[ATTN4099\]: rank 1: Error: nobody waits for this; .*\n$/],
  ['exception', 2, /^error\[ATTN4099\]: rank 1: TypeError: .*\n$/],
  ['busy', 2, /^error\[ATTN4099\]: rank 1: .*\n$/],
  ['unfinished', 2, /^error\[ATTN4099\]: rank 0: 1 message was never waited for; .*\n$/],
  ['killed', 4, /^$/],
  ['leaves', 4, /^$/],
  // mpirun says nothing of this one, and ends nobody.
  [
    'early-0',
    4,
    /^attnc: error\[ATTN4202\]: rank 0: after 2 s not all ranks have started MPI; .*\n$/,
    { env: { ATTNC_TEST_START: '2' } },
  ],
  ['early-1', 4, /^$/],
  [
    'waits',
    4,
    /^error\[ATTN4201\]: MPI cannot be used: there is no Open MPI library \(.*libnone.*\); install Open MPI 4 .*openmpi-bin\)\n$/,
    { env: { ATTNC_TEST_LIBMPI: 'libnone.so' } },
  ],
];

for (const [name, ranks, told, options] of BAD) {
  mpiTest(`${name}, ${ranks} ranks ${Object.values(options?.env ?? {}).join()}: all end`, async (t) => {
    const { status, signal, stderr, seconds } = await run(ranks, name, options);
    t.is(signal, null);
    t.not(status, 0);
    t.regex(stderr, told);
    // 3 s of patience in the slowest of them, and a slow machine.
    t.true(seconds < 15, `${seconds} s`);
  });
}

const endsAfter = (pids: readonly number[]): Promise<readonly number[]> =>
  new Promise((resolve) => {
    const until = performance.now() + 10_000;
    const look = (): void => {
      const left = pids.filter(isRunning);
      if (left.length === 0 || performance.now() > until) resolve(left);
      else setTimeout(look, 50);
    };
    look();
  });

/** A process that ended may wait for a parent that asks for its status; that one is no longer running. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
  mpiTest(`${name} to mpirun: all end`, async (t) => {
    let sent = false;
    const { status, stdout, stderr, seconds } = await run(4, 'waits', {
      onOutput: (text, signal) => {
        if (sent || text.trim().split('\n').length < 4) return;
        sent = true;
        signal(name);
      },
    });
    t.not(status, 0);
    t.is(stderr, '');
    t.true(seconds < 15, `${seconds} s`);
    const pids = [...stdout.matchAll(/^waits \d (\d+)$/gm)].map(([, pid]) => Number(pid));
    t.is(pids.length, 4);
    t.deepEqual(await endsAfter(pids), []);
  });
}

test('without mpirun, koffi or Open MPI: typed errors that say what to do', async (t) => {
  const outside = await t.throwsAsync(() => startMpi());
  t.true(isAttncError(outside, 'no-mpi'));
  t.regex(outside.message, /not started by mpirun; start it with mpirun -n 2/);
  const noKoffi = t.throws(() => loadMpi({ koffi: 'koffi-is-not-here', mpi: [] }));
  t.true(isAttncError(noKoffi, 'no-mpi'));
  t.regex(noKoffi.message, /koffi, .*, is not installed; npm install koffi$/);
  // A library that is there, and is another one.
  const other = t.throws(() => loadMpi({ koffi: 'koffi', mpi: ['libnone.so', 'libc.so.6'] }));
  t.true(isAttncError(other, 'no-mpi'));
  t.regex(other.message, /no Open MPI library \(.*libnone.*; .*ompi_mpi_comm_world.*\); install Open MPI 4/);
});
