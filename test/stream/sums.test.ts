// Sums of rows: the same from the CPU and the device, for every division into bands, and different for wrong results.

import test from 'ava';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import {
  addSums,
  NO_ROWS,
  sumBand,
  sumFromText,
  sumRows,
  sumText,
  type RowSum,
} from '../../runtime/stream/row-sum.js';
import type { BandResult, RowSink, SinkSummary } from '../../runtime/stream/rows.js';
import { summaryJson } from '../../runtime/stream/summary.js';
import type { Band } from '../../runtime/stream/tally.js';
import { bufferOf } from './buffers.js';
import { bandsOf, results, writeBand, type Results } from './results.js';

const MOST = 2 ** 31 - 1;

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

const keep = [
  { batch: 1, head: 0, row: 5 },
  { batch: 0, head: 2, row: 0 },
  { batch: 0, head: 2, row: 99 },
  { batch: 1, head: 2, row: 18 },
  { batch: 1, head: 0, row: 5 },
];

async function throughHost(sink: RowSink, of: Results, list: readonly Band[]): Promise<BandResult[]> {
  const done: BandResult[] = [];
  for (const band of list) done.push(await writeBand(sink, of, band));
  return done;
}

async function throughDevice(sink: RowSink, of: Results, list: readonly Band[]): Promise<BandResult[]> {
  const { device } = opened;
  const pending = [];
  for (const band of list) {
    const { batch, head, lo, hi } = band;
    const out = await of.out(band);
    const lse = await of.lse(band);
    // Both in one buffer, at odd places or at even ones.
    const at = head === 1 ? 16 : 12;
    const bytes = new Uint8Array(at + 8 + out.length + lse.byteLength);
    bytes.set(out, at);
    bytes.set(new Uint8Array(lse.buffer), at + 8 + out.length);
    const buffer = bufferOf(device, bytes);
    const [first, second] = [at, at + 8 + out.length].map((offset) => ({ buffer, offset }));
    pending.push(sink.absorb!(device, batch, head, lo, hi, first, second));
    // What is submitted later may write there.
    device.queue.writeBuffer(buffer, 0, new Uint8Array(bytes.length));
  }
  return Promise.all(pending);
}

for (const dtype of ['f32', 'f16', 'bf16'] as const) {
  test.serial(`${dtype}: one sum, whatever the bands, on the host and on the device`, async (t) => {
    const of = results(dtype, [2, 3, 100, 24]);
    const summaries: SinkSummary[] = [];
    for (const size of [100, 64, 7, 1]) {
      for (const through of [throughHost, ...(size < 7 ? [] : [throughDevice])]) {
        const sink = checksumSink(dtype, of.shape, { keep });
        const done = await through(sink, of, bandsOf(of.shape, size));
        const summary = await sink.finish();
        await sink.close();
        const sums = done.map((d) => sumFromText(d.sum)!);
        t.is(sumText(sums.reduce(addSums, NO_ROWS)), summary.sum);
        summaries.push(summary);
      }
    }
    for (const s of summaries) t.deepEqual(s, summaries[0]);
    const [first] = summaries;
    t.is(first.rows, 600);
    t.deepEqual(
      first.kept.map((k) => [k.batch, k.head, k.row]),
      [
        [0, 2, 0],
        [0, 2, 99],
        [1, 0, 5],
        [1, 2, 18],
      ],
    );
    for (const k of first.kept) {
      const band = { ...k, lo: k.row, hi: k.row + 1 };
      t.deepEqual(k.out, await of.out(band));
      t.is(k.lse, (await of.lse(band))[0]);
    }
  });
}

test('a resumed sum is that of the whole', async (t) => {
  const of = results('f16', [2, 3, 100, 24]);
  const list = bandsOf(of.shape, 30);
  const whole = checksumSink('f16', of.shape, { keep });
  const done = await throughHost(whole, of, list);
  const rest = checksumSink('f16', of.shape, {
    keep,
    done: done.slice(0, 9).map((d, n) => ({ ...d, ...list[n] })),
  });
  await throughHost(rest, of, list.slice(9));
  t.deepEqual(await rest.finish(), await whole.finish());
});

test('a sum of less than all rows is not told', async (t) => {
  const of = results('f32', [1, 1, 10, 16]);
  const sink = checksumSink('f32', of.shape);
  await throughHost(sink, of, [{ batch: 0, head: 0, lo: 0, hi: 9 }]);
  await t.throwsAsync(sink.finish(), { message: /9 of 10 rows have a result/ });
});

const EXAMPLE = Uint32Array.of(1, 2, 3, 0x80000000, 5, 6);

test('sums that are written down', (t) => {
  // Journals and published results hold them.
  const bytes = new Uint8Array(EXAMPLE.buffer);
  t.is(sumText(sumRows('out', 0, 0, 0, bytes, 8)), 'bc5cfa9223e83d64');
  t.is(sumText(sumRows('lse', 0, 0, 0, bytes, 8)), '3f2cb9e712654cb2');
  t.is(sumText(sumRows('out', 1, 2, MOST - 3, bytes, 8)), 'a4067e83e8a7d4f5');
  t.is(sumText(NO_ROWS), '0000000000000000');
  for (const text of ['', '123', 'x'.repeat(16), '0'.repeat(17)]) t.is(sumFromText(text), undefined);
  t.deepEqual(sumFromText('00000001fffffffe'), { a: 0xfffffffe, b: 1 });
});

test('what goes wrong in results changes their sum', (t) => {
  const rows = 50;
  const words = Uint32Array.from({ length: rows * 8 }, (_, n) =>
    n % 5 === 0 ? 0 : Math.imul(n, 0x2545f491),
  );
  const lse = Float32Array.from({ length: rows }, (_, n) => n % 7);
  const sumOf = (w: Uint32Array, l: Float32Array, batch = 0, head = 0, lo = 0): RowSum =>
    sumBand(batch, head, lo, new Uint8Array(w.buffer), 32, l);
  const swapped = <T extends Uint32Array | Float32Array>(x: T, a: number, b: number, length: number): T => {
    const y = x.slice() as T;
    y.set(x.subarray(a, a + length), b);
    y.set(x.subarray(b, b + length), a);
    return y;
  };
  const edited = (edit: (w: Uint32Array) => void): Uint32Array => {
    const w = words.slice();
    edit(w);
    return w;
  };
  const wrong: readonly (readonly [string, RowSum])[] = [
    [
      'one bit',
      sumOf(
        edited((w) => (w[77] ^= 1)),
        lse,
      ),
    ],
    [
      'the sign of one',
      sumOf(
        edited((w) => (w[77] ^= 0x80000000)),
        lse,
      ),
    ],
    [
      'the signs of two',
      sumOf(
        edited((w) => ((w[77] ^= 0x80000000), (w[133] ^= 0x80000000))),
        lse,
      ),
    ],
    [
      'all signs',
      sumOf(
        words.map((x) => x ^ 0x80000000),
        lse,
      ),
    ],
    ['two words of a row exchanged', sumOf(swapped(words, 81, 82, 1), lse)],
    ['two rows exchanged', sumOf(swapped(words, 80, 160, 8), lse)],
    [
      'a row of zeros',
      sumOf(
        edited((w) => w.fill(0, 80, 88)),
        lse,
      ),
    ],
    [
      'the row before in its place',
      sumOf(
        edited((w) => w.copyWithin(80, 72, 80)),
        lse,
      ),
    ],
    ['two lse exchanged', sumOf(words, swapped(lse, 3, 4, 1))],
    ['another head', sumOf(words, lse, 0, 1)],
    ['another batch', sumOf(words, lse, 1, 0)],
    ['one row on', sumOf(words, lse, 0, 0, 1)],
    ['all zeros', sumOf(new Uint32Array(words.length), lse)],
  ];
  const texts = [sumOf(words, lse), ...wrong.map(([, s]) => s)].map(sumText);
  wrong.forEach(([name, sum]) => {
    t.not(sumText(sum), texts[0], name);
    // Both halves notice.
    t.not(sum.a, sumOf(words, lse).a, name);
    t.not(sum.b, sumOf(words, lse).b, name);
  });
  t.is(new Set(texts).size, texts.length);
});

test('unaligned bytes have the same sum', (t) => {
  const room = new Uint8Array(EXAMPLE.byteLength + 1);
  room.set(new Uint8Array(EXAMPLE.buffer), 1);
  t.deepEqual(
    sumRows('out', 0, 0, 0, room.subarray(1), 8),
    sumRows('out', 0, 0, 0, new Uint8Array(EXAMPLE.buffer), 8),
  );
});

test('kept rows must be rows', (t) => {
  for (const place of [
    { batch: 1, head: 0, row: 0 },
    { batch: 0, head: 2, row: 0 },
    { batch: 0, head: 0, row: 10 },
    { batch: 0, head: 0, row: 0.5 },
  ]) {
    t.throws(() => checksumSink('f32', [1, 2, 10, 16], { keep: [place] }), { name: 'AttncError' });
  }
});

test('a summary is data', (t) => {
  const half = (...bits: number[]): Uint8Array => new Uint8Array(Uint16Array.from(bits).buffer);
  const place = { batch: 0, head: 1, row: 2 };
  const json = summaryJson(
    {
      sum: '00000001fffffffe',
      rows: 12,
      kept: [
        { ...place, out: half(0x3c00, 0xbc00), lse: 0.1 },
        { ...place, row: 3, out: half(0x7e00, 0x7c00), lse: -Infinity },
      ],
      file: undefined,
    },
    'f16',
  );
  t.deepEqual(JSON.parse(JSON.stringify(json)), {
    sum: '00000001fffffffe',
    rows: 12,
    kept: [
      { ...place, out: [1, -1], lse: Math.fround(0.1) },
      { ...place, row: 3, out: ['NaN', 'Infinity'], lse: '-Infinity' },
    ],
  });
});
