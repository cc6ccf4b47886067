import type { Source } from '../grammar/ast.js';
import { diagnostic, type Diagnostic } from '../grammar/diagnostics.js';
import { render, type RenderOptions } from '../grammar/render.js';
import { AttncError, internalError } from '../runtime/errors.js';
import { hasColor, type Io } from './io.js';
import { createProgress, type Progress } from './progress.js';

export type DiagnosticsFormat = RenderOptions['format'];

/** Exit statuses of the command line. */
export const STATUS = { done: 0, failed: 1, usage: 2, noDevice: 3 } as const;

/**
 * One run of the command line: where it writes, and how it says what is wrong. Standard output carries only a command's
 * result; everything else goes to standard error, as one JSON array at the end where `--diagnostics json` asks for it.
 */
export interface Session {
  readonly io: Io;
  readonly progress: Progress;
  /** Exit status; set by commands. */
  status: number;
  setFormat(format: DiagnosticsFormat): void;
  diagnostics(found: readonly Diagnostic[], sources: ReadonlyMap<string, Source>): void;
  /** Reports anything thrown, and returns the exit status that goes with it. */
  error(error: unknown): number;
  /** A remark beside the result; not shown where diagnostics are JSON. */
  note(text: string): void;
  /** Ends progress and writes what was kept back. */
  finish(): void;
}

export function createSession(io: Io, format: DiagnosticsFormat): Session {
  let chosen = format;
  const kept: unknown[] = [];
  const progress = createProgress(io, () => chosen !== 'json');
  const tell = (found: readonly Diagnostic[], sources: ReadonlyMap<string, Source>): void => {
    progress.clear();
    const text = render(found, sources, { format: chosen, color: hasColor(io, io.stderr) });
    if (chosen === 'json') kept.push(...(JSON.parse(text) as unknown[]));
    else io.stderr.write(text);
  };
  return {
    io,
    progress,
    status: STATUS.done,
    setFormat: (f) => {
      chosen = f;
    },
    diagnostics: (found, sources) => {
      if (found.length > 0) tell(found, sources);
    },
    error: (error) => {
      const typed = asAttncError(error);
      const { code, problem, help, message } = typed;
      progress.clear();
      if (chosen === 'pretty') io.stderr.write(`attnc: error[${code}]: ${message}\n`);
      else
        tell([diagnostic(code, 'error', problem, undefined, help === undefined ? {} : { help })], new Map());
      if (typed.kind === 'internal' && io.env.ATTNC_DEBUG) io.stderr.write(`${stackOf(error)}\n`);
      return statusOf(typed);
    },
    note: (text) => {
      if (chosen === 'json') return;
      progress.clear();
      io.stderr.write(`${text}\n`);
    },
    finish: () => {
      progress.clear();
      if (chosen === 'json') io.stderr.write(`${JSON.stringify(kept, undefined, 2)}\n`);
    },
  };
}

export function statusOf(error: AttncError): number {
  switch (error.kind) {
    case 'usage':
      return STATUS.usage;
    case 'no-adapter':
      return STATUS.noDevice;
    default:
      return STATUS.failed;
  }
}

/** Whatever is no error of ours is our bug: one line, and the stack only if asked for. */
function asAttncError(error: unknown): AttncError {
  if (error instanceof AttncError) return error;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const made = internalError(text.split('\n')[0] ?? text, error);
  return new AttncError('internal', made.problem, { help: `${made.help ?? ''} (ATTNC_DEBUG=1 shows where)` });
}

function stackOf(error: unknown): string {
  const inner =
    error instanceof Error && error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : '';
  return error instanceof Error ? `${error.stack ?? error.message}${inner}` : String(error);
}
