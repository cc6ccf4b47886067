import type { PatternAst, Source } from '../../grammar/ast.js';
import { hasErrors, type Diagnostic } from '../../grammar/diagnostics.js';
import { nearest } from '../../grammar/nearest.js';
import type { Pattern } from '../ir/edges.js';
import { loadFiles, type LoadedFiles, type Resolve } from './files.js';
import { checkPattern } from './pattern.js';
import { createReport, type Report } from './report.js';
import type { Settings } from './settings.js';

export interface CheckOptions {
  /** The pattern to lower. */
  readonly pattern?: string;
  /** Values for its parameters, in place of their defaults. */
  readonly set?: Settings;
  /** Finds imported files; without it there are none. */
  readonly resolve?: Resolve;
}

export interface Checked {
  /** Names of the patterns of the file itself, in its order. */
  readonly patterns: readonly string[];
  /** Lowered; undefined if anything in the file, or in what it imports, is wrong. */
  readonly pattern: Pattern | undefined;
  /** Of parsing, then of checking, each file by file in the order of the text; last those without a place. */
  readonly diagnostics: readonly Diagnostic[];
  /** Every file that was read, by name. */
  readonly sources: ReadonlyMap<string, Source>;
}

/**
 * Checks every pattern of a file, and of what it imports, and lowers one: `options.pattern`, else the file's only one,
 * else the one named as the file (`relative-bias.attn` and `relative_bias` agree), else the last.
 */
export function checkSource(source: Source, options: CheckOptions = {}): Checked {
  const report = createReport();
  const files = loadFiles(source, options.resolve ?? (() => undefined), report);
  const chosen = choosePattern(files, source, options.pattern, report);
  const found: Diagnostic[] = [];
  let pattern: Pattern | undefined;
  for (const ast of files.order) {
    // Without its settings a pattern is checked as it is written; with them, what they break is found as well.
    const set = ast === chosen ? (options.set ?? {}) : {};
    const checked = checkPattern(files.library, ast, set);
    found.push(...checked.diagnostics);
    if (ast === chosen) pattern = checked.pattern;
  }
  const { sources } = files.library;
  const diagnostics = [...files.syntax, ...inOrder([...report.all(), ...unique(found)], sources)];
  return {
    patterns: files.own.map((p) => p.name.text),
    pattern: hasErrors(diagnostics) ? undefined : pattern,
    diagnostics,
    sources,
  };
}

function choosePattern(
  files: LoadedFiles,
  source: Source,
  wanted: string | undefined,
  report: Report,
): PatternAst | undefined {
  const { own } = files;
  const names = own.map((p) => p.name.text);
  if (wanted !== undefined) {
    const found = own.find((p) => p.name.text === wanted);
    if (!found && files.library.complete) {
      const like = nearest(wanted, names);
      const help = like
        ? `did you mean \`${like}\`?`
        : names.length > 0
          ? `it has ${names.join(', ')}`
          : undefined;
      report.error('ATTN2044', `\`${source.file}\` has no pattern \`${wanted}\``, undefined, { help });
    }
    return found;
  }
  if (own.length === 0 && files.syntax.length === 0) {
    const span = { file: source.file, start: 0, end: 0 };
    report.error('ATTN2044', `\`${source.file}\` has no pattern`, span, {
      help: 'a pattern is written `pattern NAME { i -> j when CONDITION }`',
    });
  }
  const stem = (source.file.split(/[/\\]/).at(-1) ?? '').replace(/\.attn$/, '').replaceAll('-', '_');
  return own.find((p) => p.name.text === stem) ?? own.at(-1);
}

/** What is wrong in an included pattern shows again wherever it is included; the first report is its own. */
function unique(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const seen = new Set<string>();
  return diagnostics.filter((d) => {
    const key = d.span ? `${d.code} ${d.span.file} ${d.span.start} ${d.span.end}` : `${d.code} ${d.message}`;
    return !seen.has(key) && seen.add(key);
  });
}

function inOrder(
  diagnostics: readonly Diagnostic[],
  sources: ReadonlyMap<string, Source>,
): readonly Diagnostic[] {
  const files = [...sources.keys()];
  const rank = (d: Diagnostic): number => (d.span ? files.indexOf(d.span.file) : files.length);
  return [...diagnostics].sort((a, b) => rank(a) - rank(b) || (a.span?.start ?? 0) - (b.span?.start ?? 0));
}
