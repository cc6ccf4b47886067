import { dirname, extname } from 'node:path';
import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { fileAccess, unsupportedFile, usageError } from '../../runtime/errors.js';
import { writeTensors } from '../../runtime/files/node.js';
import type { StorageType } from '../../compiler/ir/program.js';
import type { Tensor } from '../../runtime/tensor.js';
import type { RunResult as ResultOf } from '../../runtime/run.js';
import { action } from '../action.js';
import { openFor } from '../device.js';
import { checkDense } from '../fallback.js';
import { load, type Loaded } from '../load.js';
import {
  addDeviceOptions,
  addPatternOptions,
  addShapeOptions,
  diagnosticsOption,
  dtypeOption,
  jsonOption,
  outDtypeOption,
} from '../options.js';
import { scheduleFor } from '../schedule.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { streamedAfter, streamedRun } from '../stream/command.js';
import { addStreamOptions, type StreamedOptions } from '../stream/options.js';
import { count, listed, milliseconds, scaled } from '../text.js';
import { addTunedOptions, tunedFor, tunedText } from '../tuned.js';
import { patternSummary, prepareWork, readTask, shapeSummary, tensorsOf, type Work } from '../work.js';

type RunResult = ResultOf<StorageType>;

interface Options extends StreamedOptions {
  readonly diagnostics: DiagnosticsFormat;
}

export function runCommand(session: Session): Command {
  const command = new Command('run')
    .description('Run a pattern on tensors, from a file or random.')
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input')
    .option('--random', 'make up q, k, v and missing tables; takes --length')
    .option('-o, --output <file>', 'write out and lse to this .safetensors file (.npy: out only)');
  addPatternOptions(command);
  addShapeOptions(command).addOption(dtypeOption()).addOption(outDtypeOption());
  addStreamOptions(command);
  addTunedOptions(command);
  addDeviceOptions(command);
  return command
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nTensors: q [batch, heads, queries, head size]; k, v [batch, key heads, keys, head size]; the tables that the\n' +
        'pattern reads, by name; NAME.row_ptr and NAME.col_idx for graphs; lengths.queries and lengths.keys [batch]\n' +
        'where sequences differ in length.\n' +
        '\nTensors past one binding or the memory are streamed band by band, and so is any run with --stream or one of\n' +
        'the options below it: q, k and v are read row by row, out is written to FILE.part, and a run that was stopped\n' +
        'goes on with --resume. BYTES are 65536, 64K, 1M or 8G. docs/long-sequences.md says more.\n' +
        '\nExample:\n  $ attnc run samples/longformer.attn --random --length 4096 -o out.safetensors',
    )
    .action(action(session, (file: string, options: Options) => run(session, file, options)));
}

async function run(session: Session, file: string, options: Options): Promise<number> {
  if (options.output !== undefined) await checkOutput(options.output, options.outDtype);
  if (!options.random && options.input === undefined) {
    throw usageError('there are no tensors to run on', 'give --input FILE, or --random --length N');
  }
  const loaded = await load(session, file);
  const streamed = await streamedRun(session, loaded, options);
  if (streamed !== undefined) return streamed;
  try {
    return await runWhole(session, loaded, options);
  } catch (error) {
    return streamedAfter(session, loaded, options, error);
  }
}

async function runWhole(session: Session, loaded: Loaded, options: Options): Promise<number> {
  const task = await readTask(loaded, options);
  if (!task.hasTensors && !options.random) {
    throw usageError('--input holds no q, k and v', 'add the file that does, or --random --length N');
  }
  const work = await prepareWork(session, loaded, options, task, options.random === true);
  const { program, bound } = work;
  if (!options.allowDense) {
    const { shape } = bound.binding;
    checkDense(scheduleFor(program, shape, bound.inputs.host), shape, bound.inputs.host);
  }
  session.progress.step('making up tensors');
  const tensors = tensorsOf(work, options.dtype ?? 'f32');
  const { run: runOnDevice } = await import('../../runtime/run.js');
  const tuned = await tunedFor(session, options);
  const opened = await openFor(session, options.device);
  try {
    session.progress.step('running', opened.name);
    const start = performance.now();
    const result = await runOnDevice(opened.device, program, tensors, {
      out: options.outDtype,
      tuned,
    });
    const total = performance.now() - start;
    if (options.output !== undefined) await write(options.output, result, program.name);
    session.progress.clear();
    report(session, work, opened, result, total, options);
  } finally {
    opened.close();
  }
  return STATUS.done;
}

/** Before the work, not after it. */
async function checkOutput(file: string, dtype: StorageType | undefined): Promise<void> {
  const extension = extname(file).toLowerCase();
  if (extension !== '.safetensors' && extension !== '.npy') {
    throw unsupportedFile(
      file,
      'results are written as .safetensors or .npy',
      'choose one of these extensions',
    );
  }
  if (extension === '.npy' && dtype === 'bf16') {
    throw unsupportedFile(file, 'numpy has no bf16', 'write a .safetensors file, or another --out-dtype');
  }
  const folder = await stat(dirname(file)).catch(() => undefined);
  if (!folder?.isDirectory()) throw fileAccess(file, 'there is no such folder');
}

async function write(file: string, { out, lse }: RunResult, pattern: string): Promise<void> {
  const tensors = new Map<string, Tensor>([['out', out]]);
  if (extname(file).toLowerCase() !== '.npy') tensors.set('lse', lse);
  await writeTensors(file, tensors, { pattern });
}

function report(
  session: Session,
  work: Work,
  device: { readonly name: string; readonly kind: string; readonly why: string },
  { out, lse, stats }: RunResult,
  total: number,
  options: Options,
): void {
  const { program, bound, madeUp, task } = work;
  const empty = lse.data.reduce((n, x) => n + (x === -Infinity ? 1 : 0), 0);
  const made = [...(task.hasTensors ? [] : [`q, k, v (seed ${task.seed})`]), ...madeUp];
  if (options.json) {
    const { shape, queries, keys, valueDim } = bound.binding;
    const result = {
      pattern: program.name,
      device: { name: device.name, kind: device.kind, why: device.why },
      shape: {
        ...shape,
        parameters: Object.fromEntries(shape.parameters),
        rows: queries,
        columns: keys,
        valueDim,
      },
      out: out.shape,
      lse: lse.shape,
      rowsWithoutEdges: empty,
      madeUp: made,
      stats,
      totalMilliseconds: total,
      output: options.output ?? null,
    };
    session.io.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    return;
  }
  const lines: [string, string][] = [
    ['pattern', patternSummary(work)],
    ['shape', shapeSummary(bound.binding)],
    ['device', `${device.name}, ${device.kind}`],
    [
      'kernels',
      `${stats.kernels.join(', ')} (${stats.family}${typesOf(stats)}${tunedText(stats)}, schedule ${stats.schedule}), ${count(stats.workgroups)} workgroups` +
        (stats.splits > 1 ? `, keys in ${stats.splits} parts` : ''),
    ],
    [
      'time',
      `${milliseconds(stats.deviceMilliseconds)} on the device, ${milliseconds(stats.planMilliseconds)} planning, ` +
        `${milliseconds(total)} in all`,
    ],
    [
      'memory',
      `${scaled(stats.uploadedBytes, 'B')} of tensors, ${scaled(stats.temporaryBytes, 'B')} temporary`,
    ],
    ...(made.length > 0 ? [['made up', made.join('; ')] as [string, string]] : []),
    ['out', `[${out.shape.join(', ')}], lse [${lse.shape.join(', ')}], ${count(empty)} rows without an edge`],
    ...(options.output === undefined ? [] : [['written', options.output] as [string, string]]),
  ];
  session.io.stdout.write(listed(lines));
}

/** What the kernels read and write, where it isn't f32. */
const typesOf = ({ input, output }: RunResult['stats']): string =>
  input === 'f32' && output === 'f32' ? '' : `, ${input} to ${output}`;
