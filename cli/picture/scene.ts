import { palette, ruleColor, shade } from './colors.js';
import type { Color } from './colors.js';
import { isShrunk, shrink } from './picture.js';
import type { Picture, PictureTile } from './picture.js';

/** A drawing as a list of shapes, which the SVG and the PNG printer both print. Units: pixels of the PNG. */
export interface Scene {
  readonly width: number;
  readonly height: number;
  readonly title: string;
  readonly shapes: readonly Shape[];
}

export type Shape =
  | {
      readonly kind: 'rect';
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
      readonly fill: Color;
    }
  /** Drawn inside the rectangle's edges. */
  | {
      readonly kind: 'outline';
      readonly x: number;
      readonly y: number;
      readonly width: number;
      readonly height: number;
      readonly color: Color;
      readonly thickness: number;
      readonly dashed: boolean;
    }
  /** `x` is its start, middle or end; `y` its top. Height 7 * scale, 6 * scale a character. */
  | {
      readonly kind: 'text';
      readonly x: number;
      readonly y: number;
      readonly text: string;
      readonly anchor: 'start' | 'middle' | 'end';
      readonly scale: number;
      readonly color: Color;
    };

/** The longer side of the mask, at most. */
const plotSide = 1024;
const textScale = 2;
const titleScale = 3;
const advance = 6 * textScale;
const lineHeight = 13 * textScale;
const border = 32;

/** Lays a picture out: title, axes with ticks, the mask with its tiles, a legend. */
export function sceneOf(full: Picture): Scene {
  const picture = shrink(full, plotSide, plotSide);
  const side = Math.max(1, Math.min(64, Math.floor(plotSide / Math.max(picture.rows, picture.columns, 1))));
  const cellWidth = Math.max(side, Math.floor(Math.min(48, 48 / Math.max(1, picture.columns))));
  const cellHeight = Math.max(side, Math.floor(Math.min(48, 48 / Math.max(1, picture.rows))));
  const plotWidth = picture.columns * cellWidth;
  const plotHeight = picture.rows * cellHeight;

  const axis = { across: 'keys j →', down: 'queries i ↓' };
  const left = border + Math.max(axis.down.length, String(picture.queries).length) * advance + 12;
  const top = border + 7 * titleScale + 20 + 2 * lineHeight;
  const width = Math.max(left + plotWidth + border, 640);
  const plot: Plot = { left, top, width: plotWidth, height: plotHeight, cellWidth, cellHeight };

  const legendTop = top + plotHeight + 24;
  const { shapes: legend, height: legendHeight } = legendShapes(picture, plot, legendTop, width);
  const height = legendTop + legendHeight + border - 8;
  const label = (x: number, y: number, text: string, anchor: 'start' | 'end'): Shape => {
    return { kind: 'text', x, y, text, anchor, scale: textScale, color: palette.faintText };
  };
  const shapes: Shape[] = [
    { kind: 'rect', x: 0, y: 0, width, height, fill: palette.paper },
    titleShape(picture.title, width - 2 * border),
    label(left, top - 2 * lineHeight + 4, axis.across, 'start'),
    label(left - 14, top - lineHeight - 2, axis.down, 'end'),
    { kind: 'rect', x: left, y: top, width: plotWidth, height: plotHeight, fill: palette.empty },
    ...cellShapes(picture, plot),
    ...gridShapes(picture, plot),
    ...tileShapes(picture, plot),
    frame(plot),
    ...legend,
  ];
  return { width, height, title: picture.title, shapes };
}

/** Smaller where it is long, and clipped where that is not enough. */
function titleShape(title: string, room: number): Shape {
  const scale = [...title].length * 6 * titleScale <= room ? titleScale : textScale;
  const text = clip(title, Math.floor(room / (6 * scale)));
  return { kind: 'text', x: border, y: border, text, anchor: 'start', scale, color: palette.text };
}

interface Plot {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
}

/** Runs of cells of one colour along a row are one rectangle. */
function cellShapes(picture: Picture, plot: Plot): Shape[] {
  const shapes: Shape[] = [];
  for (let r = 0; r < picture.rows; r++) {
    for (let c = 0; c < picture.columns;) {
      const at = r * picture.columns + c;
      const cell = picture.cells[at]!;
      const share = picture.shares?.[at] ?? 255;
      let end = c + 1;
      while (
        end < picture.columns &&
        picture.cells[at + end - c] === cell &&
        (picture.shares?.[at + end - c] ?? 255) === share
      ) {
        end += 1;
      }
      if (cell > 0) {
        shapes.push({
          kind: 'rect',
          x: plot.left + c * plot.cellWidth,
          y: plot.top + r * plot.cellHeight,
          width: (end - c) * plot.cellWidth,
          height: plot.cellHeight,
          fill: shade(ruleColor(cell - 1), share),
        });
      }
      c = end;
    }
  }
  return shapes;
}

/** Faint lines between cells that are large enough, and ticks with their numbers outside. */
function gridShapes(picture: Picture, plot: Plot): Shape[] {
  const { left, top, width, height, cellWidth, cellHeight } = plot;
  const shapes: Shape[] = [];
  const fine = cellWidth >= 7 && cellHeight >= 7;
  for (let c = 1; fine && c < picture.columns; c++) {
    shapes.push({ kind: 'rect', x: left + c * cellWidth, y: top, width: 1, height, fill: palette.grid });
  }
  for (let r = 1; fine && r < picture.rows; r++) {
    shapes.push({ kind: 'rect', x: left, y: top + r * cellHeight, width, height: 1, fill: palette.grid });
  }
  const tick = { kind: 'rect', fill: palette.frame } as const;
  const number = { kind: 'text', scale: textScale, color: palette.faintText } as const;
  // Wide enough apart for the numbers on both sides.
  const digits = String(picture.keys).length + 2;
  for (const j of ticks(picture.keys, Math.min(12, width / (digits * advance)))) {
    const x = left + Math.floor(((j + 0.5) * width) / picture.keys);
    shapes.push({ ...tick, x: x - 1, y: top - 8, width: 2, height: 8 });
    shapes.push({ ...number, x, y: top - 12 - 7 * textScale, text: String(j), anchor: 'middle' });
  }
  for (const i of ticks(picture.queries, Math.min(12, height / (2 * lineHeight)))) {
    const y = top + Math.floor(((i + 0.5) * height) / picture.queries);
    shapes.push({ ...tick, x: left - 8, y: y - 1, width: 8, height: 2 });
    shapes.push({ ...number, x: left - 14, y: y - 7, text: String(i), anchor: 'end' });
  }
  return shapes;
}

/** About `most` positions of 0 … size - 1, by a power of two where the size has one, else by 1, 2 or 5. */
export function ticks(size: number, most: number): readonly number[] {
  const steps: number[] = [];
  const binary = size % 8 === 0;
  for (let power = 1; power <= size; power *= binary ? 2 : 10) {
    steps.push(...(binary ? [power] : [power, 2 * power, 5 * power]));
  }
  const step = steps.find((s) => size / s <= Math.max(1, most)) ?? Math.max(1, size);
  return Array.from({ length: Math.ceil(size / step) }, (_, n) => n * step);
}

/** Below this many pixels a side an outline would hide what it surrounds. */
const leastTile = 8;

function tileBox(tile: PictureTile, picture: Picture, plot: Plot): Omit<Plot, 'cellWidth' | 'cellHeight'> {
  const x = (key: number): number => Math.round((key * plot.width) / picture.keys);
  const y = (query: number): number => Math.round((query * plot.height) / picture.queries);
  const [left, top] = [x(tile.col), y(tile.row)];
  const right = x(Math.min(picture.keys, tile.col + tile.cols));
  const bottom = y(Math.min(picture.queries, tile.row + tile.rows));
  return { left: plot.left + left, top: plot.top + top, width: right - left, height: bottom - top };
}

function tilesShown(picture: Picture, plot: Plot): boolean {
  return (picture.tiles ?? []).some((tile) => {
    const { width, height } = tileBox(tile, picture, plot);
    return width >= leastTile && height >= leastTile;
  });
}

function tileShapes(picture: Picture, plot: Plot): Shape[] {
  if (!tilesShown(picture, plot)) return [];
  return (picture.tiles ?? []).map((tile) => {
    const { left, top, width, height } = tileBox(tile, picture, plot);
    // One pixel in, so that neighbours' outlines lie side by side.
    const box = { x: left + 1, y: top + 1, width: width - 1, height: height - 1 };
    const style = tileStyle(tile.kind);
    return {
      kind: 'outline',
      ...box,
      ...style,
      thickness: Math.min(width, height) < 48 ? 1 : style.thickness,
    };
  });
}

function tileStyle(kind: PictureTile['kind']): {
  readonly color: Color;
  readonly thickness: number;
  readonly dashed: boolean;
} {
  switch (kind) {
    case 'full':
      return { color: palette.fullTile, thickness: 2, dashed: false };
    case 'partial':
      return { color: palette.partialTile, thickness: 2, dashed: true };
  }
}

function frame({ left, top, width, height }: Plot): Shape {
  const box = { x: left - 1, y: top - 1, width: width + 2, height: height + 2 };
  return { kind: 'outline', ...box, color: palette.frame, thickness: 1, dashed: false };
}

/** Swatches with labels, in lines as wide as the picture, then what a cell and the outlines mean. */
function legendShapes(
  picture: Picture,
  plot: Plot,
  top: number,
  width: number,
): { readonly shapes: readonly Shape[]; readonly height: number } {
  const room = width - plot.left - border;
  const swatch = 20;
  const shapes: Shape[] = [];
  let x = 0;
  let y = 0;
  const add = (text: string, mark: (x: number, y: number) => Shape): void => {
    const shown = clip(text, Math.floor((room - swatch - 10) / advance));
    const size = swatch + 10 + shown.length * advance;
    if (x > 0 && x + size > room) {
      x = 0;
      y += lineHeight + 6;
    }
    shapes.push(mark(plot.left + x, top + y));
    const at = { x: plot.left + x + swatch + 10, y: top + y + 3 };
    shapes.push({ kind: 'text', ...at, text: shown, anchor: 'start', scale: textScale, color: palette.text });
    x += size + 28;
  };
  for (const [rule, label] of picture.labels.entries()) {
    add(label, (at, line) => {
      return { kind: 'rect', x: at, y: line, width: swatch, height: swatch, fill: ruleColor(rule) };
    });
  }
  const shown = tilesShown(picture, plot);
  for (const kind of ['full', 'partial'] as const) {
    if (!shown || !picture.tiles?.some((tile) => tile.kind === kind)) continue;
    add(`${kind} tile`, (at, line) => {
      return { kind: 'outline', x: at, y: line, width: swatch, height: swatch, ...tileStyle(kind) };
    });
  }
  const notes: string[] = [];
  if (isShrunk(picture)) {
    const box = [picture.queries / picture.rows, picture.keys / picture.columns].map((n) => Math.ceil(n));
    notes.push(`a cell is ${box.join(' × ')} pairs,`, 'the paler the fewer of them edges');
  }
  if (!shown && (picture.tiles?.length ?? 0) > 0) notes.push('tiles are too small to be outlined here');
  for (const note of notes) {
    y += lineHeight + 4;
    const at = { x: plot.left, y: top + y + 3 };
    const text = clip(note, Math.floor(room / advance));
    shapes.push({ kind: 'text', ...at, text, anchor: 'start', scale: textScale, color: palette.faintText });
  }
  return { shapes, height: y + swatch };
}

function clip(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 1))}…`;
}
