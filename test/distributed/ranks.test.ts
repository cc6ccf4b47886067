// Runs on ranks that mpirun started, by the library and by the command line.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { readTensors, writeTensors } from '../../runtime/files/node.js';
import { compare } from '../../runtime/reference/index.js';
import { tensor, toFloat32, type Tensor } from '../../runtime/tensor.js';
import { attnc, COMMAND, scratch } from '../cli/harness.js';
import { makeTensors } from '../gpu/tensors.js';
import { mpirun, mpiTest, type Ran } from '../mpi/mpirun.js';

const SOFTWARE = process.env.ATTNC_DEVICE ?? 'swiftshader';
const script = fileURLToPath(new URL('./ranks.js', import.meta.url));

/** Samples of every kind: each is right on every rank, and no byte too many is sent. */
const SAMPLES: readonly (readonly [ranks: number, names: readonly string[]])[] = [
  [2, ['sliding_causal', 'longformer', 'longnet', 'documents', 'graph_weighted', 'sink', 'alibi']],
  [4, ['sliding', 'longnet_torchscale', 'bigbird', 'dilated_window']],
];

for (const [ranks, names] of SAMPLES) {
  mpiTest(`${names.join(', ')} on ${ranks} ranks`, async (t) => {
    const ran = await mpirun(ranks, [process.execPath, script, ...names], {
      transport: ranks === 2 ? 'vader' : 'tcp',
      env: { ATTNC_DEVICE: SOFTWARE },
      seconds: 180,
    });
    t.is(ran.stderr, '');
    t.is(ran.status, 0);
    const lines = ran.stdout.trim().split('\n').sort();
    t.is(lines.length, ranks);
    lines.forEach((line, rank) => t.true(line.startsWith(`ok ${rank}: ${names[0]} `), line));
    t.log(...lines);
  });
}

mpiTest('a device that is lost in the middle ends all ranks with one message', async (t) => {
  const ran = await mpirun(2, [process.execPath, script, 'lost'], { env: { ATTNC_DEVICE: SOFTWARE } });
  t.is(ran.signal, null);
  t.is(ran.status, 5);
  t.regex(ran.stderr, /^error\[ATTN4004\]: rank 1: the device was lost .*\n$/);
  t.true(ran.seconds < 40, `${ran.seconds} s`);
});

const command = (...args: readonly string[]): readonly string[] => [process.execPath, COMMAND, ...args];
/** Whether work takes longer than a second is the machine's business. */
const started = async (ranks: number, words: readonly string[]): Promise<Ran> => {
  const ran = await mpirun(ranks, words, { env: { ATTNC_DEVICE: SOFTWARE }, seconds: 120 });
  return { ...ran, stderr: ran.stderr.replace(/^attnc: (?!error).* …\n/gm, '') };
};
const onRanks = (ranks: number, ...args: readonly string[]): Promise<Ran> =>
  started(ranks, command('run', ...args, '--distributed'));

interface Json {
  readonly ranks: readonly {
    readonly rank: number;
    readonly queries: readonly [number, number];
    readonly sentBytes: number;
    readonly receivedBytes: number;
    readonly milliseconds: readonly number[];
  }[];
  readonly milliseconds: readonly number[];
  readonly exchanged: { readonly rows: number; readonly bytes: number; readonly exact: boolean };
  readonly sum: string;
  readonly sample: { readonly pass: boolean; readonly rows: number } | null;
}

/** Of the same tensors: what one process computes, within rounding. */
async function sameFiles(t: ExecutionContext, got: string, wanted: string): Promise<void> {
  const [a, b] = [await readTensors(got), await readTensors(wanted)];
  t.deepEqual([...a.tensors.keys()].sort(), [...b.tensors.keys()].sort());
  const data = (file: typeof a, name: string): Float32Array => toFloat32(file.tensors.get(name) as Tensor);
  t.deepEqual(a.tensors.get('out')?.shape, b.tensors.get('out')?.shape);
  const expected = { out: Float64Array.from(data(b, 'out')), lse: Float64Array.from(data(b, 'lse')) };
  const rows = expected.lse.length;
  const [zero, none] = [new Float64Array(rows), new Uint8Array(rows)];
  const report = compare(
    { out: data(a, 'out'), lse: data(a, 'lse') },
    {
      ...expected,
      valueDim: expected.out.length / rows,
      maxScore: zero,
      edges: zero,
      tainted: none,
      rows: undefined,
    },
  );
  t.true(report.pass, JSON.stringify(report));
}

mpiTest('two ranks read files of two sequences and write one file, as one process does', async (t) => {
  const path = scratch(t);
  const [input, out, alone] = [path('in.safetensors'), path('out.safetensors'), path('alone.safetensors')];
  const { q, k, v } = makeTensors(
    { batch: 2, heads: 4, keyHeads: 2, queries: 401, keys: 401 },
    16,
    16,
    'plain',
    3,
  );
  const lengths = tensor('i32', [2], Int32Array.of(401, 277));
  const given: [string, Tensor][] = [
    ['q', q],
    ['k', k],
    ['v', v],
    ['lengths.queries', lengths],
    ['lengths.keys', lengths],
  ];
  await writeTensors(input, new Map(given));
  const args = ['samples/sliding.attn', '--pattern', 'sliding', '--set', 'window=20', '--input', input];
  const ran = await onRanks(2, ...args, '-o', out, '--json', '--sample', '100');
  t.is(ran.stderr, '');
  t.is(ran.status, 0);
  const told = JSON.parse(ran.stdout) as Json;
  t.true(told.sample?.pass);
  // 20 rows of the halo on either side of one cut, of 2 key heads, k and v of 16 f32: the other sequence ends before it
  // or is cut there too.
  const cut = told.ranks[0].queries[1];
  const second = cut + 20 <= 277 ? 40 : 277 - cut;
  t.is(told.exchanged.rows, 2 * (40 + Math.max(0, second)));
  t.is(told.exchanged.bytes, told.exchanged.rows * 128);
  const one = await attnc(['run', ...args, '-o', alone, '--device', SOFTWARE]);
  t.is(one.status, 0, one.stderr);
  await sameFiles(t, out, alone);
});

mpiTest('fewer rows than ranks, made up: a sum, and a report', async (t) => {
  const args = [
    'samples/dense.attn',
    '--pattern',
    'causal',
    '--random',
    '--length',
    '3',
    '--head-size',
    '16',
  ];
  const ran = await onRanks(4, ...args, '--sample', '12');
  t.is(ran.stderr, '');
  t.is(ran.status, 0);
  t.regex(ran.stdout, /^rank 2 +queries none, keys none; sent 0 B, received 0 B; /m);
  t.regex(ran.stdout, /^exchanged +12 rows of k and v, 1\.54 kB$/m);
  t.regex(ran.stdout, /^sample +PASS: \d+ rows /m);
  const alone = await attnc(['run', ...args, '--checksum', '--sample', '12', '--device', SOFTWARE]);
  t.is(alone.status, 0, alone.stderr);
});

mpiTest('a run twice gives the same bits', async (t) => {
  const args = ['samples/sliding.attn', '--pattern', 'sliding', '--set', 'window=70'];
  const more = [
    '--random',
    '--length',
    '509',
    '--head-size',
    '16',
    '--seed',
    '7',
    '--repeats',
    '2',
    '--json',
  ];
  const ran = await onRanks(2, ...args, ...more);
  const again = await onRanks(2, ...args, ...more);
  t.is(ran.status, 0, ran.stderr);
  const [a, b] = [ran, again].map((r) => JSON.parse(r.stdout) as Json);
  t.is(a.sum, b.sum);
  t.is(a.milliseconds.length, 2);
  t.true(a.milliseconds.every((n) => n > 0));
});

/** What two ranks are given that do not fit together: one message, and none of them goes on. */
const BAD: readonly (readonly [
  what: string,
  args: (path: (name: string) => string) => Promise<readonly (readonly string[])[]>,
  told: RegExp,
  status: number,
])[] = [
  [
    'other seeds',
    async () =>
      [1, 2].map((seed) => ['--random', '--length', '200', '--head-size', '16', '--seed', `${seed}`]),
    /^attnc: error\[ATTN4203\]: the ranks differ: --seed is 1 on rank 0, 2 on rank 1; start all ranks .*\n$/,
    1,
  ],
  [
    'a truncated file',
    async (path) => {
      const files = [path('whole.safetensors'), path('part.safetensors')];
      const { q, k, v } = makeTensors({ batch: 1, heads: 1, queries: 200, keys: 200 }, 16, 16, 'plain', 3);
      await writeTensors(
        files[0],
        new Map([
          ['q', q],
          ['k', k],
          ['v', v],
        ]),
      );
      const bytes = readFileSync(files[0]);
      writeFileSync(files[1], bytes.subarray(0, bytes.length - 1000));
      return files.map((file) => ['--input', file]);
    },
    /^attnc: error\[ATTN5001\]: rank 1: .*part\.safetensors: .*\n$/,
    1,
  ],
  [
    'files with other numbers',
    async (path) =>
      Promise.all(
        [3, 4].map(async (seed) => {
          const file = path(`${seed}.safetensors`);
          const { q, k, v } = makeTensors(
            { batch: 1, heads: 1, queries: 200, keys: 200 },
            16,
            16,
            'plain',
            seed,
          );
          await writeTensors(
            file,
            new Map([
              ['q', q],
              ['k', k],
              ['v', v],
            ]),
          );
          return ['--input', file];
        }),
      ),
    /^attnc: error\[ATTN4203\]: the ranks differ: q is q of \d+ bytes, .* on rank 0, .* on rank 1; .*\n$/,
    1,
  ],
  [
    'no room on the device',
    async () => [1, 2].map(() => ['--random', '--length', '900', '--head-size', '16', '--memory', '100K']),
    /^attnc: error\[ATTN5004\]: ranks? .*: the shard of rank \d and its results take \d+ bytes on the device, .* there are 102400.*\n$/,
    2,
  ],
  [
    'a folder that is not there',
    async () => [1, 2].map(() => ['--random', '--length', '200', '-o', 'nowhere/out.npy']),
    /^attnc: error\[ATTN5003\]: ranks 0 and 1: nowhere\/out\.npy: there is no such folder\n$/,
    1,
  ],
  [
    'options that do not go together',
    async () => [1, 2].map(() => ['--random', '--length', '200', '--stream']),
    /^attnc: error\[ATTN5004\]: ranks 0 and 1: --stream does not go with --distributed; .*\n$/,
    2,
  ],
  [
    'a pattern with a mistake',
    async () => [1, 2].map(() => ['--random', '--length', '200', '--set', 'nothing=3']),
    /^error\[ATTN\d+\]: .*nothing[^]*$/,
    1,
  ],
];

test('--distributed without mpirun says how it is launched; --repeats needs it', async (t) => {
  const args = ['run', 'samples/sliding.attn', '--random', '--length', '200'];
  const alone = await attnc([...args, '--distributed']);
  t.is(alone.status, 1);
  t.regex(
    alone.stderr,
    /^attnc: error\[ATTN4201\]: .*not started by mpirun; start it with mpirun -n 2 attnc …\n$/,
  );
  const repeats = await attnc([...args, '--repeats', '3']);
  t.is(repeats.status, 2);
  t.regex(repeats.stderr, /--repeats is for runs on several ranks/);
});

for (const [what, argsFor, told, status] of BAD) {
  mpiTest(`${what}: all ranks end with one message`, async (t) => {
    const [first, second] = await argsFor(scratch(t));
    const run = (args: readonly string[]): readonly string[] =>
      command('run', 'samples/sliding.attn', '--pattern', 'sliding', ...args, '--distributed');
    const ran = await started(1, [...run(first), ':', '-n', '1', ...run(second)]);
    t.is(ran.signal, null);
    t.is(ran.status, status);
    t.regex(ran.stderr, told);
    t.is(ran.stderr.match(/error\[/g)?.length, 1, ran.stderr);
    t.is(ran.stdout, '');
    t.true(ran.seconds < 40, `${ran.seconds} s`);
  });
}
