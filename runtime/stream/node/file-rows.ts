import { open, realpath, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import { extname } from 'node:path';
import { brokenFile, fileAccess, fileChanged, missingInput, unsupportedFile } from '../../errors.js';
import { named } from '../../files/node.js';
import { npyHeaderEnd, npyPrefixBytes, readNpyHeader } from '../../files/npy.js';
import { readSafetensorsHeader, safetensorsHeaderLength } from '../../files/safetensors.js';
import { checkRange, checkRows, rowBytesOf, type RowSource } from '../rows.js';
import { readAt } from './pieces.js';

/** Where a tensor's elements lie in a file. */
interface Extent {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
}

/**
 * Rows of a tensor [batch, heads, rows, dim] in a .safetensors or .npy file of any size, read where they are asked for.
 * @param tensor its name in a .safetensors file
 */
export async function fileRows(path: string, tensor?: string): Promise<RowSource> {
  const extension = extname(path).toLowerCase();
  if (extension !== '.safetensors' && extension !== '.npy') {
    throw unsupportedFile(
      path,
      `rows are not read from files with the extension '${extension}'`,
      'use .safetensors or .npy',
    );
  }
  return named(path, async () => {
    const file = await open(path, 'r');
    try {
      const opened = await file.stat({ bigint: true });
      if (opened.isDirectory()) throw fileAccess(path, 'it is a directory');
      if (!opened.isFile()) throw fileAccess(path, 'it is not a regular file');
      const size = Number(opened.size);
      const extent =
        extension === '.npy'
          ? await npyExtent(path, file, size)
          : await tensorExtent(path, file, size, tensor);
      return await sourceOf(path, file, opened, extent, extension === '.npy' ? undefined : tensor);
    } catch (error) {
      await file.close();
      throw error;
    }
  });
}

async function sourceOf(
  path: string,
  file: FileHandle,
  opened: BigIntStats,
  extent: Extent,
  tensor: string | undefined,
): Promise<RowSource> {
  const rows = checkRows(tensor ?? path, extent.dtype, extent.shape);
  const rowBytes = rowBytesOf(rows);
  const [, heads, count] = rows.shape;
  const identity = {
    kind: 'file',
    path: await realpath(path),
    tensor,
    size: Number(opened.size),
    modified: String(opened.mtimeNs),
  } as const;
  const check = async (): Promise<void> => {
    const now = await stat(path, { bigint: true }).catch((cause: unknown) => {
      throw fileChanged(path, 'it is no longer there', cause);
    });
    const how = changeOf(opened, now);
    if (how !== undefined) throw fileChanged(path, how);
  };
  return {
    ...rows,
    identity,
    read: async (batch, head, lo, hi, into) => {
      checkRange(rows.shape, batch, head, lo, hi, { given: into.byteLength, row: rowBytes });
      const begin = extent.begin + ((batch * heads + head) * count + lo) * rowBytes;
      const whole = await named(path, () => readAt(file, into, begin));
      // After reading: what changed in the meantime is noticed too.
      await check();
      if (!whole) throw fileChanged(path, 'it ended before all of it was read');
    },
    check,
    close: () => file.close(),
  };
}

function changeOf(then: BigIntStats, now: BigIntStats): string | undefined {
  if (now.ino !== then.ino || now.dev !== then.dev) return 'another file has taken its place';
  if (now.size !== then.size) {
    return `it got ${now.size < then.size ? 'shorter' : 'longer'}, from ${then.size} to ${now.size} bytes`;
  }
  if (now.mtimeNs !== then.mtimeNs) return 'it was written to';
  return undefined;
}

async function npyExtent(path: string, file: FileHandle, size: number): Promise<Extent> {
  const first = await bytesAt(path, file, 0, Math.min(size, npyPrefixBytes));
  const end = npyHeaderEnd(first, size, path);
  const header = readNpyHeader(await bytesAt(path, file, 0, end), size, path);
  const turned = (what: string, help: string): never => {
    throw unsupportedFile(path, `rows cannot be read one by one from ${what}`, help);
  };
  if (header.fortranOrder && header.shape.length > 1)
    turned('an array in Fortran order', 'save it again: numpy.ascontiguousarray(a)');
  if (header.bigEndian) turned('big-endian numbers', "save it again: a.astype('<f4') or '<f2'");
  return { dtype: header.dtype, shape: header.shape, begin: header.dataStart };
}

async function tensorExtent(
  path: string,
  file: FileHandle,
  size: number,
  tensor: string | undefined,
): Promise<Extent> {
  const length = safetensorsHeaderLength(await bytesAt(path, file, 0, Math.min(size, 8)), size, path);
  const header = readSafetensorsHeader(await bytesAt(path, file, 8, length), size, path);
  const names = header.entries.map((e) => e.name);
  const entry = header.entries.find((e) => e.name === tensor);
  if (entry === undefined) throw missingInput(tensor ?? 'tensor', `a tensor of ${path}`, names);
  return entry;
}

async function bytesAt(path: string, file: FileHandle, begin: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  if (!(await readAt(file, bytes, begin))) throw brokenFile(path, 'the file got shorter while it was read');
  return bytes;
}
