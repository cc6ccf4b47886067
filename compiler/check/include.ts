import type { ArgumentAst, IncludeAst, ParameterAst, PatternAst } from '../../grammar/ast.js';
import { nearest } from '../../grammar/nearest.js';
import { isConst } from '../ir/build.js';
import type { Body, Env } from './context.js';
import { evaluate } from './expressions.js';
import {
  asListOf,
  constantOf,
  inRange,
  isListType,
  itemType,
  readParameters,
  type Parameter,
} from './parameters.js';
import { silent } from './report.js';
import { asType } from './types.js';
import { count, scalar, UNKNOWN, type Value } from './values.js';

/** The included pattern with values for its parameters; `undefined` after an error that leaves no pattern. */
export function includedArguments(
  env: Env,
  ast: IncludeAst,
): { readonly pattern: PatternAst; readonly parameters: ReadonlyMap<string, Value> } | undefined {
  const { lowering, report } = env.body;
  const { library } = lowering;
  const pattern = library.patterns.get(ast.pattern.text);
  const values = ast.args.map((arg) => evaluate({ ...env, place: 'let' }, arg.value));
  if (!pattern) {
    if (!library.complete) return undefined;
    const like = nearest(ast.pattern.text, library.patterns.keys());
    report.error('ATTN2003', `unknown pattern \`${ast.pattern.text}\``, ast.pattern.span, {
      help: like ? `did you mean \`${like}\`?` : '`import "path.attn"` brings the patterns of another file',
    });
    return undefined;
  }
  if (library.broken.has(pattern.name.text)) return undefined;
  const given = matchArguments(env, ast, pattern, values);
  if (!given) return undefined;
  // Its own declarations are reported where the pattern itself is checked.
  const own: Body = { ...env.body, report: silent, pattern };
  const parameters = new Map<string, Value>();
  for (const p of readParameters(own, pattern)) {
    const arg = given.get(p.ast.name.text);
    parameters.set(p.ast.name.text, arg ? fitArgument(env, p, arg.arg, arg.value) : defaultOf(p));
  }
  return { pattern, parameters };
}

type Given = ReadonlyMap<string, { readonly arg: ArgumentAst; readonly value: Value }>;

/** Positional arguments in order, named ones by name. */
function matchArguments(
  env: Env,
  ast: IncludeAst,
  pattern: PatternAst,
  values: readonly Value[],
): Given | undefined {
  const { report } = env.body;
  const names = pattern.parameters.map((p) => p.name.text);
  const related = [{ message: 'declared here', span: pattern.name.span }];
  const given = new Map<string, { arg: ArgumentAst; value: Value }>();
  let failed = false;
  const wrong = (code: 'ATTN2027' | 'ATTN2028', message: string, arg: ArgumentAst, help?: string): void => {
    failed = true;
    report.error(code, message, arg.name?.span ?? arg.span, { help, related });
  };
  ast.args.forEach((arg, n) => {
    const name = arg.name?.text ?? names[n];
    if (name === undefined) {
      if (n === names.length || !failed) {
        wrong(
          'ATTN2027',
          `\`${pattern.name.text}\` takes ${count(names.length, 'argument')}, not ${ast.args.length}`,
          arg,
        );
      }
    } else if (!names.includes(name)) {
      const like = nearest(name, names);
      const help = like ? `did you mean \`${like}\`?` : `its parameters are ${names.join(', ') || '(none)'}`;
      wrong('ATTN2028', `\`${pattern.name.text}\` has no parameter \`${name}\``, arg, help);
    } else if (given.has(name)) {
      wrong('ATTN2028', `\`${name}\` is given twice`, arg);
    } else if (!arg.name && ast.args.slice(0, n).some((a) => a.name)) {
      wrong('ATTN2028', 'arguments by position come before those by name', arg);
    } else {
      given.set(name, { arg, value: values[n] });
    }
  });
  return failed ? undefined : given;
}

function fitArgument(env: Env, p: Parameter, arg: ArgumentAst, value: Value): Value {
  const { body } = env;
  const { type } = p.ast;
  if (isListType(type)) {
    const items = asListOf(body, value, type, arg.value);
    return items && checkRange(env, p, items, arg)
      ? { kind: 'list', type: type === 'int[]' ? 'int' : 'float', items }
      : UNKNOWN;
  }
  const expr = asType(body.report, value, arg.value.span, itemType(type));
  return expr && checkRange(env, p, [expr], arg) ? scalar(expr) : UNKNOWN;
}

/** Values that are known must lie in the parameter's range. */
function checkRange(
  env: Env,
  p: Parameter,
  items: readonly (Value & { kind: 'scalar' })['expr'][],
  arg: ArgumentAst,
): boolean {
  const outside = p.range && items.find((e) => isConst(e) && !inRange(e.value, p.range!));
  if (!outside || !isConst(outside)) return true;
  env.body.report.error(
    'ATTN2040',
    `the value ${outside.value} of \`${p.ast.name.text}\` lies outside of its range`,
    arg.value.span,
    {
      help: `the range is ${p.range!.lo} .. ${p.range!.hi}`,
      related: [{ message: 'declared here', span: p.ast.span }],
    },
  );
  return false;
}

function defaultOf(p: Parameter): Value {
  return p.value === undefined ? UNKNOWN : constantValue(p.ast, p.value);
}

/** A parameter's fixed value. */
export function constantValue(ast: ParameterAst, value: number | readonly number[]): Value {
  const type = itemType(ast.type);
  if (typeof value === 'number') return scalar(constantOf(type, value));
  return {
    kind: 'list',
    type: type === 'float' ? 'float' : 'int',
    items: value.map((n) => constantOf(type, n)),
  };
}
