import { readFileSync } from 'node:fs';
import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import { readNpy, writeNpy } from '../../runtime/files/index.js';
import { fromNumbers, toFloat64 } from '../../runtime/tensor.js';
import type { DType } from '../../runtime/tensor.js';

const numpy = new Map(
  Object.entries(JSON.parse(readFileSync('test/data/numpy.json', 'utf8')) as Record<string, string>),
);

function saved(name: string): Uint8Array {
  const text = numpy.get(name);
  if (text === undefined) throw new Error(`no case ${name}`);
  return new Uint8Array(Buffer.from(text, 'base64'));
}

const halves = [0, 0.5, 1, 1.5, 2, 2.5];
const good: readonly (readonly [string, DType, readonly number[], readonly number[]])[] = [
  ['f4', 'f32', [2, 3], halves],
  ['f4 version 2', 'f32', [2, 3], halves],
  ['f4 version 3', 'f32', [2, 3], halves],
  ['f4 big-endian', 'f32', [2, 3], halves],
  ['f4 fortran', 'f32', [2, 3], halves],
  ['i8 fortran big-endian 3-d', 'i64', [2, 3, 4], Array.from({ length: 24 }, (_, n) => n)],
  ['f2', 'f16', [5], [1.5, -2, 65504, 2 ** -24, Infinity]],
  ['i4 scalar', 'i32', [], [-7]],
  ['i8', 'i64', [2], [2 ** 40, -1]],
  ['b1', 'bool', [3], [1, 0, 1]],
  ['empty', 'f32', [0, 4], []],
];

for (const [name, dtype, shape, values] of good) {
  test(`reads numpy's ${name}`, (t) => {
    const x = readNpy(saved(name));
    t.is(x.dtype, dtype);
    t.deepEqual(x.shape, shape);
    t.deepEqual([...toFloat64(x)], values);
  });
}

test('writes what numpy writes, byte for byte', (t) => {
  for (const name of ['f4', 'f2', 'i4 scalar', 'i8', 'b1', 'empty']) {
    t.deepEqual(writeNpy(readNpy(saved(name))), saved(name), name);
  }
});

test('an array at an odd address is read', (t) => {
  const bytes = saved('f4');
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  t.deepEqual([...toFloat64(readNpy(shifted.subarray(1)))], halves);
});

for (const [name, descr] of [
  ['f8', "'<f8'"],
  ['u1', "'|u1'"],
  ['complex', "'<c8'"],
  ['text', "'<U2'"],
  ['structured', "[('a', '<f4'), ('b', '<i4')]"],
] as const) {
  test(`refuses ${name} by name`, (t) => {
    const error = t.throws(() => readNpy(saved(`bad ${name}`)), { instanceOf: AttncError });
    t.is(error.kind, 'unsupported-file');
    t.is(error.problem, `npy: it holds ${descr}, which attnc does not read`);
  });
}

test('refuses to write bfloat16', (t) => {
  const error = t.throws(() => writeNpy(fromNumbers('bf16', [1], [1])), { instanceOf: AttncError });
  t.is(error.message, '.npy has no bf16; write .safetensors, or convert it to f32 first');
});

/** Version 1 with this header and `data` bytes. */
function file(header: string, data: number): Uint8Array {
  const head = new TextEncoder().encode(`\u0000NUMPY\u0001\u0000__${header}`);
  const bytes = new Uint8Array(head.length + data);
  bytes.set(head);
  bytes[0] = 0x93;
  new DataView(bytes.buffer).setUint16(8, header.length, true);
  return bytes;
}

const dict = (descr: string, order: string, shape: string): string =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

const broken: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['empty', new Uint8Array(0), /not a \.npy file/],
  ['another file', new TextEncoder().encode('pattern a { i -> j }'), /not a \.npy file/],
  ['cut in the header', saved('f4').subarray(0, 40), /cut short inside its header/],
  ['cut in the data', saved('f4').subarray(0, 140), /takes 24 bytes, but the file holds 12/],
  ['too long', file(dict("'<f4'", 'False', '(1,)'), 5), /takes 4 bytes, but the file holds 5/],
  ['no dict', file('hello', 0), /not a Python dict/],
  ['no shape', file("{'descr': '<f4', 'fortran_order': False}", 0), /lacks a readable/],
  ['a bad shape', file(dict("'<f4'", 'False', '(-1,)'), 4), /lacks a readable/],
  ['a bad order', file(dict("'<f4'", '(1,)', '(1,)'), 4), /fortran_order is/],
  ['rubbish in the dict', file("{'descr': '<f4', __import__('os')}", 4), /cannot be read from/],
  ['a name twice', file("{'descr': '<f4', 'descr': '<f2'}", 4), /'descr' twice/],
  ['uncountable', file(dict("'<f4'", 'False', '(99999999999, 99999999999)'), 4), /uncountably many bytes/],
  [
    'a bool of 7',
    ((): Uint8Array => {
      const bytes = file(dict("'|b1'", 'False', '(1,)'), 1);
      bytes[bytes.length - 1] = 7;
      return bytes;
    })(),
    /neither 0 nor 1/,
  ],
];

for (const [what, bytes, message] of broken) {
  test(`broken: ${what}`, (t) => {
    const error = t.throws(() => readNpy(bytes, 'x.npy'), { instanceOf: AttncError, message });
    t.is(error.kind, 'broken-file');
  });
}

test('spellings that Python allows', (t) => {
  t.deepEqual(readNpy(file(`{"shape": (2L, 1L), "fortran_order": True, "descr": "<i4"}`, 8)).shape, [2, 1]);
  t.deepEqual(readNpy(file(dict("'|b1'", 'False', '(2,3)'), 6)).shape, [2, 3]);
});

test('a version to come is refused', (t) => {
  const bytes = saved('f4');
  bytes[6] = 4;
  t.throws(() => readNpy(bytes), { instanceOf: AttncError, message: /version 4\.0 is not known/ });
});
