import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import { readSafetensors, writeSafetensors } from '../../runtime/files/index.js';
import { bytesPerElement, dtypes, fromNumbers } from '../../runtime/tensor.js';
import type { Tensor } from '../../runtime/tensor.js';

const one = ',"data_offsets":[0,4]';

/** A file of this header and `data` zero bytes after it. */
function file(header: string | Uint8Array, data = 0): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

function withLength(length: bigint): Uint8Array {
  const bytes = file('{}');
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  return bytes;
}

test('what is written is read back', (t) => {
  const tensors = new Map<string, Tensor>(
    dtypes.flatMap((dtype): [string, Tensor][] => [
      [
        dtype,
        fromNumbers(
          dtype,
          [3, 5],
          Array.from({ length: 15 }, (_, n) => (dtype === 'bool' ? n % 2 : n - 7)),
        ),
      ],
      [`${dtype}/scalar`, fromNumbers(dtype, [], [1])],
      [`${dtype}/none`, fromNumbers(dtype, [0, 7], [])],
    ]),
  );
  tensors.set('__proto__', fromNumbers('f32', [1], [2]));
  tensors.set('日本 "quoted"\n', fromNumbers('bool', [3], [1, 0, 1]));
  const metadata = { name: 'x', note: 'with "quotes" and ünïcode', empty: '' };
  const bytes = writeSafetensors(tensors, metadata);
  const read = readSafetensors(bytes);
  t.deepEqual(new Map([...read.tensors].sort()), new Map([...tensors].sort()));
  t.deepEqual(read.metadata, metadata);
  // Aligned in the file, so read in place.
  for (const x of read.tensors.values()) t.is(x.data.buffer, bytes.buffer);
  // The order in which tensors are given is not seen in the file.
  t.deepEqual(writeSafetensors(new Map([...tensors].reverse()), metadata), bytes);
  // A file that starts at an odd address of a larger buffer: copied, and the same.
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  t.deepEqual(readSafetensors(shifted.subarray(1)), read);
  t.deepEqual(readSafetensors(writeSafetensors(new Map())), { tensors: new Map(), metadata: {} });
});

test('data that is not aligned in the file is read all the same', (t) => {
  const bytes = file(
    '{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}',
    5,
  );
  new DataView(bytes.buffer).setFloat32(bytes.length - 4, 2.5, true);
  t.deepEqual([...(readSafetensors(bytes).tensors.get('b')?.data ?? [])], [2.5]);
});

const broken: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['empty', new Uint8Array(0), /0 bytes, fewer than the 8/],
  ['seven bytes', new Uint8Array(7), /7 bytes/],
  ['no header', withLength(0n), /header would be 0 bytes/],
  ['absurd length', withLength(2n ** 63n), /header would be 9223372036854775808 bytes/],
  ['header longer than the file', withLength(3n), /cut short: its header is 3 bytes/],
  ['not JSON', file('{"a":'), /not valid JSON/],
  ['not UTF-8', file(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])), /not valid UTF-8/],
  ['a list', file('[]'), /not a JSON object/],
  ['a number as entry', file('{"a":1}'), /'a': its entry in the header is not an object/],
  ['no dtype', file(`{"a":{"shape":[1]${one}}}`, 4), /its dtype is missing/],
  ['no shape', file(`{"a":{"dtype":"F32"${one}}}`, 4), /its shape is not/],
  ['a fraction as size', file(`{"a":{"dtype":"F32","shape":[1.5]${one}}}`, 4), /its shape is not/],
  ['a negative size', file(`{"a":{"dtype":"F32","shape":[-1]${one}}}`, 4), /its shape is not/],
  ['no offsets', file('{"a":{"dtype":"F32","shape":[1]}}', 4), /its data_offsets are not/],
  [
    'three offsets',
    file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 4),
    /data_offsets are not/,
  ],
  [
    'backward offsets',
    file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', 4),
    /\[4, 0\] run backwards/,
  ],
  [
    'shape against offsets',
    file(`{"a":{"dtype":"F32","shape":[2]${one}}}`, 4),
    /shape \[2\] of F32 does not fill its 4 bytes/,
  ],
  [
    'uncountable shape',
    file(`{"a":{"dtype":"F32","shape":[9007199254740991,9007199254740991]${one}}}`, 4),
    /does not fill/,
  ],
  [
    'outside the file',
    file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 4),
    /cut short: tensor 'a' ends at/,
  ],
  [
    'a hole before',
    file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
    /4 bytes before tensor 'a'/,
  ],
  ['bytes left over', file(`{"a":{"dtype":"F32","shape":[1]${one}}}`, 9), /5 bytes after the last tensor/],
  [
    'overlap',
    file(`{"a":{"dtype":"F32","shape":[1]${one}},"b":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}}`, 4),
    /'b' overlaps/,
  ],
  [
    'name twice',
    file(`{"a":{"dtype":"F32","shape":[1]${one}},"\\u0061" :{"dtype":"F32","shape":[1]${one}}}`, 4),
    /the name 'a' twice/,
  ],
  ['dtype twice', file(`{"a":{"dtype":"F16","dtype":"F32","shape":[1]${one}}}`, 4), /the name 'dtype' twice/],
  ['metadata not text', file('{"__metadata__":{"n":1}}'), /__metadata__ 'n' is not a string/],
  ['metadata not an object', file('{"__metadata__":"x"}'), /__metadata__ is not/],
  [
    'a bool of 2',
    ((): Uint8Array => {
      const bytes = file('{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', 2);
      bytes[bytes.length - 1] = 2;
      return bytes;
    })(),
    /neither 0 nor 1/,
  ],
  [
    'deep nesting',
    file(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
    /nested too deeply|not valid JSON/,
  ],
];

for (const [what, bytes, message] of broken) {
  test(`broken: ${what}`, (t) => {
    const error = t.throws(() => readSafetensors(bytes, 'x.safetensors'), {
      instanceOf: AttncError,
      message,
    });
    t.is(error.kind, 'broken-file');
    t.true(error.message.startsWith('x.safetensors: '));
  });
}

for (const dtype of ['F64', 'I8', 'U8', 'I16', 'U32', 'F8_E4M3', 'f32', 'constructor']) {
  test(`dtype ${dtype} is refused by name`, (t) => {
    const bytes = file(`{"w":{"dtype":"${dtype}","shape":[1],"data_offsets":[0,8]}}`, 8);
    const error = t.throws(() => readSafetensors(bytes), { instanceOf: AttncError });
    t.is(error.kind, 'unsupported-file');
    t.is(error.problem, `safetensors: tensor 'w' is '${dtype}', which attnc does not read`);
  });
}

test('a tensor cannot be called as the metadata is', (t) => {
  const tensors = new Map([['__metadata__', fromNumbers('f32', [1], [1])]]);
  t.throws(() => writeSafetensors(tensors), { instanceOf: AttncError, message: /__metadata__/ });
});

test('every tensor is aligned to its own size', (t) => {
  const tensors = new Map(dtypes.map((dtype) => [dtype, fromNumbers(dtype, [3], [1, 0, 1])] as const));
  const { tensors: read } = readSafetensors(writeSafetensors(tensors));
  for (const x of read.values()) t.is(x.data.byteOffset % bytesPerElement[x.dtype], 0, x.dtype);
});
