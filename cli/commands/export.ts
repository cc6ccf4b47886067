import { Command, Option } from 'commander';
import type { Pattern } from '../../compiler/ir/edges.js';
import type { Source } from '../../grammar/ast.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { writeFileWhole } from '../../runtime/files/node.js';
import { action } from '../action.js';
import { resolveImport } from '../files.js';
import { load, Reported, type Loaded } from '../load.js';
import { addPatternOptions, diagnosticsOption, type PatternOptions } from '../options.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { usageError } from '../../runtime/errors.js';

interface Options extends PatternOptions {
  readonly to: 'flex';
  readonly output?: string;
  readonly diagnostics: DiagnosticsFormat;
}

export function exportCommand(session: Session): Command {
  const command = new Command('export')
    .description("Print a pattern for another framework: a Python module for PyTorch's FlexAttention.")
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input')
    .addOption(new Option('--to <framework>', 'what to print it for').choices(['flex']).makeOptionMandatory())
    .option('-o, --output <file>', 'write to this file (default: to standard output)');
  addPatternOptions(command);
  return command
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nParameters that shape the program, such as lists, are fixed in the module; the others are its arguments.\n' +
        '\nExample:\n  $ attnc export samples/longformer.attn --to flex -o longformer.py',
    )
    .action(action(session, (file: string, options: Options) => exportFile(session, file, options)));
}

async function exportFile(session: Session, file: string, options: Options): Promise<number> {
  const loaded = await load(session, file);
  const { pattern, sources } = await patternOf(session, loaded, options);
  const { exportFlex } = await import('../../compiler/export/index.js');
  const { text, diagnostics } = exportFlex(pattern);
  session.diagnostics(diagnostics, sources);
  if (text === undefined) throw new Reported('diagnostics were printed');
  if (options.output === undefined || options.output === '-') session.io.stdout.write(text);
  else {
    await writeFileWhole(options.output, [text]);
    session.io.stdout.write(`${options.output}\n`);
  }
  if (loaded.kind === 'patterns' && options.pattern === undefined && loaded.names.length > 1) {
    session.note(`attnc: exported '${pattern.name}' of ${loaded.names.join(', ')}; --pattern picks another`);
  }
  return STATUS.done;
}

interface Checked {
  readonly pattern: Pattern;
  readonly sources: ReadonlyMap<string, Source>;
}

/** Checks the pattern asked for, with its settings, or takes that of a program. */
async function patternOf(session: Session, loaded: Loaded, options: PatternOptions): Promise<Checked> {
  const { source } = loaded;
  if (loaded.kind === 'program') {
    if (options.set !== undefined || (options.pattern ?? loaded.program.name) !== loaded.program.name) {
      throw usageError(
        `${source.file} is the compiled pattern '${loaded.program.name}' with its settings`,
        'export the .attn file with --pattern and --set',
      );
    }
    return { pattern: loaded.program.pattern, sources: new Map() };
  }
  const { checkSource } = await import('../../compiler/check/index.js');
  const { pattern, diagnostics, sources } = checkSource(source, {
    ...(options.pattern === undefined ? {} : { pattern: options.pattern }),
    set: options.set ?? {},
    resolve: resolveImport,
  });
  session.diagnostics(diagnostics, sources);
  if (pattern === undefined || hasErrors(diagnostics)) throw new Reported('diagnostics were printed');
  return { pattern, sources };
}
