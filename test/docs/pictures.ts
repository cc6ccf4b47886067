/**
 * Pictures in documentation: a block fenced as `attn` with a block fenced as `picture LENGTH …` right after it.
 * The picture is the matrix of the first pattern: rows are queries, columns are keys. A cell shows the rule that makes
 * the edge (the first letter of its label, `█` without one), a digit where an edge counts several times, `·` for none.
 *
 *     ```picture 8 queries=2 heads=4 head=1 window=3 doc=[0,0,1]
 *
 * Names beside the shape's are parameters (one value or a list) or, if the pattern has such an input, tables.
 */
import type { PatternAst } from '../../grammar/ast.js';
import { parse, render } from '../../grammar/index.js';
import { compilePattern, type Setting, type Tables } from '../interpreter/interpret.js';
import { parseText } from '../interpreter/load.js';

export interface Block {
  /** `attn`, `picture`, … */
  readonly language: string;
  /** What stands after it on the fence. */
  readonly info: string;
  readonly text: string;
  /** Offsets of `text` in the document. */
  readonly start: number;
  readonly end: number;
  /** Offset just past the closing fence. */
  readonly after: number;
}

export function fencedBlocks(document: string): readonly Block[] {
  const fence = /^```(\w+) *([^\n]*)\n([^]*?)^```$/gm;
  return [...document.matchAll(fence)].map((m) => {
    const start = m.index + m[0].indexOf('\n') + 1;
    const [whole, language, info, text] = m;
    return { language, info, text, start, end: start + text.length, after: m.index + whole.length };
  });
}

/** Every picture with the pattern that it stands beside; throws if one stands elsewhere. */
export function picturesOf(document: string): readonly { readonly code: Block; readonly picture: Block }[] {
  const blocks = fencedBlocks(document);
  return blocks.flatMap((picture, n) => {
    if (picture.language !== 'picture') return [];
    const code = blocks[n - 1];
    if (
      code?.language !== 'attn' ||
      document.slice(code.after, picture.start).trim() !== '```picture ' + picture.info
    ) {
      throw new Error(`picture without a pattern right before it: ${picture.info}`);
    }
    return [{ code, picture }];
  });
}

/** The document with every picture, and every `diagnostics` block after a `broken` one, made anew. */
export function redraw(document: string): string {
  let result = document;
  const blocks = fencedBlocks(document);
  picturesOf(document);
  for (let n = blocks.length - 1; n > 0; n--) {
    const block = blocks[n];
    const made = remade(block, blocks[n - 1]);
    if (made !== undefined) result = result.slice(0, block.start) + made + result.slice(block.end);
  }
  return result;
}

function remade(block: Block, before: Block): string | undefined {
  if (block.language === 'picture') return draw(before.text, block.info);
  if (block.language === 'diagnostics') return diagnose(before.text);
  return undefined;
}

/** What the parser says about a text, as it is printed. */
function diagnose(text: string): string {
  const source = { file: 'window.attn', text };
  const { diagnostics } = parse(source);
  return render(diagnostics, new Map([[source.file, source]]), { format: 'pretty', color: false });
}

interface Options {
  readonly numbers: ReadonlyMap<string, number>;
  readonly set: Readonly<Record<string, Setting>>;
  readonly tables: Tables;
}

function readOptions(info: string, pattern: PatternAst): Options {
  const numbers = new Map<string, number>();
  const set: Record<string, Setting> = {};
  const tables: Record<string, { shape: number[]; data: number[] }> = {};
  const [length, ...rest] = info.split(' ');
  numbers.set('keys', Number(length));
  for (const word of rest) {
    const [name, text] = word.split('=');
    const value = JSON.parse(text) as number | number[];
    if (typeof value === 'object' && !pattern.parameters.some((p) => p.name.text === name)) {
      tables[name] = { shape: [value.length], data: value };
    } else if (pattern.parameters.some((p) => p.name.text === name)) set[name] = value;
    else if (typeof value === 'number') numbers.set(name, value);
  }
  return { numbers, set, tables };
}

/** The picture of the first pattern in a text. */
export function draw(text: string, info: string): string {
  const file = parseText(text);
  const [pattern] = file.patterns;
  const { numbers, set, tables } = readOptions(info, pattern);
  const number = (name: string, otherwise: number): number => numbers.get(name) ?? otherwise;
  const keys = number('keys', 0);
  const shape = {
    batch: number('batch', 0) + 1,
    heads: number('heads', 1),
    queries: number('queries', keys),
    keys,
  };
  const it = compilePattern([file], pattern.name.text, { set, tables, shape });
  const [batch, head] = [number('batch', 0), number('head', 0)];
  const lines: string[] = [];
  for (let row = 0; row < shape.queries; row++) {
    const i = it.base(batch) + row;
    const cells = Array.from({ length: keys }, (_, j) => {
      const m = it.multiplicity(batch, head, i, j);
      if (m !== 1) return m === 0 ? '·' : String(m);
      const label = it.labels[it.rules(batch, head, i, j).indexOf(true)];
      return label === undefined ? '█' : label[0];
    });
    lines.push(cells.join(' '));
  }
  return `${lines.join('\n')}\n`;
}
