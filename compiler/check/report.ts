import type { Span } from '../../grammar/ast.js';
import { diagnostic, type Diagnostic } from '../../grammar/diagnostics.js';
import type { CheckCode } from './codes.js';

interface Extra {
  readonly help?: string | undefined;
  readonly related?: Diagnostic['related'];
}

/** Collects diagnostics. What is checked several times (includes, repetitions) is reported once. */
export interface Report {
  readonly error: (code: CheckCode, message: string, span: Span | undefined, extra?: Extra) => void;
  readonly warning: (code: CheckCode, message: string, span: Span | undefined, extra?: Extra) => void;
  readonly all: () => readonly Diagnostic[];
}

export function createReport(): Report {
  const found = new Map<string, Diagnostic>();
  const put = (
    severity: Diagnostic['severity'],
    code: CheckCode,
    message: string,
    span: Span | undefined,
    extra: Extra = {},
  ): void => {
    const key = span ? `${code} ${span.file} ${span.start} ${span.end}` : `${code} ${message}`;
    if (found.has(key)) return;
    found.set(
      key,
      diagnostic(code, severity, message, span, {
        ...(extra.help === undefined ? {} : { help: extra.help }),
        ...(extra.related === undefined ? {} : { related: extra.related }),
      }),
    );
  };
  return {
    error: (code, message, span, extra) => put('error', code, message, span, extra),
    warning: (code, message, span, extra) => put('warning', code, message, span, extra),
    all: () => [...found.values()],
  };
}

/**
 * The report of an included pattern's body: what is wrong with these arguments only is said with the place of the
 * include; warnings are the business of the pattern itself.
 */
export function reportFromInclude(outer: Report, place: Span): Report {
  return {
    error: (code, message, span, extra = {}) => {
      const related = extra.related ?? [];
      const here = { message: 'with the arguments given here', span: place };
      outer.error(code, message, span, { ...extra, related: span === place ? related : [...related, here] });
    },
    warning: () => undefined,
    all: outer.all,
  };
}

/** A report that nobody reads: for a body that is gone through only to see which names it uses. */
export const silent: Report = { error: () => undefined, warning: () => undefined, all: () => [] };
