import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import type { ErrorKind } from '../../runtime/errors.js';
import { readFileText, readTensors, writeFileWhole, writeTensors } from '../../runtime/files/node.js';
import { writeSafetensors } from '../../runtime/files/index.js';
import { fromNumbers } from '../../runtime/tensor.js';
import type { Tensor } from '../../runtime/tensor.js';

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'attnc-files-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const q = fromNumbers('f32', [2, 2], [1, 2, 3, 4]);
const ids = fromNumbers('i64', [3], [1, 2, 3]);

test('files are written whole and read back', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    const tensors = new Map<string, Tensor>([
      ['q', q],
      ['ids', ids],
    ]);
    await writeTensors(path, tensors, { note: 'x' });
    t.deepEqual(new Uint8Array(await readFile(path)), writeSafetensors(tensors, { note: 'x' }));
    const read = await readTensors(path);
    t.deepEqual(new Map([...read.tensors].sort()), new Map([...tensors].sort()));
    t.deepEqual(read.metadata, { note: 'x' });
    // Over the old file, through a link: the link stays, nothing is left beside.
    await symlink(path, join(folder, 'link.safetensors'));
    await writeTensors(join(folder, 'link.safetensors'), new Map([['q', q]]));
    t.deepEqual([...(await readTensors(path)).tensors.keys()], ['q']);
    await writeTensors(join(folder, 'ids.npy'), new Map([['whatever', ids]]));
    t.deepEqual((await readTensors(join(folder, 'ids.npy'))).tensors, new Map([['ids', ids]]));
    t.deepEqual((await readdir(folder)).sort(), ['a.safetensors', 'ids.npy', 'link.safetensors']);
  });
});

test('a graph becomes tensors called after the file', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'bonds.mtx');
    await writeFile(path, '%%MatrixMarket matrix coordinate real general\n2 2 2\n2 1 0.5\n1 2 4\n');
    t.deepEqual(
      (await readTensors(path)).tensors,
      new Map<string, Tensor>([
        ['bonds.row_ptr', fromNumbers('i32', [3], [0, 1, 2])],
        ['bonds.col_idx', fromNumbers('i32', [2], [1, 0])],
        ['bonds.weight', fromNumbers('f32', [2], [4, 0.5])],
      ]),
    );
  });
});

test('what cannot be opened gives one line', async (t) => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, 'd.safetensors'));
    await mkdir(join(folder, 'd.npy'));
    await writeFile(join(folder, 'broken.safetensors'), 'nonsense');
    await writeFile(join(folder, 'latin.attn'), new Uint8Array([0x70, 0xe9]));
    const two = new Map<string, Tensor>([
      ['q', q],
      ['ids', ids],
    ]);
    const table: readonly [() => Promise<unknown>, ErrorKind, string][] = [
      [
        () => readTensors(join(folder, 'no.npy')),
        'file-access',
        `${folder}/no.npy: no such file or directory`,
      ],
      [
        () => readTensors(join(folder, 'd.safetensors')),
        'file-access',
        `${folder}/d.safetensors: it is a directory`,
      ],
      [
        () => readTensors(join(folder, 'a.bin')),
        'unsupported-file',
        `${folder}/a.bin: the extension '.bin' is not one that attnc reads; use .safetensors, .npy or .mtx`,
      ],
      [
        () => readTensors('/dev/null/x.npy'),
        'file-access',
        '/dev/null/x.npy: a part of its path is not a directory',
      ],
      [
        () => readTensors(join(folder, 'a\u0000.npy')),
        'file-access',
        `${folder}/a\\u0000.npy: its name holds a character that no file name may`,
      ],
      [
        () => readTensors(join(folder, 'broken.safetensors')),
        'broken-file',
        `${folder}/broken.safetensors: not a safetensors file: its header would be 7310308002159816558 bytes long`,
      ],
      [
        () => readFileText(join(folder, 'latin.attn')),
        'broken-file',
        `${folder}/latin.attn: it is not UTF-8 text`,
      ],
      [
        () => writeTensors(join(folder, 'no/a.npy'), new Map([['q', q]])),
        'file-access',
        `${folder}/no/a.npy: no such file or directory`,
      ],
      [
        () => writeTensors(join(folder, 'd.npy'), new Map([['q', q]])),
        'file-access',
        `${folder}/d.npy: it is a directory`,
      ],
      [
        () => writeTensors(join(folder, 'a.npy'), two),
        'unsupported-file',
        `${folder}/a.npy: a .npy file holds one tensor, not 2; write .safetensors`,
      ],
      [
        () => writeTensors(join(folder, 'a.mtx'), two),
        'unsupported-file',
        `${folder}/a.mtx: the extension '.mtx' is not one that attnc writes tensors to; use .safetensors or .npy`,
      ],
    ];
    for (const [run, kind, message] of table) {
      const error = await t.throwsAsync(run, { instanceOf: AttncError }, message);
      t.is(error?.kind, kind);
      t.is(error?.message, message);
    }
    t.deepEqual((await readdir(folder)).sort(), [
      'broken.safetensors',
      'd.npy',
      'd.safetensors',
      'latin.attn',
    ]);
  });
});

test('permission denied is said so', async (t) => {
  if (process.getuid?.() === 0) {
    t.pass('the superuser may read everything');
    return;
  }
  await withFolder(async (folder) => {
    const path = join(folder, 'a.npy');
    await writeFile(path, 'x');
    await chmod(path, 0);
    await t.throwsAsync(readTensors(path), { instanceOf: AttncError, message: `${path}: permission denied` });
  });
});

test('a device is written to, never replaced', async (t) => {
  await writeFileWhole('/dev/null', ['x']);
  t.true((await stat('/dev/null')).isCharacterDevice());
});

test('a tensor too large for the memory is refused, with its size', async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, 'big.safetensors');
    // A hole in a file costs no room on the disk.
    const gap = 2 ** 43;
    const text = JSON.stringify({ huge: { dtype: 'BOOL', shape: [gap], data_offsets: [0, gap] } });
    const head = new Uint8Array(8 + text.length);
    new DataView(head.buffer).setBigUint64(0, BigInt(text.length), true);
    head.set(new TextEncoder().encode(text), 8);
    await writeFile(path, head);
    try {
      await truncate(path, head.length + gap);
    } catch {
      t.pass('this file system has no files of 8 TiB');
      return;
    }
    const error = await t.throwsAsync(readTensors(path), { instanceOf: AttncError });
    t.is(error?.kind, 'out-of-memory');
    t.regex(error?.message ?? '', /big\.safetensors, in one piece \(8796093022208 bytes\)/);
  });
});
