// The generator: exact values, the same on the CPU and the device, and numbers that look random.

import test from 'ava';
import { randomTensor } from '../../cli/random.js';
import { STORAGE_TYPES, type StorageType } from '../../compiler/ir/program.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import { valueAt, valueStream } from '../../runtime/stream/random-values.js';
import { firstKey, secondKey } from '../../runtime/stream/row-hash.js';
import { bytesOf, fromBytes, toFloat32 } from '../../runtime/tensor.js';
import { bufferOf, bytesIn } from './buffers.js';

const SIZE: Readonly<Record<StorageType, number>> = { f32: 4, f16: 2, bf16: 2 };
const MOST = 2 ** 31 - 1;

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

async function values(
  rows: readonly [lo: number, hi: number],
  options: {
    tensor?: string;
    seed?: number;
    head?: number;
    batch?: number;
    dtype?: StorageType;
    dim?: number;
  } = {},
): Promise<Float32Array> {
  const { tensor = 'q', seed = 0, head = 0, batch = 0, dtype = 'f32', dim = 64 } = options;
  const source = randomRows(tensor, dtype, [4, 4, MOST, dim], seed);
  const [lo, hi] = rows;
  const bytes = new Uint8Array((hi - lo) * dim * SIZE[dtype]);
  await source.read(batch, head, lo, hi, bytes);
  return toFloat32(fromBytes(dtype, [hi - lo, dim], bytes));
}

test('values that are written down', async (t) => {
  // What a seed means must not change: results are compared by it, and runs resumed.
  const rows: readonly (readonly [Parameters<typeof values>, readonly number[]])[] = [
    [[[0, 1]], [-39, 3, -30, 56, -2, 36]],
    [
      [[0, 1], { tensor: 'k' }],
      [-3, 8, -27, -76, 2, -50],
    ],
    [
      [[0, 1], { seed: 1 }],
      [-19, -28, -52, 11, -1, 40],
    ],
    [
      [[MOST - 1, MOST], { tensor: 'v', head: 3, batch: 1, seed: 2 ** 32 - 1 }],
      [38, 2, 12, 50, 69, 25],
    ],
  ];
  for (const [args, expected] of rows) {
    t.deepEqual(
      [...(await values(...args)).subarray(0, 6)].map((x) => x * 64),
      expected,
    );
  }
});

test('every type holds the same numbers, whatever rows are read at once', async (t) => {
  for (const lo of [0, 1000, 2 ** 26 - 5, MOST - 12]) {
    const all = await values([lo, lo + 12]);
    for (const dtype of STORAGE_TYPES) {
      const row = await values([lo + 7, lo + 8], { dtype });
      t.deepEqual([...row], [...all.subarray(7 * 64, 8 * 64)], `${dtype} at ${lo}`);
    }
    // A wider row begins with the values of a narrow one.
    const narrow = await values([lo, lo + 1], { dim: 24 });
    t.deepEqual([...narrow], [...all.subarray(0, 24)]);
  }
});

test('the tensors of `attnc run --random` have the same numbers', async (t) => {
  for (const dtype of STORAGE_TYPES) {
    const tensor = randomTensor('v', dtype, [2, 3, 70, 24], 17);
    const source = randomRows('v', dtype, tensor.shape, 17);
    for (let plane = 0; plane < 6; plane++) {
      const bytes = new Uint8Array(70 * 24 * SIZE[dtype]);
      await source.read(Math.floor(plane / 3), plane % 3, 0, 70, bytes);
      t.deepEqual(bytesOf(tensor).slice(plane * bytes.length, (plane + 1) * bytes.length), bytes);
    }
  }
  t.throws(() => randomTensor('q', 'f32', [1, 1, 2 ** 31 - 1, 2 ** 20], 0), {
    message: /not enough memory for 'q'/,
  });
});

test('unaligned room is written too', async (t) => {
  const source = randomRows('q', 'f32', [1, 1, 10, 16], 3);
  const whole = new Uint8Array(64);
  await source.read(0, 0, 4, 5, whole);
  const room = new Uint8Array(65);
  await source.read(0, 0, 4, 5, room.subarray(1));
  t.deepEqual(room.subarray(1), whole);
});

test('rows that are not there are refused', async (t) => {
  const source = randomRows('q', 'f16', [1, 2, 100, 16], 0);
  const rows: readonly (readonly [number, number, number, number, number])[] = [
    [0, 2, 0, 1, 32],
    [1, 0, 0, 1, 32],
    [0, 0, 90, 101, 352],
    [0, 0, 9, 8, 0],
    [0, 0, 0, 1, 33],
  ];
  for (const [batch, head, lo, hi, bytes] of rows) {
    await t.throwsAsync(source.read(batch, head, lo, hi, new Uint8Array(bytes)), { name: 'AttncError' });
  }
});

/** Correlation coefficient. */
function correlation(x: Float32Array, y: Float32Array): number {
  let [sx, sy, xx, yy, xy] = [0, 0, 0, 0, 0];
  for (let n = 0; n < x.length; n++) {
    sx += x[n];
    sy += y[n];
    xx += x[n] * x[n];
    yy += y[n] * y[n];
    xy += x[n] * y[n];
  }
  const n = x.length;
  return (xy / n - (sx / n) * (sy / n)) / Math.sqrt((xx / n - (sx / n) ** 2) * (yy / n - (sy / n) ** 2));
}

test('mean, deviation and bounds are those of its description', async (t) => {
  for (const lo of [0, 123_456_789, MOST - 20_000]) {
    for (const seed of [0, 1, 2 ** 32 - 1]) {
      const x = await values([lo, lo + 20_000], { seed });
      const mean = x.reduce((a, b) => a + b, 0) / x.length;
      const deviation = Math.sqrt(x.reduce((a, b) => a + b * b, 0) / x.length - mean ** 2);
      // A standard error of the mean is 0.0005.
      t.true(Math.abs(mean) < 0.0025, `mean ${mean}`);
      t.true(Math.abs(deviation - 0.5725) < 0.003, `deviation ${deviation}`);
      t.true(x.every((v) => Math.abs(v) < 2 && Number.isInteger(v * 64)));
      // Nearly normal: so much lies within one deviation and two.
      const within = (d: number): number => x.filter((v) => Math.abs(v) <= d * deviation).length / x.length;
      t.true(Math.abs(within(1) - 0.675) < 0.02, `${within(1)} within one deviation`);
      t.true(Math.abs(within(2) - 0.957) < 0.01, `${within(2)} within two`);
    }
  }
});

test('neighbours, heads, batches, tensors and seeds are not correlated', async (t) => {
  const count = 4000;
  const at = 1_000_000_007;
  const x = await values([at, at + count]);
  // Of 256,000 pairs a standard error is 0.002.
  const others: readonly (readonly [string, Float32Array])[] = [
    ...(await Promise.all(
      [1, 2, 3, 4, 8, 16, 64, 2 ** 16, 2 ** 20, 2 ** 30].map(
        async (d) => [`${d} rows on`, await values([at + d, at + d + count])] as const,
      ),
    )),
    ...[1, 2, 8, 32].map((d) => [`${d} columns on`, x.slice(d)] as const),
    ['the next head', await values([at, at + count], { head: 1 })],
    ['the next batch', await values([at, at + count], { batch: 1 })],
    ['k', await values([at, at + count], { tensor: 'k' })],
    ['v', await values([at, at + count], { tensor: 'v' })],
    ['the next seed', await values([at, at + count], { seed: 1 })],
    ['a seed of one high bit', await values([at, at + count], { seed: 2 ** 31 })],
  ];
  for (const [name, y] of others) {
    const r = correlation(x.subarray(0, y.length), y);
    t.true(Math.abs(r) < 0.01, `${name}: ${r}`);
    // Sizes neither: squares of the values.
    const squares = correlation(
      x.subarray(0, y.length).map((v) => v * v),
      y.map((v) => v * v),
    );
    t.true(Math.abs(squares) < 0.01, `${name}, squared: ${squares}`);
  }
});

test('scores of random rows spread as those of independent numbers', async (t) => {
  // q·k of 64 products of deviation 0.3276: 2.62.
  const q = await values([5_000_000, 5_004_000]);
  const k = await values([5_000_000, 5_004_000], { tensor: 'k' });
  for (const d of [0, 1, 1000]) {
    let sum = 0;
    let squares = 0;
    const rows = 3000;
    for (let r = 0; r < rows; r++) {
      let dot = 0;
      for (let c = 0; c < 64; c++) dot += q[r * 64 + c] * k[(r + d) * 64 + c];
      sum += dot;
      squares += dot * dot;
    }
    t.true(Math.abs(sum / rows) < 0.2, `mean ${sum / rows}`);
    t.true(Math.abs(Math.sqrt(squares / rows) - 2.62) < 0.2, `deviation ${Math.sqrt(squares / rows)}`);
  }
});

test('rows do not repeat', (t) => {
  const keys = valueStream(0, 'q', 0, 0);
  const seen = new Set<string>();
  const rows = 100_000;
  for (let n = 0; n < rows; n++) {
    const row = n * 21_474;
    const first = firstKey(keys, row);
    const second = secondKey(keys, row);
    seen.add(Array.from({ length: 8 }, (_, c) => valueAt(first, second, c)).join());
  }
  t.is(seen.size, rows);
});

interface Fill {
  readonly dtype: StorageType;
  readonly dim: number;
  readonly rows: readonly [lo: number, hi: number];
  readonly offset?: number;
  readonly batch?: number;
  readonly head?: number;
  readonly seed?: number;
}

const FILLS: readonly Fill[] = STORAGE_TYPES.flatMap((dtype): readonly Fill[] => [
  { dtype, dim: 64, rows: [0, 300] },
  { dtype, dim: 64, rows: [2 ** 26 - 1, 2 ** 26 + 200], head: 3, seed: 1 },
  // Row · dim reaches 2^37.
  { dtype, dim: 64, rows: [MOST - 65, MOST], batch: 1, seed: 2 ** 32 - 1 },
  { dtype, dim: 24, rows: [999_999_990, 1_000_000_000], offset: 20 },
  { dtype, dim: 256, rows: [7, 8], offset: 260 },
  { dtype, dim: 16, rows: [5, 5], offset: 4 },
]);

for (const { dtype, dim, rows, offset = 0, batch = 0, head = 0, seed = 0 } of FILLS) {
  const [lo, hi] = rows;
  test.serial(`${dtype}, ${dim} wide, rows ${lo} to ${hi}: the device makes the same bits`, async (t) => {
    const { device } = opened;
    const source = randomRows('k', dtype, [2, 4, MOST, dim], seed);
    const size = (hi - lo) * dim * SIZE[dtype];
    const expected = new Uint8Array(offset + size + 8).fill(0xee);
    await source.read(batch, head, lo, hi, expected.subarray(offset, offset + size));
    const buffer = bufferOf(device, new Uint8Array(offset + size + 8).fill(0xee));
    await source.fill!(device, buffer, offset, batch, head, lo, hi);
    t.deepEqual(await bytesIn(device, buffer), expected);
    buffer.destroy();
    await source.close();
  });
}

test.serial('rows past what one binding holds, and many workgroups, are filled in parts', async (t) => {
  // A device that binds 64 KiB at a time and dispatches 8 workgroups a dimension, as far as `fill` can see.
  const limits = new Proxy(opened.device.limits, {
    get: (of, name) =>
      name === 'maxStorageBufferBindingSize'
        ? 65_536
        : name === 'maxComputeWorkgroupsPerDimension'
          ? 8
          : Reflect.get(of, name, of),
  });
  const device = new Proxy(opened.device, {
    get: (of, name) => {
      if (name === 'limits') return limits;
      const value: unknown = Reflect.get(of, name, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
  const source = randomRows('v', 'f16', [1, 1, MOST, 40], 9);
  const [lo, hi] = [MOST - 2500, MOST - 7];
  const size = (hi - lo) * 80;
  const expected = new Uint8Array(size + 44);
  await source.read(0, 0, lo, hi, expected.subarray(44));
  const buffer = bufferOf(opened.device, new Uint8Array(size + 44));
  await source.fill!(device, buffer, 44, 0, 0, lo, hi);
  t.deepEqual(await bytesIn(opened.device, buffer), expected);
  buffer.destroy();
});

test('rows that are not whole words are made on the host only', (t) => {
  t.is(randomRows('q', 'f16', [1, 1, 4, 17], 0).fill, undefined);
  t.not(randomRows('q', 'f32', [1, 1, 4, 17], 0).fill, undefined);
});
