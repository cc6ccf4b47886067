import test from 'ava';
import { PNG } from 'pngjs';
import { pictureFromBoxes, pictureFromPairs, pictureToPng, pictureToSvg } from '../../cli/picture/index.js';
import { pictureToText, shrink, tilesToText } from '../../cli/picture/index.js';
import type { Picture, PictureTile } from '../../cli/picture/index.js';
import { glyphHeight, glyphOf, glyphWidth, hasGlyph } from '../../cli/picture/font.js';
import { hex, ruleColor, shade } from '../../cli/picture/colors.js';
import { sceneOf, ticks } from '../../cli/picture/scene.js';

const band = (i: number, j: number): number => (Math.abs(i - j) <= 1 ? 0 : j < 1 ? 1 : -1);
const labels = ['local', 'readers'];

function picture(
  queries: number,
  keys: number,
  tiles: readonly PictureTile[] = [],
  resolution = 512,
): Picture {
  return pictureFromPairs({ title: 'band', queries, keys, labels, tiles, resolution }, band);
}

const tiles: readonly PictureTile[] = [
  { row: 0, col: 0, rows: 2, cols: 2, kind: 'full' },
  { row: 2, col: 0, rows: 2, cols: 2, kind: 'partial' },
];

test('a small picture as text', (t) => {
  t.is(
    pictureToText(picture(4, 6)),
    [
      'band',
      '   keys j → 0 … 5',
      ' 0 ████········',
      ' 1 ██████······',
      ' 2 ▒▒██████····',
      ' 3 ▒▒··██████··',
      '   queries i ↓ 0 … 3',
      '   █ local',
      '   ▒ readers',
      '',
    ].join('\n'),
  );
});

test('a large picture fits the terminal, and keeps lone edges', (t) => {
  const lone = pictureFromPairs({ title: 'one', queries: 900, keys: 900, labels: ['a'] }, (i, j) =>
    i === 451 && j === 677 ? 0 : -1,
  );
  const text = pictureToText(lone, { columns: 60 });
  t.true(text.split('\n').every((line) => [...line].length <= 60 || line.includes('a cell is')));
  t.is([...text].filter((c) => c === '░').length, 2); // the edge, and the legend
  t.regex(text, /a cell is about 33 × 17 pairs/);
});

test('colours are there only where asked for, and end with each line', (t) => {
  t.false(pictureToText(picture(4, 4)).includes('\u001b'));
  const lines = pictureToText(picture(4, 4), { color: true }).split('\n');
  t.true(lines[2]!.includes(`\u001b[38;2;${ruleColor(0).join(';')}m`));
  t.true(lines[4]!.includes(`\u001b[38;2;${ruleColor(1).join(';')}m`));
  for (const line of lines) {
    const escapes = line.split('\u001b').slice(1);
    if (escapes.length > 0 && line.includes('█'))
      t.true(
        escapes.some((e) => e.startsWith('[0m')),
        line,
      );
  }
});

test('tiles as text', (t) => {
  t.is(
    tilesToText([
      ['full', 'partial', 'none'],
      ['none', 'none', 'full'],
    ]),
    '█▒·\n··█\n',
  );
});

test('shares: exact for every cell', (t) => {
  const causal = pictureFromPairs(
    { title: '', queries: 100, keys: 100, labels: ['c'], resolution: 10 },
    (i, j) => (j <= i ? 0 : -1),
  );
  for (let r = 0; r < 10; r++) {
    for (let c = 0; c < 10; c++) {
      const share = c < r ? 255 : c === r ? Math.round((55 / 100) * 255) : 0;
      t.is(causal.shares?.[r * 10 + c], share);
      t.is(causal.cells[r * 10 + c], share > 0 ? 1 : 0);
    }
  }
});

test('boxes cover every pair once', (t) => {
  for (const [queries, keys, resolution] of [
    [7, 13, 5],
    [1, 100, 8],
    [64, 64, 64],
  ] as const) {
    const seen = new Uint8Array(queries * keys);
    pictureFromBoxes({ title: '', queries, keys, labels: [], resolution }, (top, bottom, left, right) => {
      for (let i = top; i < bottom; i++) for (let j = left; j < right; j++) seen[i * keys + j]! += 1;
      return undefined;
    });
    t.true(seen.every((n) => n === 1));
  }
});

test('shrinking keeps a cell coloured if any of its own is, with the rule that has most of it', (t) => {
  const small = shrink(picture(9, 9), 3, 3);
  t.deepEqual([...small.cells], [1, 1, 0, 2, 1, 1, 2, 1, 1]);
  t.is(small.queries, 9);
  t.is(shrink(small, 10, 10), small);
});

test('a rule without a label is our own mistake, and told', (t) => {
  t.throws(() => pictureFromPairs({ title: '', queries: 1, keys: 1, labels: ['a'] }, () => 1), {
    message: /rule 1 has no label/,
  });
});

test('the PNG shows each cell in its colour', (t) => {
  const full = picture(6, 6, tiles);
  const png = PNG.sync.read(Buffer.from(pictureToPng(full)));
  const { shapes, width, height } = sceneOf(full);
  t.is(png.width, width);
  t.is(png.height, height);
  const frame = shapes.findLast((s) => s.kind === 'outline' && s.thickness === 1 && !s.dashed);
  if (frame?.kind !== 'outline') return t.fail('no frame');
  const cell = (frame.width - 2) / 6;
  for (let i = 0; i < 6; i++) {
    for (let j = 0; j < 6; j++) {
      const x = frame.x + 1 + Math.floor((j + 0.5) * cell);
      const y = frame.y + 1 + Math.floor((i + 0.5) * cell);
      const pixel = [...png.data.subarray(4 * (y * width + x), 4 * (y * width + x) + 3)];
      const rule = band(i, j);
      t.deepEqual(pixel, rule < 0 ? [247, 248, 250] : [...ruleColor(rule)], `${i}, ${j}`);
    }
  }
  return undefined;
});

test('the SVG has tiles, legend and axes, and escapes names', (t) => {
  const svg = pictureToSvg({ ...picture(6, 6, tiles), title: 'a < b & "c"\u0000', labels: ['<x>', 'y'] });
  t.regex(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
  t.true(svg.includes('<title>a &lt; b &amp; "c"\ufffd</title>'));
  for (const text of ['keys j →', 'queries i ↓', '&lt;x&gt;', 'full tile', 'partial tile'])
    t.true(svg.includes(`>${text}<`), text);
  t.is(svg.split('stroke-dasharray').length - 1, 2); // the tile, and the legend
  t.true(svg.includes(hex(ruleColor(0))) && svg.includes(hex(ruleColor(1))));
  t.false(svg.includes('NaN'));
});

test('every shape lies in the picture, at any size', (t) => {
  for (const [queries, keys] of [
    [1, 1],
    [1, 300],
    [300, 1],
    [17, 129],
    [63, 1000],
    [1000, 3],
    [0, 0],
  ] as const) {
    const { width, height, shapes } = sceneOf(picture(queries, keys, tiles, 256));
    for (const shape of shapes) {
      const inside =
        shape.kind === 'text'
          ? shape.x >= 0 && shape.y >= 0 && shape.x <= width && shape.y + 7 * shape.scale <= height
          : shape.x >= 0 &&
            shape.y >= 0 &&
            shape.x + shape.width <= width &&
            shape.y + shape.height <= height;
      t.true(inside && Number.isInteger(shape.x + shape.y), `${queries} × ${keys}: ${JSON.stringify(shape)}`);
    }
    t.notThrows(() => pictureToPng(picture(queries, keys, tiles, 256)));
    t.false(/NaN|undefined/.test(pictureToText(picture(queries, keys, tiles))));
  }
});

test('tiles too small to outline are said to be', (t) => {
  const many = Array.from({ length: 300 }, (_, n): PictureTile => {
    return { row: 2 * n, col: 2 * n, rows: 2, cols: 2, kind: 'full' };
  });
  const svg = pictureToSvg(picture(600, 600, many));
  t.true(svg.includes('tiles are too small to be outlined here'));
  t.false(svg.includes('full tile'));
});

test('ticks are round numbers, not too many', (t) => {
  t.deepEqual(ticks(64, 8), [0, 8, 16, 24, 32, 40, 48, 56]);
  t.deepEqual(ticks(300, 8), [0, 50, 100, 150, 200, 250]);
  t.deepEqual(ticks(3, 12), [0, 1, 2]);
  t.deepEqual(ticks(1, 0.4), [0]);
  t.deepEqual(ticks(0, 5), []);
});

test('rules are told apart: 16 colours, edges never as pale as the paper', (t) => {
  const colors = Array.from({ length: 16 }, (_, n) => hex(ruleColor(n)));
  t.is(new Set(colors).size, 16);
  for (let n = 0; n < 16; n++) {
    const pale = shade(ruleColor(n), 1);
    t.true(Math.min(...pale) < 235, `rule ${n}: ${pale}`);
  }
});

test('the font has every printable ASCII character, each its own', (t) => {
  const seen = new Map<string, string>();
  for (let code = 32; code < 127; code++) {
    const character = String.fromCharCode(code);
    t.true(hasGlyph(character), character);
    const rows = glyphOf(character);
    t.true(
      rows.length <= glyphHeight && rows.every((row) => /^[.#]*$/.test(row) && row.length === glyphWidth),
      character,
    );
    const art = rows.join('\n');
    t.is(seen.get(art), undefined, `${character} looks like ${seen.get(art)}`);
    seen.set(art, character);
  }
  for (const character of '→↓×…') t.true(hasGlyph(character));
});
