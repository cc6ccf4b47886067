/** How text looks in a terminal: tabs, wide characters, and what can't be shown. */

const tabStop = 4;

/** A piece of a line as it is shown: one character of the text, its offset there, and its width in columns. */
export interface Cell {
  readonly offset: number;
  readonly text: string;
  readonly width: number;
}

/** Splits a line that starts at `start` in its file. Tabs become spaces, control characters and lone surrogates `�`. */
export function cells(line: string, start: number): readonly Cell[] {
  const result: Cell[] = [];
  let column = 0;
  let offset = start;
  for (const character of line) {
    const cell = show(character, column);
    result.push({ offset, ...cell });
    column += cell.width;
    offset += character.length;
  }
  return result;
}

function show(character: string, column: number): { text: string; width: number } {
  const code = character.codePointAt(0)!;
  if (code === 9) {
    const width = tabStop - (column % tabStop);
    return { text: ' '.repeat(width), width };
  }
  if (code < 32 || (code >= 127 && code < 160) || (code >= 0xd800 && code <= 0xdfff)) {
    return { text: '\ufffd', width: 1 };
  }
  if (code < 0x300) return { text: character, width: 1 };
  // Marks, joiners, and the signs that turn the direction of what follows.
  if (/^[\p{M}\p{Cf}]$/u.test(character))
    return { text: /^\p{M}$/u.test(character) ? character : '', width: 0 };
  return { text: character, width: isWide(code) || /^\p{Emoji_Presentation}$/u.test(character) ? 2 : 1 };
}

/** East Asian wide and fullwidth blocks. */
function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0x303e) ||
    (code >= 0x3041 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}
