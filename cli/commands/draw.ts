import { extname } from 'node:path';
import { Command, Option } from 'commander';
import { unsupportedFile, usageError } from '../../runtime/errors.js';
import { writeFileWhole } from '../../runtime/files/node.js';
import { action } from '../action.js';
import { hasColor } from '../io.js';
import { load } from '../load.js';
import {
  addPatternOptions,
  addShapeOptions,
  diagnosticsOption,
  jsonOption,
  wholeNumber,
  type PatternOptions,
  type ShapeOptions,
} from '../options.js';
import type { Picture } from '../picture/index.js';
import { scheduleFor } from '../schedule.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { count } from '../text.js';
import { patternSummary, prepareWork, readTask } from '../work.js';

type Format = 'text' | 'svg' | 'png';

interface Options extends PatternOptions, ShapeOptions {
  readonly head: number;
  readonly sequence: number;
  readonly output?: string;
  readonly format?: Format;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

export function drawCommand(session: Session): Command {
  const command = new Command('draw')
    .description('Draw a pattern: edges in the colours of their rules, tiles outlined.')
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input')
    .option(
      '-o, --output <file>',
      'a .png, .svg or .txt file; - is standard output (default: text to standard output)',
    )
    .addOption(new Option('--format <format>', 'default: that of the file').choices(['text', 'svg', 'png']))
    .option('--head <n>', 'the head to draw', wholeNumber(0, 65535), 0)
    .option('--sequence <n>', 'the sequence of the batch to draw', wholeNumber(0, 65535), 0);
  addPatternOptions(command);
  addShapeOptions(command);
  return command
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ attnc draw samples/longformer.attn --length 256 --set window=16 -o mask.png',
    )
    .action(action(session, (file: string, options: Options) => draw(session, file, options)));
}

async function draw(session: Session, file: string, options: Options): Promise<number> {
  const format = formatOf(options);
  if (format === 'png' && toStdout(options) && session.io.stdout.isTTY) {
    throw usageError('a PNG does not belong on a terminal', 'give -o FILE.png, or pipe it somewhere');
  }
  const loaded = await load(session, file);
  const task = await readTask(loaded, options);
  const work = await prepareWork(session, loaded, options, task, true);
  const { program, bound } = work;
  const { shape } = bound.binding;
  if (options.head >= shape.heads) throw usageError(`--head ${options.head}: there are ${shape.heads} heads`);
  if (options.sequence >= shape.batch) {
    throw usageError(`--sequence ${options.sequence}: the batch has ${shape.batch}`);
  }
  if (work.madeUp.length > 0) session.note(`attnc: made up ${work.madeUp.join('; ')}`);
  const inputs = bound.inputs.host;
  const { maskPicture } = await import('../mask.js');
  const width = session.io.stdout.columns ?? 100;
  const { picture, otherTiles } = maskPicture(
    program.pattern,
    scheduleFor(program, shape, inputs),
    shape,
    inputs,
    {
      title: titleOf(patternSummary(work), shape.heads, options),
      batch: options.sequence,
      head: options.head,
      resolution: format === 'text' && !options.json ? Math.max(64, width) : 512,
      step: (row) => session.progress.step('drawing', `row ${count(row)}`),
    },
  );
  session.progress.clear();
  if (otherTiles.length > 0 && format !== 'text') {
    session.note(`attnc: tiles of ${otherTiles.join(', ')} are no boxes of the mask and are not outlined`);
  }
  if (options.json) {
    session.io.stdout.write(pictureJson(picture, options));
    if (toStdout(options)) return STATUS.done;
  }
  const content = await print(session, picture, format, toStdout(options));
  if (toStdout(options)) session.io.stdout.write(content);
  else await writeFileWhole(options.output ?? '', [content]);
  return STATUS.done;
}

const toStdout = (options: Options): boolean => options.output === undefined || options.output === '-';

function formatOf(options: Options): Format {
  if (options.format !== undefined) return options.format;
  if (toStdout(options)) return 'text';
  const file = options.output ?? '';
  switch (extname(file).toLowerCase()) {
    case '.png':
      return 'png';
    case '.svg':
      return 'svg';
    case '.txt':
      return 'text';
    default:
      throw unsupportedFile(file, 'pictures are .png, .svg or .txt', 'choose one of these, or --format');
  }
}

function titleOf(summary: string, heads: number, options: Options): string {
  const head = heads > 1 ? `, head ${options.head}` : '';
  return `${summary}${head}${options.sequence > 0 ? `, sequence ${options.sequence}` : ''}`;
}

async function print(
  session: Session,
  picture: Picture,
  format: Format,
  terminal: boolean,
): Promise<string | Uint8Array> {
  const { pictureToPng, pictureToSvg, pictureToText } = await import('../picture/index.js');
  switch (format) {
    case 'png':
      return pictureToPng(picture);
    case 'svg':
      return pictureToSvg(picture);
    case 'text': {
      const { stdout } = session.io;
      const columns = stdout.columns ?? 100;
      return pictureToText(picture, { columns, color: terminal && hasColor(session.io, stdout) });
    }
  }
}

function pictureJson(picture: Picture, options: Options): string {
  const { title, queries, keys, rows, columns, labels, tiles, cells } = picture;
  const grid = Array.from({ length: rows }, (_, r) => [...cells.subarray(r * columns, (r + 1) * columns)]);
  const json = {
    title,
    head: options.head,
    sequence: options.sequence,
    queries,
    keys,
    labels,
    /** Of each cell, the number of its rule from 1; 0 is no edge. */
    cells: grid,
    tiles: tiles ?? [],
  };
  return `${JSON.stringify(json)}\n`;
}
