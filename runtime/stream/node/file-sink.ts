import { open, realpath, rename, stat, statfs, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, extname } from 'node:path';
import { AttncError, cannotResume, fileAccess, unsupportedFile } from '../../errors.js';
import { named } from '../../files/node.js';
import { npyHead } from '../../files/npy.js';
import { safetensorsLayout } from '../../files/safetensors.js';
import { bytesPerElement } from '../../tensor.js';
import { addSums, sumBand, sumFromText, sumLse, sumRows, sumText } from '../row-sum.js';
import { checkRange, checkRows, rowBytesOf, type RowSink, type RowSource } from '../rows.js';
import { keptOf, makeTally, type DoneBand, type TallyOptions } from '../tally.js';
import { keepingDone } from './keeping-done.js';
import { readAt, writeAt } from './pieces.js';
import { syncFolder } from './sync-folder.js';

export interface FileSinkOptions extends TallyOptions {
  /** Of a .safetensors file. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Go on with FILE.part, of which `done` is finished; else it is begun anew. */
  readonly resume?: boolean;
}

/** What the file consists of: a header, and where the tensors' bytes begin. */
interface Layout {
  readonly head: Uint8Array;
  readonly out: number;
  /** undefined where the format has no place for it. */
  readonly lse: number | undefined;
  readonly size: number;
}

/** Where the results of a run are until they are complete. */
export const partOf = (path: string): string => `${path}.part`;

/**
 * Writes out and lse to a .safetensors file, or out alone to .npy: in place in FILE.part, which has its full size from
 * the beginning, renamed to FILE at the end. Byte for byte what `writeTensors` writes of the whole tensors.
 * @param shape of out: [batch, heads, rows, valueDim]
 */
export async function fileSink(
  path: string,
  dtype: string,
  shape: readonly number[],
  options: FileSinkOptions = {},
): Promise<RowSink> {
  const rows = checkRows('out', dtype, shape);
  const layout = layoutOf(path, rows, options.metadata);
  const rowBytes = rowBytesOf(rows);
  const tally = makeTally(shape, options);
  const { target, mode } = await targetOf(path);
  const part = partOf(target);
  if (options.resume) await renameBack(target, part, layout, tally.isComplete());
  const file = options.resume ? await reopen(path, part, layout) : await begin(part, layout, mode);
  const checkpoint = (): Promise<void> => keepingDone(part, () => file.datasync());
  let open = true;
  const close = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await file.close();
  };
  try {
    if (options.resume) await verify(path, file, layout, rows, options.done ?? []);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    write: async (batch, head, lo, hi, out, lse, sum) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: out.byteLength, row: rowBytes });
      checkRange(rows.shape, batch, head, lo, hi, { given: lse.byteLength, row: 4 });
      const first = firstRow(rows, batch, head) + lo;
      await keepingDone(part, async () => {
        await writeAt(file, out, layout.out + first * rowBytes);
        if (layout.lse === undefined) return;
        await writeAt(
          file,
          new Uint8Array(lse.buffer, lse.byteOffset, lse.byteLength),
          layout.lse + first * 4,
        );
      });
      const ofBand = keptOf(tally.places, { batch, head, lo, hi }, out, rowBytes, lse);
      const lseSum = layout.lse === undefined ? sumLse(batch, head, lo, lse) : undefined;
      return tally.add(hi - lo, sum ?? sumBand(batch, head, lo, out, rowBytes, lse), ofBand, lseSum);
    },
    sync: checkpoint,
    finish: async () => {
      const summary = tally.summary({ path, bytes: layout.size });
      await checkpoint();
      await close();
      await named(part, () => rename(part, target));
      await syncFolder(dirname(target));
      return summary;
    },
    close,
  };
}

const firstRow = ({ shape }: Pick<RowSource, 'shape'>, batch: number, head: number): number =>
  (batch * shape[1] + head) * shape[2];

function layoutOf(
  path: string,
  { dtype, shape }: Pick<RowSource, 'dtype' | 'shape'>,
  metadata: Readonly<Record<string, string>> | undefined,
): Layout {
  const extension = extname(path).toLowerCase();
  if (extension === '.npy') {
    const head = npyHead(dtype, shape);
    const size = shape.reduce((count, n) => count * n, bytesPerElement[dtype]);
    return { head, out: head.length, lse: undefined, size: head.length + size };
  }
  if (extension !== '.safetensors') {
    throw unsupportedFile(
      path,
      `results are not written to files with the extension '${extension}'`,
      'use .safetensors or .npy',
    );
  }
  const { head, entries } = safetensorsLayout(
    new Map([
      ['out', { dtype, shape }],
      ['lse', { dtype: 'f32', shape: shape.slice(0, 3) }],
    ]),
    metadata,
  );
  const [out, lse] = ['out', 'lse'].map((name) => entries.find((e) => e.name === name)!.begin);
  return { head, out, lse, size: entries[entries.length - 1].end };
}

/** The file that is to be replaced: through a symbolic link, the one that it names. */
async function targetOf(path: string): Promise<{ readonly target: string; readonly mode?: number }> {
  const old = await stat(path).catch(() => undefined);
  if (old === undefined) return { target: path };
  if (old.isDirectory()) throw fileAccess(path, 'it is a directory');
  if (!old.isFile()) throw fileAccess(path, 'results in parts need a regular file');
  return { target: await named(path, () => realpath(path)), mode: old.mode };
}

async function begin(part: string, layout: Layout, mode: number | undefined): Promise<FileHandle> {
  return named(part, async () => {
    const file = await open(part, 'w+', mode);
    try {
      await checkRoom(part, layout.size);
      await writeAt(file, layout.head, 0);
      await file.truncate(layout.size);
      await file.sync();
      await syncFolder(dirname(part));
      return file;
    } catch (error) {
      await file.close();
      await unlink(part).catch(() => undefined);
      throw error;
    }
  });
}

/** A hole of a file takes no room: that there is none would be found out hours later. */
async function checkRoom(part: string, size: number): Promise<void> {
  const info = await statfs(dirname(part)).catch(() => undefined);
  const free = info && info.bavail * info.bsize;
  if (free === undefined || size <= free) return;
  throw new AttncError(
    'file-access',
    `${part}: the result takes ${size} bytes, but the device has ${free} free`,
    {
      help: 'make room, or write it elsewhere',
      details: { file: part, size, free },
    },
  );
}

/** A run that ended between the file's last name and the end of its journal is finished again. */
async function renameBack(target: string, part: string, layout: Layout, complete: boolean): Promise<void> {
  if (!complete || (await stat(part).catch(() => undefined))) return;
  const info = await stat(target).catch(() => undefined);
  if (info?.size === layout.size) await named(target, () => rename(target, part));
}

async function reopen(path: string, part: string, layout: Layout): Promise<FileHandle> {
  const info = await stat(part).catch(() => undefined);
  if (!info?.isFile()) throw cannotResume(path, `there is no ${part}`);
  if (info.size !== layout.size) {
    throw cannotResume(path, `${part} has ${info.size} bytes, not the ${layout.size} of the result`);
  }
  return named(part, async () => {
    const file = await open(part, 'r+');
    const head = new Uint8Array(layout.head.length);
    const whole = await readAt(file, head, 0);
    if (whole && head.every((byte, n) => byte === layout.head[n])) return file;
    await file.close();
    throw cannotResume(path, `${part} begins with another header`);
  });
}

/** Bytes of finished bands, from the last one back, that are read again before a run goes on. */
const VERIFIED = 2 ** 28;

/** Are the bands that were finished last what they were? */
async function verify(
  path: string,
  file: FileHandle,
  layout: Layout,
  rows: Pick<RowSource, 'dtype' | 'shape'>,
  done: readonly DoneBand[],
): Promise<void> {
  const rowBytes = rowBytesOf(rows);
  let bytes = 0;
  for (let n = done.length - 1; n >= 0 && bytes < VERIFIED; n--) {
    const { batch, head, lo, hi, sum, lseSum } = done[n];
    const first = firstRow(rows, batch, head) + lo;
    const out = new Uint8Array((hi - lo) * rowBytes);
    const noted = lseSum === undefined ? undefined : sumFromText(lseSum);
    // Where the file has no lse, its sum must have been noted; it was not always.
    if (layout.lse === undefined && noted === undefined) continue;
    const lse = new Float32Array(layout.lse === undefined ? 0 : hi - lo);
    const whole = await named(partOf(path), async () => {
      const read = await readAt(file, out, layout.out + first * rowBytes);
      if (layout.lse === undefined) return read;
      return (await readAt(file, new Uint8Array(lse.buffer), layout.lse + first * 4)) && read;
    });
    const ofLse = layout.lse === undefined && noted ? noted : sumLse(batch, head, lo, lse);
    const found = addSums(sumRows('out', batch, head, lo, out, rowBytes), ofLse);
    if (!whole || sumText(found) !== sum) {
      throw cannotResume(path, `band ${n} of ${partOf(path)} is no longer what was written`);
    }
    bytes += out.byteLength + lse.byteLength;
  }
}
