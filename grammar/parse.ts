/** Text → tree: lexer → context → parser → tree, and everything that was wrong on the way. */
import { Lexer, type IToken } from 'chevrotain';
import type { Comment, FileAst, Source, Span } from './ast.js';
import { createBuilder } from './builder.js';
import { addContext } from './context.js';
import { diagnostic, type Diagnostic } from './diagnostics.js';
import type { FileCstNode } from './generated/cst.js';
import { AttnParser } from './parser.js';
import { describeSyntaxErrors } from './syntax-errors.js';
import { toAst } from './to-ast.js';
import * as t from './tokens.js';

export interface Parsed {
  readonly ast: FileAst;
  /** In the order of the text. */
  readonly diagnostics: readonly Diagnostic[];
}

/** More than these are not shown. */
const maxDiagnostics = 1000;

interface Machines {
  readonly lexer: Lexer;
  readonly parser: AttnParser;
}

/** Made when first needed: it takes some 20 ms. */
const machines = lazily((): Machines => ({
  lexer: new Lexer(t.allTokens, {
    positionTracking: 'onlyOffset',
    ensureOptimizations: true,
    skipValidations: true,
  }),
  parser: new AttnParser(),
}));

function lazily<Value extends object>(make: () => Value): () => Value {
  let made: Value | undefined;
  return () => (made ??= make());
}

/**
 * Reads a file. It never throws: whatever is wrong is in `diagnostics`, and the tree holds what could be read. A tree
 * with errors lacks parts, so it should not be checked for unknown names.
 */
export function parse(source: Source): Parsed {
  const { lexer, parser } = machines();
  const lexed = lexer.tokenize(source.text);
  const comments = lexed.groups['comments'] ?? [];
  const unread = lexed.errors.map((error): Span => ({
    file: source.file,
    start: error.offset,
    end: error.offset + error.length,
  }));
  const context = addContext(source.file, lexed.tokens);
  const { cst, errors, complete } = parser.run(context.tokens);
  const builder = createBuilder(
    source,
    comments.filter((token) => token.tokenType === t.DocComment),
  );
  const tree = toAst(builder, cst as FileCstNode | undefined);
  const ast: FileAst = { ...tree, comments: toComments(source, lexed.tokens, comments) };

  const open = unclosed(source, context.tokens, comments);
  const unreadOrOpen = [...unread, ...open.map((d) => d.span!)].sort((a, b) => a.start - b.start);
  const diagnostics = [
    ...unread.map((span) => unreadable(source, span)),
    ...open,
    ...context.diagnostics,
    ...describeSyntaxErrors(source, context.tokens, errors, {
      unread: unreadOrOpen,
      tooDeepAt: context.tooDeepAt,
    }),
    ...builder.diagnostics,
  ].sort((a, b) => a.span!.start - b.span!.start);
  if (complete && diagnostics.length <= maxDiagnostics) return { ast, diagnostics };
  const shown = diagnostics.slice(0, maxDiagnostics);
  const last = shown.at(-1)?.span ?? tree.span;
  return {
    ast,
    diagnostics: [...shown, diagnostic('ATTN1008', 'error', 'too many errors; the rest is not shown', last)],
  };
}

function toComments(source: Source, tokens: readonly IToken[], comments: readonly IToken[]): Comment[] {
  let next = 0;
  return comments.map((comment) => {
    while (next < tokens.length && tokens[next]!.startOffset < comment.startOffset) next++;
    const before = tokens[next - 1];
    const end = comment.startOffset + comment.image.length;
    const trailing =
      before !== undefined && !hasNewline(source.text, before.endOffset! + 1, comment.startOffset);
    return { text: comment.image, trailing, span: { file: source.file, start: comment.startOffset, end } };
  });
}

function hasNewline(text: string, start: number, end: number): boolean {
  for (let k = start; k < end; k++) if (text.charCodeAt(k) === 10) return true;
  return false;
}

function unreadable(source: Source, span: Span): Diagnostic {
  const text = source.text.slice(span.start, span.end);
  const shown = printable(text);
  const message = text.length === 1 ? `unexpected character ${shown}` : `unexpected characters ${shown}`;
  if (/^[#']/.test(text)) {
    const help = text.startsWith('#') ? 'a comment starts with `//`' : 'a path is written in double quotes';
    return diagnostic('ATTN1001', 'error', message, span, { help });
  }
  const letters = /\p{L}/u.test(text);
  const extra = letters ? { help: 'names are made of the letters a to z, A to Z, digits and `_`' } : {};
  return diagnostic('ATTN1001', 'error', message, span, extra);
}

/** In quotes where it can be seen, else by number; cut after a few. */
function printable(text: string): string {
  if (/^[\p{L}\p{P}\p{S}\p{N}]{1,12}$/u.test(text)) return `\`${text}\``;
  const units = [...text.slice(0, 8)].slice(0, 4);
  const numbers = units.map(
    (unit) => `U+${unit.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`,
  );
  return numbers.join(' ') + (text.length > units.join('').length ? ' …' : '');
}

function unclosed(source: Source, tokens: readonly IToken[], comments: readonly IToken[]): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const report = (message: string, token: IToken, length: number, help: string): void => {
    const span = { file: source.file, start: token.startOffset, end: token.startOffset + length };
    diagnostics.push(diagnostic('ATTN1002', 'error', message, span, { help }));
  };
  for (const token of tokens) {
    if (token.tokenType === t.Text && !(token.image.length > 1 && token.image.endsWith('"'))) {
      report('this text is never closed', token, token.image.length, 'add `"`');
    }
  }
  const last = comments.at(-1);
  if (last?.tokenType === t.BlockComment && !(last.image.length > 3 && last.image.endsWith('*/'))) {
    report('this comment is never closed', last, 2, 'add `*/`');
  }
  return diagnostics;
}
