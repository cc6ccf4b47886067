import type { FileAst, ImportAst, IncludeAst, ItemAst, PatternAst, Source } from '../../grammar/ast.js';
import type { Diagnostic } from '../../grammar/diagnostics.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { parse } from '../../grammar/parse.js';
import type { Library } from './context.js';
import type { Report } from './report.js';

/** Finds the text of an imported file; `path` is as written, `from` the importing file's name. */
export type Resolve = (path: string, from: string) => Source | undefined;

export interface LoadedFiles {
  readonly library: Library;
  /** Patterns of the file itself, in its order. */
  readonly own: readonly PatternAst[];
  /** Every pattern that can be checked, included ones before those that include them. */
  readonly order: readonly PatternAst[];
  /** What parsing found, file by file. */
  readonly syntax: readonly Diagnostic[];
}

interface LoadedFile {
  readonly source: Source;
  readonly ast: FileAst;
  readonly broken: boolean;
}

/** Reads a file and all that it imports, each once; a file's patterns see those of every file read. */
export function loadFiles(main: Source, resolve: Resolve, report: Report): LoadedFiles {
  const files = new Map<string, LoadedFile>();
  const syntax: Diagnostic[] = [];
  let complete = true;

  const load = (source: Source, trail: readonly string[]): void => {
    const { ast, diagnostics } = parse(source);
    const broken = hasErrors(diagnostics);
    if (broken) complete = false;
    syntax.push(...diagnostics);
    files.set(source.file, { source, ast, broken });
    for (const item of ast.imports) {
      const unread = diagnostics.some(
        (d) => d.span && d.span.start < item.span.end && item.span.start < d.span.end,
      );
      if (!unread) follow(item, source, [...trail, source.file]);
    }
  };
  const follow = (item: ImportAst, source: Source, trail: readonly string[]): void => {
    const found = resolve(item.path, source.file);
    if (!found) {
      complete = false;
      report.error('ATTN2052', `can't read \`${item.path}\``, item.span, {
        help: 'the path is relative to the file that imports it',
      });
      return;
    }
    const at = trail.indexOf(found.file);
    if (at >= 0) {
      const cycle = [...trail.slice(at), found.file].join(' → ');
      report.error('ATTN2051', `files import each other in a circle: ${cycle}`, item.span, {
        help: 'move what they share into a file of its own',
      });
      return;
    }
    if (!files.has(found.file)) load(found, trail);
  };
  load(main, []);

  const patterns = collectPatterns([...files.values()], report);
  const broken = new Set(
    [...files.values()].filter((f) => f.broken).flatMap((f) => f.ast.patterns.map((p) => p.name.text)),
  );
  const order = orderByIncludes(patterns, broken, report);
  const sources = new Map([...files.values()].map((f) => [f.source.file, f.source]));
  return {
    library: { patterns, broken, complete, sources },
    own: files.get(main.file)!.ast.patterns,
    order: order.filter((p) => !broken.has(p.name.text)),
    syntax,
  };
}

function collectPatterns(files: readonly LoadedFile[], report: Report): ReadonlyMap<string, PatternAst> {
  const patterns = new Map<string, PatternAst>();
  for (const { ast } of files) {
    for (const pattern of ast.patterns) {
      const first = patterns.get(pattern.name.text);
      if (!first) {
        patterns.set(pattern.name.text, pattern);
        continue;
      }
      report.error('ATTN2007', `there are two patterns \`${pattern.name.text}\``, pattern.name.span, {
        help:
          first.name.span.file === pattern.name.span.file
            ? 'rename one of them'
            : 'imported patterns share their names with those of the file',
        related: [{ message: 'the other one', span: first.name.span }],
      });
    }
  }
  return patterns;
}

function includesOf(items: readonly ItemAst[]): readonly IncludeAst[] {
  return items.flatMap((item) => {
    if (item.kind === 'include') return [item];
    return item.kind === 'block' || item.kind === 'for' ? includesOf(item.items) : [];
  });
}

/** Includes inside each other. */
const MAX_NESTING = 100;

/** Included patterns first. Those that include themselves are reported and count as broken. */
function orderByIncludes(
  patterns: ReadonlyMap<string, PatternAst>,
  broken: Set<string>,
  report: Report,
): readonly PatternAst[] {
  const order: PatternAst[] = [];
  const done = new Set<string>();
  const visit = (pattern: PatternAst, trail: readonly string[]): void => {
    const name = pattern.name.text;
    for (const include of includesOf(pattern.items)) {
      const target = patterns.get(include.pattern.text);
      if (!target) continue;
      const at = [...trail, name].indexOf(target.name.text);
      if (at >= 0) {
        const cycle = [...[...trail, name].slice(at), target.name.text];
        for (const member of cycle) broken.add(member);
        report.error(
          'ATTN2050',
          `patterns include each other in a circle: ${cycle.join(' → ')}`,
          include.span,
          {
            help: 'a pattern can include only patterns that do not lead back to it',
          },
        );
      } else if (trail.length >= MAX_NESTING) {
        broken.add(name);
        report.error('ATTN2035', `more than ${MAX_NESTING} includes inside each other`, include.span);
      } else if (!done.has(target.name.text)) visit(target, [...trail, name]);
    }
    if (done.has(name)) return;
    done.add(name);
    order.push(pattern);
  };
  for (const pattern of patterns.values()) if (!done.has(pattern.name.text)) visit(pattern, []);
  return order;
}
