import type { ForAst, IncludeAst, ItemAst, LetAst, RuleAst, Span } from '../../grammar/ast.js';
import { int } from '../ir/build.js';
import type { Edges, Mix, Rule } from '../ir/edges.js';
import type { Expr } from '../ir/expr.js';
import { readCondition, readRule, ruleVaries, isEmpty, reportEmpty, varies } from './conditions.js';
import { originOf, type Env } from './context.js';
import { declare, declareLet } from './declare.js';
import { evaluate } from './expressions.js';
import { giveLabel, type Labels } from './labels.js';
import { readMix } from './mix.js';
import { silent } from './report.js';
import { createScope } from './scope.js';
import { needKnown } from './static.js';
import { asFloat, asInt } from './types.js';
import { scalar, UNKNOWN, type Value } from './values.js';

/** Rules, repetitions and includes in one pattern, all together. */
const MAX_EXPANSIONS = 10_000;
/** An include counts as so many: it declares names and inputs besides its rules. */
const INCLUDE = 10;

/** What a walk through the items of a body collects. */
export interface Collected {
  readonly parts: (Rule | Edges)[];
  readonly rules: { readonly ast: RuleAst; readonly when: Expr; readonly varies: boolean }[];
  readonly restrictions: { readonly span: Span; readonly condition: Expr; readonly varies: boolean }[];
  score: Expr | undefined;
  mix: Mix;
}

export interface Walk {
  readonly into: Collected;
  readonly numbers: ReadonlyMap<RuleAst, number>;
  readonly include: (env: Env, ast: IncludeAst, labels: Labels) => Edges | undefined;
}

/** Lowers items in order; a `let` is visible to those after it. */
export function lowerItems(walk: Walk, env: Env, items: readonly ItemAst[], labels: Labels): void {
  const { into } = walk;
  for (const item of items) {
    if (exhausted(env)) return;
    switch (item.kind) {
      case 'rule':
        lowerRule(walk, env, item, labels);
        break;
      case 'block': {
        const prefix = item.label ? `${labels.prefix}${item.label.text}.` : labels.prefix;
        const scope = createScope(env.scope);
        lowerItems(walk, { ...env, scope }, item.items, { ...labels, prefix });
        break;
      }
      case 'let':
        lowerLet(env, item);
        break;
      case 'restrict': {
        const condition = readCondition(env, item.condition);
        if (!condition) break;
        const { span } = item.condition;
        into.restrictions.push({ span, condition, varies: varies(env, item.condition) });
        break;
      }
      case 'include': {
        if (expand(env, item.span, INCLUDE)) {
          const part = walk.include(env, item, labels);
          if (part) into.parts.push(part);
        }
        break;
      }
      case 'for':
        lowerFor(walk, env, item, labels);
        break;
      case 'score': {
        const inner: Env = { ...env, place: 'score' };
        into.score ??= asFloat(env.body.report, evaluate(inner, item.value), item.value.span);
        break;
      }
      case 'mix':
        into.mix = readMix(env, item);
        break;
      // Read before the other items: body.ts.
      case 'input':
      case 'tokens':
      case 'align':
      case 'overlaps':
        break;
    }
  }
}

const exhausted = (env: Env): boolean => env.body.lowering.expansions > MAX_EXPANSIONS;

/** Counts one rule, repetition or include; false once there are too many. */
function expand(env: Env, span: Span, cost = 1): boolean {
  const { lowering, report } = env.body;
  const before = exhausted(env);
  lowering.expansions += cost;
  if (exhausted(env) && !before) {
    report.error('ATTN2035', `the pattern grows past ${MAX_EXPANSIONS} rules and repetitions`, span, {
      help: 'a condition with `in [ … ]`, `%` or a table says the same in one rule',
    });
  }
  return !exhausted(env);
}

function lowerRule(walk: Walk, env: Env, ast: RuleAst, labels: Labels): void {
  if (!expand(env, ast.span)) return;
  const when = readRule(env, ast);
  const label = giveLabel(labels, ast.label?.text ?? `rule${walk.numbers.get(ast) ?? 0}`);
  if (!when) return;
  const origin = originOf(env.body.lowering.library, ast.span);
  walk.into.parts.push({ kind: 'rule', label, when, origin });
  walk.into.rules.push({ ast, when, varies: ruleVaries(env, ast) });
}

function lowerLet(env: Env, ast: LetAst): void {
  const value = evaluate({ ...env, place: 'let' }, ast.value);
  declareLet(env, ast.name, value, varies(env, ast.value));
}

function lowerFor(walk: Walk, env: Env, ast: ForAst, labels: Labels): void {
  const rounds = readRounds(env, ast);
  const unseen = rounds === undefined || rounds.length === 0;
  if (unseen) {
    // Nothing is repeated, yet the body's errors are found, and what it reads counts as read.
    const body = rounds === undefined ? env.body : { ...env.body, report: silent };
    const into: Collected = { ...walk.into, parts: [], rules: [], restrictions: [] };
    const scope = loopScope(
      { ...env, body },
      ast,
      ast.names.map(() => UNKNOWN),
    );
    lowerItems({ ...walk, into }, { ...env, body, scope }, ast.items, { ...labels, taken: new Set() });
    return;
  }
  rounds.forEach((values, n) => {
    if (!expand(env, ast.span)) return;
    const scope = loopScope(env, ast, values);
    lowerItems(walk, { ...env, scope }, ast.items, { ...labels, suffix: `${labels.suffix}[${n}]` });
  });
}

function loopScope(env: Env, ast: ForAst, values: readonly Value[]): Env['scope'] {
  const scope = createScope(env.scope);
  const inner = { ...env, scope };
  ast.names.forEach((name, n) => {
    declare(inner, { kind: 'loop', name, value: values[n] ?? UNKNOWN, varies: true });
  });
  return scope;
}

/** The values of the names in each repetition; `undefined` after an error. */
function readRounds(env: Env, ast: ForAst): readonly (readonly Value[])[] | undefined {
  const { report } = env.body;
  const { over, names } = ast;
  const wanted = over.kind === 'zip' ? over.lists.length : 1;
  const lists = over.kind === 'zip' ? over.lists : over.kind === 'each' ? [over.list] : [];
  const values = lists.map((list) => ({
    value: evaluate({ ...env, place: 'static' }, list),
    span: list.span,
  }));
  const range = over.kind === 'range' ? readSteps(env, over) : [];
  if (names.length !== wanted) {
    const help =
      over.kind === 'zip'
        ? 'each list has a name of its own'
        : 'several names need as many lists: `for (a, b) in zip(L1, L2)`';
    const message = `${names.length} name${names.length === 1 ? '' : 's'} for ${wanted} list${wanted === 1 ? '' : 's'}`;
    report.error('ATTN2036', message, names[0]?.span ?? ast.span, { help });
    return undefined;
  }
  if (over.kind === 'range') return range?.map((n) => [scalar(int(n))]);
  const items: (readonly Expr[])[] = [];
  for (const { value, span } of values) {
    if (value.kind === 'unknown') return undefined;
    if (value.kind === 'scalar') {
      report.error('ATTN2023', '`for` needs a list or a range', span, {
        help: 'write `for x in [1, 2, 4]` or `for n in 0 ..< 4`',
      });
      return undefined;
    }
    items.push(value.items);
  }
  if (items.some((list) => list.length !== items[0].length)) {
    const lengths = items.map((list) => list.length).join(' and ');
    report.error('ATTN2036', `the lists have unlike lengths: ${lengths}`, over.span, {
      help: '`zip` takes one item of each list at a time',
    });
    return undefined;
  }
  return items[0].map((_, n) => items.map((list) => scalar(list[n])));
}

/** The numbers of `A .. B step S`, all known. */
function readSteps(
  env: Env,
  range: ForAst['over'] & { readonly kind: 'range' },
): readonly number[] | undefined {
  const { report } = env.body;
  const number = (ast: typeof range.from): number | undefined => {
    const e = asInt(report, evaluate({ ...env, place: 'static' }, ast), ast.span);
    return e && needKnown(env.body, e, 'the range of a `for`', ast.span);
  };
  const from = number(range.from);
  const to = number(range.to);
  const step = range.step ? number(range.step) : 1;
  if (from === undefined || to === undefined || step === undefined) return undefined;
  if (step < 1) {
    report.error('ATTN2032', `a step must be at least 1; this one is ${step}`, range.step!.span);
    return undefined;
  }
  if (isEmpty(range, int(from), int(to)) && ![range.from, range.to].some((a) => varies(env, a))) {
    reportEmpty(env, range, int(from), int(to));
    return undefined;
  }
  const last = range.inclusive ? to : to - 1;
  const size = Math.max(0, Math.floor((last - from) / step) + 1);
  // Past the limit one more is enough to run into it.
  return Array.from({ length: Math.min(size, MAX_EXPANSIONS + 1) }, (_, n) => from + n * step);
}
