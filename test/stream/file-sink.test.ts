// Results into files: the bytes of the writers of whole tensors, full disks, and what is left for a resume.

import { execFileSync } from 'node:child_process';
import { open, readdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { AttncError } from '../../runtime/errors.js';
import { writeTensors } from '../../runtime/files/node.js';
import { checksumSink } from '../../runtime/stream/checksum-sink.js';
import { fileRows } from '../../runtime/stream/node/file-rows.js';
import { fileSink } from '../../runtime/stream/node/file-sink.js';
import type { DoneBand } from '../../runtime/stream/tally.js';
import { failWrites, withFolder } from './folder.js';
import { bandsOf, results, tensorsOf, writeBand, type Shape } from './results.js';

const SHAPE: Shape = [2, 3, 70, 16];

test('the file is what writing whole tensors gives', async (t) => {
  await withFolder(async (folder) => {
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      const of = results(dtype, SHAPE);
      const whole = await tensorsOf(of);
      const checksum = checksumSink(dtype, SHAPE);
      for (const band of bandsOf(SHAPE, 70)) await writeBand(checksum, of, band);
      const { sum } = await checksum.finish();
      for (const name of dtype === 'bf16' ? ['a.safetensors'] : ['a.safetensors', 'a.npy']) {
        const expected = join(folder, `expected-${name}`);
        const metadata = { pattern: 'window' };
        if (name.endsWith('.npy')) await writeTensors(expected, new Map([['out', whole.get('out')!]]));
        else await writeTensors(expected, whole, metadata);
        for (const [size, atOnce] of [
          [70, 1],
          [64, 2],
          [9, 7],
        ]) {
          const path = join(folder, name);
          const keep = [{ batch: 1, head: 2, row: 69 }];
          const sink = await fileSink(path, dtype, SHAPE, { metadata, keep });
          const bands = bandsOf(SHAPE, size);
          for (let n = 0; n < bands.length; n += atOnce) {
            await Promise.all(bands.slice(n, n + atOnce).map((band) => writeBand(sink, of, band)));
            t.false((await readdir(folder)).includes(name), 'nothing is there before the end');
          }
          const summary = await sink.finish();
          await sink.close();
          const bytes = await readFile(path);
          t.true(bytes.equals(await readFile(expected)), `${dtype} ${name} by ${size}`);
          t.is(summary.sum, sum);
          t.deepEqual(summary.file, { path, bytes: bytes.length });
          t.deepEqual(
            summary.kept.map((k) => [k.batch, k.head, k.row, k.out.length]),
            [[1, 2, 69, dtype === 'f32' ? 64 : 32]],
          );
          execFileSync('rm', [path]);
        }
        execFileSync('rm', [expected]);
      }
    }
    t.deepEqual(await readdir(folder), []);
  });
});

test('an old file stays until the new one is whole, and a link stays a link', async (t) => {
  await withFolder(async (folder) => {
    const of = results('f16', SHAPE);
    await writeFile(join(folder, 'old.safetensors'), 'old');
    await symlink('old.safetensors', join(folder, 'link.safetensors'));
    const sink = await fileSink(join(folder, 'link.safetensors'), 'f16', SHAPE);
    for (const band of bandsOf(SHAPE, 50)) await writeBand(sink, of, band);
    t.is(await readFile(join(folder, 'old.safetensors'), 'utf8'), 'old');
    await sink.finish();
    t.true((await readFile(join(folder, 'old.safetensors'))).length > 1000);
    t.deepEqual(await readdir(folder), ['link.safetensors', 'old.safetensors']);
  });
});

test('rows past 2^32 bytes are written where they belong', async (t) => {
  await withFolder(async (folder) => {
    const shape: Shape = [1, 2, 50_000_000, 64];
    const path = join(folder, 'big.safetensors');
    const sink = await fileSink(path, 'f16', shape);
    const of = results('f16', shape);
    const bands = [0, 2 ** 24, 2 ** 25, 49_999_990].flatMap((lo) =>
      [0, 1].map((head) => ({ batch: 0, head, lo, hi: lo + 10 })),
    );
    for (const band of bands) await writeBand(sink, of, band);
    await t.throwsAsync(sink.finish(), { message: /80 of 100000000 rows have a result/ });
    await sink.close();
    // What was not written is a hole.
    const { size, blocks } = await stat(`${path}.part`);
    t.true(size > 13_200_000_000 && blocks * 512 < 2 ** 22, `${size} bytes in ${blocks} blocks`);
    // Read by the other side's arithmetic.
    await open(`${path}.part`).then((file) => file.close());
    execFileSync('mv', [`${path}.part`, path]);
    const back = await fileRows(path, 'out');
    for (const band of bands) {
      const bytes = new Uint8Array(10 * 128);
      await back.read(0, band.head, band.lo, band.hi, bytes);
      t.deepEqual(bytes, await of.out(band));
    }
    await back.close();
  });
});

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['a.npy', 'bf16', /\.npy has no bf16; write \.safetensors/],
  ['a.bin', 'f32', /results are not written to files with the extension '\.bin'/],
  ['no/a.npy', 'f32', /a\.npy\.part: no such file or directory/],
  ['d.npy', 'f32', /it is a directory/],
  ['a.safetensors', 'i32', /must be f32 or f16 or bf16/],
];

test('what cannot be written is told before any work', async (t) => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, 'd.npy'));
    for (const [name, dtype, message] of REFUSED) {
      await t.throwsAsync(
        fileSink(join(folder, name), dtype, SHAPE),
        { instanceOf: AttncError, message },
        name,
      );
    }
    await t.throwsAsync(fileSink('/dev/null', 'f32', SHAPE), { instanceOf: AttncError });
    const error = await t.throwsAsync(fileSink(join(folder, 'a.npy'), 'f32', [1, 1, 2 ** 31 - 1, 2 ** 18]), {
      instanceOf: AttncError,
    });
    t.regex(
      error?.message ?? '',
      /takes 2251799812636800 bytes, but the device has \d+ free|larger than the file system/,
    );
    t.deepEqual(await readdir(folder), ['d.npy']);
  });
});

test('wrong bands are refused', async (t) => {
  await withFolder(async (folder) => {
    const sink = await fileSink(join(folder, 'a.safetensors'), 'f32', SHAPE);
    const out = new Uint8Array(640);
    const lse = new Float32Array(10);
    for (const [batch, head, lo, hi, o, l] of [
      [2, 0, 0, 10, out, lse],
      [0, 3, 0, 10, out, lse],
      [0, 0, 61, 71, out, lse],
      [0, 0, 0, 10, out.subarray(4), lse],
      [0, 0, 0, 10, out, lse.subarray(1)],
    ] as const) {
      await t.throwsAsync(sink.write(batch, head, lo, hi, o, l), { instanceOf: AttncError });
    }
    await sink.close();
  });
});

const FAILURES: readonly (readonly [string, RegExp])[] = [
  [
    'ENOSPC',
    /a\.safetensors\.part: no space left on the device; what is finished is kept: make room and go on with --resume/,
  ],
  ['EDQUOT', /the quota of disk space is used up; what is finished is kept/],
  ['EIO', /the device reports an input or output error/],
];

test.serial('a write that fails is told, and what was written before is kept', async (t) => {
  for (const [code, message] of FAILURES) {
    await withFolder(async (folder) => {
      const path = join(folder, 'a.safetensors');
      const of = results('f16', SHAPE);
      const bands = bandsOf(SHAPE, 35);
      const first = await fileSink(path, 'f16', SHAPE);
      const done: DoneBand[] = [];
      for (const band of bands.slice(0, 5)) done.push({ ...band, ...(await writeBand(first, of, band)) });
      const restore = await failWrites(folder, code);
      try {
        const error = await t.throwsAsync(writeBand(first, of, bands[5]), { instanceOf: AttncError });
        t.is(error?.kind, 'file-access');
        t.regex(error?.message ?? '', message);
      } finally {
        restore();
      }
      await first.close();
      const second = await fileSink(path, 'f16', SHAPE, { resume: true, done });
      for (const band of bands.slice(5)) await writeBand(second, of, band);
      await second.finish();
      await writeTensors(join(folder, 'expected.safetensors'), await tensorsOf(of));
      t.true((await readFile(path)).equals(await readFile(join(folder, 'expected.safetensors'))));
    });
  }
});

test.serial('a full disk is told, and the run goes on when there is room', async (t) => {
  await withFolder(async (folder) => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      t.log('skipped: this process may not mount a small file system');
      t.pass();
      return;
    }
    try {
      const shape: Shape = [1, 2, 4000, 64];
      const path = join(disk, 'a.safetensors');
      const of = results('f16', shape);
      const bands = bandsOf(shape, 500);
      const first = await fileSink(path, 'f16', shape);
      // Something else takes the room that was there at the beginning.
      await writeFile(join(disk, 'other'), Buffer.alloc(1_500_000));
      const done: DoneBand[] = [];
      const error = await t.throwsAsync(
        async () => {
          for (const band of bands) done.push({ ...band, ...(await writeBand(first, of, band)) });
        },
        { instanceOf: AttncError },
      );
      t.regex(
        error?.message ?? '',
        /a\.safetensors\.part: no space left on the device; what is finished is kept/,
      );
      t.true(done.length > 2 && done.length < bands.length, `${done.length} of ${bands.length}`);
      await first.close();
      const room = await t.throwsAsync(fileSink(join(disk, 'b.npy'), 'f16', shape), {
        instanceOf: AttncError,
      });
      t.regex(
        room?.message ?? '',
        /b\.npy\.part: the result takes 1024128 bytes, but the device has \d+ free; make room/,
      );
      execFileSync('rm', [join(disk, 'other')]);
      const second = await fileSink(path, 'f16', shape, { resume: true, done });
      for (const band of bands.slice(done.length)) await writeBand(second, of, band);
      await second.finish();
      await writeTensors(join(folder, 'expected.safetensors'), await tensorsOf(of));
      t.true((await readFile(path)).equals(await readFile(join(folder, 'expected.safetensors'))));
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});

test('a part that is not the one that was left is not resumed', async (t) => {
  const of = results('f32', SHAPE);
  const bands = bandsOf(SHAPE, 70);
  const edit = async (part: string, position: number): Promise<void> => {
    const file = await open(part, 'r+');
    await file.write(Buffer.from('x'), 0, 1, position);
    await file.close();
  };
  const rows: readonly (readonly [string, (part: string) => Promise<unknown>, RegExp, string?])[] = [
    [
      'gone',
      async (part) => execFileSync('rm', [part]),
      /cannot be resumed: there is no .*\.part; remove what it left/,
    ],
    ['short', (part) => truncate(part, 100), /has 100 bytes, not the \d+ of the result/],
    ['another header', (part) => edit(part, 20), /begins with another header/],
    ['another band', (part) => edit(part, 4000), /band 0 of .*\.part is no longer what was written/],
    ['another band', (part) => edit(part, 6000), /band 1 of .*\.part is no longer what was written/, 'npy'],
  ];
  for (const [name, change, message, extension = 'safetensors'] of rows) {
    await withFolder(async (folder) => {
      const path = join(folder, `a.${extension}`);
      const first = await fileSink(path, 'f32', SHAPE);
      const done: DoneBand[] = [];
      for (const band of bands.slice(0, 2)) done.push({ ...band, ...(await writeBand(first, of, band)) });
      await first.close();
      await change(`${path}.part`);
      const error = await t.throwsAsync(fileSink(path, 'f32', SHAPE, { resume: true, done }), {
        instanceOf: AttncError,
      });
      t.is(error?.kind, 'cannot-resume', name);
      t.regex(error?.message ?? '', message, name);
    });
  }
});
