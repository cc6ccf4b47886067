/** Pieces of Python: an expression's text, and how tightly its outermost operator binds. */

/** Python's levels, from the loosest. */
export enum Level {
  Conditional = 1,
  Or,
  And,
  Not,
  Compare,
  BitOr,
  BitXor,
  BitAnd,
  Shift,
  Sum,
  Product,
  Unary,
  Power,
  Primary,
}

export interface Text {
  readonly text: string;
  readonly level: Level;
  /** Of a chain of one operator: its operands, for breaking lines. */
  readonly chain?: { readonly operator: string; readonly parts: readonly string[] };
}

export const primary = (text: string): Text => ({ text, level: Level.Primary });

/** The text, in parentheses if it binds less tightly than `least`. */
export const within = (t: Text, least: Level): string => (t.level < least ? `(${t.text})` : t.text);

export const call = (name: string, args: readonly (Text | string)[]): Text =>
  primary(`${name}(${args.map((a) => (typeof a === 'string' ? a : a.text)).join(', ')})`);

/** `a op b`, `right` being the least level of b. */
export function infix(a: Text, operator: string, b: Text, level: Level, right: Level = level + 1): Text {
  return { text: `${within(a, level)} ${operator} ${within(b, right)}`, level };
}

/** Operands are put in parentheses unless they are sums or tighter: Python's order of `&`, `|` and `<` is not everyone's. */
export function compare(a: Text, operator: string, b: Text): Text {
  return { text: `${within(a, Level.Sum)} ${operator} ${within(b, Level.Sum)}`, level: Level.Compare };
}

/** A chain of `&` or `|` over bools; chains of the same operator are joined. */
export function chain(a: Text, operator: '&' | '|', b: Text): Text {
  const left = a.chain?.operator === operator ? a.chain.parts : [within(a, Level.Sum)];
  const parts = [...left, within(b, Level.Sum)];
  return {
    text: parts.join(` ${operator} `),
    level: operator === '&' ? Level.BitAnd : Level.BitOr,
    chain: { operator, parts },
  };
}

export const indent = (lines: readonly string[]): readonly string[] =>
  lines.map((l) => (l === '' ? '' : `    ${l}`));

/** Columns that a line may fill. */
const WIDTH = 110;

/** `return TEXT`, a long chain broken before its operators. */
export function returned(t: Text, keyword = 'return '): readonly string[] {
  if (t.chain === undefined || keyword.length + t.text.length <= WIDTH) return [`${keyword}${t.text}`];
  const { operator, parts } = t.chain;
  return [`${keyword}(`, ...indent(parts.map((p, n) => (n === 0 ? p : `${operator} ${p}`))), ')'];
}

/** A comment of one or more lines. */
export function comment(text: string): readonly string[] {
  return text.split('\n').map((l) => `# ${l}`.trimEnd());
}

/** A text as a Python literal: JSON's escapes are Python's, but for characters past 16 bits, which stay as they are. */
export const quote = (text: string): string => JSON.stringify(text);

/** A number as a Python literal. */
export function literal(value: number, type: 'int' | 'float' | 'bool'): Text {
  if (type === 'bool') return primary(value === 0 ? 'False' : 'True');
  if (!Number.isFinite(value)) {
    return Number.isNaN(value)
      ? primary('math.nan')
      : { text: value < 0 ? '-math.inf' : 'math.inf', level: value < 0 ? Level.Unary : Level.Primary };
  }
  const digits = Object.is(value, -0) ? '-0' : String(value);
  const text = type === 'float' && !/[.e]/.test(digits) ? `${digits}.0` : digits;
  return { text, level: text.startsWith('-') ? Level.Unary : Level.Primary };
}
