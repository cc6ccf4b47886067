// `npm run bench:ranks`, small and on a software device.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DEVICE, scratch } from '../cli/harness.js';
import { mpiTest } from '../mpi/mpirun.js';

const script = fileURLToPath(new URL('../../bench/ranks.js', import.meta.url));

mpiTest('two ranks beside one: both match the oracle, and only the halo travels', (t) => {
  const file = scratch(t);
  const small = ['--length', '1000', '--heads', '1', '--repeats', '2', '--subjects', 'window'];
  const args = [script, ...small, '--device', DEVICE, '--out', file('')];
  const ran = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.is(ran.status, 0, ran.stderr);
  const { all } = JSON.parse(readFileSync(file('ranks.json'), 'utf8')) as {
    readonly all: readonly Readonly<Record<string, unknown>>[];
  };
  t.deepEqual(
    all.map((m) => [m.ranks, m.pass, m.exchangedBytes]),
    [
      [1, true, 0],
      // 32 rows in both directions, of k and v.
      [2, true, 2 * 32 * 64 * 2 * 2],
    ],
  );
  t.regex(readFileSync(file('ranks.md'), 'utf8'), /^\| window ±32 \| 2 \| .* × .*\|$/m);
});

mpiTest('a run that fails is told of, and the others are kept', (t) => {
  const file = scratch(t);
  const small = ['--length', '300', '--heads', '1', '--repeats', '2', '--subjects', 'window'];
  const args = [script, ...small, '--ranks', '1,-3', '--device', DEVICE, '--out', file('')];
  const ran = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.is(ran.status, 1, ran.stderr);
  t.regex(ran.stdout, /^\| window ±32 \| 1 \|/m);
  t.regex(ran.stdout, /^window ±32, ranks: -3: mpirun ended with status \d+/m);
});
