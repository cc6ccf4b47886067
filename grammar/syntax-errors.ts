/** The parser's errors in words for people, without those that only follow from others. */
import type { IRecognitionException, IToken, TokenType } from 'chevrotain';
import type { Source, Span } from './ast.js';
import type { Code } from './codes.js';
import { diagnostic, type Diagnostic } from './diagnostics.js';
import { clip } from './literals.js';
import { nearest } from './nearest.js';
import * as t from './tokens.js';

/** The tokens round an error: `tokens[at]` is the one that was not expected; past the last is the file's end. */
interface Place {
  readonly source: Source;
  readonly tokens: readonly IToken[];
  readonly at: number;
  /** The grammar's rule, and what it expected: a token's name, or '' where one of several would do. */
  readonly rule: string;
  readonly expected: string;
}

interface Words {
  readonly code: Code;
  /** Before ", found …". */
  readonly message: string;
  readonly help?: string | undefined;
}

export interface SyntaxErrorOptions {
  /** What the lexer could not read: an error right behind it follows from it. */
  readonly unread: readonly Span[];
  /** Errors from here on are not the writer's (context.ts). */
  readonly tooDeepAt: number;
}

export function describeSyntaxErrors(
  source: Source,
  tokens: readonly IToken[],
  errors: readonly IRecognitionException[],
  { unread, tooDeepAt }: SyntaxErrorOptions,
): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  let skippedTo = -1;
  for (const error of errors) {
    const at = indexOf(tokens, error.token);
    const follows = at <= skippedTo;
    skippedTo = Math.max(skippedTo, at + error.resyncedTokens.length);
    if (follows) continue;
    const span = foundSpan(source, tokens, at);
    if (span.start >= tooDeepAt || followsUnread(source, tokens, at, unread)) continue;
    const rule = error.context.ruleStack.at(-1) ?? 'file';
    const place: Place = { source, tokens, at, rule, expected: error.message };
    const words = describe(place);
    const related = relatedOpening(place);
    const found = `found ${describeFound(place)}`;
    const extra = { related, ...(words.help === undefined ? {} : { help: words.help }) };
    const code = related.length > 0 ? 'ATTN1011' : words.code;
    const opened = related.length > 0 && place.expected === 'RightBrace';
    const message = opened ? 'expected `}`' : words.message;
    diagnostics.push(
      diagnostic(code, 'error', code === 'ATTN1006' ? message : `${message}, ${found}`, span, extra),
    );
  }
  return diagnostics;
}

function indexOf(tokens: readonly IToken[], token: IToken): number {
  if (Number.isNaN(token.startOffset)) return tokens.length;
  let low = 0;
  let high = tokens.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tokens[middle]!.startOffset < token.startOffset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function endOf(token: IToken | undefined): number {
  return token === undefined ? 0 : token.endOffset! + 1;
}

function foundSpan(source: Source, tokens: readonly IToken[], at: number): Span {
  const token = tokens[at];
  if (token !== undefined) return { file: source.file, start: token.startOffset, end: endOf(token) };
  // The end of the file: right behind the last token, where something is missing.
  const end = endOf(tokens[at - 1]);
  return { file: source.file, start: end, end };
}

function followsUnread(
  source: Source,
  tokens: readonly IToken[],
  at: number,
  unread: readonly Span[],
): boolean {
  if (unread.length === 0) return false;
  const from = endOf(tokens[at - 1]);
  const to = tokens[at]?.startOffset ?? source.text.length;
  let low = 0;
  let high = unread.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (unread[middle]!.start < from) low = middle + 1;
    else high = middle;
  }
  return low < unread.length && unread[low]!.start <= to;
}

function describeFound({ source, tokens, at }: Place): string {
  const token = tokens[at];
  if (token === undefined) return 'the end of the file';
  return `\`${clip(source.text.slice(token.startOffset, endOf(token)))}\``;
}

/** How a token is written, from its pattern; names of names otherwise. */
const spellings: ReadonlyMap<string, string> = new Map([
  ...t.allTokens
    .filter((type) => type.PATTERN instanceof RegExp)
    .map((type): [string, string] => [
      type.name,
      `\`${(type.PATTERN as RegExp).source.replaceAll('\\', '')}\``,
    ]),
  ['Identifier', 'a name'],
  ['Key', 'a name'],
  ['Label', 'a label'],
  ['From', '`i`'],
  ['Text', 'a path in quotes'],
]);

/** What is written for our words elsewhere. */
const synonyms: Readonly<Record<string, string>> = {
  where: 'when',
  if: 'when',
  while: 'when',
  unless: 'when not',
  by: 'step',
  attend: 'i -> j',
  def: 'pattern',
  fn: 'pattern',
  function: 'pattern',
  const: 'let',
  var: 'let',
  use: 'include',
  extends: 'include',
  foreach: 'for',
  xor: 'bitxor(a, b)',
  mod: '%',
};

const itemWords = [
  'let',
  'restrict',
  'include',
  'for',
  'overlaps',
  'score',
  'mix',
  'input',
  'tokens',
  'align',
];
const ruleWords = ['when', 'in', 'step', 'and', 'or', 'not', 'div'];

function suggestWord({ tokens, at }: Place, words: readonly string[]): string | undefined {
  const token = tokens[at];
  if (token === undefined || !/^[A-Za-z_]/.test(token.image)) return undefined;
  const near = Object.hasOwn(synonyms, token.image) ? synonyms[token.image] : nearest(token.image, words);
  return near === undefined ? undefined : `did you mean \`${near}\`?`;
}

function describe(place: Place): Words {
  const { tokens, at, rule, expected } = place;
  const found = tokens[at]?.tokenType;
  const previous = tokens[at - 1];
  if (rule === 'file') {
    const help =
      found === t.RightBrace ? 'there is one `}` too many' : suggestWord(place, ['pattern', 'import']);
    return { code: 'ATTN1009', message: 'expected `pattern` or `import`', help };
  }
  if (rule === 'items' && expected === 'RightBrace') return describeItems(place);
  if (rule === 'operand' && expected === '') return describeOperand(place);
  if (rule === 'labelled') {
    return { code: 'ATTN1009', message: 'expected `i -> j`, `include` or `{` after the label' };
  }
  if (rule === 'rangeEnd' && expected === '') {
    const help =
      found === t.Colon || found === t.Comma ? 'a range is written `0 .. 3` or `0 ..< 4`' : undefined;
    return { code: 'ATTN1009', message: `expected ${afterOperand(previous)}\`..\` or \`..<\``, help };
  }
  if (rule === 'axis') return { code: 'ATTN1010', message: 'expected a size or `?`' };
  if (rule === 'forEach' && expected === '') {
    return {
      code: 'ATTN1009',
      message: 'expected a name or `(` after `for`',
      help: 'as in `for x in [1, 2] { … }`',
    };
  }
  if (rule === 'parameters' && found === t.Identifier) {
    const help = 'a parameter is written `name: type = default`';
    return { code: 'ATTN1009', message: 'expected a name followed by `:`', help };
  }
  if (expected === 'Key' || expected === 'Identifier' || expected === '') return describeName(place);
  if (rule === 'parameter') {
    if (expected === 'Assign') {
      const help = 'every parameter has a default, as in `window: int = 256`';
      return { code: 'ATTN1009', message: 'expected `=` and the default of the parameter', help };
    }
  }
  const spelling = spellings.get(expected) ?? expected;
  if (expected === 'RightParen' || expected === 'RightBracket') {
    const help = found === t.Assign ? 'a named argument is written with `:`' : undefined;
    // Parentheses of an operand hold one expression.
    const or = rule === 'operand' ? 'an operator or ' : `${afterOperand(previous)}\`,\` or `;
    return { code: 'ATTN1009', message: `expected ${or}${spelling}`, help };
  }
  const help = expected === 'Assign' && found === t.Colon ? 'types are not written here' : undefined;
  return { code: 'ATTN1009', message: `expected ${afterOperand(previous)}${spelling}`, help };
}

/** Behind an operand, an operator would do as well. */
function afterOperand(previous: IToken | undefined): string {
  switch (previous?.tokenType) {
    case t.NumberLiteral:
    case t.Boolean:
    case t.RightParen:
    case t.RightBracket:
      return 'an operator, ';
    default:
      return '';
  }
}

function describeItems(place: Place): Words {
  const { tokens, at } = place;
  const found = tokens[at]?.tokenType;
  const previous = tokens[at - 1];
  if (previous?.tokenType === t.Identifier && tokens[at - 2]?.tokenType === t.Arrow) {
    const help = found === t.NumberLiteral ? undefined : suggestWord(place, [...ruleWords, ...itemWords]);
    return { code: 'ATTN1009', message: 'expected `when`, `in` or the next rule', help };
  }
  if (found === t.Arrow) {
    return { code: 'ATTN1009', message: 'expected `i` before `->`', help: 'an edge is written `i -> j`' };
  }
  if (found === t.Identifier && tokens[at + 1]?.tokenType === t.From) {
    return {
      code: 'ATTN1009',
      message: 'expected a rule or `}`',
      help: `a label is written \`${tokens[at]!.image}:\``,
    };
  }
  if (found === t.When || found === t.Step) {
    const help = 'a rule is written `i -> j in A .. B step S when COND`, each part at most once';
    return { code: 'ATTN1009', message: 'expected the next rule or `}`', help };
  }
  switch (previous?.tokenType) {
    case t.LeftBrace:
    case t.RightBrace:
    case t.Semicolon:
    case undefined:
      return { code: 'ATTN1009', message: 'expected a rule or `}`', help: suggestWord(place, itemWords) };
    default: {
      let help = suggestWord(place, [...ruleWords, ...itemWords]);
      if (found === t.Not) help = 'write `not (x in …)`';
      if (found === t.Assign) help = 'a comparison is written `==`; a name is given with `let`';
      if (found === t.DotDot || found === t.DotDotLess)
        help = 'a range follows `in`, as in `i -> j in 0 .. i`';
      return { code: 'ATTN1009', message: 'expected an operator, the next rule or `}`', help };
    }
  }
}

function describeOperand({ tokens, at }: Place): Words {
  const found = tokens[at]?.tokenType;
  let help: string | undefined;
  if (found === t.Dot && tokens[at + 1]?.tokenType === t.NumberLiteral) {
    help = `write \`0.${tokens[at + 1]!.image}\``;
  }
  if (found === t.Question) help = '`?` stands for a size in `tokens (…)`; a choice is written `if(c, a, b)`';
  if (found === t.Assign) help = 'a comparison is written `==`';
  return { code: 'ATTN1010', message: 'expected an expression', help };
}

function describeName({ tokens, at, rule, expected }: Place): Words {
  const found = tokens[at];
  const previous = tokens[at - 1];
  if (found !== undefined && t.reservedWords.includes(found.tokenType)) {
    const message = `\`${found.image}\` is a reserved word and can't be a name`;
    return { code: 'ATTN1006', message, help: 'choose another name' };
  }
  if (expected === 'Key' && found?.tokenType === t.Identifier) {
    return { code: 'ATTN1009', message: 'expected a name followed by `:`' };
  }
  if (rule === 'postfix' && tokens[at - 2]?.tokenType === t.NumberLiteral) {
    return { code: 'ATTN1009', message: 'expected digits after the point', help: 'as in `1.0`' };
  }
  if (previous?.tokenType === t.Arrow) return { code: 'ATTN1013', message: 'expected `j` after `->`' };
  if (rule === 'parameter' || rule === 'inputTable') {
    return {
      code: 'ATTN1009',
      message: previous?.tokenType === t.Colon ? 'expected a type' : 'expected a name',
    };
  }
  return { code: 'ATTN1009', message: 'expected a name' };
}

const closers: ReadonlySet<TokenType> = new Set([t.RightBrace, t.RightParen, t.RightBracket]);

/** Tokens that show that an open bracket was forgotten. */
const endsBrackets: ReadonlySet<TokenType> = new Set([
  t.RightBrace,
  t.RightParen,
  t.RightBracket,
  t.LeftBrace,
  t.Pattern,
  t.Label,
  t.From,
  ...t.reservedWords.filter((word) => (word.CATEGORIES ?? []).length === 0 && word !== t.Boolean),
]);

/** Where the bracket was opened, when the file ends, or something else is closed, before it is. */
function relatedOpening({ source, tokens, at, expected }: Place): Diagnostic['related'] {
  if (expected !== 'RightBrace' && expected !== 'RightParen' && expected !== 'RightBracket') return [];
  const found = tokens[at]?.tokenType;
  if (found !== undefined && !endsBrackets.has(found)) return [];
  // Words and rules may stand in braces, where they show nothing.
  if (expected === 'RightBrace' && found !== undefined && found !== t.Pattern && !closers.has(found))
    return [];
  const opener = { RightBrace: t.LeftBrace, RightParen: t.LeftParen, RightBracket: t.LeftBracket }[expected];
  let depth = 0;
  for (let k = at - 1; k >= 0; k--) {
    const token = tokens[k]!;
    const type = token.tokenType;
    if (type === t.RightBrace || type === t.RightParen || type === t.RightBracket) depth++;
    if (type === t.LeftBrace || type === t.LeftParen || type === t.LeftBracket) {
      if (depth > 0) depth--;
      else if (type === opener) {
        const span = { file: source.file, start: token.startOffset, end: endOf(token) };
        return [{ message: `\`${token.image}\` is opened here`, span }];
      }
    }
  }
  return [];
}
