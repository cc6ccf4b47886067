import { ruleColor } from './colors.js';
import { cellStart, isShrunk, shrink } from './picture.js';
import type { Picture } from './picture.js';

export interface TextOptions {
  /** The terminal's width in characters; 80 by default. */
  readonly columns?: number;
  /** Colours by rule, in 24-bit escape sequences. */
  readonly color?: boolean;
}

/** A picture for a terminal or a text file: two characters a cell where that fits, so that cells are square. */
export function pictureToText(picture: Picture, options: TextOptions = {}): string {
  const { columns = 80, color = false } = options;
  const margin = String(Math.max(0, picture.queries - 1)).length + 1;
  const room = Math.max(8, columns - margin - 1);
  const wide = 2 * picture.keys <= room;
  const width = Math.min(picture.columns, room);
  // A character is twice as high as wide: half as many rows for the same measure.
  const height = wide ? picture.rows : Math.ceil((picture.queries / picture.keys) * width * 0.5);
  const small = shrink(picture, Math.max(1, height), width);
  const shaded = !color && picture.labels.length <= 1 && isShrunk(small);
  const glyphs = (cell: number, share: number): string => {
    if (cell === 0) return '·';
    if (color) return '█';
    return shaded ? shadeGlyph(share) : ruleGlyph(cell - 1);
  };

  const lines = [picture.title, `${' '.repeat(margin)} keys j → 0 … ${picture.keys - 1}`];
  const step = Math.max(1, 2 ** Math.ceil(Math.log2(small.rows / 8)));
  for (let r = 0; r < small.rows; r++) {
    const query = r % step === 0 ? String(cellStart(r, small.rows, picture.queries)) : '';
    let line = `${query.padStart(margin)} `;
    let last = 0;
    for (let c = 0; c < small.columns; c++) {
      const at = r * small.columns + c;
      const cell = small.cells[at]!;
      if (color && cell !== last) line += cell === 0 ? reset : foreground(cell - 1);
      last = cell;
      line += glyphs(cell, small.shares?.[at] ?? 255).repeat(wide ? 2 : 1);
    }
    lines.push(color && last !== 0 ? line + reset : line);
  }
  lines.push(`${' '.repeat(margin)} queries i ↓ 0 … ${picture.queries - 1}`);
  lines.push(...legend(picture, color, shaded).map((line) => `${' '.repeat(margin)} ${line}`));
  if (isShrunk(small)) {
    const box = `${Math.ceil(picture.queries / small.rows)} × ${Math.ceil(picture.keys / small.columns)}`;
    const note = shaded ? 'the darker, the more of them are edges' : 'drawn if any of them is an edge';
    lines.push(`${' '.repeat(margin)} a cell is about ${box} pairs, ${note}`);
  }
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

export type TileKind = 'full' | 'partial' | 'none';

/** The picture of a schedule: █ full, ▒ partial, · none. */
export function tilesToText(rows: readonly (readonly TileKind[])[]): string {
  return rows.map((row) => `${row.map(tileGlyph).join('')}\n`).join('');
}

function tileGlyph(kind: TileKind): string {
  switch (kind) {
    case 'full':
      return '█';
    case 'partial':
      return '▒';
    case 'none':
      return '·';
  }
}

function legend(picture: Picture, color: boolean, shaded: boolean): readonly string[] {
  return picture.labels.map((label, rule) => {
    const glyph = color ? '█' : shaded ? '░▒▓█' : ruleGlyph(rule);
    return `${color ? `${foreground(rule)}${glyph}${reset}` : glyph} ${label}`;
  });
}

/** Blocks for the first rules, letters for the others. */
function ruleGlyph(rule: number): string {
  const blocks = '█▒▓░';
  return blocks[rule] ?? String.fromCharCode(65 + ((rule - blocks.length) % 26));
}

function shadeGlyph(share: number): string {
  return '░▒▓█'[share >= 255 ? 3 : Math.min(2, Math.floor((share * 3) / 255))]!;
}

const reset = '\u001b[0m';

function foreground(rule: number): string {
  return `\u001b[38;2;${ruleColor(rule).join(';')}m`;
}
