/**
 * The words of the language. The lexer knows no context; `context.ts` then gives a few names the finer types
 * (Label, Key, From, Tokens, LastComma) that let one token of lookahead decide everything, so that the parser is
 * fast and recovery finds the next item without guessing.
 */
import { createToken, Lexer, type TokenType } from 'chevrotain';

/** `a OP b`, of any precedence: the tree of an expression is built in to-expression.ts. */
export const BinaryOperator = createToken({ name: 'BinaryOperator', pattern: Lexer.NA });
/** `- a`, `not a` */
export const PrefixOperator = createToken({ name: 'PrefixOperator', pattern: Lexer.NA });

export const Identifier = createToken({ name: 'Identifier', pattern: /[A-Za-z_]\w*/ });

/** A name before the `:` of an item. */
export const Label = createToken({ name: 'Label', pattern: Lexer.NA });
/** A name before any other `:` (parameter, argument, axis, input). */
export const Key = createToken({ name: 'Key', pattern: Lexer.NA });
/** The name before `->`. */
export const From = createToken({ name: 'From', pattern: Lexer.NA });
/** The word `tokens` before `(NAME:`; elsewhere it is a name (an axis). */
export const Tokens = createToken({ name: 'Tokens', pattern: Lexer.NA });
/** A comma before `)` or `]`. */
export const LastComma = createToken({ name: 'LastComma', pattern: Lexer.NA });

function word(text: string, categories: TokenType[] = []): TokenType {
  const name = text[0]!.toUpperCase() + text.slice(1);
  return createToken({ name, pattern: new RegExp(text), longer_alt: Identifier, categories });
}

export const Pattern = word('pattern');
export const Import = word('import');
export const When = word('when');
export const In = word('in', [BinaryOperator]);
export const Step = word('step');
export const Let = word('let');
export const Restrict = word('restrict');
export const Include = word('include');
export const For = word('for');
export const Overlaps = word('overlaps');
export const Score = word('score');
export const Mix = word('mix');
export const Input = word('input');
export const Align = word('align');
export const And = word('and', [BinaryOperator]);
export const Or = word('or', [BinaryOperator]);
export const Not = word('not', [PrefixOperator]);
export const Div = word('div', [BinaryOperator]);
export const Boolean = createToken({ name: 'Boolean', pattern: /true|false/, longer_alt: Identifier });

/** Anything that begins with a digit; literals.ts decides what it is. `0..4` is `0`, `..`, `4`. */
export const NumberLiteral = createToken({
  name: 'NumberLiteral',
  pattern: /\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d[\d_]*)?\w*/,
});
/** A text that is not closed on its line is a token as well, and an error of its own. */
export const Text = createToken({ name: 'Text', pattern: /"[^"\n\r]*"?/ });

function sign(name: string, pattern: RegExp, categories: TokenType[] = []): TokenType {
  return createToken({ name, pattern, categories });
}

/** Operators of other languages; context.ts reports them and puts ours in their place. */
export const Foreign = sign(
  'Foreign',
  /&&?|\|\|?|===|!==|=>|=<|<>|<<|>>|!(?!=)|\^|[\u2264\u2265\u2260\u2192\u2227\u2228\u00ac\u00d7\u00f7\u2212]/,
);
export const Arrow = sign('Arrow', /->/);
export const DotDotLess = sign('DotDotLess', /\.\.</);
export const DotDot = sign('DotDot', /\.\./);
export const Dot = sign('Dot', /\./);
export const Equal = sign('Equal', /==/, [BinaryOperator]);
export const NotEqual = sign('NotEqual', /!=/, [BinaryOperator]);
export const LessEqual = sign('LessEqual', /<=/, [BinaryOperator]);
export const Less = sign('Less', /</, [BinaryOperator]);
export const GreaterEqual = sign('GreaterEqual', />=/, [BinaryOperator]);
export const Greater = sign('Greater', />/, [BinaryOperator]);
export const Assign = sign('Assign', /=/);
export const Power = sign('Power', /\*\*/, [BinaryOperator]);
export const Star = sign('Star', /\*/, [BinaryOperator]);
export const Slash = sign('Slash', /\//, [BinaryOperator]);
export const Percent = sign('Percent', /%/, [BinaryOperator]);
export const Plus = sign('Plus', /\+/, [BinaryOperator]);
export const Minus = sign('Minus', /-/, [BinaryOperator, PrefixOperator]);
export const LeftBrace = sign('LeftBrace', /\{/);
export const RightBrace = sign('RightBrace', /\}/);
export const LeftParen = sign('LeftParen', /\(/);
export const RightParen = sign('RightParen', /\)/);
export const LeftBracket = sign('LeftBracket', /\[/);
export const RightBracket = sign('RightBracket', /\]/);
export const Comma = sign('Comma', /,/);
export const Colon = sign('Colon', /:/);
export const Semicolon = sign('Semicolon', /;/);
export const Question = sign('Question', /\?/);

export const Space = createToken({ name: 'Space', pattern: /\s+/, group: Lexer.SKIPPED });
/** `///`, but not `////`. */
export const DocComment = createToken({
  name: 'DocComment',
  pattern: /\/\/\/(?!\/)[^\n\r]*/,
  group: 'comments',
});
export const LineComment = createToken({ name: 'LineComment', pattern: /\/\/[^\n\r]*/, group: 'comments' });
/** One that is never closed runs to the end of the file, and is reported. */
export const BlockComment = createToken({
  name: 'BlockComment',
  pattern: /\/\*[^]*?(?:\*\/|$)/,
  group: 'comments',
});

/** Words that can't be names. */
export const reservedWords: readonly TokenType[] = [
  Pattern,
  Import,
  When,
  Step,
  Let,
  Restrict,
  Include,
  For,
  Overlaps,
  Score,
  Mix,
  Input,
  Align,
  And,
  Or,
  Not,
  Div,
  // After `include` and `input`, which begin with it.
  In,
  Boolean,
];

/** In the order in which the lexer tries them. */
export const allTokens: TokenType[] = [
  Space,
  DocComment,
  LineComment,
  BlockComment,
  ...reservedWords,
  Identifier,
  NumberLiteral,
  Text,
  Foreign,
  Arrow,
  DotDotLess,
  DotDot,
  Dot,
  Equal,
  NotEqual,
  LessEqual,
  Less,
  GreaterEqual,
  Greater,
  Assign,
  Power,
  Star,
  Slash,
  Percent,
  Plus,
  Minus,
  LeftBrace,
  RightBrace,
  LeftParen,
  RightParen,
  LeftBracket,
  RightBracket,
  Comma,
  Colon,
  Semicolon,
  Question,
  BinaryOperator,
  PrefixOperator,
  Label,
  Key,
  From,
  Tokens,
  LastComma,
];
