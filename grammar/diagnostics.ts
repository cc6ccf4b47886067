import type { Span } from './ast.js';

/**
 * Diagnostics are data: collected by every stage, printed in one place (grammar/render.ts).
 * Codes are stable: ATTN1xxx lexing and parsing, ATTN2xxx checking, ATTN3xxx exporting,
 * ATTN4xxx binding and running, ATTN5xxx files and the command line.
 */
export interface Diagnostic {
  readonly code: string;
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly span: Span | undefined;
  /** One line: what to do, or the nearest name. */
  readonly help: string | undefined;
  /** Other places that matter ("first declared here"). */
  readonly related: readonly { readonly message: string; readonly span: Span }[];
}

export function diagnostic(
  code: string,
  severity: Diagnostic['severity'],
  message: string,
  span: Span | undefined,
  extra: { readonly help?: string; readonly related?: Diagnostic['related'] } = {},
): Diagnostic {
  return { code, severity, message, span, help: extra.help, related: extra.related ?? [] };
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
  return diagnostics.some((d) => d.severity === 'error');
}
