import { PNG } from 'pngjs';
import type { Color } from './colors.js';
import { glyphHeight, glyphOf, glyphWidth } from './font.js';
import type { Picture } from './picture.js';
import { sceneOf } from './scene.js';
import type { Shape } from './scene.js';

/** A picture as a PNG file's bytes. */
export function pictureToPng(picture: Picture): Uint8Array {
  const { width, height, shapes } = sceneOf(picture);
  const png = new PNG({ width, height });
  const canvas: Canvas = { width, height, pixels: png.data };
  for (const shape of shapes) draw(canvas, shape);
  return PNG.sync.write(png, { colorType: 2, inputHasAlpha: true });
}

interface Canvas {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue and alpha of each pixel, row-major. */
  readonly pixels: Uint8Array;
}

function draw(canvas: Canvas, shape: Shape): void {
  switch (shape.kind) {
    case 'rect':
      return fill(canvas, shape.x, shape.y, shape.width, shape.height, shape.fill);
    case 'outline':
      return drawOutline(canvas, shape);
    case 'text':
      return drawText(canvas, shape);
  }
}

function fill(canvas: Canvas, x: number, y: number, width: number, height: number, color: Color): void {
  const [left, right] = [Math.max(0, x), Math.min(canvas.width, x + width)];
  const [top, bottom] = [Math.max(0, y), Math.min(canvas.height, y + height)];
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      const at = 4 * (row * canvas.width + column);
      canvas.pixels[at] = color[0];
      canvas.pixels[at + 1] = color[1];
      canvas.pixels[at + 2] = color[2];
      canvas.pixels[at + 3] = 255;
    }
  }
}

/** Dashes are 5 long and 4 apart, as in the SVG. */
function drawOutline(canvas: Canvas, shape: Extract<Shape, { kind: 'outline' }>): void {
  const { x, y, width, height, color, thickness, dashed } = shape;
  const dash = dashed ? 5 : Math.max(width, height);
  const period = dashed ? 9 : Math.max(1, dash);
  for (let at = 0; at < width; at += period) {
    const length = Math.min(dash, width - at);
    fill(canvas, x + at, y, length, thickness, color);
    fill(canvas, x + at, y + height - thickness, length, thickness, color);
  }
  for (let at = 0; at < height; at += period) {
    const length = Math.min(dash, height - at);
    fill(canvas, x, y + at, thickness, length, color);
    fill(canvas, x + width - thickness, y + at, thickness, length, color);
  }
}

function drawText(canvas: Canvas, shape: Extract<Shape, { kind: 'text' }>): void {
  const { text, anchor, scale, color, y } = shape;
  const characters = [...text];
  const step = (glyphWidth + 1) * scale;
  const size = Math.max(0, characters.length * step - scale);
  const start = shape.x - Math.round(anchor === 'start' ? 0 : anchor === 'middle' ? size / 2 : size);
  for (const [n, character] of characters.entries()) {
    const glyph = glyphOf(character);
    for (let row = 0; row < glyphHeight; row++) {
      for (let column = 0; column < glyphWidth; column++) {
        if (glyph[row]?.[column] !== '#') continue;
        fill(canvas, start + n * step + column * scale, y + row * scale, scale, scale, color);
      }
    }
  }
}
