import { Command } from 'commander';
import type { StorageType, Variant } from '../../compiler/ir/program.js';
import { isAttncError, wrongResult } from '../../runtime/errors.js';
import type { ChooseOptions } from '../../runtime/pick-variant.js';
import type { TunedChoice } from '../../runtime/tuned.js';
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
import { cacheFile, cacheOption } from '../tuned.js';
import { prepareWork, readTask } from '../work.js';

interface Options extends PatternOptions, ShapeOptions {
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly robustness: boolean;
  readonly runs?: number;
  readonly warmUp: number;
  readonly wallClock?: boolean;
  readonly cache?: string;
  readonly device?: string;
  readonly allowDense?: boolean;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

export function tuneCommand(session: Session): Command {
  const command = new Command('tune')
    .description(
      'Measure every way to run a pattern on a device, and keep the fastest for `run` and `bench`.',
    )
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input');
  addPatternOptions(command);
  addShapeOptions(command)
    .addOption(dtypeOption())
    .addOption(benchOutDtypeOption())
    .option('--runs <n>', 'runs to time of each (default: half a second of them, at least 10)', runs)
    .option(
      '--warm-up <ms>',
      'milliseconds of work before each is timed, on GPUs at least; 0 for none',
      warmUp,
      300,
    )
    .option('--wall-clock', 'time whole batches on the host, also where the device can tell the time')
    .option('--no-robustness', 'without checks of array bounds in shaders, as native runtimes are built')
    .addOption(cacheOption());
  addDeviceOptions(command);
  return command
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nA choice holds for the program and its parameters, the device, the types, and lengths and heads rounded to powers\n' +
        'of two. What gives wrong results is reported and never kept.\n' +
        '\nExample:\n  $ attnc tune samples/sliding.attn --pattern sliding --length 65536 --heads 8 --dtype f16',
    )
    .action(action(session, (file: string, options: Options) => tune(session, file, options)));
}

async function tune(session: Session, file: string, options: Options): Promise<number> {
  const loaded = await load(session, file);
  const task = await readTask(loaded, options);
  const work = await prepareWork(session, loaded, options, task, true);
  const [{ openDevice, loadTuned, saveTuned }, parts, runtime, data] = await Promise.all([
    import('../../runtime/node/index.js'),
    import('../bench/index.js'),
    Promise.all([
      import('../../runtime/pick-variant.js'),
      import('../../runtime/prepare.js'),
      import('../../runtime/launches.js'),
    ]),
    import('../../runtime/tuned.js'),
  ]);
  const [{ candidates, chooseVariant }, { choose }, { unlikeLaunches }] = runtime;
  parts.checkMeasurable(work, options);
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
    const { device } = opened;
    const { program, bound } = work;
    const { rows, expected } = parts.sampleOracle(session, work, tensors);
    const prepared = choose(device, program);
    const first = chooseVariant(prepared, bound, types);
    const usual = data.choiceOf(program, first);
    const measure = async (variant: Variant, n: number, all: number): Promise<Tried> => {
      const choice = data.choiceOf(program, variant);
      const { family, tiling } = choice;
      const force: ChooseOptions = {
        schedule: variant.schedule,
        family,
        tiling,
        allowDense: options.allowDense,
      };
      const step = (what: string): void =>
        session.progress.step(what, `${family}, ${tiling} (${n + 1} of ${all})`);
      try {
        const { timing } = await parts.measure(
          device,
          { program, tensors, output: types.output, choose: force },
          {
            rows,
            check: (found) => void parts.checkRows(found, expected, types),
            sets: opened.kind === 'gpu' ? undefined : 2,
            timing: {
              warmUp: options.warmUp,
              runs: options.runs,
              wall: options.wallClock,
              settle: opened.kind === 'gpu',
            },
            step,
          },
        );
        const { time, clock, warmUp } = timing;
        return { ...choice, time, clock, clockShare: warmUp.clock, problem: undefined };
      } catch (error) {
        // What one candidate can't do, another may; without a device none can.
        if (!isAttncError(error) || error.kind === 'device-lost') throw error;
        return {
          ...choice,
          time: undefined,
          clock: undefined,
          clockShare: undefined,
          problem: error.message,
        };
      }
    };
    session.progress.step('planning');
    const others = candidates(prepared, bound, types).filter((variant) => variant !== first);
    const there = unlikeLaunches([first, ...others], bound, { allowDense: options.allowDense });
    const tried: Tried[] = [];
    for (const [n, variant] of there.entries()) tried.push(await measure(variant, n, there.length));
    const best = fastest(tried);
    if (best === undefined) throw wrongResult(`none of ${tried.length} candidates ran: ${tried[0]?.problem}`);

    const kept: TunedChoice = {
      schedule: best.schedule,
      family: best.family,
      tiling: best.tiling,
      milliseconds: best.time.median,
    };
    const cache = await cacheFile(session, options);
    const key = data.tunedKey(program, device, types, bound.binding.shape);
    const before = await loadTuned(cache, (message) => session.note(`attnc: ${message}`));
    await saveTuned(data.withChoice(before, key, kept), cache);
    session.progress.clear();
    const report = { work, device: opened, robustness: options.robustness, types, rows: rows.length };
    const found = { ...report, tried, usual, kept, key, cache };
    session.io.stdout.write(
      options.json ? `${JSON.stringify(parts.tuneJson(found), undefined, 2)}\n` : parts.tuneText(found),
    );
  } finally {
    opened.close();
  }
  return STATUS.done;
}

type Tried = import('../bench/index.js').Tried;
type Timed = Tried & { readonly time: NonNullable<Tried['time']> };

/** Of those that ran and were right. */
function fastest(tried: readonly Tried[]): Timed | undefined {
  return tried
    .filter((t): t is Timed => t.time !== undefined)
    .reduce<Timed | undefined>((a, b) => (a && a.time.median <= b.time.median ? a : b), undefined);
}
