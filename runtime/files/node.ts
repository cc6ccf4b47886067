import { open, readFile, realpath, rename, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { randomBytes } from 'node:crypto';
import {
  brokenFile,
  fileAccess,
  isAttncError,
  outOfMemory,
  unsupportedFile,
  type AttncError,
} from '../errors.js';
import { tensor } from '../tensor.js';
import type { DType, Tensor } from '../tensor.js';
import { readMatrixMarket } from './matrix-market.js';
import { npyHeaderEnd, npyParts, npyPrefixBytes, npyTensor, readNpyHeader, type NpyHeader } from './npy.js';
import {
  entryTensor,
  readSafetensorsHeader,
  safetensorsHeaderLength,
  safetensorsParts,
} from './safetensors.js';
import type { SafetensorsHeader, TensorFile } from './safetensors.js';

/** Files on disk, for Node. A file may be larger than a buffer can be: every tensor is read for itself. */

/** One read or write: Node (and Linux) take less than 2 GiB at a time. */
const pieceBytes = 2 ** 28;

/**
 * Reads a file of tensors by its extension: .safetensors; .npy (one tensor, called as the file is); .mtx (a
 * graph NAME as `NAME.row_ptr` and `NAME.col_idx`, both i32, and `NAME.weight`, f32, where it has values).
 * @param wanted which tensors of a .safetensors file; all if not given
 */
export async function readTensors(
  path: string,
  wanted: (name: string) => boolean = () => true,
): Promise<TensorFile> {
  const extension = extname(path).toLowerCase();
  switch (extension) {
    case '.safetensors':
      return withFile(path, (file, size) => readSafetensorsFile(path, file, size, wanted));
    case '.npy':
      return withFile(path, async (file, size) => {
        const { header, end } = await npyHeaderOf(path, file, size);
        const data = await readRange(path, file, end, size);
        return { tensors: new Map([[stem(path), npyTensor(header, data, path)]]), metadata: {} };
      });
    case '.mtx':
      return withFile(path, async (file, size) => {
        return {
          tensors: graphTensors(stem(path), path, await readRange(path, file, 0, size)),
          metadata: {},
        };
      });
    default:
      throw notRead(path);
  }
}

const notRead = (path: string): AttncError =>
  unsupportedFile(
    path,
    `the extension '${extname(path).toLowerCase()}' is not one that attnc reads`,
    'use .safetensors, .npy or .mtx',
  );

/**
 * Writes .safetensors, or .npy where there is one tensor. The file appears whole or not at all: it is
 * written beside its place and renamed.
 */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const extension = extname(path).toLowerCase();
  const [only, ...others] = tensors.values();
  switch (extension) {
    case '.safetensors':
      return writeFileWhole(path, safetensorsParts(tensors, metadata));
    case '.npy':
      if (only === undefined || others.length > 0) {
        throw unsupportedFile(
          path,
          `a .npy file holds one tensor, not ${tensors.size}`,
          'write .safetensors',
        );
      }
      return writeFileWhole(path, npyParts(only));
    default:
      throw unsupportedFile(
        path,
        `the extension '${extension}' is not one that attnc writes tensors to`,
        'use .safetensors or .npy',
      );
  }
}

/** All of a file's bytes, or all that comes out of a pipe. */
export async function readFileBytes(path: string): Promise<Uint8Array> {
  return named(path, async () => {
    const info = await stat(path);
    if (info.isFile() || info.isDirectory())
      return withFile(path, (file, size) => readRange(path, file, 0, size));
    return readFile(path);
  });
}

/** A UTF-8 text file, such as a pattern. */
export async function readFileText(path: string): Promise<string> {
  const bytes = await readFileBytes(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw brokenFile(path, 'it is not UTF-8 text', { cause });
  }
}

/**
 * Writes the pieces one after another to a new file beside `path`, then renames it there. What is no
 * regular file (a pipe, /dev/stdout) is written to directly.
 */
export async function writeFileWhole(path: string, parts: readonly (Uint8Array | string)[]): Promise<void> {
  const old = await stat(path).catch(() => undefined);
  if (old?.isDirectory()) throw fileAccess(path, 'it is a directory');
  if (old !== undefined && !old.isFile()) return named(path, () => writeParts(path, 'w', parts));
  await named(path, async () => {
    // Through a symbolic link: the file it names is replaced, not the link.
    const target = old === undefined ? path : await realpath(path);
    const name = `.${basename(target)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
    const beside = join(dirname(target), name);
    try {
      await writeParts(beside, 'wx', parts, old?.mode);
      await rename(beside, target);
    } catch (error) {
      await unlink(beside).catch(() => undefined);
      throw error;
    }
  });
}

/** Type and shape of a tensor in a file. */
export interface TensorHeader {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** What tensors a .safetensors or .npy file holds, from its header alone; of a graph, none. */
export async function readTensorHeaders(path: string): Promise<ReadonlyMap<string, TensorHeader>> {
  switch (extname(path).toLowerCase()) {
    case '.safetensors':
      return withFile(path, async (file, size) => {
        const { entries } = await safetensorsHeader(path, file, size);
        return new Map(entries.map(({ name, dtype, shape }) => [name, { dtype, shape }]));
      });
    case '.npy':
      return withFile(path, async (file, size) => {
        const { dtype, shape } = (await npyHeaderOf(path, file, size)).header;
        return new Map([[stem(path), { dtype, shape }]]);
      });
    case '.mtx':
      return new Map();
    default:
      throw notRead(path);
  }
}

async function safetensorsHeader(path: string, file: FileHandle, size: number): Promise<SafetensorsHeader> {
  const first = await readRange(path, file, 0, Math.min(size, 8));
  const length = safetensorsHeaderLength(first, size, path);
  return readSafetensorsHeader(await readRange(path, file, 8, 8 + length), size, path);
}

async function npyHeaderOf(
  path: string,
  file: FileHandle,
  size: number,
): Promise<{ readonly header: NpyHeader; readonly end: number }> {
  const first = await readRange(path, file, 0, Math.min(size, npyPrefixBytes));
  const end = npyHeaderEnd(first, size, path);
  return { header: readNpyHeader(await readRange(path, file, 0, end), size, path), end };
}

async function readSafetensorsFile(
  path: string,
  file: FileHandle,
  size: number,
  wanted: (name: string) => boolean,
): Promise<TensorFile> {
  const { entries, metadata } = await safetensorsHeader(path, file, size);
  const tensors = new Map<string, Tensor>();
  for (const entry of entries.filter((e) => wanted(e.name))) {
    tensors.set(entry.name, entryTensor(entry, await readRange(path, file, entry.begin, entry.end), path));
  }
  return { tensors, metadata };
}

function graphTensors(name: string, path: string, bytes: Uint8Array): Map<string, Tensor> {
  const { rowPtr, colIdx, weights } = readMatrixMarket(bytes, path);
  const tensors = new Map<string, Tensor>([
    [`${name}.row_ptr`, tensor('i32', [rowPtr.length], rowPtr)],
    [`${name}.col_idx`, tensor('i32', [colIdx.length], colIdx)],
  ]);
  if (weights !== undefined) tensors.set(`${name}.weight`, tensor('f32', [weights.length], weights));
  return tensors;
}

async function withFile<T>(path: string, use: (file: FileHandle, size: number) => Promise<T>): Promise<T> {
  return named(path, async () => {
    const file = await open(path, 'r');
    try {
      const info = await file.stat();
      if (info.isDirectory()) throw fileAccess(path, 'it is a directory');
      if (!info.isFile()) throw fileAccess(path, 'it is not a regular file');
      return await use(file, info.size);
    } finally {
      await file.close();
    }
  });
}

async function readRange(path: string, file: FileHandle, begin: number, end: number): Promise<Uint8Array> {
  const bytes = room(path, end - begin);
  let at = 0;
  while (at < bytes.length) {
    const wanted = Math.min(pieceBytes, bytes.length - at);
    const { bytesRead } = await file.read(bytes, at, wanted, begin + at);
    if (bytesRead === 0) throw brokenFile(path, 'the file got shorter while it was read');
    at += bytesRead;
  }
  return bytes;
}

function room(path: string, size: number): Uint8Array {
  try {
    return new Uint8Array(size);
  } catch (cause) {
    throw outOfMemory(`a part of ${path}, in one piece`, size, cause);
  }
}

async function writeParts(
  path: string,
  flags: string,
  parts: readonly (Uint8Array | string)[],
  mode?: number,
): Promise<void> {
  const file = await open(path, flags, mode);
  try {
    for (const part of parts) {
      const bytes = typeof part === 'string' ? new TextEncoder().encode(part) : part;
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await file.write(bytes, at, Math.min(pieceBytes, bytes.length - at));
        at += bytesWritten;
      }
    }
  } finally {
    await file.close();
  }
}

/** Runs `use`; what the system reports becomes an error that names the file. */
export async function named<T>(path: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (isAttncError(error) || !(error instanceof Error)) throw error;
    if (!('code' in error) || typeof error.code !== 'string') throw error;
    throw fileAccess(path, systemReason(error.code, error.message), error);
  }
}

function systemReason(code: string, message: string): string {
  switch (code) {
    case 'ENOENT':
      return 'no such file or directory';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a directory';
    case 'ENOTDIR':
      return 'a part of its path is not a directory';
    case 'ENOSPC':
      return 'no space left on the device';
    case 'EFBIG':
      return 'the file would be larger than the file system allows';
    case 'EDQUOT':
      return 'the quota of disk space is used up';
    case 'EIO':
      return 'the device reports an input or output error';
    case 'EROFS':
      return 'the file system is read-only';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open';
    case 'ENAMETOOLONG':
      return 'its name is too long';
    case 'ELOOP':
      return 'too many symbolic links';
    case 'ERR_INVALID_ARG_VALUE':
      return 'its name holds a character that no file name may';
    default:
      return message.split('\n')[0] ?? code;
  }
}

function stem(path: string): string {
  return basename(path, extname(path));
}
