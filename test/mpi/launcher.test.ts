// docs/one-gpu-a-rank.sh, with device nodes that every machine has in place of GPUs.

import { spawnSync } from 'node:child_process';
import { mpirun, mpiTest, mpiTestWith, scenario } from './mpirun.js';

const SCRIPT = 'docs/one-gpu-a-rank.sh';
const NODES = ['/dev/zero', '/dev/full', '/dev/urandom'];
const env = { ATTNC_GPU_NODES: [...NODES, '/dev/not-there'].join(' ') };

const works = [[], ['--map-root-user']].some(
  (more) => spawnSync('unshare', ['--mount', ...more, 'true']).status === 0,
);
if (!works) console.log('skipped: the launcher of one GPU a rank, as no mount namespaces can be made here');
const namespaceTest = mpiTestWith(works);

const opens = `for node in ${NODES.join(' ')}; do (: <$node) 2>/dev/null && echo "$OMPI_COMM_WORLD_RANK $node"; done; true`;

namespaceTest('a rank can open the GPU of its place on the host, and no other', async (t) => {
  for (const ranks of [1, 2, 3]) {
    const { status, stdout, stderr } = await mpirun(ranks, ['sh', SCRIPT, 'sh', '-c', opens], { env });
    t.is(stderr, '');
    t.is(status, 0);
    t.deepEqual(
      stdout.trim().split('\n').sort(),
      NODES.slice(0, ranks).map((node, rank) => `${rank} ${node}`),
    );
  }
  // Nothing of it stays behind.
  t.is(spawnSync('sh', ['-c', ': </dev/zero && : </dev/urandom']).status, 0);
});

namespaceTest('ranks that see one GPU each exchange messages', async (t) => {
  const { status, stdout, stderr } = await mpirun(2, ['sh', SCRIPT, ...scenario('ring')], { env });
  t.is(stderr, '');
  t.is(status, 0);
  t.deepEqual(stdout.trim().split('\n').sort(), ['ok 0', 'ok 1']);
});

mpiTest('a rank too many, no GPU, no rank', async (t) => {
  const many = await mpirun(2, ['sh', SCRIPT, 'true'], { env: { ATTNC_GPU_NODES: '/dev/zero' } });
  t.is(many.status, 1);
  t.is(many.stderr, 'one-gpu-a-rank: rank 1 is number 1 on a host with 1 GPUs\n');
  const none = await mpirun(2, ['sh', SCRIPT, 'echo', 'runs'], {
    env: { ATTNC_GPU_NODES: '/dev/not-there' },
  });
  t.deepEqual([none.status, none.stdout, none.stderr], [0, 'runs\nruns\n', '']);
  const outside = spawnSync('sh', [SCRIPT, 'true'], { encoding: 'utf8' });
  t.deepEqual([outside.status, outside.stderr], [1, 'one-gpu-a-rank: was not started by mpirun\n']);
});
