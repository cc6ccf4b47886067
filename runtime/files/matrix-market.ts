import { brokenFile, outOfMemory, quoted, unsupportedFile } from '../errors.js';
import type { AttncError } from '../errors.js';

/** A graph by rows: the neighbours of row r are colIdx[rowPtr[r]] … colIdx[rowPtr[r + 1] - 1]. */
export interface Csr {
  readonly rows: number;
  readonly cols: number;
  readonly rowPtr: Int32Array;
  /** Rising within a row; a pair that the file repeats is here as often. */
  readonly colIdx: Int32Array;
  /** One an edge, where the file has values. */
  readonly weights?: Float32Array;
}

type Field = 'pattern' | 'real' | 'integer';
type Symmetry = 'general' | 'symmetric' | 'skew-symmetric';

interface Entries {
  readonly row: Int32Array;
  readonly col: Int32Array;
  readonly weight: Float32Array | undefined;
  readonly count: number;
}

/** Keeps a digit too many in the size line from taking gigabytes. */
const maxSide = 2 ** 28;
const maxEntries = 2 ** 29;

/** Reads a Matrix Market .mtx file in coordinate format; its indices count from 1. */
export function readMatrixMarket(bytes: Uint8Array, file = 'mtx'): Csr {
  const lines = new Lines(bytes, file);
  const { field, symmetry } = readBanner(lines);
  const [rows, cols, count] = readSizes(lines);
  if (symmetry !== 'general' && rows !== cols) {
    throw lines.broken(`a ${symmetry} matrix must be square, not ${rows} by ${cols}`);
  }
  // "1 1" and its line end are 4 bytes: more entries than that were never written.
  if (count > (bytes.length + 1) / 4 || count > maxEntries) {
    throw lines.broken(`${count} entries are announced, more than the file can hold`);
  }
  const entries = readEntries(lines, rows, cols, count, field, symmetry);
  return toCsr(rows, cols, entries, file);
}

function readBanner(lines: Lines): { readonly field: Field; readonly symmetry: Symmetry } {
  const words = (lines.next() ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  if (words[0] !== '%%matrixmarket')
    throw lines.broken('not a Matrix Market file: it lacks the %%MatrixMarket line');
  const [, object, format, field, symmetry] = words;
  const refuse = (what: string | undefined, help: string): AttncError =>
    unsupportedFile(`${lines.file}:1`, `Matrix Market ${quoted(what ?? '')} is not supported`, help);
  if (object !== 'matrix') throw refuse(object, "write a 'matrix'");
  if (format !== 'coordinate') throw refuse(format, "write it in 'coordinate' format");
  if (field !== 'pattern' && field !== 'real' && field !== 'integer') {
    throw refuse(field, "write 'pattern', 'real' or 'integer' values");
  }
  if (symmetry !== 'general' && symmetry !== 'symmetric' && symmetry !== 'skew-symmetric') {
    throw refuse(symmetry, "write it as 'general', 'symmetric' or 'skew-symmetric'");
  }
  if (field === 'pattern' && symmetry === 'skew-symmetric') {
    throw lines.broken('a skew-symmetric matrix needs values, but this one is a pattern');
  }
  return { field, symmetry };
}

function readSizes(lines: Lines): readonly [number, number, number] {
  const line = lines.nextData();
  if (line === undefined) throw lines.broken('the line with rows, columns and entries is missing');
  const sizes = line.split(/\s+/).map(wholeNumber);
  const [rows, cols, count] = sizes;
  if (sizes.length !== 3 || rows === undefined || cols === undefined || count === undefined) {
    throw lines.broken(`expected the numbers of rows, columns and entries, found ${quoted(line)}`);
  }
  if (rows > maxSide || cols > maxSide) {
    throw lines.broken(`${rows} by ${cols} is too large: the most is ${maxSide} rows and columns`);
  }
  return [rows, cols, count];
}

function readEntries(
  lines: Lines,
  rows: number,
  cols: number,
  count: number,
  field: Field,
  symmetry: Symmetry,
): Entries {
  const room = symmetry === 'general' ? count : 2 * count;
  const row = new Int32Array(room);
  const col = new Int32Array(room);
  const weight = field === 'pattern' ? undefined : new Float32Array(room);
  const sign = symmetry === 'skew-symmetric' ? -1 : 1;
  let at = 0;
  const add = (r: number, c: number, w: number): void => {
    row[at] = r;
    col[at] = c;
    if (weight !== undefined) weight[at] = w;
    at += 1;
  };
  for (let n = 0; n < count; n++) {
    const line = lines.nextData();
    if (line === undefined) throw lines.broken(`${count} entries are announced, but only ${n} are there`);
    const words = line.split(/\s+/);
    const r = wholeNumber(words[0]);
    const c = wholeNumber(words[1]);
    const w = field === 'pattern' ? 1 : readValue(words[2], field);
    if (
      r === undefined ||
      c === undefined ||
      w === undefined ||
      words.length !== (field === 'pattern' ? 2 : 3)
    ) {
      const form = field === 'pattern' ? '"row column"' : `"row column ${field}"`;
      throw lines.broken(`expected ${form}, found ${quoted(line)}`);
    }
    if (r < 1 || r > rows) throw lines.broken(`row ${r} is outside 1 .. ${rows}`);
    if (c < 1 || c > cols) throw lines.broken(`column ${c} is outside 1 .. ${cols}`);
    if (sign < 0 && r === c) throw lines.broken('a skew-symmetric matrix has no entries on its diagonal');
    add(r - 1, c - 1, w);
    if (symmetry !== 'general' && r !== c) add(c - 1, r - 1, sign * w);
  }
  if (lines.nextData() !== undefined) throw lines.broken(`more entries than the ${count} announced`);
  return { row, col, weight, count: at };
}

function readValue(word: string | undefined, field: 'real' | 'integer'): number | undefined {
  const form = field === 'integer' ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$/;
  if (word === undefined) return undefined;
  if (form.test(word)) return Number(word.replace(/[dD]/, 'e'));
  if (field === 'real' && /^[+-]?(inf(inity)?|nan)$/i.test(word)) {
    return /nan/i.test(word) ? NaN : word.startsWith('-') ? -Infinity : Infinity;
  }
  return undefined;
}

function wholeNumber(word: string | undefined): number | undefined {
  if (word === undefined || !/^\+?\d+$/.test(word)) return undefined;
  const value = Number(word);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Two stable counting sorts, by column and then by row: linear, and columns rise within a row. */
function toCsr(rows: number, cols: number, entries: Entries, file: string): Csr {
  const { row, col, weight, count } = entries;
  try {
    const byColumn = countingSort(col, identity(count), cols).order;
    const { order, starts } = countingSort(row, byColumn, rows);
    const colIdx = order.map((n) => col[n]!);
    if (weight === undefined) return { rows, cols, rowPtr: starts, colIdx };
    return { rows, cols, rowPtr: starts, colIdx, weights: Float32Array.from(order, (n) => weight[n]!) };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw outOfMemory(`the graph of ${file}`, 4 * (rows + cols + 3 * count), cause);
  }
}

/** `order` sorted by key (0 … keys - 1), equal keys as they came; `starts[k]` is where key k begins. */
function countingSort(
  keyOf: Int32Array,
  order: Int32Array,
  keys: number,
): { readonly order: Int32Array; readonly starts: Int32Array } {
  const starts = new Int32Array(keys + 1);
  for (const n of order) starts[keyOf[n]! + 1]! += 1;
  for (let k = 0; k < keys; k++) starts[k + 1]! += starts[k]!;
  const next = starts.slice();
  const sorted = new Int32Array(order.length);
  for (const n of order) sorted[next[keyOf[n]!]!++] = n;
  return { order: sorted, starts };
}

function identity(count: number): Int32Array {
  return new Int32Array(count).map((_, n) => n);
}

/** Walks the lines of a text that may be larger than a string can be; owns only its place in it. */
class Lines {
  private at = 0;
  private line = 0;

  constructor(
    private readonly bytes: Uint8Array,
    readonly file: string,
  ) {}

  next(): string | undefined {
    if (this.at >= this.bytes.length) return undefined;
    const found = this.bytes.indexOf(0x0a, this.at);
    const end = found < 0 ? this.bytes.length : found;
    let text = '';
    // No line of this format is long; clipping one keeps a binary file from becoming one huge string.
    for (let n = this.at; n < Math.min(end, this.at + 1024); n++) text += String.fromCharCode(this.bytes[n]!);
    this.at = end + 1;
    this.line += 1;
    return text.trim();
  }

  /** The next line that is neither blank nor a comment. */
  nextData(): string | undefined {
    let text = this.next();
    while (text === '' || text?.startsWith('%')) text = this.next();
    return text;
  }

  /** An error at the line read last. */
  broken(why: string): AttncError {
    return brokenFile(`${this.file}:${this.line}`, why, { line: this.line });
  }
}
