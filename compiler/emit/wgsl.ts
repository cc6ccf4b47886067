/** Text of WGSL: a template tag, the indentation of what it makes, and literals. */

export type Piece = string | number | readonly string[];

/**
 * Joins a template; arrays are joined line by line, and space at both ends is left out. What is in between stays as
 * it is: most text comes through here once for each template around it, and is indented once, by `tidy`.
 */
export function wgsl(strings: TemplateStringsArray, ...pieces: readonly Piece[]): string {
  const last = pieces.length;
  if (last === 0) return strings[0].trim();
  let out = strings[0].trimStart();
  for (let n = 0; n < last; n++) {
    const piece = pieces[n];
    out += typeof piece === 'object' ? piece.join('\n') : String(piece);
    out += n + 1 < last ? strings[n + 1] : strings[last].trimEnd();
  }
  return out;
}

/** Whole text, line by line: indented by the brackets that are open, without empty lines. */
export function tidy(text: string): string {
  let out = '';
  let depth = 0;
  for (const long of text.split('\n')) {
    const line = long.trim();
    if (line === '') continue;
    const { closed, more } = brackets(line);
    out += (out === '' ? '' : '\n') + indentation(depth - closed) + line;
    depth += more;
  }
  return out;
}

const indentation = (depth: number): string => '  '.repeat(Math.max(0, depth));

/** How many brackets a line closes before all else, and how many more it opens than it closes; comments have none. */
function brackets(line: string): { readonly closed: number; readonly more: number } {
  let closed = 0;
  let more = 0;
  for (let at = 0; at < line.length; at++) {
    const c = line.charCodeAt(at);
    if (c === OPEN || c === OPEN_LIST || c === OPEN_BLOCK) more++;
    else if (c === CLOSE || c === CLOSE_LIST || c === CLOSE_BLOCK) {
      more--;
      if (closed === at) closed++;
    } else if (c === SLASH && line.charCodeAt(at + 1) === SLASH) break;
  }
  return { closed, more };
}

const [OPEN, CLOSE, OPEN_LIST, CLOSE_LIST, OPEN_BLOCK, CLOSE_BLOCK, SLASH] = [...'()[]{}/'].map((c) =>
  c.charCodeAt(0),
);

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
