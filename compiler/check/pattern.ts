import type { PatternAst } from '../../grammar/ast.js';
import type { Diagnostic } from '../../grammar/diagnostics.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import { parameter } from '../ir/build.js';
import type { InputDeclaration, Origin, Pattern } from '../ir/edges.js';
import type { Expr } from '../ir/expr.js';
import { bindingChecks } from '../lower/checks.js';
import { lowerBody, type LoweredBody } from './body.js';
import type { Bounds } from './bounds.js';
import { originOf, type Body, type Library, type Lowering } from './context.js';
import { constantValue } from './include.js';
import { declareParameter, isListType, itemType, readParameters, type Parameter } from './parameters.js';
import { createReport, type Report } from './report.js';
import { applySettings, type Settings } from './settings.js';
import { scalar, UNKNOWN, type Value } from './values.js';

export interface CheckedPattern {
  /** Undefined if there are errors. */
  readonly pattern: Pattern | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

type Values = ReadonlyMap<string, number | readonly number[]>;

/**
 * Checks and lowers one pattern. Which parameters shape the program shows only while it is lowered, so it is lowered
 * again with those fixed until no new one turns up (twice, as a rule); the last run's diagnostics count.
 */
export function checkPattern(library: Library, ast: PatternAst, set: Settings): CheckedPattern {
  let fixed = new Set(ast.parameters.filter((p) => isListType(p.type)).map((p) => p.name.text));
  for (;;) {
    const report = createReport();
    const { parameters, values } = readValues(library, ast, set, report);
    const lowering = createLowering(library, parameters, values, fixed);
    const body = lowerBody(ast, {
      lowering,
      report,
      labels: { prefix: '', suffix: '', taken: new Set() },
      parameters: parameterValues(parameters, values, fixed),
      varies: (name) => fixed.has(name),
      includedAt: undefined,
    });
    const needed = [...lowering.needed].filter((name) => !fixed.has(name));
    if (needed.length > 0) {
      fixed = new Set([...fixed, ...needed]);
      continue;
    }
    reportClashes(lowering, parameters, report);
    const diagnostics = report.all();
    const pattern = hasErrors(diagnostics)
      ? undefined
      : assemble(ast, lowering, body, parameters, values, fixed);
    return { pattern, diagnostics };
  }
}

function readValues(
  library: Library,
  ast: PatternAst,
  set: Settings,
  report: Report,
): { parameters: readonly Parameter[]; values: Values } {
  const lowering = createLowering(library, [], new Map(), new Set());
  const body: Body = {
    lowering,
    report,
    pattern: ast,
    grid: undefined,
    gridBroken: false,
    laterNames: new Set(),
    declared: [],
  };
  const parameters = readParameters(body, ast);
  return { parameters, values: applySettings(parameters, set, ast.name.text, report) };
}

function createLowering(
  library: Library,
  parameters: readonly Parameter[],
  values: Values,
  fixed: ReadonlySet<string>,
): Lowering {
  const single = [...values].filter((entry): entry is [string, number] => typeof entry[1] === 'number');
  const ranges = new Map<string, Bounds>();
  for (const p of parameters)
    if (p.range && !fixed.has(p.ast.name.text)) ranges.set(p.ast.name.text, p.range);
  return {
    library,
    values: new Map(single),
    ranges,
    needed: new Set(),
    origins: new Map(),
    inputs: new Map(),
    used: new Set(),
    weighted: new Set(),
    depths: new Map(),
    variables: new Map(),
    grid: undefined,
    align: undefined,
    expansions: 0,
  };
}

/** Fixed parameters are constants, the others nodes of their own; those with a wrong default are unknown. */
function parameterValues(
  parameters: readonly Parameter[],
  values: Values,
  fixed: ReadonlySet<string>,
): ReadonlyMap<string, Value> {
  return new Map(
    parameters.map(({ ast }) => {
      const name = ast.name.text;
      const value = values.get(name);
      if (value === undefined) return [name, UNKNOWN];
      if (fixed.has(name)) return [name, constantValue(ast, value)];
      return [name, scalar(parameter(name, itemType(ast.type)))];
    }),
  );
}

/** A program's parameters and inputs are bound by name, so an included input can't have a parameter's name. */
function reportClashes(lowering: Lowering, parameters: readonly Parameter[], report: Report): void {
  for (const { ast } of parameters) {
    const input = lowering.inputs.get(ast.name.text);
    if (!input) continue;
    report.error(
      'ATTN2054',
      `an included pattern has an input named \`${ast.name.text}\`, as this parameter`,
      ast.name.span,
      {
        help: 'rename one of them',
        related: [{ message: 'the input', span: input.span }],
      },
    );
  }
}

function assemble(
  ast: PatternAst,
  lowering: Lowering,
  body: LoweredBody,
  parameters: readonly Parameter[],
  values: Values,
  fixed: ReadonlySet<string>,
): Pattern {
  const { library, origins } = lowering;
  const place = (kind: 'score' | 'mix'): Origin =>
    originOf(library, ast.items.find((item) => item.kind === kind)?.span ?? ast.name.span);
  const sink = body.mix.kind === 'softmax' ? body.mix.sink : undefined;
  const others: { expr: Expr; origin: Origin }[] = [
    ...(body.score ? [{ expr: body.score, origin: place('score') }] : []),
    ...(sink ? [{ expr: sink, origin: place('mix') }] : []),
  ];
  const inputs = [...lowering.inputs.values()].map(({ name, type, axes, doc }): InputDeclaration => ({
    name,
    type,
    axes,
    weighted: lowering.weighted.has(name),
    doc,
  }));
  return {
    name: ast.name.text,
    doc: ast.doc,
    parameters: parameters.map((p) =>
      declareParameter(p, values.get(p.ast.name.text) ?? 0, fixed.has(p.ast.name.text)),
    ),
    inputs,
    grid: lowering.grid?.axes,
    align: lowering.align?.to ?? 'end',
    edges: body.edges,
    score: body.score,
    mix: body.mix,
    checks: bindingChecks({
      edges: body.edges,
      others,
      originOf: (e) => {
        const span = origins.get(e);
        return span && originOf(library, span);
      },
    }),
  };
}
