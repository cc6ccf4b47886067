import { Command, InvalidArgumentError, Option } from 'commander';
import { STORAGE_TYPES, type Family, type StorageType } from '../../compiler/ir/program.js';
import { usageError, wrongShape } from '../../runtime/errors.js';
import { action } from '../action.js';
import { checkDense } from '../fallback.js';
import { load } from '../load.js';
import {
  addDeviceOptions,
  addPatternOptions,
  addShapeOptions,
  diagnosticsOption,
  dtypeOption,
  jsonOption,
  type PatternOptions,
  type ShapeOptions,
} from '../options.js';
import { scheduleFor } from '../schedule.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { prepareWork, readTask, tensorsOf, type Work } from '../work.js';

interface Options extends PatternOptions, ShapeOptions {
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly family?: Family;
  readonly schedule?: string;
  readonly robustness: boolean;
  readonly runs?: number;
  readonly warmUp: number;
  readonly wallClock?: boolean;
  readonly device?: string;
  readonly allowDense?: boolean;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

/** Rows looked at, and for how long (milliseconds) the oracle may compute more than the fewest. */
const SAMPLE = { most: 256, least: 16, patience: 3000 } as const;

export function benchCommand(session: Session): Command {
  const command = new Command('bench')
    .description('Check a pattern on a device against the float64 oracle, then say how fast it runs there.')
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input');
  addPatternOptions(command);
  addShapeOptions(command)
    .addOption(dtypeOption())
    .addOption(
      new Option('--out-dtype <type>', 'element type of out (default: that of q); lse is f32').choices(
        STORAGE_TYPES,
      ),
    )
    .addOption(
      new Option('--family <name>', 'kind of kernels (default: the fastest)').choices([
        'portable',
        'subgroup',
        'matrix',
      ]),
    )
    .option('--schedule <name>', 'schedule, as `attnc explain` names them (default: the cheapest)')
    .option('--runs <n>', 'runs to time (default: half a second of them, at least 10)', runs)
    .option('--warm-up <ms>', 'milliseconds of work before anything is timed', warmUp, 300)
    .option('--wall-clock', 'time whole batches on the host, also where the device can tell the time')
    .option('--no-robustness', 'without checks of array bounds in shaders, as native runtimes are built');
  addDeviceOptions(command);
  return command
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nWhere rows of the result differ from the oracle there is an error and no time.\n' +
        '\nExample:\n  $ attnc bench samples/sliding.attn --pattern sliding --length 65536 --heads 8 --dtype f16',
    )
    .action(action(session, (file: string, options: Options) => bench(session, file, options)));
}

function runs(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1 || n > 100_000) {
    throw new InvalidArgumentError('It must be a whole number from 1 to 100000.');
  }
  return n;
}

function warmUp(text: string): number {
  const n = Number(text);
  if (!(n >= 0 && n <= 60_000)) throw new InvalidArgumentError('It must be a number from 0 to 60000.');
  return n;
}

async function bench(session: Session, file: string, options: Options): Promise<number> {
  const loaded = await load(session, file);
  const task = await readTask(loaded, options);
  const work = await prepareWork(session, loaded, options, task, true);
  const { shape } = work.bound.binding;
  const totalRows = shape.heads * shape.queries.reduce((a, b) => a + b, 0);
  if (totalRows === 0) throw wrongShape('q', ['batch', 'heads', 'queries > 0', 'head size'], task.shapes.q);
  if (!options.allowDense) {
    const inputs = work.bound.inputs.host;
    checkDense(scheduleFor(work.program, shape, inputs), shape, inputs);
  }
  const chosen = { family: options.family, schedule: scheduleNumber(work, options.schedule) };
  const choose = { ...chosen, allowDense: options.allowDense };
  const modules = await Promise.all([
    import('../../runtime/reference/index.js'),
    import('../../runtime/node/index.js'),
    import('../bench/index.js'),
    import('../random.js'),
  ]);
  const [{ sampledReference, sampleRows }, { openDevice }, parts, { randomNumbers }] = modules;

  session.progress.step('making up tensors');
  const tensors = tensorsOf(work, options.dtype ?? 'f32');
  const input = parts.storageType('q', tensors.q);
  for (const name of ['k', 'v'] as const) {
    if (tensors[name].dtype === input) continue;
    throw usageError(`'q' is ${input}, but '${name}' is ${tensors[name].dtype}`, 'give them one type');
  }
  const types = { input, output: options.outDtype ?? input };

  session.progress.step('opening a device');
  const opened = await openDevice({
    device: options.device,
    features: 'offered',
    limits: 'offered',
    robustness: options.robustness,
    onProblem: (message) => session.note(`attnc: ${message}`),
  });
  try {
    const rows = sampleRows(shape, SAMPLE.most, randomNumbers(task.seed));
    const expected = sampledReference(work.program.pattern, tensors, rows, {
      ...SAMPLE,
      step: (done) => session.progress.step('computing the oracle', `row ${done} of ${rows.length}`),
    });
    const known = expected.rows ?? [];
    let comparison: ReturnType<typeof parts.checkRows> | undefined;
    const measured = await parts.measure(
      opened.device,
      { program: work.program, tensors, output: types.output, choose },
      {
        rows: known,
        check: (found) => {
          comparison = parts.checkRows(found, expected, types);
        },
        // Programs that play a device have no caches of their own, and no time.
        sets: opened.kind === 'gpu' ? undefined : 2,
        timing: { warmUp: options.warmUp, runs: options.runs, wall: options.wallClock },
        step: (what) => session.progress.step(what, work.program.name),
      },
    );
    session.progress.step('measuring ceilings');
    const ceilings = await parts.measureCeilings(opened.device, {
      software: opened.kind !== 'gpu',
      matrices: parts.matricesOf(opened.adapter),
    });
    session.progress.step('counting pairs');
    const counts = parts.countWork(measured.schedule, measured.bound, types, measured.tileRows);
    const report = {
      work,
      device: { name: opened.name, kind: opened.kind, why: opened.why },
      robustness: options.robustness,
      types,
      checked: { rows: known.length, totalRows, comparison: comparison as NonNullable<typeof comparison> },
      measured,
      counts,
      ceilings,
      rates: parts.ratesOf(counts, measured.timing.time.median, ceilings, measured.stats.family),
    };
    session.progress.clear();
    const text = options.json
      ? `${JSON.stringify(parts.reportJson(report), undefined, 2)}\n`
      : parts.reportText(report);
    session.io.stdout.write(text);
  } finally {
    opened.close();
  }
  return STATUS.done;
}

/** By name, or by its number in the program. */
function scheduleNumber(work: Work, wanted: string | undefined): number | undefined {
  if (wanted === undefined) return undefined;
  const names = work.program.schedules.map((s) => s.name);
  const n = names.includes(wanted) ? names.indexOf(wanted) : Number(wanted);
  if (Number.isInteger(n) && n >= 0 && n < names.length) return n;
  throw usageError(`the program has no schedule '${wanted}'`, `it has ${names.join(', ')}`);
}
