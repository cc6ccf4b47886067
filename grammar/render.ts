/** Diagnostics in print: the one place where they become text. */
import type { Source, Span } from './ast.js';
import type { Diagnostic } from './diagnostics.js';
import { lineStarts, locate } from './line-column.js';
import { cells, type Cell } from './width.js';

export interface RenderOptions {
  readonly format: 'pretty' | 'plain' | 'json';
  /** For `pretty` only. */
  readonly color: boolean;
}

/** Columns of source text in a frame; longer lines are cut round the span. */
const maxColumns = 100;
/** Columns kept before the span in a line that is cut. */
const lead = 30;

interface Sources {
  readonly texts: ReadonlyMap<string, Source>;
  readonly starts: Map<string, readonly number[]>;
}

type Paint = (style: 'error' | 'warning' | 'frame' | 'help' | 'bold', text: string) => string;

const styles = { error: '1;31', warning: '1;33', frame: '1;34', help: '1;36', bold: '1' } as const;

/**
 * Renders diagnostics, in the order given; every line ends with a newline, and none at all give an empty text
 * (`[]` as JSON). `sources` maps file names to texts; a place in a file that is not there is named without its line.
 */
export function render(
  diagnostics: readonly Diagnostic[],
  sources: ReadonlyMap<string, Source>,
  options: RenderOptions,
): string {
  const read: Sources = { texts: sources, starts: new Map() };
  switch (options.format) {
    case 'json':
      return `${JSON.stringify(
        diagnostics.map((d) => toJson(d, read)),
        undefined,
        2,
      )}\n`;
    case 'plain':
      return diagnostics.map((d) => `${plain(d, read)}\n`).join('');
    case 'pretty': {
      const paint: Paint = options.color
        ? (style, text) => `\u001b[${styles[style]}m${text}\u001b[0m`
        : (_, text) => text;
      return diagnostics.map((d) => pretty(d, read, paint)).join('\n');
    }
  }
}

interface Place {
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/** Lines and columns from 1. */
function placeOf(span: Span, sources: Sources): Place | undefined {
  const source = sources.texts.get(span.file);
  if (source === undefined) return undefined;
  let starts = sources.starts.get(span.file);
  if (starts === undefined) {
    starts = lineStarts(source.text);
    sources.starts.set(span.file, starts);
  }
  const inside = (offset: number): number => Math.max(0, Math.min(offset, source.text.length));
  const from = locate(starts, inside(span.start));
  const to = locate(starts, inside(Math.max(span.start, span.end)));
  return { line: from.line, column: from.column, endLine: to.line, endColumn: to.column };
}

function toJson(d: Diagnostic, sources: Sources): object {
  const where = (span: Span): object => ({ ...span, ...placeOf(span, sources) });
  return {
    code: d.code,
    severity: d.severity,
    message: d.message,
    span: d.span === undefined ? null : where(d.span),
    help: d.help ?? null,
    related: d.related.map((note) => ({ message: note.message, span: where(note.span) })),
  };
}

/** `file:line:column`, or as much of it as is known. */
function address(span: Span, sources: Sources): string {
  const place = placeOf(span, sources);
  return place === undefined ? span.file : `${span.file}:${place.line}:${place.column}`;
}

function plain(d: Diagnostic, sources: Sources): string {
  const where = d.span === undefined ? '' : `${address(d.span, sources)}: `;
  const help = d.help === undefined ? '' : ` (${d.help})`;
  return oneLine(`${where}${d.severity} ${d.code}: ${d.message}${help}`);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]\s*/g, ' ');
}

function pretty(d: Diagnostic, sources: Sources, paint: Paint): string {
  const head = `${paint(d.severity, `${d.severity}[${d.code}]`)}${paint('bold', `: ${d.message}`)}`;
  const lines = [head];
  const gutter = gutterWidth(d, sources);
  if (d.span !== undefined) lines.push(...frame(d.span, sources, paint, gutter, d.severity));
  const indent = ' '.repeat(gutter);
  if (d.help !== undefined)
    lines.push(`${indent} ${paint('frame', '=')} ${paint('help', 'help')}: ${d.help}`);
  for (const note of d.related) {
    lines.push(
      `${paint('help', 'note')}: ${note.message}`,
      ...frame(note.span, sources, paint, gutter, 'help'),
    );
  }
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

/** Digits of the largest line number that a diagnostic shows. */
function gutterWidth(d: Diagnostic, sources: Sources): number {
  const spans = [...(d.span === undefined ? [] : [d.span]), ...d.related.map((note) => note.span)];
  return Math.max(1, ...spans.map((span) => String(placeOf(span, sources)?.line ?? 0).length));
}

/** The address, the line, and carets under the span. */
function frame(
  span: Span,
  sources: Sources,
  paint: Paint,
  gutter: number,
  style: 'error' | 'warning' | 'help',
): string[] {
  const indent = ' '.repeat(gutter);
  const where = `${indent}${paint('frame', '-->')} ${address(span, sources)}`;
  const place = placeOf(span, sources);
  const source = sources.texts.get(span.file);
  const starts = sources.starts.get(span.file);
  if (place === undefined || source === undefined || starts === undefined) return [where];
  const start = starts[place.line - 1]!;
  const next = starts[place.line] ?? source.text.length + 1;
  const line = source.text.slice(start, next - 1).replace(/\r$/, '');
  const { shown, carets } = mark(line, start, span, place.endLine > place.line);
  const bar = paint('frame', '|');
  return [
    where,
    `${indent} ${bar}`,
    `${paint('frame', String(place.line).padStart(gutter))} ${bar} ${shown}`,
    `${indent} ${bar} ${carets.replace(/\S.*/, (marks) => paint(style, marks))}`,
  ];
}

/** The line as shown and the carets below it, cut to `maxColumns`. */
function mark(line: string, start: number, span: Span, goesOn: boolean): { shown: string; carets: string } {
  // What is far from the span can't be shown, so a line of a megabyte is cut before it is looked at.
  const from = Math.max(0, safeCut(line, span.start - start - 2 * maxColumns));
  const to = Math.min(line.length, from + 8 * maxColumns);
  const all = cells(line.slice(from, to), start + from);
  const first = all.findIndex(
    (cell) => cell.offset + cell.text.length > span.start || cell.offset >= span.start,
  );
  const at = first < 0 ? all.length : first;
  const width = (list: readonly Cell[]): number => list.reduce((sum, cell) => sum + cell.width, 0);

  let left = 0;
  if (from > 0 || width(all) > maxColumns) {
    // Keep what stands before the span only as far as it fits.
    let kept = 0;
    left = at;
    const room = width(all.slice(0, at)) + 10 <= maxColumns && from === 0 ? maxColumns : lead;
    while (left > 0 && kept + all[left - 1]!.width <= room) kept += all[--left]!.width;
  }
  let right = left;
  let columns = 0;
  while (right < all.length && columns + all[right]!.width <= maxColumns) columns += all[right++]!.width;

  const cutLeft = left > 0 || from > 0 ? '…' : '';
  const cutRight = right < all.length || to < line.length ? '…' : '';
  const visible = all.slice(left, right);
  const before = visible.filter((cell) => cell.offset < span.start);
  const under = visible.filter((cell) => cell.offset >= span.start && cell.offset < span.end);
  const marked = '^'.repeat(Math.max(1, width(under)));
  const more = goesOn || (cutRight !== '' && under.length > 0 && under.at(-1) === visible.at(-1)) ? '…' : '';
  return {
    shown: `${cutLeft}${visible.map((cell) => cell.text).join('')}${cutRight}`,
    carets: `${' '.repeat(cutLeft.length + width(before))}${marked}${more}`,
  };
}

/** Not between the halves of a surrogate pair. */
function safeCut(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}
