import { AttncError, brokenFile, quoted, shapeText, unsupportedFile } from '../errors.js';
import { bytesOf, bytesPerElement, elementCount, fromBytes } from '../tensor.js';
import type { DType, Tensor } from '../tensor.js';

/** What a .npy file says of its array, whose bytes start at `dataStart`. */
export interface NpyHeader {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
  readonly dataStart: number;
}

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const dtypeOf = new Map<string, DType>([
  ['f4', 'f32'],
  ['f2', 'f16'],
  ['i4', 'i32'],
  ['i8', 'i64'],
  ['b1', 'bool'],
]);

/** As many of a file's first bytes as `npyHeaderEnd` needs. */
export const npyPrefixBytes = 12;

/** Header texts are about a hundred bytes long; numpy itself refuses them past 10,000 unless told otherwise. */
const maxHeaderBytes = 65_536;

/** numpy's bound on axes. */
const maxAxes = 64;

/** Reads a .npy file, versions 1 to 3; the result is row-major and of this machine's byte order. */
export function readNpy(bytes: Uint8Array, file = 'npy'): Tensor {
  const end = npyHeaderEnd(bytes, bytes.length, file);
  const header = readNpyHeader(bytes.subarray(0, end), bytes.length, file);
  return npyTensor(header, bytes.subarray(end), file);
}

/** Where the header ends, from a file's first 12 bytes and its size. */
export function npyHeaderEnd(first: Uint8Array, fileSize: number, file: string): number {
  if (first.length < 10 || !magic.every((byte, n) => first[n] === byte)) {
    throw brokenFile(file, 'not a .npy file: it does not start with \\x93NUMPY');
  }
  const version = first[6]!;
  if (version < 1 || version > 3) {
    throw unsupportedFile(
      file,
      `.npy version ${version}.${first[7]} is not known`,
      'save it again with numpy',
    );
  }
  const wide = version > 1;
  if (wide && first.length < 12) throw brokenFile(file, 'the file is cut short inside its header');
  const view = new DataView(first.buffer, first.byteOffset, first.length);
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (length > maxHeaderBytes) throw brokenFile(file, `its header would be ${length} bytes long`);
  const end = (wide ? 12 : 10) + length;
  if (end > fileSize) throw brokenFile(file, 'the file is cut short inside its header');
  return end;
}

/** Reads and checks the header (`prefix`: the file up to `npyHeaderEnd`) of a file of `fileSize` bytes. */
export function readNpyHeader(prefix: Uint8Array, fileSize: number, file: string): NpyHeader {
  const start = prefix[6]! > 1 ? 12 : 10;
  const fields = headerFields(latin1(prefix.subarray(start)), file);
  const descr = fields.get('descr');
  const order = fields.get('fortran_order');
  const shape = readShape(fields.get('shape'));
  if (descr === undefined || order === undefined || shape === undefined) {
    throw brokenFile(file, 'its header lacks a readable descr, fortran_order or shape');
  }
  if (order !== 'True' && order !== 'False') throw brokenFile(file, `fortran_order is ${quoted(order)}`);
  const parts = /^'([<>=|])([A-Za-z]\d*)'$/.exec(descr);
  const dtype = parts === null ? undefined : dtypeOf.get(parts[2]!);
  if (parts === null || dtype === undefined) {
    throw unsupportedFile(
      file,
      `it holds ${descr.slice(0, 60)}, which attnc does not read`,
      "convert it: a.astype('float32'), or float16, int32, int64, bool",
    );
  }
  const count = elementCount(shape);
  const held = fileSize - prefix.length;
  const bytes = count === undefined ? undefined : count * bytesPerElement[dtype];
  if (bytes !== held) {
    const wanted = bytes === undefined ? 'uncountably many' : `${bytes}`;
    throw brokenFile(file, `shape ${shapeText(shape)} takes ${wanted} bytes, but the file holds ${held}`);
  }
  return {
    dtype,
    shape,
    bigEndian: parts[1] === '>',
    fortranOrder: order === 'True',
    dataStart: prefix.length,
  };
}

/** The tensor over the bytes after the header. */
export function npyTensor(header: NpyHeader, data: Uint8Array, file: string): Tensor {
  const { dtype, shape } = header;
  if (dtype === 'bool' && data.some((byte) => byte > 1)) {
    throw brokenFile(file, 'it holds booleans, but has a byte that is neither 0 nor 1');
  }
  const width = bytesPerElement[dtype];
  const swapped = header.bigEndian && width > 1 ? swapBytes(data, width) : data;
  const ordered = header.fortranOrder && shape.length > 1 ? rowMajor(swapped, width, shape) : swapped;
  return fromBytes(dtype, shape, ordered, file);
}

/** A .npy file, version 1. numpy has no bfloat16. */
export function writeNpy(t: Tensor): Uint8Array {
  const [head, data] = npyParts(t);
  const bytes = new Uint8Array(head.length + data.length);
  bytes.set(head);
  bytes.set(data, head.length);
  return bytes;
}

/** The same, as the pieces to write one after another; the elements are not copied. */
export function npyParts(t: Tensor): readonly [Uint8Array, Uint8Array] {
  return [npyHead(t.dtype, t.shape), bytesOf(t)];
}

/** What stands before the elements of a .npy file, version 1. */
export function npyHead(dtype: DType, sizes: readonly number[]): Uint8Array {
  const name = [...dtypeOf].find(([, known]) => known === dtype)?.[0];
  if (name === undefined) {
    throw new AttncError('unsupported-file', `.npy has no ${dtype}`, {
      help: 'write .safetensors, or convert it to f32 first',
    });
  }
  if (sizes.length > maxAxes) {
    throw new AttncError('unsupported-file', `.npy has at most ${maxAxes} axes, not ${sizes.length}`);
  }
  const descr = `${dtype === 'bool' ? '|' : '<'}${name}`;
  const shape = sizes.length === 1 ? `(${sizes[0]},)` : `(${sizes.join(', ')})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const end = Math.ceil((10 + text.length + 1) / 64) * 64;
  const head = new Uint8Array(end).fill(0x20);
  head.set([...magic, 1, 0]);
  new DataView(head.buffer).setUint16(8, end - 10, true);
  for (let n = 0; n < text.length; n++) head[10 + n] = text.charCodeAt(n);
  head[end - 1] = 0x0a;
  return head;
}

/** The header is a Python dict of literals: each name, and its value's text. */
function headerFields(text: string, file: string): Map<string, string> {
  const body = /^\s*\{([^]*)\}\s*$/.exec(text)?.[1];
  if (body === undefined) throw brokenFile(file, 'its header is not a Python dict');
  const field = /\s*['"](\w+)['"]\s*:\s*('[^']*'|"[^"]*"|True|False|\([^()]*\)|\[[^]*\])\s*(?:,|$)/y;
  const fields = new Map<string, string>();
  while (field.lastIndex < body.trimEnd().length) {
    const at = field.lastIndex;
    const match = field.exec(body);
    if (match === null)
      throw brokenFile(file, `its header cannot be read from ${quoted(body.slice(at, at + 20))} on`);
    const [, name, value] = match as unknown as [string, string, string];
    if (fields.has(name)) throw brokenFile(file, `its header has ${quoted(name)} twice`);
    fields.set(name, value.replaceAll('"', "'"));
  }
  return fields;
}

/** `(2, 3)`, `(5,)` or `()`; Python 2 wrote `5L`. */
function readShape(text: string | undefined): readonly number[] | undefined {
  if (text === undefined || !/^\(\s*(\d+L?\s*,\s*)*(\d+L?\s*)?\)$/.test(text)) return undefined;
  return (text.match(/\d+/g) ?? []).map(Number);
}

function swapBytes(data: Uint8Array, width: number): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let n = 0; n < data.length; n++) out[n] = data[n - (n % width) + (width - 1 - (n % width))]!;
  return out;
}

/** Elements stored first axis fastest, put in last-axis-fastest order. */
function rowMajor(data: Uint8Array, width: number, shape: readonly number[]): Uint8Array {
  const strides = shape.map((_, axis) =>
    shape.slice(0, axis).reduce((product, size) => product * size, width),
  );
  const out = new Uint8Array(data.length);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to += width) {
    for (let b = 0; b < width; b++) out[to + b] = data[from + b]!;
    // Counts up, last axis first, and moves `from` along.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]! += 1;
      from += strides[axis]!;
      if (index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
