/** attnc run, streamed: results as those of a run in one piece, from files and made up, and what goes wrong. */
import { appendFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { compile, packProgram } from '../../compiler/index.js';
import { unpackProgram } from '../../compiler/ir/pack.js';
import { readSafetensors, writeNpy, writeSafetensors } from '../../runtime/files/index.js';
import { openDevice } from '../../runtime/node/index.js';
import type { StreamStats } from '../../runtime/stream/pipeline.js';
import { tensor, toFloat32, type Tensor } from '../../runtime/tensor.js';
import type { Program } from '../../compiler/ir/program.js';
import { outOfMemory } from '../../runtime/errors.js';
import type { Loaded } from '../../cli/load.js';
import { randomTensor } from '../../cli/random.js';
import { streamedAfter } from '../../cli/stream/command.js';
import type { StreamedOptions } from '../../cli/stream/options.js';
import type { StreamHooks, StreamOutcome } from '../../cli/stream/run.js';
import { placesToStream } from '../../cli/stream/task.js';
import { failWrites } from '../stream/folder.js';
import { attnc, DEVICE, isTidy, scratch } from './harness.js';
import { quietSession, streamFile } from './streaming.js';

const SMALL = ['--binding', '64K', '--memory', '1M', '--host-memory', '1M'];
const sized = (length: number, heads = 2): string[] => [
  ...['--random', '--length', String(length), '--heads', String(heads), '--head-size', '16'],
  ...['--device', DEVICE],
];

interface Report {
  readonly streamed: true;
  readonly stats: StreamStats;
  readonly sum: string;
  readonly rows: number;
  readonly rowsPerSecond: number;
  readonly sample: { pass: boolean; rows: number; skipped: number; worstRow: { error: number } } | null;
}

const report = (stdout: string): Report => JSON.parse(stdout) as Report;

const tensorsIn = (file: string): ReadonlyMap<string, Tensor> => readSafetensors(readFileSync(file)).tensors;

function furthest(a: Tensor, b: Tensor): number {
  const [x, y] = [toFloat32(a), toFloat32(b)];
  if (x.length !== y.length) return Infinity;
  return x.reduce((most, value, n) => Math.max(most, value === y[n] ? 0 : Math.abs(value - y[n])), 0);
}

/** Arguments of runs whose bands take one window each (`same`: the bits are then the same) or several. */
const RUNS: readonly { readonly args: string; readonly length: number; readonly same?: true }[] = [
  { args: 'samples/sliding.attn --pattern sliding --set window=30', length: 3000, same: true },
  { args: 'samples/longnet.attn --pattern longnet --set w=[64,256] --set r=[1,4]', length: 2500 },
  { args: 'samples/dilated.attn --pattern dilated_window --set window=64 --set dilation=4', length: 2500 },
  { args: 'samples/documents.attn --pattern documents', length: 2500 },
  { args: 'samples/bigbird.attn --pattern bigbird --set block=16', length: 2000 },
];

for (const { args, length, same } of RUNS) {
  test.serial(`${args}: as in one piece, and as the oracle says`, async (t) => {
    const file = scratch(t);
    const run = ['run', ...args.split(' '), ...sized(length), '--seed', '3'];
    const whole = await attnc([...run, '-o', file('whole.safetensors')]);
    t.is(whole.status, 0, whole.stderr);
    const out = ['-o', file('out.safetensors'), '--sample', '60', '--json'];
    const { status, stdout, stderr } = await attnc([...run, ...SMALL, ...out]);
    t.is(status, 0, stderr);
    const { stats, sample, sum, rows } = report(stdout);
    t.true(stats.bands >= 4 && stats.steps >= stats.bands, `${stats.bands} bands`);
    t.true(stats.deviceBytes < 2 ** 20 * 1.1 && stats.hostBytes < 2 ** 20, JSON.stringify(stats));
    t.deepEqual([rows, sample?.rows, sample?.pass], [2 * length, 60, true]);
    t.regex(sum, /^[0-9a-f]{16}$/);
    t.deepEqual(
      [existsSync(file('out.safetensors.part')), existsSync(file('out.safetensors.part.journal'))],
      [false, false],
    );
    if (same) t.true(readFileSync(file('out.safetensors')).equals(readFileSync(file('whole.safetensors'))));
    const [a, b] = [tensorsIn(file('out.safetensors')), tensorsIn(file('whole.safetensors'))];
    t.true(furthest(a.get('out')!, b.get('out')!) < 2e-6);
    t.true(furthest(a.get('lse')!, b.get('lse')!) < 1e-5);
  });
}

test.serial('rows out of files are those that are made up; sums say the same of both', async (t) => {
  const file = scratch(t);
  const shape = [1, 2, 1500, 16];
  const tensors = new Map(
    (['q', 'k', 'v'] as const).map((name) => [name, randomTensor(name, 'f16', shape, 7)] as const),
  );
  writeFileSync(file('qk.safetensors'), writeSafetensors(new Map([...tensors].slice(0, 2))));
  writeFileSync(file('values.npy'), writeNpy(tensors.get('v')!));
  const pattern = ['run', 'samples/sliding.attn', '--pattern', 'sliding', '--set', 'window=12'];
  const input = ['--input', file('qk.safetensors'), '--input', `v=${file('values.npy')}`, '--device', DEVICE];
  const types = ['--out-dtype', 'f16', '--json'];
  const npy = await attnc([...pattern, ...input, ...SMALL, ...types, '-o', file('out.npy')]);
  t.is(npy.status, 0, npy.stderr);
  const summed = await attnc([...pattern, ...input, ...SMALL, ...types, '--checksum']);
  const made = await attnc([
    ...pattern,
    ...sized(1500),
    '--dtype',
    'f16',
    '--seed',
    '7',
    ...SMALL,
    ...types,
    '--checksum',
  ]);
  t.is(made.status, 0, made.stderr);
  const [a, b, c] = [npy, summed, made].map((r) => report(r.stdout));
  t.deepEqual([a.sum, b.sum], [c.sum, c.sum]);
  // Each row of q, k and v comes once; of what windows share, a copy is made on the device.
  t.true(a.stats.uploadedBytes >= 3 * 2 * 1500 * 32 && a.stats.uploadedBytes < 3.2 * 2 * 1500 * 32);
  t.deepEqual([c.stats.uploadedBytes, c.stats.downloadedBytes], [0, 0]);
  t.is(a.stats.downloadedBytes, 2 * 1500 * (32 + 4));
  t.true(a.rowsPerSecond > 0);
  t.is(readFileSync(file('out.npy')).subarray(1, 6).toString(), 'NUMPY');
  const text = await attnc([...pattern, ...sized(1500), ...SMALL, '--sample', '5']);
  t.regex(text.stdout, /streamed +\d+ bands, \d+ windows of keys\n/);
  t.regex(text.stdout, /sample +PASS: 5 rows against the float64 oracle\n +worst row .* ≤ .*, lse .* ≤ /);
  t.regex(text.stdout, /sum +[0-9a-f]{16}\n/);
});

test.serial('tables come from files beside q, k and v; lengths of a batch hold', async (t) => {
  const file = scratch(t);
  const shape = [2, 1, 700, 16];
  const tensors = new Map<string, Tensor>([
    ...(['q', 'k', 'v'] as const).map((name) => [name, randomTensor(name, 'f32', shape, 1)] as const),
    [
      'doc',
      tensor(
        'i32',
        [700],
        Int32Array.from({ length: 700 }, (_, n) => Math.floor(n / 90)),
      ),
    ],
    ['lengths.keys', tensor('i32', [2], Int32Array.of(700, 333))],
    ['lengths.queries', tensor('i32', [2], Int32Array.of(700, 333))],
    // Not of the right shape for anything, and not read.
    ['out', tensor('f32', [1], Float32Array.of(1))],
  ]);
  writeFileSync(file('in.safetensors'), writeSafetensors(tensors));
  const args = ['run', 'samples/documents.attn', '--pattern', 'documents', '--device', DEVICE];
  const input = ['--input', file('in.safetensors')];
  for (const more of [[], [...SMALL, '--sample', '40']]) {
    const name = file(`out${more.length}.safetensors`);
    const { status, stderr } = await attnc([...args, ...input, ...more, '-o', name]);
    t.is(status, 0, stderr);
  }
  const [whole, streamed] = [tensorsIn(file('out0.safetensors')), tensorsIn(file('out8.safetensors'))];
  t.true(furthest(whole.get('out')!, streamed.get('out')!) < 2e-6);
  const lse = streamed.get('lse')!.data as Float32Array;
  t.is(
    lse.reduce((n, x) => n + (x === -Infinity ? 1 : 0), 0),
    700 - 333,
  );
});

test.serial('compiled programs are streamed if they are compiled for it', async (t) => {
  const file = scratch(t);
  const source = { file: 'a.attn', text: 'pattern near() { i -> j when abs(i - j) <= 7 }' };
  for (const windows of [false, true]) {
    writeFileSync(file(`${windows}.json`), packProgram(compile(source, { dim: 16, windows }).program!));
  }
  const fails = await attnc(['run', file('false.json'), ...sized(300), '--stream']);
  t.is(fails.status, 2);
  t.regex(fails.stderr, /ATTN5004.*compiled for runs in one piece; compile it with --windows/);
  const works = await attnc(['run', file('true.json'), ...sized(300), ...SMALL, '--sample', '9']);
  t.is(works.status, 0, works.stderr);
  const compiled = await attnc(['compile', '-', '--windows', '--head-size', '16'], { stdin: source.text });
  t.true(unpackProgram(compiled.stdout).windows);
});

test.serial('what is left of a run is not written over, nor resumed by another', async (t) => {
  const file = scratch(t);
  const out = file('out.safetensors');
  const opened = await openDevice({ device: DEVICE, features: 'offered', limits: 'offered' });
  const options = {
    ...{ pattern: 'sliding', set: { window: 5 }, random: true, length: 3000, heads: 1, headSize: 16 },
    ...{ memory: 2 ** 19, hostMemory: 2 ** 19, output: out },
  } as const;
  // The device is lost in the midst of it.
  const lost = await t.throwsAsync(
    streamFile(opened, 'samples/sliding.attn', options, {
      onBand: (rows) => void (rows > 500 && opened.device.destroy()),
    }),
  );
  t.regex(lost!.message, /the device was lost .*; what is finished is kept: go on with --resume/);
  t.true(existsSync(`${out}.part`) && !existsSync(out));
  const noted = readFileSync(`${out}.part.journal`, 'utf8').split('\n').length - 2;
  t.true(noted >= 1, `${noted} bands`);

  const words = ['run', 'samples/sliding.attn', '--pattern', 'sliding', '--heads', '1', '--head-size', '16'];
  const args = (
    over: Readonly<Record<string, string>> = {},
    more: readonly string[] = ['--resume'],
  ): string[] => {
    const all = { length: '3000', set: 'window=5', memory: '512K', 'host-memory': '512K', ...over };
    const given = Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]);
    return [...words, '--random', ...given, '-o', out, '--device', DEVICE, ...more];
  };
  const refused: readonly (readonly [string[], RegExp])[] = [
    [
      args({}, []),
      /ATTN5007.*out\.safetensors\.part.* is there: a run was begun and not finished; go on with --resume, or remove/,
    ],
    [
      args({ memory: '1M' }),
      /ATTN5006.*the number of bands was \d+, is \d+; give --memory, --host-memory and --binding as/,
    ],
    [args({ set: 'window=6' }), /ATTN5006.*begun by another run: program was '.*', is '.*'/],
    [args({ seed: '1' }), /sources\.q\.seed was 0, is 1; sources\.k\.seed was 0/],
    [args({ dtype: 'f16' }), /storage\.input was 'f32', is 'f16'/],
    [args({ 'out-dtype': 'f16' }), /storage\.output was 'f32', is 'f16'/],
    [args({ length: '3001' }), /shapes\.q was \[1,1,3000,16\], is \[1,1,3001,16\]/],
    [args({ sample: '4' }), /output\.keep was/],
  ];
  for (const [line, message] of refused) {
    const { status, stderr } = await attnc(line);
    t.is(status, 1, stderr);
    t.regex(stderr, message);
    t.true(isTidy(stderr));
  }
  const done = await attnc([...args(), '--json']);
  t.is(done.status, 0, done.stderr);
  t.is((JSON.parse(done.stdout) as { resumedAt: number }).resumedAt, noted);
  const whole = await attnc([
    ...words,
    '--random',
    '--length',
    '3000',
    '--set',
    'window=5',
    '-o',
    file('b.safetensors'),
    '--device',
    DEVICE,
  ]);
  t.is(whole.status, 0);
  t.true(readFileSync(out).equals(readFileSync(file('b.safetensors'))));
  const again = await attnc(args());
  t.regex(again.stderr, /ATTN5006.*there is no journal/);
});

test.serial(
  'files that end, change or have no room: one message, and what is finished is kept',
  async (t) => {
    const file = scratch(t);
    const shape = [1, 1, 4000, 16];
    const write = (): void => {
      const tensors = new Map(
        (['q', 'k', 'v'] as const).map((n) => [n, randomTensor(n, 'f32', shape, 1)] as const),
      );
      writeFileSync(file('in.safetensors'), writeSafetensors(tensors));
    };
    write();
    const out = file('out.safetensors');
    const opened = await openDevice({ device: DEVICE, features: 'offered', limits: 'offered' });
    t.teardown(() => opened.close());
    const options = {
      ...{ pattern: 'sliding', set: { window: 5 }, input: [file('in.safetensors')], output: out },
      ...{ memory: 2 ** 18, hostMemory: 2 ** 18 },
    };
    let touched = false;
    const changed = await t.throwsAsync(
      streamFile(opened, 'samples/sliding.attn', options, {
        onBand: () => {
          if (!touched) appendFileSync(file('in.safetensors'), 'x');
          touched = true;
        },
      }),
      { name: 'AttncError' },
    );
    t.regex(changed!.message, /in\.safetensors changed while it was read: it got longer/);
    t.true(existsSync(`${out}.part.journal`));

    const run = ['run', 'samples/sliding.attn', '--pattern', 'sliding', '--stream', '--device', DEVICE];
    truncateSync(file('in.safetensors'), 300_000);
    const cut = await attnc([...run, '--input', file('in.safetensors'), '-o', file('c.safetensors')]);
    t.is(cut.status, 1);
    t.regex(cut.stderr, /^attnc: error\[ATTN5001\]: .*in\.safetensors: .*\n$/);
    t.false(existsSync(file('c.safetensors.part')));
    write();
    const other = await attnc([...run, '--input', file('in.safetensors'), '-o', out, '--resume']);
    t.is(other.status, 1);
    t.regex(other.stderr, /ATTN5006.*cannot be resumed/);

    // 8 TB that no disk of a test has.
    const large = [
      '--random',
      '--length',
      '1e9',
      '--heads',
      '8',
      '--head-size',
      '256',
      '--memory',
      '64G',
      '--host-memory',
      '64G',
    ];
    const full = await attnc([...run, ...large, '-o', file('d.safetensors')]);
    t.is(full.status, 1);
    t.regex(
      full.stderr,
      /^attnc: error\[ATTN5003\]: .*d\.safetensors\.part: the result takes 8\d+ bytes, but the device has \d+ free; make room/m,
    );
    t.deepEqual(
      [existsSync(file('d.safetensors.part')), existsSync(file('d.safetensors.part.journal'))],
      [false, false],
    );
  },
);

test.serial('a disk that fills up in the midst of it: what is finished is kept', async (t) => {
  const file = scratch(t);
  const [out, whole] = [file('out.safetensors'), file('whole.safetensors')];
  const opened = await openDevice({ device: DEVICE, features: 'offered', limits: 'offered' });
  t.teardown(() => opened.close());
  const options = {
    ...{ pattern: 'sliding', set: { window: 5 }, random: true, length: 3000, heads: 1, headSize: 16 },
    ...{ memory: 2 ** 18, hostMemory: 2 ** 18 },
  };
  const run = (more: StreamedOptions, hooks: StreamHooks = {}): Promise<StreamOutcome> =>
    streamFile(opened, 'samples/sliding.attn', { ...options, ...more }, hooks);
  let restore: (() => void) | undefined;
  const fill = (rows: number): void => {
    if (rows <= 1000 || restore) return;
    restore = () => undefined;
    void failWrites(file(''), 'ENOSPC').then((undo) => (restore = undo));
  };
  const full = await t.throwsAsync(run({ output: out }, { onBand: fill }));
  restore?.();
  t.regex(
    full!.message,
    /out\.safetensors\.part.*: no space left on the device; what is finished is kept: make room/,
  );
  const outcome = await run({ output: out, resume: true });
  t.true(outcome.resumedAt < outcome.deliveries);
  await run({ output: whole });
  t.true(readFileSync(out).equals(readFileSync(whole)));
});

test.serial('what is streamed without being asked for', async (t) => {
  const opened = await openDevice({ device: DEVICE, limits: 'offered' });
  const bound = opened.device.limits.maxStorageBufferBindingSize;
  opened.close();
  const text = 'pattern near() { i -> j when abs(i - j) <= 7 }';
  const source = { file: 'a.attn', text };
  const programs = [true, false].map((windows) => compile(source, { dim: 64, windows }).program!);
  const loaded = (program: Program): Loaded => ({ kind: 'program', source, program });
  const patterns: Loaded = { kind: 'patterns', source, names: ['near'], parameters: new Map() };
  const session = quietSession();
  const longer = Math.floor(bound / 256) + 1;
  const table: readonly (readonly [Loaded, StreamedOptions, boolean])[] = [
    [patterns, { length: 1000, heads: 1 }, false],
    [patterns, { length: 1000, heads: 1, sample: 1 }, true],
    [patterns, { length: longer, heads: 1 }, true],
    [loaded(programs[0]), { length: longer, heads: 1 }, true],
    // In one piece it fails, with what is too large.
    [loaded(programs[1]), { length: longer, heads: 1 }, false],
    [patterns, { length: 1e9, heads: 64 }, true],
    [loaded(programs[1]), { length: 1e9, heads: 64 }, false],
  ];
  for (const [what, options, streams] of table) {
    const given = { random: true, device: DEVICE, ...options };
    t.is((await placesToStream(session, what, given)) !== undefined, streams, JSON.stringify(options));
  }
  // Where the device turns out to have no room, too.
  const small = { random: true, device: DEVICE, length: 200, heads: 1, headSize: 16 };
  const lack = outOfMemory('k', 10);
  t.is(await streamedAfter(session, patterns, small, lack), 0);
  await t.throwsAsync(streamedAfter(session, loaded(programs[1]), small, lack), { is: lack });
  const other = new Error('something else');
  await t.throwsAsync(streamedAfter(session, patterns, small, other), { is: other });
});
