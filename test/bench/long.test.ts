/** `npm run bench:long`, small and on a software device. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { LongResults } from '../../bench/long/report.js';
import { fittingPiece } from '../../bench/long/tensors.js';
import { DEVICE, scratch } from '../cli/harness.js';

const script = fileURLToPath(new URL('../../bench/long.js', import.meta.url));

test('resident, generated and from files: everything matches the oracle', (t) => {
  const file = scratch(t);
  const small = ['--scale', '50000', '--binding', '100000', '--memory', '4000000'];
  const args = [script, ...small, '--subjects', 'window', '--out', file(''), '--folder', file('kept')];
  const ran = spawnSync(process.execPath, [...args, '--device', DEVICE], { encoding: 'utf8' });
  t.is(ran.status, 0, ran.stderr);
  const { resident, files, failures, scale } = JSON.parse(
    readFileSync(file('long.json'), 'utf8'),
  ) as LongResults;
  t.deepEqual([failures, scale], [[], 50000]);
  t.is(resident.length, 1);
  t.true(
    resident.every(({ short, long }) => short.pass && long.pass && long.stats.steps > short.stats.steps),
  );
  t.true(files.every((f) => f.pass && f.stats.downloadedBytes === f.tokens * (64 * 2 + 4)));
  // What disk and bus did alone, and that the stream was not cut off from them.
  t.true(
    files.every((f) => f.disk.seconds > 0 && f.bus.up > 0 && f.bus.down > 0 && f.bound > 0 && !f.disk.cold),
  );
  t.deepEqual(readdirSync(file('kept')), []);
  t.regex(readFileSync(file('long.md'), 'utf8'), /lengths divided by 50000: times mean nothing/);
});

test('buffers are as large as the driver makes them, however it says no', async (t) => {
  for (const scope of ['validation', 'out-of-memory', 'internal']) {
    let asked = 0;
    const answers = ['validation', 'out-of-memory', 'internal'];
    let popped = 0;
    const device = {
      limits: { maxBufferSize: 2 ** 40 },
      pushErrorScope: () => undefined,
      // Closed from the last one opened to the first.
      popErrorScope: async () => {
        const failed = asked > 2 ** 32 && answers[popped % 3] === scope;
        popped++;
        return failed ? { message: 'no' } : null;
      },
      createBuffer: ({ size }: GPUBufferDescriptor) => {
        asked = size;
        return { destroy: () => undefined };
      },
      queue: {
        writeBuffer: () => undefined,
        submit: () => undefined,
        onSubmittedWorkDone: async () => undefined,
      },
    } as unknown as GPUDevice;
    t.is(await fittingPiece(device, 20_480_000_000), 2_560_000_000, scope);
    t.is(await fittingPiece(device, 128_000_000), 128_000_000, scope);
  }
});

test('what cannot be understood is said in a line', (t) => {
  const ran = spawnSync(process.execPath, [script, '--frob'], { encoding: 'utf8' });
  t.not(ran.status, 0);
  t.is(ran.stderr.trim().split('\n').length, 1, ran.stderr);
});
