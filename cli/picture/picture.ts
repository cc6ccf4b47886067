import { internalError } from '../../runtime/errors.js';

/**
 * The picture of a mask: which rule makes the edge from query i (down) to key j (across). A cell stands for
 * one pair, or for a box of pairs where the mask is larger than the picture.
 */
export interface Picture {
  readonly title: string;
  /** The mask's size, in pairs. */
  readonly queries: number;
  readonly keys: number;
  /** The picture's size, in cells: at most queries and keys. */
  readonly rows: number;
  readonly columns: number;
  /** Row-major, rows * columns: the number of the rule with most pairs in the cell, plus 1; 0 is no edge. */
  readonly cells: Uint8Array;
  /** The share of the cell's pairs that are edges, 1 … 255 (255 is all); all of them where it is left out. */
  readonly shares?: Uint8Array | undefined;
  /** One a rule. */
  readonly labels: readonly string[];
  /** In pairs, from the mask's upper left corner. */
  readonly tiles?: readonly PictureTile[] | undefined;
}

export interface PictureTile {
  readonly row: number;
  readonly col: number;
  readonly rows: number;
  readonly cols: number;
  readonly kind: 'full' | 'partial';
}

/** What a box of pairs holds: its most frequent rule (from 0), and the share of its pairs that are edges. */
export interface CellContent {
  readonly rule: number;
  readonly share: number;
}

export interface PictureOptions {
  readonly title: string;
  readonly queries: number;
  readonly keys: number;
  readonly labels: readonly string[];
  readonly tiles?: readonly PictureTile[];
  /** The most cells a side; 512 by default. */
  readonly resolution?: number;
}

/** Where cell `n` of `cells` begins, of `size` pairs along an axis. */
export function cellStart(n: number, cells: number, size: number): number {
  return Math.floor((n * size) / cells);
}

/**
 * Builds a picture by asking what each cell's box holds: queries `top` to `bottom`, keys `left` to `right`,
 * ends left out. Undefined is no edge. With an analysis that answers for boxes, the mask's size is free.
 */
export function pictureFromBoxes(
  options: PictureOptions,
  content: (top: number, bottom: number, left: number, right: number) => CellContent | undefined,
): Picture {
  const { queries, keys, resolution = 512 } = options;
  const rows = Math.min(queries, resolution);
  const columns = Math.min(keys, resolution);
  const cells = new Uint8Array(rows * columns);
  const shares = new Uint8Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    const top = cellStart(r, rows, queries);
    const bottom = cellStart(r + 1, rows, queries);
    for (let c = 0; c < columns; c++) {
      const found = content(top, bottom, cellStart(c, columns, keys), cellStart(c + 1, columns, keys));
      if (found === undefined) continue;
      cells[r * columns + c] = Math.min(found.rule, 254) + 1;
      shares[r * columns + c] = shareByte(found.share);
    }
  }
  const { title, labels, tiles } = options;
  return { title, queries, keys, rows, columns, cells, shares, labels, tiles };
}

/** Builds a picture by asking for every pair, which takes queries * keys calls. -1 is no edge. */
export function pictureFromPairs(
  options: PictureOptions,
  ruleAt: (query: number, key: number) => number,
): Picture {
  const counts = new Uint32Array(Math.max(1, options.labels.length));
  return pictureFromBoxes(options, (top, bottom, left, right) => {
    counts.fill(0);
    for (let i = top; i < bottom; i++) {
      for (let j = left; j < right; j++) {
        const rule = ruleAt(i, j);
        if (rule >= counts.length) throw internalError(`a picture's rule ${rule} has no label`);
        if (rule >= 0) counts[rule]! += 1;
      }
    }
    return mostFrequent(counts, (bottom - top) * (right - left));
  });
}

/** The same picture of at most `rows` by `columns` cells: a cell is coloured if any of its own are. */
export function shrink(picture: Picture, rows: number, columns: number): Picture {
  const height = Math.min(rows, picture.rows);
  const width = Math.min(columns, picture.columns);
  if (height === picture.rows && width === picture.columns) return picture;
  const counts = new Float64Array(256);
  const size = { title: picture.title, queries: height, keys: width, labels: picture.labels };
  const options = { ...size, resolution: Math.max(height, width) };
  const small = pictureFromBoxes(options, (outTop, _bottom, outLeft) => {
    const top = cellStart(outTop, height, picture.rows);
    const bottom = cellStart(outTop + 1, height, picture.rows);
    const left = cellStart(outLeft, width, picture.columns);
    const right = cellStart(outLeft + 1, width, picture.columns);
    counts.fill(0);
    for (let r = top; r < bottom; r++) {
      for (let c = left; c < right; c++) {
        const at = r * picture.columns + c;
        const cell = picture.cells[at]!;
        if (cell > 0) counts[cell - 1]! += (picture.shares?.[at] ?? 255) / 255;
      }
    }
    return mostFrequent(counts, (bottom - top) * (right - left));
  });
  return { ...picture, rows: height, columns: width, cells: small.cells, shares: small.shares };
}

/** True where a cell stands for more than one pair. */
export function isShrunk(picture: Picture): boolean {
  return picture.rows < picture.queries || picture.columns < picture.keys;
}

function mostFrequent(counts: ArrayLike<number>, pairs: number): CellContent | undefined {
  let rule = 0;
  let sum = 0;
  for (let n = 0; n < counts.length; n++) {
    sum += counts[n]!;
    if (counts[n]! > counts[rule]!) rule = n;
  }
  return sum === 0 ? undefined : { rule, share: sum / pairs };
}

/** Never 0 for an edge, and 255 for all pairs only. */
function shareByte(share: number): number {
  return share >= 1 ? 255 : Math.max(1, Math.min(254, Math.round(share * 255)));
}
