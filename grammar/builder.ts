/** What both halves of the tree builder (to-ast.ts, to-expression.ts) share: spans, docs and reporting. */
import type { CstNode, IToken } from 'chevrotain';
import type { Name, Source, Span } from './ast.js';
import type { Code } from './codes.js';
import { diagnostic, type Diagnostic } from './diagnostics.js';

export interface Builder {
  readonly source: Source;
  /** Doc comments in the order of the text. */
  readonly docs: readonly IToken[];
  /** Index into `docs` by the offset at which the comment ends. */
  readonly docEndingAt: ReadonlyMap<number, number>;
  readonly diagnostics: Diagnostic[];
}

export function createBuilder(source: Source, docs: readonly IToken[]): Builder {
  const docEndingAt = new Map(docs.map((token, k) => [token.startOffset + token.image.length, k]));
  return { source, docs, docEndingAt, diagnostics: [] };
}

/** The k-th token, unless recovery made it up or there is none. */
export function given(tokens: readonly IToken[] | undefined, k = 0): IToken | undefined {
  const token = tokens?.[k];
  return token === undefined || Number.isNaN(token.startOffset) ? undefined : token;
}

export function tokenEnd(token: IToken): number {
  return token.endOffset! + 1;
}

export function tokenSpan(builder: Builder, token: IToken): Span {
  return { file: builder.source.file, start: token.startOffset, end: tokenEnd(token) };
}

/** From the node's first token to its last; a node without tokens is at 0. */
export function nodeSpan(builder: Builder, node: CstNode): Span {
  const start = node.location?.startOffset ?? NaN;
  const end = (node.location?.endOffset ?? NaN) + 1;
  if (Number.isNaN(start)) return { file: builder.source.file, start: 0, end: 0 };
  return { file: builder.source.file, start, end: Number.isNaN(end) ? start : Math.max(start, end) };
}

export function tokenName(builder: Builder, token: IToken): Name {
  return { text: token.image, span: tokenSpan(builder, token) };
}

export function report(builder: Builder, code: Code, message: string, span: Span, help?: string): void {
  builder.diagnostics.push(diagnostic(code, 'error', message, span, help === undefined ? {} : { help }));
}

/** The `///` lines right before `start`, without slashes and one space. */
export function docBefore(builder: Builder, start: number): string | undefined {
  const { text } = builder.source;
  const lines: string[] = [];
  let last = builder.docEndingAt.get(spaceStart(text, start));
  while (last !== undefined) {
    const token = builder.docs[last]!;
    lines.unshift(docText(token.image));
    last = builder.docEndingAt.get(spaceStart(text, token.startOffset));
  }
  return lines.length === 0 ? undefined : lines.join('\n');
}

function docText(image: string): string {
  return image.slice(image[3] === ' ' ? 4 : 3).trimEnd();
}

/** Where the white space that ends at `offset` starts. */
function spaceStart(text: string, offset: number): number {
  let k = offset;
  while (k > 0 && isSpace(text.charCodeAt(k - 1))) k--;
  return k;
}

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13) || (code > 127 && /\s/.test(String.fromCharCode(code)));
}
