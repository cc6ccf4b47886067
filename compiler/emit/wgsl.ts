/** Text of WGSL: a template tag that keeps indentation right, and literals. */

export type Piece = string | number | readonly string[];

/**
 * Joins a template: text of several lines keeps the indentation of the place where it is put, arrays are joined line
 * by line, empty lines are dropped, and the indentation of the first line is taken off all of them.
 *
 * Text comes through here once for each template around it, so lines inside a piece are not looked at one by one
 * where nothing but their indentation changes.
 */
export function wgsl(strings: TemplateStringsArray, ...pieces: readonly Piece[]): string {
  let out = '';
  let margin = -1;
  /** The line that is being put together. */
  let line = '';
  const finish = (): void => {
    const text = line.trim();
    if (text === '') return;
    const indent = indentOf(line);
    if (margin < 0) margin = indent;
    else out += '\n';
    out += ' '.repeat(Math.max(0, indent - margin)) + text;
  };
  const append = (text: string, indent: number): void => {
    const first = text.indexOf('\n');
    if (first < 0) {
      line += text;
      return;
    }
    const last = text.lastIndexOf('\n');
    line += text.slice(0, first);
    finish();
    const pad = ' '.repeat(indent);
    if (last > first) {
      const between = text.slice(first + 1, last);
      if (margin >= 0 && indent >= margin && isTidy(between)) {
        const more = `\n${' '.repeat(indent - margin)}`;
        out += more + (more === '\n' ? between : between.replaceAll('\n', more));
      } else {
        for (const own of between.split('\n')) {
          line = pad + own;
          finish();
        }
      }
    }
    line = pad + text.slice(last + 1);
  };
  append(strings[0], 0);
  pieces.forEach((piece, n) => {
    append(typeof piece === 'object' ? piece.join('\n') : String(piece), indentOf(line));
    append(strings[n + 1], 0);
  });
  finish();
  return out;
}

function indentOf(line: string): number {
  let n = 0;
  while (line.charCodeAt(n) === 32) n++;
  return n;
}

/** Is no line empty, and has none a blank at its end? Other space than blanks is left to the long way. */
function isTidy(text: string): boolean {
  if (text.includes('\t') || text.includes('\r')) return false;
  for (let from = 0; ;) {
    const at = text.indexOf('\n', from);
    const end = at < 0 ? text.length : at;
    if (end === from || text.charCodeAt(end - 1) === 32) return false;
    if (at < 0) return true;
    from = at + 1;
  }
}

/** Lines for n = 0 … count − 1: unrolled code, because private arrays are indexed by constants only. */
export function lines(count: number, line: (n: number) => string): readonly string[] {
  return Array.from({ length: count }, (_, n) => line(n));
}

/** Comment lines. Line breaks inside are kept. */
export function comment(text: string): string {
  return text
    .split('\n')
    .map((line) => `// ${line}`.trimEnd())
    .join('\n');
}

const LARGEST_FLOAT = 3.4028234663852886e38;

export function intLiteral(value: number): string {
  // −2147483648 has no literal of its own.
  return value === -2147483648 ? '(-2147483647 - 1)' : String(value);
}

export function floatLiteral(value: number): string {
  const single = Math.fround(Math.min(Math.max(value, -LARGEST_FLOAT), LARGEST_FLOAT));
  // The shortest decimal that reads back as the same float32.
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return decimal(short);
  }
  return decimal(single);
}

function decimal(value: number): string {
  const text = Object.is(value, -0) ? '-0' : String(value);
  return /[.e]/.test(text) ? text.replace('e+', 'e') : `${text}.0`;
}

/** A name from a pattern as part of a WGSL identifier. */
export function identifier(name: string): string {
  return name.replace(/\W/g, '_');
}
