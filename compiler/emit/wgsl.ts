/** Text of WGSL: a template tag that keeps indentation right, and literals. */

export type Piece = string | number | readonly string[];

/**
 * Joins a template: text of several lines keeps the indentation of the place where it is put, arrays are joined line
 * by line, empty lines are dropped, and the indentation of the first line is taken off all of them.
 */
export function wgsl(strings: TemplateStringsArray, ...pieces: readonly Piece[]): string {
  const parts: string[] = [];
  let lastLine = '';
  const append = (text: string): void => {
    parts.push(text);
    const end = text.lastIndexOf('\n');
    lastLine = end >= 0 ? text.slice(end + 1) : lastLine + text;
  };
  append(strings[0]);
  pieces.forEach((piece, n) => {
    const value = typeof piece === 'object' ? piece.join('\n') : String(piece);
    const indent = /^ */.exec(lastLine)?.[0] ?? '';
    append(value.replaceAll('\n', `\n${indent}`));
    append(strings[n + 1]);
  });
  const lines = parts
    .join('')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const margin = /^ */.exec(lines[0] ?? '')?.[0].length ?? 0;
  const cut = (line: string): string => line.slice(Math.min(margin, line.search(/\S/))).trimEnd();
  return lines.map(cut).join('\n');
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
