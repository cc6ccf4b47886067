/** Offsets → lines and columns. */
import type { Source } from './ast.js';

export interface LineAndColumn {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units, as editors count. */
  readonly column: number;
}

/** Where each line starts. Lines end with `\n`. */
export function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let k = text.indexOf('\n'); k >= 0; k = text.indexOf('\n', k + 1)) starts.push(k + 1);
  return starts;
}

/** The place of an offset; one past the text's end is its end. */
export function locate(starts: readonly number[], offset: number): LineAndColumn {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle;
  }
  return { line: low + 1, column: offset - starts[low]! + 1 };
}

/** The place of one offset; for many of one text, keep `lineStarts` and use `locate`. */
export function lineAndColumn(source: Source, offset: number): LineAndColumn {
  return locate(lineStarts(source.text), Math.max(0, Math.min(offset, source.text.length)));
}
