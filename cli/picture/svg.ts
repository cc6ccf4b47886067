import { hex } from './colors.js';
import type { Picture } from './picture.js';
import { sceneOf } from './scene.js';
import type { Shape } from './scene.js';

/** A picture as a standalone SVG document. */
export function pictureToSvg(picture: Picture): string {
  const { width, height, title, shapes } = sceneOf(picture);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width / 2}" height="${height / 2}" role="img" font-family="ui-monospace, Menlo, Consolas, monospace">`,
    `<title>${escaped(title)}</title>`,
    ...shapes.map(shapeToSvg),
    '</svg>',
  ];
  return `${lines.join('\n')}\n`;
}

function shapeToSvg(shape: Shape): string {
  switch (shape.kind) {
    case 'rect': {
      const { x, y, width, height, fill } = shape;
      return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${hex(fill)}"/>`;
    }
    case 'outline': {
      const { x, y, width, height, color, thickness, dashed } = shape;
      const half = thickness / 2;
      const dashes = dashed ? ' stroke-dasharray="5 4"' : '';
      const size = `width="${Math.max(0, width - thickness)}" height="${Math.max(0, height - thickness)}"`;
      return `<rect x="${x + half}" y="${y + half}" ${size} fill="none" stroke="${hex(color)}" stroke-width="${thickness}"${dashes}/>`;
    }
    case 'text': {
      const { x, y, text, anchor, scale, color } = shape;
      // A monospaced character is about 0.6 of its size wide: 6 * scale of 10 * scale.
      const font = `font-size="${10 * scale}" text-anchor="${anchor}"`;
      return `<text x="${x}" y="${y + 7 * scale}" ${font} fill="${hex(color)}" xml:space="preserve">${escaped(text)}</text>`;
    }
  }
}

/** Characters that XML cannot hold at all become the replacement character. */
function escaped(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');
}
