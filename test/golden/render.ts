import { pictureFromPairs, pictureToText, tilesToText, type TileKind } from '../../cli/picture/index.js';
import { evaluatePairs, multiplicity, ruleConditions } from '../../compiler/ir/evaluate.js';
import { planTiles } from '../../compiler/ir/plan.js';
import type { Program } from '../../compiler/ir/program.js';
import type { TilePass } from '../../compiler/ir/schedule.js';
import { shaderText } from '../../compiler/ir/shader-text.js';
import { baseOf } from '../../compiler/ir/shape.js';
import { printSchedules } from '../../compiler/print/index.js';
import type { GoldenCase, Settings, View } from './cases.js';
import { bindSample, compileSample, statisticsOf, type Statistics, type Subject } from './subject.js';

/** Goldens as text: pictures, schedules, statistics, shaders. */

export interface Golden {
  /** From the package's root. */
  readonly path: string;
  readonly text: string;
}

export interface Rendered {
  readonly goldens: readonly Golden[];
  readonly statistics: readonly Statistics[];
}

export function renderCase(c: GoldenCase): Rendered {
  const program = compileSample(c, c.set);
  const statistics = c.lengths.map((length) => statisticsOf(bindSample(program, { length })));
  const bound = (view: View): Subject => bindSample(compileSample(c, view.set ?? {}), view);
  const name = `samples/goldens/${c.file}.${c.pattern}`;
  const sections = [
    `samples/${c.file}.attn: ${c.pattern}\n`,
    pairsPicture(c, bound(c.pairs)),
    tilesPicture(c, bound(c.tiles)),
    `Schedules${settings(c.set)}\n\n${printSchedules(program.schedules, axesOf(program))}`,
    statisticsTable(c, statistics),
  ];
  return {
    goldens: [
      { path: `${name}.txt`, text: sections.join('\n') },
      { path: `${name}.wgsl`, text: shaders(program) },
    ],
    statistics,
  };
}

const axesOf = (program: Program): readonly string[] => program.pattern.grid?.map((g) => g.name) ?? [];
const number = (n: number): string => n.toLocaleString('en-US');

function settings(set: Settings | undefined): string {
  const words = Object.entries(set ?? {}).map(([name, value]) => {
    const text = JSON.stringify(value);
    return `${name} = ${text.length > 60 ? `${text.slice(0, 56)} …]` : text}`;
  });
  return words.length > 0 ? `, ${words.join(', ')}` : '';
}

/** Rows are queries, columns keys; a letter for the first rule that makes the edge. Batch 0, head 0. */
function pairsPicture(c: GoldenCase, { program, shape, inputs }: Subject): string {
  const { edges } = program.pattern;
  const rules = ruleConditions(edges);
  const evaluator = evaluatePairs([multiplicity(edges), ...rules.map((r) => r.when)], shape, inputs);
  const base = baseOf(shape, 0);
  let row = -1;
  const picture = pictureFromPairs(
    {
      title: `Pairs of ${number(shape.queries[0])} queries and ${number(shape.keys[0])} keys${settings(c.pairs.set)}`,
      queries: shape.queries[0],
      keys: shape.keys[0],
      labels: rules.map((r) => r.rule.label),
    },
    (query, key) => {
      if (query !== row) evaluator.row(0, 0, base + (row = query));
      return evaluator.at(key) === 0 ? -1 : rules.findIndex((_, n) => evaluator.result(n + 1) !== 0);
    },
  );
  return pictureToText(picture, { columns: 100 });
}

/** For each pass: rows are query tiles, class by class; columns are key tiles, segment by segment. */
function tilesPicture(c: GoldenCase, subject: Subject): string {
  const { shape, schedule } = subject;
  const title = `Tiles of ${number(shape.keys[0])} tokens${settings(c.tiles.set)}: █ full, ▒ partial, · none`;
  const passes = schedule.passes.map((pass, n) => {
    const heading = `pass ${n + 1} of schedule ${schedule.name}`;
    if (pass.kind === 'gather')
      return `${heading}: gather for ${pass.labels.join(', ')}, one row at a time\n`;
    const segments = pass.segments.map((s) => `${s.space.name} for ${s.labels.join(', ')}`);
    return `${heading}: ${pass.queries.name} × ${segments.join(' | ')}\n\n${tileMatrix(pass, subject)}`;
  });
  return `${title}\n\n${passes.join('\n')}`;
}

/** Rows past which a picture shows no more classes. */
const MOST_ROWS = 64;

function tileMatrix(pass: TilePass, { shape, inputs }: Subject): string {
  const planner = planTiles(pass, shape, inputs);
  // Boxes have other tiles for each tile of queries: as many as the largest of them.
  const queryTiles = Array.from({ length: planner.tiles }, (_, n) => n);
  const widths = pass.segments.map(({ space }, segment) => {
    const width = (queryTile: number): number => {
      let tiles = 0;
      while (planner.keyPositions(segment, 0, 0, 0, queryTile, tiles).length > 0) tiles++;
      return tiles;
    };
    return space.kind === 'box' ? Math.max(0, ...queryTiles.map(width)) : width(0);
  });
  const rows: string[] = [];
  const total = planner.classes * planner.tiles;
  for (let row = 0; row < Math.min(total, MOST_ROWS); row++) {
    const cells = widths.map((w) => new Array<TileKind>(w).fill('none'));
    planner.tile(0, 0, Math.floor(row / planner.tiles), row % planner.tiles, (segment, first, count, full) =>
      cells[segment].fill(full ? 'full' : 'partial', first, first + count),
    );
    rows.push(cells.map((segment) => tilesToText([segment]).trimEnd()).join(' | '));
  }
  if (total > MOST_ROWS) rows.push(`… and ${total - MOST_ROWS} more rows of tiles`);
  return `${rows.map((r) => r.trimEnd()).join('\n')}\n`;
}

const HEADINGS = ['tokens', 'schedule', 'edges', 'issued', 'waste', 'full', 'partial', 'full share', 'steps'];

function statisticsTable(c: GoldenCase, statistics: readonly Statistics[]): string {
  const rows = statistics.map((s) => {
    const tiles = s.full + s.partial;
    return [
      number(s.tokens),
      s.schedule,
      number(s.edges),
      number(s.issued),
      s.waste.toFixed(3),
      number(s.full),
      number(s.partial),
      tiles === 0 ? 'no tiles' : `${((100 * s.full) / tiles).toFixed(1)} %`,
      number(s.steps),
    ];
  });
  const table = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, n) => Math.max(...table.map((r) => r[n].length)));
  const lines = table.map((r) => r.map((cell, n) => cell.padStart(widths[n])).join('  '));
  return (
    `Statistics, 4 heads${settings(c.set)}\n` +
    `(from up to 64 query tiles a pass, scaled; edges count m, waste is issued / edges, steps are box tests)\n\n` +
    `${lines.join('\n')}\n`
  );
}

/**
 * Portable kernels, and every gather: tiles of other families only multiply otherwise, at many times the text. A kernel
 * that several variants share comes once.
 */
function shaders(program: Program): string {
  const printed = new Set<string>();
  const kernels = program.variants.flatMap((v) =>
    v.kernels.flatMap((k) => {
      if (v.family !== 'portable' && !k.role.startsWith('gather')) return [];
      const text = shaderText(program, k, { input: 'f32', output: 'f32' }).trimEnd();
      if (printed.has(text)) return [];
      printed.add(text);
      const { name } = program.schedules[v.schedule];
      const pass = k.pass === undefined ? '' : `, pass ${k.pass + 1}`;
      return `// ==== ${k.name}: ${k.role}, ${v.family}, schedule ${name}${pass} ====\n\n${text}\n`;
    }),
  );
  return kernels.join('\n');
}
