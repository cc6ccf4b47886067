/** attnc explain of runs past one binding: bands, memory and traffic, and what can't fit. */
import { writeFileSync } from 'node:fs';
import test from 'ava';
import { compile, packProgram } from '../../compiler/index.js';
import type { LongExplanation } from '../../cli/stream/explain.js';
import { attnc, DEVICE, isTidy, scratch } from './harness.js';

type Stream = LongExplanation & { readonly estimate: NonNullable<LongExplanation['estimate']> };

async function streamOf(line: string): Promise<Stream | undefined> {
  const { status, stdout, stderr } = await attnc(`${line} --json`);
  if (status !== 0) throw new Error(`${line}: ${stderr}`);
  return (JSON.parse(stdout) as { stream?: Stream }).stream;
}

const GIB = 2 ** 30;
const BILLION = [
  'samples/sliding.attn --pattern sliding --set window=32',
  'samples/sliding.attn --pattern window_causal',
  'samples/dilated.attn --pattern dilated_window',
  'samples/longnet.attn --pattern longnet',
];

for (const pattern of BILLION) {
  test.serial(`a billion tokens: ${pattern}, in seconds`, async (t) => {
    const start = performance.now();
    const more = '--length 1e9 --heads 1 --dtype f16 --out-dtype f16 --memory 8G --host-memory 2G';
    const stream = await streamOf(`explain ${pattern} ${more}`);
    t.true(performance.now() - start < 20_000);
    if (!stream) return t.fail();
    const { estimate: e, budget } = stream;
    t.true(e.deviceBytes <= budget.deviceBytes && e.deviceBytes > GIB, `${e.deviceBytes}`);
    t.true(e.hostBytes <= budget.hostBytes);
    t.is(e.downloadedBytes, 1e9 * (128 + 4));
    // q once, and each key once but for what neighbouring bands share.
    t.true(e.uploadedBytes >= 384e9 && e.uploadedBytes < 390e9, `${e.uploadedBytes}`);
    t.is(e.steps, e.bands);
    t.true(e.rows.most * e.bands >= 1e9 && e.rows.least > 0);
  });
}

test.serial('what is said depends on what is asked', async (t) => {
  const short = 'explain samples/sliding.attn --pattern sliding --length 5000';
  t.is(await streamOf(short), undefined);
  const budget = await streamOf(`${short} --binding 128M`);
  t.is(budget?.estimate.bands, 4);
  const small = await streamOf(`${short} --memory 1M --host-memory 1M --binding 64K`);
  t.true(small!.estimate.bands > 50 && small!.estimate.deviceBytes <= 2 ** 20);
  t.is(small!.budget.bindingBytes, 65536);
  // Past 2 GiB it is told without being asked.
  const long = await streamOf('explain samples/sliding.attn --pattern sliding --length 12e6 --heads 1');
  t.true(long!.estimate.bands > 1);
  // The length alone doesn't say how large tensors are.
  const narrow =
    'explain samples/sliding.attn --pattern sliding --length 12e6 --heads 1 --head-size 16 --dtype f16';
  t.is(await streamOf(narrow), undefined);
  const { stdout } = await attnc(`${short} --memory 1M --host-memory 1M`);
  t.regex(stdout, /\nstreamed +\d+ bands of [\d,]+( to [\d,]+)? rows; 2\.15 GB bound at once\n/);
  t.regex(stdout, /\nwindows +\d+ of keys, at most 3 a band, of at most [\d,]+ keys\n/);
  t.regex(
    stdout,
    /\nmemory +[\d.]+ [kM]B on the device, \d+ kB on the host; fits 1\.05 MB on the device, 1\.05 MB on the host\n/,
  );
  t.regex(stdout, /\nmoved +.* up \(nothing with --random\), .* down .*, .* kept on the device\n/);
  const many = await attnc('explain samples/sliding.attn --pattern sliding --length 1e9 --memory 1M');
  t.is(many.status, 0);
  t.regex(many.stdout, /streamed +about 1\d,\d{3},\d{3} bands, too many to plan here: give more memory/);
});

test.serial('with a device: what was measured, and how long it should take', async (t) => {
  const line =
    'explain samples/sliding.attn --pattern sliding --set window=8 --length 300_000 --heads 1 --head-size 16';
  const stream = await streamOf(`${line} --device ${DEVICE}`);
  const e = stream?.expected;
  if (!e) return t.fail();
  t.true(e.measured.rows >= 256 && e.measured.milliseconds > 0 && e.measured.keys === e.measured.keysOfRows);
  t.true(e.measured.uploadRate > 1e6 && e.measured.downloadRate > 1e6);
  t.is(e.seconds, Math.max(e.computing, e.uploading, e.downloading));
  const perRow = e.measured.milliseconds / e.measured.rows / 1000;
  t.true(Math.abs(e.computing / (300_000 * perRow) - 1) < 1e-9);
  t.true(Math.abs((e.tokensPerSecond * e.seconds) / 300_000 - 1) < 1e-9);
  const { stdout } = await attnc(`${line} --device ${DEVICE}`);
  t.regex(stdout, /\nmeasured +[\d,]+ rows at row [\d,]+ in .*, .*B\/s up, .*B\/s down\n/);
  t.regex(stdout, /\nexpected +.*, .*tokens\/s: computing .*, up .*, down .*, side by side\n$/);
});

const WRONG: readonly (readonly [string, number, RegExp])[] = [
  [
    '--length 1000 --memory 1K',
    2,
    /a memory budget of 1024 bytes on the device, \d+ on the host and \d+ a binding holds no row; give more/,
  ],
  ['--length 1000 --binding 300', 2, /300 a binding holds no row; give more/],
  ['--length 3e9', 2, /'3e9' must be a whole number from 1 to 2147483647/],
  ['--length 1000 --memory much', 2, /'--memory <bytes>': 'much' must be a number of bytes/],
  ['--length 1000 --dtype f8', 2, /'--dtype <type>'.*f8/],
  ['--length 1000 --device nosuch', 3, /ATTN4001/],
];

for (const [options, status, message] of WRONG) {
  test.serial(`refused: ${options}`, async (t) => {
    const found = await attnc(`explain samples/sliding.attn --pattern sliding ${options}`);
    t.is(found.status, status, found.stderr);
    t.regex(found.stderr, message);
    t.is(found.stdout, '');
    t.true(isTidy(found.stderr));
  });
}

test.serial('refused: tables past a binding, programs that are for one piece', async (t) => {
  const tables = await attnc(
    'explain samples/documents.attn --pattern documents --length 100_000 --binding 64K',
  );
  t.is(tables.status, 1);
  t.regex(tables.stderr, /must be at least 400000; the device has 65536; tables and graphs are bound whole/);
  const file = scratch(t);
  const { program } = compile('pattern near() { i -> j when abs(i - j) <= 7 }', { dim: 16 });
  writeFileSync(file('p.json'), packProgram(program!));
  const whole = await attnc(['explain', file('p.json'), '--length', '1000', '--memory', '1M']);
  t.is(whole.status, 2);
  t.regex(whole.stderr, /compiled for runs in one piece; compile it with --windows/);
  t.is((await attnc(['explain', file('p.json'), '--length', '1000'])).status, 0);
});
