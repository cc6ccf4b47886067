import { Command, Option } from 'commander';
import type { Family, StorageType } from '../../compiler/ir/program.js';
import { usageError } from '../../runtime/errors.js';
import { action } from '../action.js';
import { runs, warmUp } from '../bench/options.js';
import { load } from '../load.js';
import {
  addDeviceOptions,
  addPatternOptions,
  addShapeOptions,
  benchOutDtypeOption,
  diagnosticsOption,
  dtypeOption,
  jsonOption,
  type PatternOptions,
  type ShapeOptions,
} from '../options.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { addTunedOptions, tunedFor, type TunedOptions } from '../tuned.js';
import { prepareWork, readTask, type Work } from '../work.js';

interface Options extends PatternOptions, ShapeOptions, TunedOptions {
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly family?: Family;
  readonly schedule?: string;
  readonly tiling?: string;
  readonly robustness: boolean;
  readonly runs?: number;
  readonly warmUp: number;
  readonly wallClock?: boolean;
  readonly device?: string;
  readonly allowDense?: boolean;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

export function benchCommand(session: Session): Command {
  const command = new Command('bench')
    .description('Check a pattern on a device against the float64 oracle, then say how fast it runs there.')
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input');
  addPatternOptions(command);
  addShapeOptions(command)
    .addOption(dtypeOption())
    .addOption(benchOutDtypeOption())
    .addOption(
      new Option('--family <name>', 'kind of kernels (default: the fastest)').choices([
        'portable',
        'subgroup',
        'matrix',
      ]),
    )
    .option('--schedule <name>', 'schedule, as `attnc explain` names them (default: the cheapest)')
    .option('--tiling <words>', 'tiling, as `attnc tune` lists them (default: what suits the pattern)')
    .option('--runs <n>', 'runs to time (default: half a second of them, at least 10)', runs)
    .option(
      '--warm-up <ms>',
      'milliseconds of work before anything is timed, on GPUs at least; 0 for none',
      warmUp,
      300,
    )
    .option('--wall-clock', 'time whole batches on the host, also where the device can tell the time')
    .option('--no-robustness', 'without checks of array bounds in shaders, as native runtimes are built');
  addTunedOptions(command);
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

async function bench(session: Session, file: string, options: Options): Promise<number> {
  const loaded = await load(session, file);
  const task = await readTask(loaded, options);
  const work = await prepareWork(session, loaded, options, task, true);
  const [{ openDevice }, parts] = await Promise.all([
    import('../../runtime/node/index.js'),
    import('../bench/index.js'),
  ]);
  parts.checkMeasurable(work, options);
  const choose = {
    family: options.family,
    schedule: scheduleNumber(work, options.schedule),
    tiling: options.tiling,
    allowDense: options.allowDense,
    tuned: await tunedFor(session, options),
  };
  session.progress.step('making up tensors');
  const { tensors, types } = parts.storedTensors(work, options);

  session.progress.step('opening a device');
  const opened = await openDevice({
    device: options.device,
    features: 'offered',
    limits: 'offered',
    robustness: options.robustness,
    onProblem: (message) => session.note(`attnc: ${message}`),
  });
  try {
    const { rows, expected } = parts.sampleOracle(session, work, tensors);
    let comparison: ReturnType<typeof parts.checkRows> | undefined;
    const measured = await parts.measure(
      opened.device,
      { program: work.program, tensors, output: types.output, choose },
      {
        rows,
        check: (found) => {
          comparison = parts.checkRows(found, expected, types);
        },
        // Programs that play a device have no caches of their own, and no time.
        sets: opened.kind === 'gpu' ? undefined : 2,
        timing: {
          warmUp: options.warmUp,
          runs: options.runs,
          wall: options.wallClock,
          settle: opened.kind === 'gpu',
        },
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
      checked: {
        rows: rows.length,
        totalRows: parts.totalRows(work),
        comparison: comparison as NonNullable<typeof comparison>,
      },
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
