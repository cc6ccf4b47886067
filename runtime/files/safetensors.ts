import { brokenFile, outOfMemory, quoted, shapeText, unsupportedFile, usageError } from '../errors.js';
import type { AttncError } from '../errors.js';
import { bytesOf, bytesPerElement, elementCount, fromBytes } from '../tensor.js';
import type { DType, Tensor } from '../tensor.js';
import { parseJson } from './json.js';
import type { Json } from './json.js';

/** Named tensors, and whatever the file says about them. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Where a tensor lies: bytes `begin` to `end` of the file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes in the file. */
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

const dtypeNames: Readonly<Record<DType, string>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  i32: 'I32',
  i64: 'I64',
  bool: 'BOOL',
};
const dtypeOf = new Map(Object.entries(dtypeNames).map(([dtype, name]) => [name, dtype as DType]));

/** The format's own bound on the header, which keeps a broken length from taking the memory. */
const maxHeaderBytes = 100_000_000;

/**
 * Reads a whole .safetensors file: 8 bytes of length, a JSON header, then the tensors' bytes with neither
 * holes nor overlaps. Tensors are views on `bytes` where they are aligned. `file` is for messages.
 */
export function readSafetensors(bytes: Uint8Array, file = 'safetensors'): TensorFile {
  const length = safetensorsHeaderLength(bytes, bytes.length, file);
  const header = readSafetensorsHeader(bytes.subarray(8, 8 + length), bytes.length, file);
  const tensors = new Map<string, Tensor>();
  for (const entry of header.entries) {
    tensors.set(entry.name, entryTensor(entry, bytes.subarray(entry.begin, entry.end), file));
  }
  return { tensors, metadata: header.metadata };
}

/** The length of the JSON header, from a file's first 8 bytes and its size. */
export function safetensorsHeaderLength(first: Uint8Array, fileSize: number, file: string): number {
  if (fileSize < 8 || first.length < 8) {
    throw brokenFile(
      file,
      `not a safetensors file: it has ${fileSize} bytes, fewer than the 8 of its length`,
    );
  }
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes) || length < 2n) {
    throw brokenFile(file, `not a safetensors file: its header would be ${length} bytes long`);
  }
  if (8 + Number(length) > fileSize) {
    throw brokenFile(file, `the file is cut short: its header is ${length} bytes long, the file ${fileSize}`);
  }
  return Number(length);
}

/** Reads and checks the JSON header of a file of `fileSize` bytes. */
export function readSafetensorsHeader(header: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const json = parseJson(header, file, 'header');
  if (!isObject(json)) throw brokenFile(file, 'the header is not a JSON object');
  const base = 8 + header.length;
  const entries: SafetensorsEntry[] = [];
  const metadata: [string, string][] = [];
  for (const [name, value] of json) {
    if (name !== '__metadata__') {
      entries.push(readEntry(name, value, base, file));
      continue;
    }
    if (!isObject(value)) throw brokenFile(file, '__metadata__ is not a JSON object');
    for (const [key, text] of value) {
      if (typeof text !== 'string') throw brokenFile(file, `__metadata__ ${quoted(key)} is not a string`);
      metadata.push([key, text]);
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkExtents(entries, base, fileSize, file);
  return { entries, metadata: Object.fromEntries(metadata) };
}

/** The tensor of an entry over its bytes. */
export function entryTensor(entry: SafetensorsEntry, bytes: Uint8Array, file: string): Tensor {
  if (entry.dtype === 'bool' && bytes.some((byte) => byte > 1)) {
    throw brokenFile(file, `tensor ${quoted(entry.name)} is BOOL, but has a byte that is neither 0 nor 1`);
  }
  return fromBytes(entry.dtype, entry.shape, bytes, entry.name);
}

/** A whole .safetensors file. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const parts = safetensorsParts(tensors, metadata);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(size);
  } catch (cause) {
    throw outOfMemory('the safetensors file', size, cause);
  }
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The same, as the pieces to write one after another: the header, then each tensor's bytes, not copied. */
export function safetensorsParts(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): readonly Uint8Array[] {
  const { head, entries } = safetensorsLayout(tensors, metadata);
  return [head, ...entries.map(({ name }) => bytesOf(tensors.get(name)!))];
}

/** The header of a file, and where in the file the tensors' bytes belong, in that order. */
export function safetensorsLayout(
  tensors: ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[] }>,
  metadata: Readonly<Record<string, string>> = {},
): { readonly head: Uint8Array; readonly entries: readonly SafetensorsEntry[] } {
  if (tensors.has('__metadata__'))
    throw usageError("a tensor cannot be called '__metadata__' in safetensors");
  // Widest elements first keeps every tensor aligned; names make the file the same each time.
  const sorted = [...tensors].sort(
    ([a, x], [b, y]) => bytesPerElement[y.dtype] - bytesPerElement[x.dtype] || (a < b ? -1 : Number(a !== b)),
  );
  const items: string[] = [];
  if (Object.keys(metadata).length > 0) items.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let at = 0;
  const entries = sorted.map(([name, { dtype, shape }]) => {
    const begin = at;
    at += shape.reduce((count, size) => count * size, bytesPerElement[dtype]);
    const entry = { dtype: dtypeNames[dtype], shape, data_offsets: [begin, at] };
    items.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    return { name, dtype, shape, begin, end: at };
  });
  // JSON.stringify writes lone surrogates as escapes, so the header is always valid UTF-8.
  const text = new TextEncoder().encode(`{${items.join(',')}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  const head = new Uint8Array(8 + padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(text, 8);
  const base = head.length;
  return { head, entries: entries.map((e) => ({ ...e, begin: base + e.begin, end: base + e.end })) };
}

function readEntry(name: string, json: Json, base: number, file: string): SafetensorsEntry {
  const broken = (why: string): AttncError => brokenFile(file, `tensor ${quoted(name)}: ${why}`);
  if (!isObject(json)) throw broken('its entry in the header is not an object');
  const dtypeName = json.get('dtype');
  const shape = json.get('shape');
  const offsets = json.get('data_offsets');
  if (typeof dtypeName !== 'string') throw broken('its dtype is missing');
  if (!isSizes(shape)) throw broken('its shape is not a list of whole numbers');
  if (!isSizes(offsets) || offsets.length !== 2) throw broken('its data_offsets are not two whole numbers');
  const dtype = dtypeOf.get(dtypeName);
  if (dtype === undefined) {
    throw unsupportedFile(
      file,
      `tensor ${quoted(name)} is ${quoted(dtypeName)}, which attnc does not read`,
      `convert it to one of ${[...dtypeOf.keys()].join(', ')}`,
    );
  }
  const count = elementCount(shape);
  const [begin, end] = offsets as readonly [number, number];
  if (end < begin) throw broken(`its data_offsets ${shapeText(offsets)} run backwards`);
  if (count === undefined || count * bytesPerElement[dtype] !== end - begin) {
    throw broken(`shape ${shapeText(shape)} of ${dtypeName} does not fill its ${end - begin} bytes`);
  }
  return { name, dtype, shape, begin: base + begin, end: base + end };
}

function checkExtents(
  entries: readonly SafetensorsEntry[],
  base: number,
  fileSize: number,
  file: string,
): void {
  let at = base;
  for (const { name, begin, end } of entries) {
    if (begin < at) throw brokenFile(file, `tensor ${quoted(name)} overlaps the one before it`);
    if (begin > at)
      throw brokenFile(file, `${begin - at} bytes before tensor ${quoted(name)} belong to none`);
    if (end > fileSize) {
      throw brokenFile(
        file,
        `the file is cut short: tensor ${quoted(name)} ends at ${end} of ${fileSize} bytes`,
      );
    }
    at = end;
  }
  if (at !== fileSize) throw brokenFile(file, `${fileSize - at} bytes after the last tensor belong to none`);
}

function isObject(json: Json): json is ReadonlyMap<string, Json> {
  return json instanceof Map;
}

function isSizes(json: Json | undefined): json is readonly number[] {
  return Array.isArray(json) && json.every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0);
}
