import { Command } from 'commander';
import type { StorageType } from '../../compiler/ir/program.js';
import { usageError } from '../../runtime/errors.js';
import { action } from '../action.js';
import { openFor } from '../device.js';
import { checkDense } from '../fallback.js';
import { load, Reported, type Loaded } from '../load.js';
import {
  addDeviceOptions,
  addPatternOptions,
  addShapeOptions,
  diagnosticsOption,
  dtypeOption,
  jsonOption,
  outDtypeOption,
  type PatternOptions,
  type Settings,
  type ShapeOptions,
} from '../options.js';
import { scheduleFor } from '../schedule.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { count, listed, milliseconds } from '../text.js';
import type { Finding, Verification, VerifyOptions } from '../verify.js';
import { patternSummary, prepareWork, readTask, shapeSummary, type Task, type Work } from '../work.js';

interface Options extends PatternOptions, ShapeOptions {
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly all?: boolean;
  readonly device?: string;
  readonly allowDense?: boolean;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

export function verifyCommand(session: Session): Command {
  const command = new Command('verify')
    .description(
      'Run a pattern on a device and compare the result with the float64 oracle, and with out and lse of the input file.',
    )
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input')
    .option(
      '--all',
      'check every row, however long that takes (default: a sample of rows where there are many)',
    );
  addPatternOptions(command);
  addShapeOptions(command).addOption(dtypeOption()).addOption(outDtypeOption());
  addDeviceOptions(command);
  return command
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nWith --length and without --pattern, every pattern of the file is verified, each with those of --set that it has.\n' +
        '\nExample:\n  $ attnc verify samples/sliding.attn --length 1000 --set window=16\n' +
        '  $ attnc verify samples/sliding.attn --pattern sliding --set window=16 \\\n' +
        '      --input test/data/reference/sliding16.safetensors',
    )
    .action(action(session, (file: string, options: Options) => verifyFile(session, file, options)));
}

/** A pattern that was verified, or could not be. */
type Outcome =
  | {
      readonly kind: 'verified';
      readonly work: Work;
      readonly result: Verification;
      readonly findings: readonly Finding[];
    }
  | { readonly kind: 'failed'; readonly pattern: string };

async function verifyFile(session: Session, file: string, options: Options): Promise<number> {
  const loaded = await load(session, file);
  const task = await readTask(loaded, options);
  const choices = choicesOf(loaded, task, options);
  const works: (Work | string)[] = [];
  for (const choice of choices) {
    try {
      const work = await prepareWork(session, loaded, choice, task, !task.hasTensors);
      const { shape } = work.bound.binding;
      const inputs = work.bound.inputs.host;
      if (!options.allowDense) checkDense(scheduleFor(work.program, shape, inputs), shape, inputs);
      works.push(work);
    } catch (error) {
      // Of several patterns, the others are verified all the same.
      if (choices.length === 1) throw error;
      const name = choice.pattern ?? '';
      session.note(`attnc: pattern '${name}':`);
      if (!(error instanceof Reported)) session.error(error);
      works.push(name);
    }
  }
  const opened = await openFor(session, options.device);
  const outcomes: Outcome[] = [];
  try {
    const { verify, findingsOf } = await import('../verify.js');
    if (!options.json) session.io.stdout.write(listed([['device', `${opened.name}, ${opened.kind}`]]));
    for (const work of works) {
      if (typeof work === 'string') {
        outcomes.push({ kind: 'failed', pattern: work });
        continue;
      }
      const settings: VerifyOptions = {
        all: options.all === true,
        dtype: options.dtype ?? 'f32',
        out: options.outDtype ?? 'f32',
      };
      const result = await verify(session, opened.device, work, settings);
      const findings = findingsOf(result, work);
      session.progress.clear();
      if (!options.json) session.io.stdout.write(outcomeText(work, result, findings));
      outcomes.push({ kind: 'verified', work, result, findings });
    }
  } finally {
    opened.close();
  }
  const passed = outcomes.filter((o) => o.kind === 'verified' && o.result.pass).length;
  if (options.json) {
    const { name, kind, why } = opened;
    const report = {
      pass: passed === outcomes.length,
      device: { name, kind, why },
      patterns: outcomes.map(toJson),
    };
    session.io.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  } else if (outcomes.length > 1) {
    session.io.stdout.write(`\n${passed} of ${outcomes.length} patterns verified\n`);
  }
  return passed === outcomes.length ? STATUS.done : STATUS.failed;
}

/** One choice of pattern and parameters for each pattern to verify. */
function choicesOf(loaded: Loaded, task: Task, options: Options): readonly PatternOptions[] {
  const several = loaded.kind === 'patterns' && options.pattern === undefined && !task.hasTensors;
  if (!several || loaded.names.length < 2) return [options];
  const set = options.set ?? {};
  const own = loaded.names.map((name): [string, Settings] => {
    const has = loaded.parameters.get(name) ?? [];
    return [name, Object.fromEntries(Object.entries(set).filter(([key]) => has.includes(key)))];
  });
  for (const name of Object.keys(set)) {
    if (own.some(([, its]) => Object.hasOwn(its, name))) continue;
    throw usageError(`no pattern of ${loaded.source.file} has a parameter '${name}'`);
  }
  return own.map(([pattern, its]) => ({ pattern, set: its }));
}

function outcomeText(work: Work, v: Verification, findings: readonly Finding[]): string {
  const made = [
    ...(work.task.hasTensors ? [] : [`q, k, v (${v.precision}, seed ${work.task.seed})`]),
    ...work.madeUp,
  ];
  const rows =
    v.rows === v.totalRows ? `all ${count(v.rows)}` : `a sample of ${count(v.rows)} of ${count(v.totalRows)}`;
  const misplaced = [v.oracle, ...(v.file ? [v.file] : [])].reduce((n, c) => n + c.misplaced, 0);
  const lines: [string, string][] = [
    ['shape', shapeSummary(work.bound.binding)],
    ...(made.length > 0 ? [['made up', made.join('; ')] as [string, string]] : []),
    ['rows', `${rows} against the float64 oracle${v.file ? '; all against the file' : ''}`],
    ...findings.map((f): [string, string] => [`${f.against} ${f.measure}`, findingText(f)]),
    ...(misplaced > 0
      ? [
          ['not finite', `${count(misplaced)} values where they should be, or the reverse`] as [
            string,
            string,
          ],
        ]
      : []),
    [
      'time',
      `${milliseconds(v.stats.deviceMilliseconds)} on the device, ${milliseconds(v.stats.planMilliseconds)} planning`,
    ],
  ];
  return `\n${v.pass ? 'PASS' : 'FAIL'} ${patternSummary(work)}\n${listed(lines.map(([a, b]) => [`  ${a}`, b]))}`;
}

function findingText({ error, tolerance, pass, row }: Finding): string {
  const where = row === undefined ? '' : ` (batch ${row.batch}, head ${row.head}, row ${row.row})`;
  return `${error.toExponential(2)} ${pass ? '≤' : '>'} ${tolerance.toExponential(2)}${where}${pass ? '' : '  FAILS'}`;
}

function toJson(o: Outcome): unknown {
  if (o.kind === 'failed')
    return { pattern: o.pattern, pass: false, error: 'it could not be bound; see diagnostics' };
  const { work, result, findings } = o;
  const { pattern, pass, precision, rows, totalRows, stats } = result;
  const misplaced = result.oracle.misplaced + (result.file?.misplaced ?? 0);
  return { pattern, pass, precision, rows, totalRows, misplaced, findings, madeUp: work.madeUp, stats };
}
