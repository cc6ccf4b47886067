import { Command } from 'commander';
import type { Diagnostic } from '../../grammar/diagnostics.js';
import { isAttncError } from '../../runtime/errors.js';
import { action } from '../action.js';
import { readSource, resolveImport } from '../files.js';
import { diagnosticsOption, jsonOption } from '../options.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';

interface Options {
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

interface Report {
  readonly file: string;
  readonly patterns: readonly string[];
  readonly errors: number;
  readonly warnings: number;
  readonly diagnostics: readonly unknown[];
}

export function checkCommand(session: Session): Command {
  return new Command('check')
    .description('Report everything that is wrong with pattern files.')
    .argument('<files...>', '.attn files; - reads standard input')
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText('after', '\nExample:\n  $ attnc check samples/longformer.attn samples/longnet.attn')
    .action(action(session, (files: readonly string[], options: Options) => check(session, files, options)));
}

async function check(session: Session, files: readonly string[], options: Options): Promise<number> {
  const reports: Report[] = [];
  for (const file of files) reports.push(await checkFile(session, file));
  const errors = reports.reduce((n, r) => n + r.errors, 0);
  if (options.json) {
    const warnings = reports.reduce((n, r) => n + r.warnings, 0);
    session.io.stdout.write(`${JSON.stringify({ errors, warnings, files: reports }, undefined, 2)}\n`);
  } else {
    for (const r of reports) session.io.stdout.write(`${summary(r)}\n`);
  }
  return errors > 0 ? STATUS.failed : STATUS.done;
}

async function checkFile(session: Session, file: string): Promise<Report> {
  const [{ checkSource }, { render }] = await Promise.all([
    import('../../compiler/check/index.js'),
    import('../../grammar/render.js'),
  ]);
  try {
    const source = await readSource(session, file);
    const { diagnostics, sources, patterns } = checkSource(source, { resolve: resolveImport });
    session.diagnostics(diagnostics, sources);
    const count = (severity: Diagnostic['severity']): number =>
      diagnostics.filter((d) => d.severity === severity).length;
    const json = render(diagnostics, sources, { format: 'json', color: false });
    return {
      file: source.file,
      patterns,
      errors: count('error'),
      warnings: count('warning'),
      diagnostics: JSON.parse(json) as unknown[],
    };
  } catch (error) {
    // One file that can't be read doesn't keep the others from being checked.
    if (!isAttncError(error, 'file-access') && !isAttncError(error, 'broken-file')) throw error;
    session.error(error);
    const { code, problem } = error;
    const diagnostic = { code, severity: 'error', message: problem, span: null, help: null, related: [] };
    return { file, patterns: [], errors: 1, warnings: 0, diagnostics: [diagnostic] };
  }
}

function summary(r: Report): string {
  const found = [counted(r.errors, 'error'), counted(r.warnings, 'warning')].filter((t) => t !== '');
  const verdict = found.length === 0 ? 'ok' : found.join(', ');
  const names = r.patterns.length === 0 ? '' : ` (${r.patterns.join(', ')})`;
  return `${r.file}: ${verdict}${names}`;
}

function counted(n: number, what: string): string {
  return n === 0 ? '' : `${n} ${what}${n === 1 ? '' : 's'}`;
}
