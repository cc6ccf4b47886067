import test from 'ava';
import { AttncError, errorTable } from '../../runtime/errors.js';
import { malformedGraph } from '../../runtime/errors.js';
import type { ErrorKind } from '../../runtime/errors.js';
import { bytesOf, dtypes, elementIndex, fromBytes, fromNumbers, tensor } from '../../runtime/tensor.js';
import { toFloat32, toFloat64, toInt32, zeros } from '../../runtime/tensor.js';
import type { Tensor } from '../../runtime/tensor.js';

function failure(run: () => unknown): { readonly kind: ErrorKind; readonly message: string } {
  try {
    run();
  } catch (error) {
    if (error instanceof AttncError) return { kind: error.kind, message: error.message };
    throw error;
  }
  throw new Error('expected an error');
}

test('conversions agree for every type', (t) => {
  for (const dtype of dtypes) {
    const x: Tensor = fromNumbers(dtype, [2, 2], dtype === 'bool' ? [0, 1, 1, 0] : [0, 1, -2, 96]);
    const wanted = dtype === 'bool' ? [0, 1, 1, 0] : [0, 1, -2, 96];
    t.deepEqual([...toFloat32(x)], wanted, dtype);
    t.deepEqual([...toFloat64(x)], wanted, dtype);
    if (dtype === 'i32' || dtype === 'i64' || dtype === 'bool') t.deepEqual([...toInt32(x)], wanted, dtype);
    else
      t.is(
        failure(() => toInt32(x, 'ids')).message,
        `'ids' must be i32 or i64 or bool, not ${dtype}; convert it before it is bound`,
      );
    t.deepEqual(fromBytes(dtype, [2, 2], bytesOf(x)), x, dtype);
    t.deepEqual(zeros(dtype, [3, 0]).data.length, 0);
  }
});

test('large integers keep their value, or are refused by name', (t) => {
  const big = tensor('i64', [2, 3], new BigInt64Array([0n, 1n, 2n, 3n, 2n ** 31n, 5n]));
  t.is(toFloat64(big)[4], 2 ** 31);
  t.deepEqual(
    failure(() => toInt32(big, 'doc')),
    {
      kind: 'value-out-of-range',
      message: "'doc'[1, 1] is 2147483648, outside -2147483648 .. 2147483647",
    },
  );
  const edges = tensor('i64', [2], new BigInt64Array([-(2n ** 31n), 2n ** 31n - 1n]));
  t.deepEqual([...toInt32(edges)], [-(2 ** 31), 2 ** 31 - 1]);
  // 2^53 + 1 is no float64: it must not pass as its neighbour.
  t.is(
    failure(() => toInt32(tensor('i64', [1], new BigInt64Array([2n ** 53n + 1n])))).kind,
    'value-out-of-range',
  );
  t.is(toFloat64(tensor('i32', [1], new Int32Array([2 ** 31 - 1])))[0], 2 ** 31 - 1);
});

test('what is no tensor is refused', (t) => {
  const table: readonly [() => unknown, ErrorKind][] = [
    [() => tensor('f32', [2, 3], new Float32Array(5), 'q'), 'wrong-shape'],
    [() => tensor('f32', [-1], new Float32Array(1)), 'wrong-shape'],
    [() => tensor('f32', [1.5], new Float32Array(1)), 'wrong-shape'],
    [() => tensor('f32', [2 ** 40, 2 ** 40], new Float32Array(1)), 'wrong-shape'],
    [() => tensor('f32', [1], [1] as unknown as Float32Array), 'wrong-type'],
    [() => tensor('f16', [1], new Float32Array(1) as unknown as Uint16Array), 'wrong-type'],
    [() => fromNumbers('i32', [1], [0.5]), 'wrong-type'],
    [() => fromNumbers('i32', [1], [2 ** 31]), 'value-out-of-range'],
    [() => fromNumbers('i64', [1], [2 ** 60]), 'value-out-of-range'],
    [() => zeros('f32', [2 ** 50]), 'out-of-memory'],
  ];
  for (const [run, kind] of table) t.is(failure(run).kind, kind, run.toString());
  t.is(failure(table[0]![0]).message, "'q' has 5 elements, but its shape [2, 3] takes 6");
});

test('misaligned bytes are copied, aligned ones are not', (t) => {
  const memory = new Uint8Array(20);
  new DataView(memory.buffer).setFloat32(5, 1.5, true);
  t.deepEqual([...toFloat32(fromBytes('f32', [1], memory.subarray(5, 9)))], [1.5]);
  t.deepEqual([...toFloat32(fromBytes('f32', [1], Buffer.from(memory.buffer, 5, 4)))], [1.5]);
  t.is(fromBytes('f32', [1], memory.subarray(4, 8)).data.buffer, memory.buffer);
});

test('an element has its place', (t) => {
  t.deepEqual(elementIndex([2, 3, 4], 23), [1, 2, 3]);
  t.deepEqual(elementIndex([2, 3, 4], 5), [0, 1, 1]);
  t.deepEqual(elementIndex([], 0), []);
});

test('codes are unique, and messages are one line whatever the names hold', (t) => {
  const codes = Object.values(errorTable).map(({ code }) => code);
  t.is(new Set(codes).size, codes.length);
  for (const code of codes) t.regex(code, /^ATTN[45]\d{3}$/);
  const error = malformedGraph('a\nb\u001b[31m', 'x'.repeat(10));
  t.false(/[\u0000-\u001f]/.test(error.message));
  t.is(error.code, 'ATTN4106');
  t.is(error.message, `${error.problem}; ${error.help}`);
});
