/** Options of streamed runs: what their words mean, and what is said of wrong ones. */
import { writeFileSync } from 'node:fs';
import test from 'ava';
import { InvalidArgumentError } from 'commander';
import { barText, duration, meterText, Rate } from '../../cli/meter.js';
import { createProgress } from '../../cli/progress.js';
import { byteCount } from '../../cli/stream/options.js';
import type { Io } from '../../cli/io.js';
import { attnc, isTidy, scratch } from './harness.js';

test('numbers of bytes', (t) => {
  const right: readonly (readonly [string, number])[] = [
    ['1', 1],
    ['65536', 65536],
    ['65_536', 65536],
    ['64K', 65536],
    ['64k', 65536],
    ['1M', 2 ** 20],
    ['1.5M', 1.5 * 2 ** 20],
    ['8G', 2 ** 33],
    ['2T', 2 ** 41],
  ];
  for (const [text, bytes] of right) t.is(byteCount(text), bytes, text);
  for (const text of ['', '0', '-1', 'K', '1KB', '1 K', '1e6', '0.1', '1P', '99999T', 'x', '_1', '1.M']) {
    t.throws(() => byteCount(text), { instanceOf: InvalidArgumentError }, text);
  }
});

const base = 'run samples/sliding.attn --pattern sliding --random --length 100 --heads 1 --head-size 16';
const WRONG: readonly (readonly [string, number, RegExp])[] = [
  [`${base} --memory lots`, 2, /'--memory <bytes>': 'lots' must be a number of bytes, such as 65536, 64K/],
  [`${base} --host-memory 0`, 2, /'--host-memory <bytes>': '0' must be a number of bytes/],
  [`${base} --binding 1Q`, 2, /'--binding <bytes>': '1Q' must be/],
  [`${base} --sample 0`, 2, /'--sample <n>': '0' must be a whole number from 1 to 1000000/],
  [`${base} --sample some`, 2, /'--sample <n>': 'some' must be/],
  [`${base} --checksum -o x.npy`, 2, /--checksum writes no file, -o does; leave one of them out/],
  [
    `${base} --journal j -o x.npy`,
    2,
    /--journal is for runs without -o; that of -o is x\.npy\.part\.journal/,
  ],
  [`${base} --resume`, 2, /nothing says what --resume goes on with; give -o FILE or --journal FILE/],
  [`${base} --resume --checksum`, 2, /nothing says what --resume goes on with/],
  [`${base} --stream -o x.csv`, 1, /x\.csv: results are written as \.safetensors or \.npy/],
  [`${base} --stream -o nosuch/x.npy`, 1, /there is no such folder/],
  [
    `${base} --resume -o nosuch.npy`,
    1,
    /ATTN5006.*nosuch\.npy cannot be resumed: there is no journal nosuch\.npy\.part\.journal/,
  ],
  [`${base} --memory 1K`, 2, /a memory budget of 1024 bytes on the device.*holds no row; give more/],
  [`${base} --host-memory 256`, 2, /256 on the host .*holds no row; give more/],
  [`${base} --binding 300`, 2, /300 a binding holds no row; give more/],
  ['run samples/sliding.attn --pattern sliding --stream', 2, /there are no tensors to run on/],
  ['run samples/sliding.attn --pattern sliding --stream --input nosuch.npy', 1, /nosuch\.npy: no such file/],
  ['run samples/sliding.attn --pattern sliding --stream --input x.csv', 1, /ATTN5002.*extension '\.csv'/],
  [
    'run samples/documents.attn --pattern documents --random --length 70_000 --heads 1 --binding 64K',
    1,
    /must be at least 280000; the device has 65536; tables and graphs are bound whole/,
  ],
];

for (const [line, status, message] of WRONG) {
  test.serial(line, async (t) => {
    const found = await attnc(line);
    t.is(found.status, status, found.stderr);
    t.regex(found.stderr, message);
    t.is(found.stdout, '');
    t.true(isTidy(found.stderr));
    t.is(found.stderr.trim().split('\n').length, 1);
  });
}

test.serial('files that are no q, k and v', async (t) => {
  const file = scratch(t);
  writeFileSync(file('a.npy'), 'nothing of it');
  const run = ['run', 'samples/sliding.attn', '--pattern', 'sliding', '--stream', '--input'];
  const broken = await attnc([...run, `q=${file('a.npy')}`]);
  t.is(broken.status, 1);
  t.regex(broken.stderr, /ATTN5001.*a\.npy/);
});

test('durations, rates and bars', (t) => {
  const times: readonly (readonly [number, string])[] = [
    [0.2, '0 s'],
    [59, '59 s'],
    [60, '1 min'],
    [125, '2 min 5 s'],
    [3600, '1 h'],
    [7860, '2 h 11 min'],
    [90_000, '1 d 1 h'],
  ];
  for (const [seconds, text] of times) t.is(duration(seconds), text);
  const state = { what: 'streaming', done: 250, total: 1000, unit: 'rows', bytes: 4_000_000 };
  t.is(barText(state), `[${'#'.repeat(5)}${'-'.repeat(15)}]`);
  t.is(meterText(state, undefined), '250 of 1,000 rows (25.0 %)');
  t.is(meterText(state, 50), '250 of 1,000 rows (25.0 %), 50 rows/s, 200 kB/s, 15 s left');
  const rate = new Rate();
  rate.add(0, 500);
  t.is(rate.perSecond, undefined);
  rate.add(2000, 700);
  t.is(rate.perSecond, 100, 'what was done before does not count');
  for (let at = 4000; at <= 60_000; at += 2000) rate.add(at, 700 + (at - 2000) / 2);
  t.is(rate.perSecond, 500, 'nor does what was long ago');
});

for (const terminal of [true, false]) {
  test(`progress with a meter, ${terminal ? 'on a terminal' : 'elsewhere'}`, async (t) => {
    let text = '';
    const output = {
      write: (s: string | Uint8Array) => void (text += String(s)),
      isTTY: terminal,
      columns: 90,
    };
    const io: Io = { stdout: output, stderr: output, stdin: async () => new Uint8Array(), env: {} };
    const progress = createProgress(io, () => true);
    const meter = (done: number): void =>
      progress.meter({ what: 'streaming p', done, total: 4000, unit: 'rows', bytes: 0 });
    meter(0);
    t.is(text, '', 'nothing in the first second');
    await new Promise((resolve) => setTimeout(resolve, 1150));
    meter(1000);
    await new Promise((resolve) => setTimeout(resolve, 150));
    meter(2000);
    if (terminal) {
      t.regex(
        text,
        /\r\u001b\[Kstreaming p \[#{10}-{10}\] 2,000 of 4,000 rows \(50\.0 %\), [\d.]+ k?rows\/s, \d+ s left$/,
      );
      t.true(text.split('\r').every((line) => line.replace('\u001b[K', '').length < 90));
    } else {
      // One line at first, the next one only after a while.
      t.regex(text, /^attnc: streaming p, (0|1,000) of 4,000 rows \(.*\).* …\n$/);
    }
    progress.done();
  });
}
