/**
 * One walk over the tokens before they are parsed. It
 * - gives names before `:` and `->` the types that make the grammar decidable with one token (tokens.ts);
 * - reports reserved words used as names and operators of other languages, and puts what was meant in their place,
 *   so that parsing goes on undisturbed;
 * - leaves out what is nested so deeply that it would overflow the stack.
 * The tokens are fresh from the lexer and are changed in place.
 */
import type { IToken, TokenType } from 'chevrotain';
import { diagnostic, type Diagnostic } from './diagnostics.js';
import type { Code } from './codes.js';
import * as t from './tokens.js';

/** Brackets and braces inside each other. */
export const maxBrackets = 100;

const reserved = new Set(t.reservedWords);

/** Before these, a name that is followed by `:` is an item's label, whatever brackets are open. */
const itemKeywords = new Set([
  t.Let,
  t.Restrict,
  t.Include,
  t.For,
  t.Overlaps,
  t.Score,
  t.Mix,
  t.Input,
  t.Align,
  t.When,
]);

interface Foreign {
  readonly ours: TokenType;
  readonly text: string;
  readonly help: string;
}

function use(ours: TokenType, text: string, help = `write \`${text}\``): Foreign {
  return { ours, text, help };
}

/** What people write who come from other languages. The bit operators have no operator of ours; `*` stands in. */
const foreignOperators: Readonly<Record<string, Foreign>> = {
  '&&': use(t.And, 'and'),
  '||': use(t.Or, 'or'),
  '!': use(t.Not, 'not'),
  '===': use(t.Equal, '=='),
  '!==': use(t.NotEqual, '!='),
  '<>': use(t.NotEqual, '!='),
  '=>': use(t.Arrow, '->', 'an edge is written `i -> j`; a comparison `>=`'),
  '=<': use(t.LessEqual, '<='),
  '&': use(t.Star, '*', 'write `and` between conditions, `bitand(a, b)` between integers'),
  '|': use(t.Star, '*', 'write `or` between conditions, `bitor(a, b)` between integers'),
  '^': use(t.Power, '**', 'write `**` for a power, `bitxor(a, b)` for exclusive or'),
  '<<': use(t.Star, '*', 'write `shl(a, n)`'),
  '>>': use(t.Star, '*', 'write `shr(a, n)`'),
  '\u2264': use(t.LessEqual, '<='),
  '\u2265': use(t.GreaterEqual, '>='),
  '\u2260': use(t.NotEqual, '!='),
  '\u2192': use(t.Arrow, '->'),
  '\u2227': use(t.And, 'and'),
  '\u2228': use(t.Or, 'or'),
  '\u00ac': use(t.Not, 'not'),
  '\u00d7': use(t.Star, '*'),
  '\u00f7': use(t.Slash, '/', 'write `div` between integers, `/` between floats'),
  '\u2212': use(t.Minus, '-'),
};

function retype(token: IToken, type: TokenType, text?: string): void {
  token.tokenType = type;
  token.tokenTypeIdx = type.tokenTypeIdx!;
  if (text !== undefined) token.image = text;
}

/** Whether an operand may end with this token. */
function endsOperand(type: TokenType | undefined): boolean {
  return (
    type === t.Identifier ||
    type === t.NumberLiteral ||
    type === t.Boolean ||
    type === t.RightParen ||
    type === t.RightBracket
  );
}

/** Whether an item may end with this token, or the braces round it begin. */
function endsItem(type: TokenType | undefined): boolean {
  return endsOperand(type) || type === t.LeftBrace || type === t.RightBrace || type === t.Semicolon;
}

function startsOperand(type: TokenType | undefined): boolean {
  return (
    type === t.Identifier ||
    type === t.NumberLiteral ||
    type === t.LeftParen ||
    type === t.Minus ||
    type === t.Boolean
  );
}

export interface Context {
  /** What the parser gets. */
  readonly tokens: IToken[];
  readonly diagnostics: readonly Diagnostic[];
  /** Offset of the first token left out for its depth: the parser's errors from there on are not the writer's. */
  readonly tooDeepAt: number;
}

export function addContext(file: string, tokens: IToken[]): Context {
  const diagnostics: Diagnostic[] = [];
  const report = (code: Code, message: string, token: IToken, help: string): void => {
    const span = { file, start: token.startOffset, end: token.startOffset + token.image.length };
    diagnostics.push(diagnostic(code, 'error', message, span, { help }));
  };
  /** A `(`, `[` and `{` that is open. */
  let open = 0;
  /** Of these, since the last `{` or keyword of an item. */
  let brackets = 0;
  let tooDeepAt = Infinity;
  /** After `when` and `restrict`, where `=` can only be meant as `==`. */
  let inCondition = false;
  /** After `include`, where `=` can only be meant as `:`. */
  let inInclude = false;
  const kept: IToken[] = [];
  let previous: TokenType | undefined;

  for (let k = 0; k < tokens.length; k++) {
    const token = tokens[k]!;
    const next = tokens[k + 1];
    let type = token.tokenType;
    // The lexer leaves it out, and the images of some tokens change below.
    token.endOffset = token.startOffset + token.image.length - 1;

    if (type === t.Identifier) {
      const follower = next?.tokenType;
      // `let x: int` is left to the parser.
      if (follower === t.Colon && previous !== t.Let)
        retype(token, keyOrLabel(tokens, k, brackets, previous));
      else if (
        follower === t.Arrow ||
        (follower === t.Foreign && foreignOperators[next!.image]?.ours === t.Arrow)
      ) {
        retype(token, t.From);
      } else if (follower === t.LeftParen) {
        if (token.image === 'tokens' && tokens[k + 3]?.tokenType === t.Colon && endsItem(previous)) {
          retype(token, t.Tokens);
          brackets = 0;
          inCondition = inInclude = false;
        }
      } else if (follower === t.Assign && inInclude && brackets > 0) {
        report('ATTN1005', 'a named argument is written with `:`', next!, `write \`${token.image}: …\``);
        retype(next!, t.Colon, ':');
        retype(token, t.Key);
      } else if (token.image === 'mod' && endsOperand(previous) && startsOperand(follower)) {
        report('ATTN1005', '`mod` is not an operator here', token, 'write `%`');
        retype(token, t.Percent, '%');
      }
    } else if (type === t.Foreign) {
      const meant = foreignOperators[token.image]!;
      report('ATTN1005', `\`${token.image}\` is not an operator here`, token, meant.help);
      retype(token, meant.ours, meant.text);
    } else if (type === t.Assign) {
      if (inCondition) {
        report('ATTN1005', '`=` does not compare', token, 'write `==`');
        retype(token, t.Equal, '==');
      }
    } else if (type === t.LeftParen || type === t.LeftBracket) {
      open++;
      brackets++;
    } else if (type === t.RightParen || type === t.RightBracket) {
      if (open > 0) open--;
      if (brackets > 0) brackets--;
    } else if (type === t.LeftBrace || type === t.RightBrace) {
      open = Math.max(0, open - brackets + (type === t.LeftBrace ? 1 : -1));
      brackets = 0;
      inCondition = inInclude = false;
    } else if (type === t.Comma) {
      const follower = next?.tokenType;
      const closes = follower === t.RightParen || follower === t.RightBracket;
      if (closes && previous !== t.LeftParen && previous !== t.LeftBracket && previous !== t.Comma) {
        retype(token, t.LastComma);
      }
    } else if (reserved.has(type)) {
      if (namesSomething(previous, next?.tokenType, type, brackets)) {
        report(
          'ATTN1006',
          `\`${token.image}\` is a reserved word and can't be a name`,
          token,
          'choose another name',
        );
        const colon = next?.tokenType === t.Colon;
        retype(token, colon ? keyOrLabel(tokens, k, brackets, previous) : t.Identifier);
      } else if (itemKeywords.has(type)) {
        open -= brackets;
        brackets = 0;
        inCondition = type === t.When || type === t.Restrict;
        inInclude = type === t.Include;
      } else if (type === t.Pattern) {
        open = brackets = 0;
        inCondition = inInclude = false;
      }
    }

    type = token.tokenType;
    if (open > maxBrackets) {
      if (token.startOffset < tooDeepAt) {
        if (tooDeepAt === Infinity) {
          tooDeepAt = token.startOffset;
          const help = 'give the inner parts names with `let`';
          report('ATTN1007', `more than ${maxBrackets} brackets inside each other`, token, help);
        }
      }
    } else {
      kept.push(token);
    }
    previous = type;
  }
  return { tokens: kept, diagnostics, tooDeepAt };
}

/** The name at k stands before a `:`; it is an item's label unless it is in brackets or an input's name. */
function keyOrLabel(
  tokens: readonly IToken[],
  k: number,
  brackets: number,
  previous: TokenType | undefined,
): TokenType {
  if (previous === t.Input) return t.Key;
  if (brackets === 0) return t.Label;
  const next = tokens[k + 2]?.tokenType;
  const labels = next === t.LeftBrace || next === t.Include || tokens[k + 3]?.tokenType === t.Arrow;
  return labels ? t.Label : t.Key;
}

/** Whether a reserved word stands where only a name can. */
function namesSomething(
  previous: TokenType | undefined,
  next: TokenType | undefined,
  type: TokenType,
  brackets: number,
): boolean {
  switch (previous) {
    case t.Let:
      return next === t.Assign;
    case t.Pattern:
      return next === t.LeftParen || next === t.LeftBrace;
    case t.Include:
      return next === t.LeftParen;
    case t.For:
      return next === t.In;
    case t.Dot:
      return type !== t.In;
    default:
      if (next === t.Colon) return true;
      // `score = …` and `mix = …` are items; `f(step = 3)` and `(in, x)` are not looked into.
      return next === t.Arrow && brackets === 0 && type !== t.When && type !== t.In;
  }
}
