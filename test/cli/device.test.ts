/** run, verify and devices on a real device (SwiftShader, unless the environment says another). */
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import { rounding } from '../../cli/commands/devices.js';
import { openDevice } from '../../runtime/node/index.js';
import { readSafetensors, writeSafetensors } from '../../runtime/files/index.js';
import { fromNumbers, tensor, type Tensor } from '../../runtime/tensor.js';
import { attnc, DEVICE, isTidy, scratch } from './harness.js';

const small = ['--heads', '2', '--head-size', '16', '--device', DEVICE];

test.serial('devices: which one is taken and why, and all others', async (t) => {
  const { status, stdout } = await attnc(['devices', '--device', DEVICE]);
  t.is(status, 0);
  t.regex(stdout, /^taken .+\nwhy .*was asked for.*\nrounds +results in f16 (itself|by integers)\n/);
  t.regex(stdout, /limits .*maxBufferSize/);
  t.regex(stdout, /toggles .*timestamp_quantization off/);
  const json = JSON.parse((await attnc(['devices', '--device', DEVICE, '--json'])).stdout) as {
    taken: { kind: string; roundsF16: string };
    devices: { kind: string }[];
  };
  // SwiftShader's own conversion is not exact (test/storage/direct-outputs).
  if (json.taken.kind === 'swiftshader') t.is(json.taken.roundsF16, 'by integers');
  t.true(json.devices.some((d) => d.kind === json.taken.kind));
  const nothing = await attnc('devices --device null');
  t.is(nothing.status, 0);
  t.regex(nothing.stdout, /^taken .+\nwhy .+\n(?!rounds)/);
  const none = await attnc('devices --device nosuch --json');
  t.is(none.status, 3);
  t.is((JSON.parse(none.stdout) as { taken: unknown }).taken, null);
});

test.serial('a device that fails when it is asked how it rounds', async (t) => {
  const { device, close } = await openDevice({ device: DEVICE });
  const notes: string[] = [];
  device.destroy();
  t.is(await rounding(device, (text) => void notes.push(text)), null);
  t.is(notes.length, 1);
  t.regex(notes[0], /^attnc: how it rounds is not known: .*lost/);
  close();
});

test.serial('run --random: a summary, and the results as a file that run reads back', async (t) => {
  const file = scratch(t);
  const args = ['run', 'samples/longformer.attn', '--pattern', 'longformer', '--set', 'window=5', ...small];
  const { status, stdout, stderr } = await attnc([
    ...[...args, '--random', '--length', '70', '--batch', '2', '--key-heads', '1', '--value-size', '24'],
    ...['--seed', '3', '-o', file('out.safetensors')],
  ]);
  t.is(status, 0, stderr);
  t.regex(stdout, /pattern +longformer: window = 5, globals = 64/);
  t.regex(stdout, /shape +batch 2, 2 heads on 1, 70 queries × 70 keys, head size 16 \(values 24\)/);
  t.regex(stdout, /time +.* on the device/);
  const { tensors, metadata } = readSafetensors(readFileSync(file('out.safetensors')));
  t.deepEqual(tensors.get('out')?.shape, [2, 2, 70, 24]);
  t.deepEqual(tensors.get('lse')?.shape, [2, 2, 70]);
  t.is(metadata['pattern'], 'longformer');
  t.true([...(tensors.get('lse')!.data as Float32Array)].every(Number.isFinite));
});

test.serial('run --input: q, k, v, tables and lengths from files; what is not read is said', async (t) => {
  const file = scratch(t);
  const f32 = (shape: number[]): ReturnType<typeof tensor> =>
    tensor(
      'f32',
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, n) => (n % 7) / 7),
    );
  const tensors = new Map([
    ['q', f32([2, 1, 30, 16])],
    ['k', f32([2, 1, 30, 16])],
    ['v', f32([2, 1, 30, 16])],
    [
      'doc',
      tensor(
        'i32',
        [30],
        Int32Array.from({ length: 30 }, (_, n) => Math.floor(n / 10)),
      ),
    ],
    ['lengths.keys', tensor('i32', [2], Int32Array.of(30, 20))],
    ['lengths.queries', tensor('i32', [2], Int32Array.of(30, 20))],
    ['stray', f32([1])],
  ]);
  writeFileSync(file('in.safetensors'), writeSafetensors(tensors as Parameters<typeof writeSafetensors>[0]));
  const args = ['samples/documents.attn', '--pattern', 'documents', '--device', DEVICE];
  const input = ['--input', file('in.safetensors')];
  const { status, stdout, stderr } = await attnc(['run', ...args, ...input, '-o', file('out.npy'), '--json']);
  t.is(status, 0, stderr);
  t.regex(stderr, /'documents' does not read stray/);
  const report = JSON.parse(stdout) as { rowsWithoutEdges: number; out: number[]; shape: { keys: number[] } };
  t.deepEqual([report.rowsWithoutEdges, report.out, report.shape.keys], [10, [2, 1, 30, 16], [30, 20]]);
  t.is(readFileSync(file('out.npy')).subarray(1, 6).toString(), 'NUMPY');
  t.is((await attnc(['verify', ...args, ...input])).status, 0);
});

test.serial('verify --length: every pattern of a file, with the settings that each has', async (t) => {
  const { status, stdout } = await attnc([
    'verify',
    'samples/sliding.attn',
    '--length',
    '150',
    '--set',
    'window=9',
    ...small,
  ]);
  t.is(status, 0, stdout);
  for (const name of ['sliding', 'sliding_causal', 'window_causal']) {
    t.regex(stdout, new RegExp(`PASS ${name}: window = 9\\n`));
  }
  t.regex(stdout, /made up +q, k, v \(f32, seed 0\)/);
  t.regex(stdout, /all 300 against the float64 oracle/);
  t.regex(stdout, /3 of 3 patterns verified\n$/);
});

test.serial('verify: f16 and bf16 inputs have their own tolerances', async (t) => {
  for (const [dtype, tolerance] of [
    ['f16', 2e-3],
    ['bf16', 1e-2],
  ] as const) {
    const args = [
      'verify',
      'samples/softcap.attn',
      '--pattern',
      'softcap',
      '--length',
      '65',
      '--dtype',
      dtype,
    ];
    const { status, stdout } = await attnc([...args, ...small, '--json']);
    t.is(status, 0, stdout);
    const { patterns } = JSON.parse(stdout) as { patterns: { findings: { tolerance: number }[] }[] };
    t.true(patterns[0].findings[0].tolerance >= tolerance);
  }
});

test.serial('--out-dtype: of what run writes, and of what verify checks', async (t) => {
  const file = scratch(t);
  const pattern = ['samples/dense.attn', '--pattern', 'causal', '--length', '70', ...small];
  const out = async (type: string, ...more: string[]): Promise<Tensor> => {
    const args = ['run', ...pattern, '--random', '--out-dtype', type, '-o', file(`${type}.safetensors`)];
    const { status, stdout, stderr } = await attnc([...args, ...more]);
    t.is(status, 0, stderr);
    if (type !== 'f32') t.regex(stdout, new RegExp(`\\(\\w+, f32 to ${type}, schedule`));
    const { tensors } = readSafetensors(readFileSync(file(`${type}.safetensors`)));
    t.is(tensors.get('lse')?.dtype, 'f32');
    return tensors.get('out') as Tensor;
  };
  const f32 = await out('f32');
  for (const type of ['f16', 'bf16'] as const) {
    const narrow = await out(type);
    t.is(narrow.dtype, type);
    // The kernels round what they would have written as f32.
    t.deepEqual(narrow, fromNumbers(type, f32.shape, f32.data as Float32Array));
  }
  for (const [dtype, outDtype, tolerance] of [
    ['f32', 'f16', 2e-3],
    ['f16', 'bf16', 1e-2],
    ['bf16', 'f32', 1e-2],
  ] as const) {
    const types = ['--dtype', dtype, '--out-dtype', outDtype];
    const { status, stdout } = await attnc(['verify', ...pattern, ...types, '--json']);
    t.is(status, 0, stdout);
    const { patterns } = JSON.parse(stdout) as {
      patterns: { findings: { tolerance: number }[]; stats: { input: string; output: string } }[];
    };
    const [{ findings, stats }] = patterns;
    t.deepEqual([stats.input, stats.output], [dtype, outDtype]);
    t.true(findings[0].tolerance >= tolerance && findings[0].tolerance < tolerance + 1e-4);
  }
  const npy = await attnc(['run', ...pattern, '--random', '--out-dtype', 'bf16', '-o', file('out.npy')]);
  t.is(npy.status, 1);
  t.regex(npy.stderr, /^attnc: error\[ATTN5002\]: .*out\.npy: numpy has no bf16; write a \.safetensors file/);
});

test.serial('verify: a sample of rows where there are many, and all with --all', async (t) => {
  const args = [
    'verify',
    'samples/sliding.attn',
    '--pattern',
    'sliding',
    '--set',
    'window=4',
    '--heads',
    '1',
  ];
  const sizes = ['--head-size', '16', '--device', DEVICE];
  const long = await attnc([...args, '--length', '6000', ...sizes]);
  t.is(long.status, 0, long.stdout);
  t.regex(long.stdout, /a sample of \d+ of 6,000 against the float64 oracle/);
  const all = await attnc([...args, '--length', '4100', '--all', ...sizes]);
  t.is(all.status, 0, all.stdout);
  t.regex(all.stdout, /all 4,100 against/);
});

test.serial('verify: a pattern that cannot be bound fails, the others are verified', async (t) => {
  const source = 'pattern a { i -> j when j <= i }\npattern b(s: int = 1) { i -> j when (i - j) % s == 0 }';
  const args = ['verify', '-', '--length', '40', '--set', 's=0', ...small];
  const { status, stdout, stderr } = await attnc(args, { stdin: source });
  t.is(status, 1);
  t.regex(stdout, /PASS a\n/);
  t.regex(stdout, /1 of 2 patterns verified/);
  t.regex(stderr, /pattern 'b':\n.*divisor/);
  t.true(isTidy(stderr));
});

test.serial('a rule that only testing all pairs finds takes --allow-dense past the budget', async (t) => {
  const stdin =
    'pattern odd(s: int in 1 .. 1000 = 7) { i -> j when (bitand(i, 63) * bitand(j, 63)) % s == 3 }';
  const args = [
    'run',
    '-',
    '--random',
    '--length',
    '100_000',
    '--heads',
    '1',
    '--head-size',
    '16',
    '--device',
    DEVICE,
  ];
  const { status, stderr } = await attnc(args, { stdin });
  t.is(status, 1);
  t.regex(stderr, /ATTN4110.*would test \d+ pairs one by one.*--allow-dense/);
});
