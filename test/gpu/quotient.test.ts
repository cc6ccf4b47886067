// Divisions by inverses, which kernels find the cells of boxes by: on a device, against those of the host.

import test from 'ava';
import { DIVISIONS } from '../../compiler/emit/boxes.js';
import { MOST_BOX_ROWS } from '../../compiler/ir/schedule.js';
import { openDevice, type OpenedDevice } from '../../runtime/node/index.js';
import { runCompute } from '../devices/run-compute.js';
import { generator } from '../runtime/data.js';

let opened: OpenedDevice;
test.before(async () => {
  opened = await openDevice();
});
test.after.always(() => opened?.close());

/** Dividends next to multiples, where a quotient changes, for divisors small, large, and about powers of two. */
function divisions(): Int32Array<ArrayBuffer> {
  const next = generator(11);
  const about = [4, 6, 10, 16, 20, 24, 28, 30].flatMap((n) => [2 ** n - 1, 2 ** n, 2 ** n + 1]);
  const divisors = [...Array.from({ length: 300 }, (_, n) => n + 1), ...about, 2 ** 31 - 1];
  const found: number[] = [];
  for (const b of divisors) {
    const most = Math.min(MOST_BOX_ROWS - 1, Math.floor((2 ** 31 - 1) / b));
    const quotients = [
      0,
      1,
      2,
      3,
      most - 1,
      most,
      ...Array.from({ length: 400 }, () => Math.floor(next() * most)),
    ];
    for (const q of quotients) {
      for (const a of [q * b - 1, q * b, q * b + 1, q * b + b - 1]) {
        if (a >= 0 && a < 2 ** 31 && Math.floor(a / b) < MOST_BOX_ROWS) found.push(a, b);
      }
    }
  }
  return Int32Array.from(found);
}

test('quotients by inverses are those of integers', async (t) => {
  const pairs = divisions();
  const count = pairs.length / 2;
  const code = `${DIVISIONS}
    @group(0) @binding(0) var<storage, read> given: array<vec2<i32>>;
    @group(0) @binding(1) var<storage, read_write> made: array<i32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
      if (id.x < ${count}u) {
        let b = given[id.x].y;
        made[id.x] = quotient(given[id.x].x, b, inverse_of(b));
      }
    }`;
  const given = [new Float32Array(pairs.buffer)];
  const out = await runCompute(opened.device, code, given, count, Math.ceil(count / 64));
  const wrong: string[] = [];
  new Int32Array(out.buffer).forEach((got, n) => {
    const [a, b] = [pairs[2 * n], pairs[2 * n + 1]];
    if (got !== Math.floor(a / b)) wrong.push(`${a} / ${b} gives ${got}`);
  });
  t.deepEqual(wrong.slice(0, 10), []);
  t.log(`${count} divisions`);
  t.true(count > 300_000);
});
