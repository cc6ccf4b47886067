import { Command } from 'commander';
import { STORAGE_TYPES, type StorageType } from '../../compiler/ir/program.js';
import { usageError } from '../../runtime/errors.js';
import { action } from '../action.js';
import { openFor } from '../device.js';
import type { Explanation, PassSummary } from '../explain.js';
import type { RanksExplanation } from '../explain-ranks.js';
import { readInputs, readPlaces } from '../inputs.js';
import { load } from '../load.js';
import {
  addPatternOptions,
  addShapeOptions,
  diagnosticsOption,
  dtypeOption,
  jsonOption,
  outDtypeOption,
  wholeNumber,
  type PatternOptions,
  type ShapeOptions,
} from '../options.js';
import { STATUS, type DiagnosticsFormat, type Session } from '../session.js';
import { count, listed, milliseconds, percent, scaled } from '../text.js';
import { addBudgetOptions, type BudgetOptions } from '../stream/options.js';
import { LEFT_OUT } from '../stream/task.js';
import { patternSummary, prepareWork, shapeSummary, taskOf, type Work } from '../work.js';

interface Options extends PatternOptions, ShapeOptions, BudgetOptions {
  readonly ranks?: number;
  readonly dtype?: StorageType;
  readonly outDtype?: StorageType;
  readonly device?: string;
  readonly json?: boolean;
  readonly diagnostics: DiagnosticsFormat;
}

export function explainCommand(session: Session): Command {
  const command = new Command('explain')
    .description('Say what a pattern costs at a length: edges, tiles, waste, work, memory, passes, planning.')
    .argument('<file>', 'a .attn file or a compiled program; - reads standard input');
  addPatternOptions(command);
  addShapeOptions(command).addOption(dtypeOption()).addOption(outDtypeOption());
  addBudgetOptions(command);
  return command
    .option('--device <name>', 'measure this device, and say how long a streamed run should take on it')
    .option(
      '--ranks <n>',
      'also what so many ranks of a distributed run send each other',
      wholeNumber(1, 65536),
    )
    .addOption(jsonOption())
    .addOption(diagnosticsOption())
    .addHelpText(
      'after',
      '\nTables that no --input holds are made up, and said to be; at large lengths the counts come from a sample.\n' +
        '\nWhere a tensor is past the 2 GiB that GPUs bind at once, or with --memory, --host-memory, --binding or --device:\n' +
        'what a streamed run takes and moves as well. docs/long-sequences.md says more.\n' +
        '\nExample:\n  $ attnc explain samples/longformer.attn --length 1_000_000 --heads 8\n' +
        '  $ attnc explain samples/longnet.attn --length 1e9 --heads 1 --dtype f16 --memory 16G',
    )
    .action(action(session, (file: string, options: Options) => explainFile(session, file, options)));
}

async function explainFile(session: Session, file: string, options: Options): Promise<number> {
  const loaded = await load(session, file);
  const places = await readPlaces(options.input ?? []);
  const task = taskOf(loaded, options, await readInputs(options.input ?? [], LEFT_OUT), places);
  const given = places.get('q')?.dtype;
  const types = {
    input: isStorageType(given) ? given : (options.dtype ?? 'f32'),
    output: options.outDtype ?? 'f32',
  };
  const { isLong, explainLong, longLines, GPU_BINDING } = await import('../stream/explain.js');
  const { memory, hostMemory, binding, device } = options;
  const asked = [memory, hostMemory, binding, device].some((x) => x !== undefined);
  const can = loaded.kind === 'patterns' || loaded.program.windows;
  const long = can && (asked || (options.ranks === undefined && isLong(task.shapes, types, GPU_BINDING)));
  if (asked && !can) {
    throw usageError('the program was compiled for runs in one piece', 'compile it with --windows');
  }
  const work = await prepareWork(session, loaded, options, task, true, long);
  const { explain } = await import('../explain.js');
  const found = explain(session, work, types);
  const opened = device === undefined ? undefined : await openFor(session, device);
  try {
    const stream = long ? await explainLong(session, work, types, options, opened) : undefined;
    const ranks = await explainExchange(session, work, options.ranks, types.input);
    session.progress.clear();
    const name = opened ? { device: { name: opened.name, kind: opened.kind } } : {};
    session.io.stdout.write(
      options.json
        ? toJson(work, found, stream && { ...name, ...stream }, ranks?.found)
        : explanationText(work, found, [
            ...(opened ? [['device', `${opened.name}, ${opened.kind}`] as [string, string]] : []),
            ...(stream ? longLines(stream) : []),
            ...(ranks?.lines ?? []),
          ]) + (ranks?.table ?? ''),
    );
  } finally {
    opened?.close();
  }
  return STATUS.done;
}

const isStorageType = (dtype: string | undefined): dtype is StorageType =>
  STORAGE_TYPES.some((type) => type === dtype);

async function explainExchange(
  session: Session,
  work: Work,
  ranks: number | undefined,
  dtype: StorageType,
): Promise<
  { readonly found: RanksExplanation; readonly lines: [string, string][]; readonly table: string } | undefined
> {
  if (ranks === undefined) return undefined;
  const { explainRanks, ranksLines, ranksTable } = await import('../explain-ranks.js');
  session.progress.step('planning the exchange', `${ranks} ranks`);
  const found = explainRanks(work, ranks, dtype);
  return { found, lines: ranksLines(found), table: ranksTable(found) };
}

function toJson(work: Work, e: Explanation, stream: unknown, ranks: RanksExplanation | undefined): string {
  const { shape, queries, keys, valueDim } = work.bound.binding;
  const parameters = Object.fromEntries(work.program.parameters.map((p) => [p.name, p.value]));
  const { batch, heads, keyHeads, dim, grid } = shape;
  const sizes = { batch, heads, keyHeads, queries, keys, dim, valueDim, grid };
  const { planning, ...rest } = e;
  const json = {
    parameters,
    shape: sizes,
    ...rest,
    planning: { ...planning, milliseconds: planning.milliseconds ?? null },
    ...(stream === undefined ? {} : { stream }),
    ...(ranks ? { ranks } : {}),
  };
  return `${JSON.stringify(json, undefined, 2)}\n`;
}

function explanationText(work: Work, e: Explanation, more: readonly [string, string][]): string {
  const { sampled, total } = e.counted;
  const estimated = e.edges.exact ? '' : ' (estimated)';
  const bytes = Object.entries(e.bytes).map(([name, n]) => `${name} ${scaled(n, 'B')}`);
  const lines: [string, string][] = [
    ['shape', shapeSummary(work.bound.binding)],
    ...(e.madeUp.length > 0 ? [['made up', e.madeUp.join('; ')] as [string, string]] : []),
    [
      'edges',
      `${count(e.edges.sum)}, ${count(e.edges.distinct)} distinct pairs, density ${percent(e.edges.density)}${estimated}`,
    ],
    [
      'tiles',
      `${count(e.tiles.full)} full (${percent(e.tiles.share)}), ${count(e.tiles.partial)} partial` +
        (e.counted.exact ? '' : `, counted on ${count(sampled)} of ${count(total)} query tiles`),
    ],
    ['pairs issued', `${count(e.issued)}, waste ${e.edges.sum === 0 ? '–' : `${e.waste.toPrecision(3)} ×`}`],
    ['work', `${scaled(e.flops.needed, 'FLOP')} needed, ${scaled(e.flops.issued, 'FLOP')} issued`],
    ['bytes', bytes.join(', ')],
    ['schedule', `${e.schedule}${e.schedules.length > 1 ? ` (of ${e.schedules.join(', ')})` : ''}`],
    ...e.passes.map((p, n): [string, string] => [`pass ${n + 1}`, passText(p)]),
    ['planning', planningText(e)],
    ...(e.fallbacks.length === 0
      ? [['tests pairs', 'no rule falls back to testing all pairs'] as [string, string]]
      : e.fallbacks.map((f): [string, string] => [
          'tests pairs',
          `\`${f.sources.join('; ')}\` (${f.labels.join(', ')}) tests ${count(f.pairs)} pairs one by one, ` +
            `${percent(f.share)} of all: nothing bounds where its keys lie`,
        ])),
    ['longest', `${count(e.maxLength)} keys with these parameters`],
    ...more,
  ];
  return `${patternSummary(work)}\n${listed(lines)}`;
}

function passText(p: PassSummary): string {
  const keys = p.segments.map((s) => {
    const tiles = p.kind === 'gather' ? '' : `, ${count(s.full)} full, ${count(s.partial)} partial`;
    return `keys by ${s.keys} for ${s.labels.join(', ')}${tiles}`;
  });
  const planner = { kernel: ', planned by the kernel', host: ', planned on the host', none: '' }[p.plan];
  return `${p.kind} of ${p.queries}${planner}; ${keys.join('; ')}`;
}

function planningText({ planning }: Explanation): string {
  const { steps, kernelSteps } = planning;
  const time = planning.milliseconds === undefined ? 'not tried here' : milliseconds(planning.milliseconds);
  const kernel = kernelSteps === 0 ? '' : `; ${count(kernelSteps)} steps in kernels`;
  return `${count(steps)} steps on the host, ${time}${kernel}`;
}
