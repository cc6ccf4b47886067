import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import type { Program } from '../../compiler/ir/program.js';
import { shaderText } from '../../compiler/ir/shader-text.js';
import { fileAccess, usageError } from '../../runtime/errors.js';
import { writeFileWhole } from '../../runtime/files/node.js';
import { action } from '../action.js';
import { fileName, readSource } from '../files.js';
import { compileSource, load } from '../load.js';
import {
  addPatternOptions,
  addSizeOptions,
  diagnosticsOption,
  jsonOption,
  type PatternOptions,
} from '../options.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';

type Stage = 'program' | 'wgsl' | 'schedule' | 'edges' | 'ast';

interface Options extends PatternOptions {
  readonly output?: string;
  readonly headSize?: number;
  readonly valueSize?: number;
  readonly target: 'auto' | 'portable';
  readonly emit: Stage;
  readonly windows?: boolean;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

export function compileCommand(session: Session): Command {
  const command = new Command('compile')
    .description(
      'Compile a pattern to a program: WGSL kernels, their bindings, and how to plan and launch them.',
    )
    .argument('<file>', 'a .attn file; - reads standard input')
    .option(
      '-o, --output <dir>',
      'write NAME.json and NAME.KERNEL.wgsl to this folder (default: to standard output)',
    );
  addPatternOptions(command);
  addSizeOptions(command);
  return command
    .addOption(
      new Option('--target <family>', 'kernel family; auto carries all, the device picks')
        .choices(['auto', 'portable'])
        .default('auto'),
    )
    .addOption(
      new Option('--emit <stage>', 'what to print: the program, or an earlier stage')
        .choices(['program', 'wgsl', 'schedule', 'edges', 'ast'])
        .default('program'),
    )
    .option('--windows', 'for runs in parts: attnc run --stream, tensors past one binding, several ranks')
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ attnc compile samples/longformer.attn --set window=128 -o build\n' +
        '  $ attnc compile samples/longformer.attn --emit wgsl | less',
    )
    .action(action(session, (file: string, options: Options) => compile(session, file, options)));
}

async function compile(session: Session, file: string, options: Options): Promise<number> {
  const folder = options.output === '-' ? undefined : options.output;
  if (folder !== undefined && options.emit !== 'program') {
    throw usageError('-o writes whole programs', `--emit ${options.emit} prints to standard output`);
  }
  if (options.emit === 'ast') return emitAst(session, file, options.json === true);
  const loaded = await load(session, file);
  if (loaded.kind === 'program') throw usageError(`${loaded.source.file} is compiled already`);
  const dim = options.headSize ?? 64;
  const program = await compileSource(session, loaded.source, {
    ...(options.pattern === undefined ? {} : { pattern: options.pattern }),
    set: options.set ?? {},
    target: options.target,
    windows: options.windows === true,
    dim,
    valueDim: options.valueSize ?? dim,
  });
  if (folder === undefined) session.io.stdout.write(await stageText(program, options));
  else await writeProgram(session, program, folder, options.json === true);
  if (options.pattern === undefined && loaded.names.length > 1) {
    session.note(`attnc: compiled '${program.name}' of ${loaded.names.join(', ')}; --pattern picks another`);
  }
  return STATUS.done;
}

async function emitAst(session: Session, file: string, json: boolean): Promise<number> {
  const { parse } = await import('../../grammar/parse.js');
  const { hasErrors } = await import('../../grammar/diagnostics.js');
  const source = await readSource(session, file);
  const { ast, diagnostics } = parse(source);
  session.diagnostics(diagnostics, new Map([[source.file, source]]));
  if (hasErrors(diagnostics)) return STATUS.failed;
  const { printAst } = await import('../../compiler/print/index.js');
  session.io.stdout.write(json ? `${JSON.stringify(ast, undefined, 2)}\n` : printAst(ast));
  return STATUS.done;
}

async function stageText(program: Program, { emit, json }: Options): Promise<string> {
  const { printPattern, printSchedules } = await import('../../compiler/print/index.js');
  const asJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  switch (emit) {
    case 'program': {
      const { packProgram } = await import('../../compiler/ir/pack.js');
      return `${packProgram(program)}\n`;
    }
    case 'wgsl':
      return json
        ? asJson(kernels(program).map(({ name, role, wgsl }) => ({ name, role, wgsl })))
        : kernels(program)
            .map(({ title, wgsl }) => `// ---- ${title} ----\n${wgsl.trimEnd()}\n`)
            .join('\n');
    case 'schedule':
      return json
        ? asJson(program.schedules)
        : printSchedules(
            program.schedules,
            program.pattern.grid?.map((g) => g.name),
          );
    case 'edges':
      return json ? asJson(program.pattern) : printPattern(program.pattern);
    case 'ast':
      return '';
  }
}

interface NamedKernel {
  /** Part of a file's name. */
  readonly name: string;
  readonly title: string;
  readonly role: string;
  readonly wgsl: string;
}

/** Every kernel of every variant; those of further schedules have the schedule's name in theirs. */
function kernels(program: Program): readonly NamedKernel[] {
  const several = program.variants.length > 1;
  return program.variants.flatMap((variant) => {
    const schedule = program.schedules[variant.schedule].name;
    return variant.kernels.map((k) => ({
      name: several ? `${schedule}-${k.name}` : k.name,
      title: `${k.name}: ${variant.family}, schedule ${schedule}`,
      role: k.role,
      wgsl: shaderText(program, k, { input: 'f32', output: 'f32' }),
    }));
  });
}

async function writeProgram(
  session: Session,
  program: Program,
  folder: string,
  json: boolean,
): Promise<void> {
  const { packProgram } = await import('../../compiler/ir/pack.js');
  await makeFolder(folder);
  const name = fileName(program.name);
  const texts = new Map([[join(folder, `${name}.json`), `${packProgram(program)}\n`]]);
  for (const kernel of kernels(program)) {
    let file = join(folder, `${name}.${fileName(kernel.name)}.wgsl`);
    for (let n = 2; texts.has(file); n++) file = join(folder, `${name}.${fileName(kernel.name)}-${n}.wgsl`);
    texts.set(file, kernel.wgsl);
  }
  for (const [file, text] of texts) await writeFileWhole(file, [text]);
  const files = [...texts.keys()];
  session.io.stdout.write(
    json
      ? `${JSON.stringify({ pattern: program.name, files }, undefined, 2)}\n`
      : files.map((f) => `${f}\n`).join(''),
  );
}

/** One by one from the top: mkdir's own `recursive` never ends where a file system refuses (/proc). */
async function makeFolder(folder: string): Promise<void> {
  const old = await stat(folder).catch(() => undefined);
  if (old?.isDirectory()) return;
  if (old) throw fileAccess(folder, 'it is not a folder');
  const parent = dirname(folder);
  if (parent !== folder) await makeFolder(parent);
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw fileAccess(folder, `the folder can't be made (${error.code})`, error);
  });
}
