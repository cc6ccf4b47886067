import type { IncludeAst, InputAst, ItemAst, PatternAst, Span } from '../../grammar/ast.js';
import { all, isConst } from '../ir/build.js';
import type { Edges, Mix } from '../ir/edges.js';
import type { Expr } from '../ir/expr.js';
import { hasRules } from './conditions.js';
import type { Body, Env, Grid, Lowering } from './context.js';
import { spanKey } from './context.js';
import {
  letNames,
  readAxes,
  readGrid,
  readSingles,
  sameAxes,
  sameGrid,
  type Singles,
} from './declarations.js';
import { declare, warnUnused } from './declare.js';
import { includedArguments } from './include.js';
import { lowerItems, type Collected } from './items.js';
import { checkLabels, givePrefix, numberRules, type Labels } from './labels.js';
import { neverHolds } from './never.js';
import { reportFromInclude, type Report } from './report.js';
import { createScope } from './scope.js';
import type { Value } from './values.js';

/** A pattern's body, lowered: its own edges with everything that it includes. */
export interface LoweredBody {
  readonly edges: Edges;
  readonly score: Expr | undefined;
  readonly mix: Mix;
}

/** How a body comes to be lowered: as the top pattern, or by an include. */
export interface Use {
  readonly lowering: Lowering;
  readonly report: Report;
  readonly labels: Labels;
  /** Values of the parameters. */
  readonly parameters: ReadonlyMap<string, Value>;
  /** True for those that shape the program. */
  readonly varies: (parameter: string) => boolean;
  readonly includedAt: Span | undefined;
}

/** Lowers a pattern's items; what is wrong is reported. */
export function lowerBody(pattern: PatternAst, use: Use): LoweredBody {
  const { lowering, report } = use;
  const singles = readSingles(report, pattern);
  const declared: Body['declared'] = [];
  const start: Body = {
    lowering,
    report,
    pattern,
    grid: undefined,
    gridBroken: false,
    laterNames: new Set(letNames(pattern.items)),
    declared,
  };
  const scope = createScope(undefined);
  for (const { name } of pattern.parameters) {
    const value = use.parameters.get(name.text) ?? { kind: 'unknown' };
    declare(
      { body: start, scope, place: 'static' },
      { kind: 'parameter', name, value, varies: use.varies(name.text) },
    );
    declared.push({ what: 'parameter', name });
  }
  const grid = singles.tokens && readGrid({ body: start, scope, place: 'static' }, singles.tokens);
  agreeOnGrid(use, grid);
  agreeOnAlign(use, singles);
  const body: Body = { ...start, grid, gridBroken: singles.tokens !== undefined && grid === undefined };
  const env: Env = { body, scope, place: 'let' };
  for (const input of inputsOf(pattern.items)) declareInput(env, use, input);

  const into: Collected = {
    parts: [],
    rules: [],
    restrictions: [],
    score: undefined,
    mix: { kind: 'softmax', sink: undefined },
  };
  checkLabels(report, pattern.items);
  const walk = { into, numbers: numberRules(pattern.items), include: lowerInclude };
  lowerItems(walk, { ...env, scope: createScope(scope) }, pattern.items, use.labels);
  if (!hasRules(pattern.items)) {
    report.error('ATTN2070', `pattern \`${pattern.name.text}\` has no rule`, pattern.name.span, {
      help: 'a rule is written `i -> j when CONDITION`; `i -> j` alone is every pair',
    });
  }
  warnNever(report, into, lowering);
  warnUnused(env);
  const edges: Edges = {
    kind: 'edges',
    overlaps: singles.overlaps?.mode ?? 'merge',
    restrict: into.restrictions.length === 0 ? undefined : all(into.restrictions.map((r) => r.condition)),
    parts: into.parts,
  };
  return { edges, score: into.score, mix: into.mix };
}

function inputsOf(items: readonly ItemAst[]): readonly InputAst[] {
  return items.flatMap((item) => {
    if (item.kind === 'input') return [item];
    return item.kind === 'block' || item.kind === 'for' ? inputsOf(item.items) : [];
  });
}

/** An input of the top pattern and of what it includes is one table if name and type agree. */
function declareInput(env: Env, use: Use, ast: InputAst): void {
  const { lowering, report } = use;
  const axes = readAxes(env, ast);
  const { text: name, span } = ast.name;
  env.body.declared.push({ what: 'input', name: ast.name });
  const before = env.scope.names.size;
  declare(env, { kind: 'input', name: ast.name, ast, axes });
  if (env.scope.names.size === before || !axes) return;
  const known = lowering.inputs.get(name);
  if (!known) {
    lowering.inputs.set(name, { name, type: ast.type, axes, doc: ast.doc, span });
    return;
  }
  if (known.type === ast.type && sameAxes(known.axes, axes)) {
    lowering.used.add(spanKey(known.span));
    return;
  }
  report.error(
    'ATTN2054',
    `input \`${name}\` is declared with another type or other axes`,
    use.includedAt ?? span,
    {
      help: 'inputs of the same name and type are one; rename one of them',
      related: [
        { message: 'here', span },
        { message: 'and here', span: known.span },
      ],
    },
  );
}

function agreeOnGrid(use: Use, grid: Grid | undefined): void {
  const { lowering, report, includedAt } = use;
  if (!grid) return;
  if (!lowering.grid) {
    lowering.grid = grid;
    return;
  }
  if (sameGrid(lowering.grid, grid)) return;
  report.error('ATTN2055', 'the included pattern lays its tokens on another grid', includedAt ?? grid.span, {
    help: 'number of axes and sizes must agree',
    related: [
      { message: 'its grid', span: grid.span },
      { message: 'the grid here', span: lowering.grid.span },
    ],
  });
}

function agreeOnAlign(use: Use, singles: Singles): void {
  const { lowering, report, includedAt } = use;
  const { align } = singles;
  if (!includedAt) {
    lowering.align = align;
    return;
  }
  if (!align || align.to === (lowering.align?.to ?? 'end')) return;
  report.error('ATTN2055', `the included pattern is aligned at the ${align.to}`, includedAt, {
    help: `say \`align ${align.to}\` here too`,
    related: [{ message: 'its alignment', span: align.span }],
  });
}

/** `include NAME(args)`: the other pattern's edges, with the arguments in place of its parameters. */
function lowerInclude(env: Env, ast: IncludeAst, labels: Labels): Edges | undefined {
  const { lowering } = env.body;
  const found = includedArguments(env, ast);
  if (!found) return undefined;
  const { pattern, parameters } = found;
  const report = reportFromInclude(env.body.report, ast.span);
  const prefix = givePrefix(labels, ast.label?.text ?? pattern.name.text);
  for (const item of pattern.items) {
    if (item.kind !== 'score' && item.kind !== 'mix') continue;
    env.body.report.error(
      'ATTN2053',
      `\`${pattern.name.text}\` has a ${item.kind} of its own, so it can't be included`,
      ast.span,
      {
        help: 'an include brings edges only: put the edges into a pattern of their own and include that',
        related: [{ message: `its ${item.kind}`, span: item.span }],
      },
    );
    return undefined;
  }
  return lowerBody(pattern, {
    lowering,
    report,
    labels: { ...labels, prefix },
    parameters,
    varies: () => true,
    includedAt: ast.span,
  }).edges;
}

/** Warns of rules and restrictions that hold nowhere, whatever the parameters. */
function warnNever(report: Report, into: Collected, lowering: Lowering): void {
  const restriction = into.restrictions.map((r) => r.condition);
  const steady = !into.restrictions.some((r) => r.varies);
  const restrictionFails = restriction.length > 0 && neverHolds(restriction, lowering.ranges);
  if (restrictionFails && steady) {
    report.warning(
      'ATTN2072',
      'this restriction never holds, so the pattern has no edge',
      into.restrictions[0].span,
    );
  }
  for (const { ast, when, varies } of into.rules) {
    if (varies) continue;
    const alone = neverHolds([when], lowering.ranges);
    const restricted = steady && !restrictionFails && neverHolds([when, ...restriction], lowering.ranges);
    if (!alone && !restricted) continue;
    const help = isConst(when)
      ? 'its condition is always false'
      : alone
        ? 'no pair of positions satisfies its condition'
        : 'no pair of positions satisfies both its condition and `restrict`';
    report.warning('ATTN2071', 'this rule never holds', ast.when?.span ?? ast.span, { help });
  }
}
