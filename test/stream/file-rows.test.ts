// Rows out of files: small ones against the readers of whole files, sparse ones of many gigabytes, broken and changing ones.

import { open, rename, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { StorageType } from '../../compiler/ir/program.js';
import type { ErrorKind } from '../../runtime/errors.js';
import { AttncError } from '../../runtime/errors.js';
import { writeTensors } from '../../runtime/files/node.js';
import { npyHead } from '../../runtime/files/npy.js';
import { safetensorsLayout } from '../../runtime/files/safetensors.js';
import { fileRows } from '../../runtime/stream/node/file-rows.js';
import { randomRows } from '../../runtime/stream/random-rows.js';
import type { RowSource } from '../../runtime/stream/rows.js';
import { tensorRows } from '../../runtime/stream/tensor-rows.js';
import { fromNumbers, type Tensor } from '../../runtime/tensor.js';
import { withFolder } from './folder.js';

const SHAPE = [2, 3, 50, 16] as const;

function numbers(dtype: StorageType, shape: readonly number[] = SHAPE): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return fromNumbers(
    dtype,
    shape,
    Array.from({ length: count }, (_, n) => ((n * 37) % 251) / 8 - 10),
  );
}

async function rowsOf(
  source: RowSource,
  batch: number,
  head: number,
  lo: number,
  hi: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array((hi - lo) * source.shape[3] * (source.dtype === 'f32' ? 4 : 2));
  await source.read(batch, head, lo, hi, bytes);
  return bytes;
}

const RANGES: readonly (readonly [number, number, number, number])[] = [
  [0, 0, 0, 50],
  [0, 0, 0, 1],
  [1, 2, 49, 50],
  [0, 2, 7, 31],
  [1, 0, 20, 20],
];

test('rows of files are those of the tensors in them', async (t) => {
  await withFolder(async (folder) => {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      const k = numbers(dtype);
      const files: [string, string | undefined][] = [['t.safetensors', 'k']];
      await writeTensors(
        join(folder, 't.safetensors'),
        new Map<string, Tensor>([
          ['k', k],
          ['a', fromNumbers('i64', [3], [1, 2, 3])],
          ['z', fromNumbers('bool', [5], [1, 0, 1, 1, 0])],
        ]),
      );
      if (dtype !== 'bf16') {
        await writeTensors(join(folder, 'k.npy'), new Map([['k', k]]));
        files.push(['k.npy', undefined]);
      }
      const expected = tensorRows(k);
      for (const [file, tensor] of files) {
        const source = await fileRows(join(folder, file), tensor);
        t.is(source.dtype, dtype);
        t.deepEqual(source.shape, SHAPE);
        // All at once: several reads may be under way.
        const read = await Promise.all(RANGES.map((r) => rowsOf(source, ...r)));
        for (const [n, range] of RANGES.entries()) {
          t.deepEqual(read[n], await rowsOf(expected, ...range), `${file} ${dtype} ${range.join()}`);
        }
        const { size, mtimeNs } = await stat(join(folder, file), { bigint: true });
        t.deepEqual(source.identity, {
          kind: 'file',
          path: join(folder, file),
          tensor,
          size: Number(size),
          modified: String(mtimeNs),
        });
        await source.check();
        await source.close();
      }
    }
  });
});

test('a file of one long read comes in pieces', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'long.npy');
    const shape = [1, 1, 300_000, 64];
    const random = randomRows('q', 'f32', shape, 5);
    const bytes = await rowsOf(random, 0, 0, 0, 300_000);
    await writeFile(path, npyHead('f32', shape));
    await writeFile(path, bytes, { flag: 'a' });
    const source = await fileRows(path);
    t.true(
      Buffer.from(await rowsOf(source, 0, 0, 3, 299_999)).equals(bytes.subarray(3 * 256, 299_999 * 256)),
    );
    await source.close();
  });
});

test('rows past 2^31 and 2^32 bytes are found', async (t) => {
  await withFolder(async (folder) => {
    // 160 million rows of 64 float16 are 20 GB; a hole in a file costs no room on the disk.
    const shape = [1, 2, 80_000_000, 64];
    const layout = safetensorsLayout(
      new Map<string, { dtype: StorageType; shape: readonly number[] }>([
        ['q', { dtype: 'f16', shape: [1, 1, 5, 8] }],
        ['v', { dtype: 'f16', shape }],
      ]),
    );
    const head = npyHead('f16', shape);
    const begin = layout.entries.find((e) => e.name === 'v')!.begin;
    const files: [string, Uint8Array, number, number, string | undefined][] = [
      ['big.safetensors', layout.head, begin, layout.entries.at(-1)!.end, 'v'],
      ['big.npy', head, head.length, head.length + 160_000_000 * 128, undefined],
    ];
    // Of both heads: the first and last rows, and around 2^31, 2^32 and 2^33 bytes.
    const places = [0, 2 ** 24 - 1, 2 ** 24, 2 ** 25 - 1, 2 ** 25, 2 ** 26 - 1, 2 ** 26, 79_999_999].flatMap(
      (row) => [[0, row] as const, [1, row] as const],
    );
    for (const [name, header, start, size, tensor] of files) {
      const path = join(folder, name);
      await writeFile(path, header);
      try {
        await truncate(path, size);
      } catch {
        t.pass('this file system has no files of 20 GB');
        return;
      }
      const file = await open(path, 'r+');
      const markOf = (h: number, row: number): Buffer => Buffer.alloc(128, `head ${h} row ${row} `);
      for (const [h, row] of places) {
        const position = BigInt(start) + (BigInt(h) * 80_000_000n + BigInt(row)) * 128n;
        await file.write(markOf(h, row), 0, 128, Number(position));
      }
      await file.close();
      const source = await fileRows(path, tensor);
      for (const [h, row] of places) {
        t.deepEqual(
          Buffer.from(await rowsOf(source, 0, h, row, row + 1)),
          markOf(h, row),
          `${name} ${h} ${row}`,
        );
      }
      t.deepEqual(
        Buffer.from(await rowsOf(source, 0, 1, 2 ** 25 - 1, 2 ** 25 + 1)),
        Buffer.concat([markOf(1, 2 ** 25 - 1), markOf(1, 2 ** 25)]),
      );
      await source.close();
    }
  });
});

interface Broken {
  readonly name: string;
  readonly bytes: Uint8Array | string;
  readonly tensor?: string;
  readonly kind: ErrorKind;
  readonly message: RegExp;
}

const npy = (
  dtype: 'f32' | 'i32',
  shape: readonly number[],
  size: number,
  edit = (s: string): string => s,
): Uint8Array => {
  const head = Buffer.from(npyHead(dtype, shape)).toString('latin1');
  return Buffer.concat([Buffer.from(edit(head), 'latin1'), Buffer.alloc(size)]);
};
const { head: tensorHead } = safetensorsLayout(
  new Map([
    ['q', { dtype: 'f32' as const, shape: [1, 1, 4, 8] }],
    ['ids', { dtype: 'i32' as const, shape: [1, 1, 4, 8] }],
  ]),
);
const tensors = Buffer.concat([tensorHead, Buffer.alloc(256)]);

const BROKEN: readonly Broken[] = [
  {
    name: 'cut.npy',
    bytes: npy('f32', [1, 1, 4, 8], 127),
    kind: 'broken-file',
    message: /takes 128 bytes, but the file holds 127/,
  },
  { name: 'empty.npy', bytes: '', kind: 'broken-file', message: /not a \.npy file/ },
  {
    name: 'fortran.npy',
    bytes: npy('f32', [1, 1, 4, 8], 128, (s) => s.replace('False', 'True ')),
    kind: 'unsupported-file',
    message:
      /fortran\.npy: rows cannot be read one by one from an array in Fortran order; save it again: numpy\.ascontiguousarray/,
  },
  {
    name: 'big-endian.npy',
    bytes: npy('f32', [1, 1, 4, 8], 128, (s) => s.replace('<f4', '>f4')),
    kind: 'unsupported-file',
    message: /from big-endian numbers; save it again/,
  },
  {
    name: 'int.npy',
    bytes: npy('i32', [1, 1, 4, 8], 128),
    kind: 'wrong-type',
    message: /must be f32 or f16 or bf16, not i32/,
  },
  {
    name: 'flat.npy',
    bytes: npy('f32', [4, 8], 128),
    kind: 'wrong-shape',
    message: /must have shape \[batch, heads, rows, head size\], not \[4, 8\]/,
  },
  {
    name: 'cut.safetensors',
    bytes: tensors.subarray(0, 300),
    tensor: 'q',
    kind: 'broken-file',
    message: /the file is cut short/,
  },
  {
    name: 'other.safetensors',
    bytes: tensors,
    tensor: 'k',
    kind: 'missing-input',
    message: /the input 'k' \(a tensor of .*\) is missing; bind it; given are ids, q/,
  },
  {
    name: 'int.safetensors',
    bytes: tensors,
    tensor: 'ids',
    kind: 'wrong-type',
    message: /'ids' must be f32/,
  },
  {
    name: 'a.bin',
    bytes: 'x',
    kind: 'unsupported-file',
    message: /rows are not read from files with the extension '\.bin'/,
  },
];

test('what rows cannot be read from is told before any work', async (t) => {
  await withFolder(async (folder) => {
    for (const { name, bytes, tensor, kind, message } of BROKEN) {
      await writeFile(join(folder, name), bytes);
      const error = await t.throwsAsync(
        fileRows(join(folder, name), tensor),
        { instanceOf: AttncError },
        name,
      );
      t.is(error?.kind, kind, name);
      t.regex(error?.message ?? '', message, name);
    }
    const missing = await t.throwsAsync(fileRows(join(folder, 'no.npy')), { instanceOf: AttncError });
    t.is(missing?.message, `${folder}/no.npy: no such file or directory`);
  });
});

const CHANGES: readonly (readonly [string, (path: string) => Promise<unknown>, RegExp])[] = [
  [
    'cut short',
    (path) => truncate(path, 1000),
    /changed while it was read: it got shorter, from \d+ to 1000 bytes/,
  ],
  ['longer', (path) => writeFile(path, 'x', { flag: 'a' }), /it got longer/],
  [
    'written to',
    async (path) => {
      const file = await open(path, 'r+');
      await file.write(Buffer.from('x'), 0, 1, 500);
      await file.close();
      // Whatever the clock's resolution is.
      await utimes(path, 1e9, 1e9);
    },
    /it was written to; run again when nothing writes to it/,
  ],
  [
    'replaced',
    async (path) => {
      const { size } = await stat(path);
      await writeFile(`${path}.new`, Buffer.alloc(size));
      await rename(`${path}.new`, path);
    },
    /another file has taken its place/,
  ],
  ['removed', (path) => rm(path), /it is no longer there/],
];

test('a file that changes under the run is noticed', async (t) => {
  for (const [name, change, message] of CHANGES) {
    await withFolder(async (folder) => {
      const path = join(folder, 'k.npy');
      await writeTensors(path, new Map([['k', numbers('f32')]]));
      // Through a link: what it names is looked at.
      await symlink(path, join(folder, 'link.npy'));
      const source = await fileRows(join(folder, 'link.npy'));
      await rowsOf(source, 0, 0, 0, 50);
      await change(path);
      for (const work of [() => rowsOf(source, 1, 2, 0, 50), () => source.check()]) {
        const error = await t.throwsAsync(work, { instanceOf: AttncError }, name);
        t.is(error?.kind, 'file-changed', name);
        t.regex(error?.message ?? '', message, name);
      }
      await source.close();
    });
  }
});

test('rows in memory are read where they lie', async (t) => {
  const source = tensorRows(numbers('f16'));
  t.deepEqual(await rowsOf(source, 1, 2, 3, 5), await rowsOf(tensorRows(numbers('f16')), 1, 2, 3, 5));
  t.deepEqual(source.identity, tensorRows(numbers('f16')).identity);
  const other = numbers('f16');
  other.data[777] = 5;
  t.notDeepEqual(source.identity, tensorRows(other).identity);
  await t.throwsAsync(source.read(0, 0, 0, 51, new Uint8Array(51 * 32)), {
    message: /the end of the rows is 51/,
  });
});
