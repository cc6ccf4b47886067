import type { ExprAst, ItemAst, RangeAst, RuleAst, Span } from '../../grammar/ast.js';
import { all, and, eq, isConst, le, lt, mod, TRUE, ZERO } from '../ir/build.js';
import { mentions, walk, type Expr, type Operator } from '../ir/expr.js';
import type { Env } from './context.js';
import { evaluate, readsScore } from './expressions.js';
import { intOperation, validDivisor } from './operators.js';
import { lookup } from './scope.js';
import { namesIn } from './static.js';
import { asBool, asInt } from './types.js';

/** Operations whose float results are rounded. */
const ROUNDING: readonly Operator[] = ['add', 'sub', 'mul', 'fdiv', 'pow', 'exp', 'log', 'sqrt', 'tanh'];

/** A condition of a rule or restriction, with the checks that only conditions get. */
export function readCondition(env: Env, ast: ExprAst): Expr | undefined {
  const { report } = env.body;
  const condition = asBool(report, evaluate({ ...env, place: 'condition' }, ast), ast.span, 'ATTN2021');
  if (!condition) return undefined;
  if (!usableInCondition(env, condition, ast.span)) return undefined;
  warnFloats(env, condition, ast.span);
  return condition;
}

function usableInCondition(env: Env, e: Expr, span: Span): boolean {
  if (!readsScore(e)) return true;
  env.body.report.error('ATTN2024', '`dot(q, k)` and weights of a graph stand only in a score', span, {
    help: 'a `let` that reads them can be used in `score = …` only',
  });
  return false;
}

/** Float arithmetic on both sides of a pair may round differently on different devices. */
function warnFloats(env: Env, condition: Expr, span: Span): void {
  let found = false;
  walk([condition], (e) => {
    const decides = e.op === 'lt' || e.op === 'le' || e.op === 'eq' || e.op === 'floor' || e.op === 'ceil';
    if (!decides || e.args[0].type !== 'float' || !mentions(e, 'i') || !mentions(e, 'j')) return;
    walk(e.args, (a) => {
      found ||= a.type === 'float' && (ROUNDING as readonly string[]).includes(a.op);
    });
  });
  if (!found) return;
  env.body.report.warning(
    'ATTN2073',
    'this condition computes with floats that depend on both i and j',
    span,
    {
      help: 'devices may round differently where it is close; integers are exact (`a * y < b * x` for `a / b < x / y`)',
    },
  );
}

/** `j` in A, A + S, …: A ≤ j ≤ B (or <) and (j − A) % S == 0. */
export function readRange(env: Env, range: RangeAst): Expr | undefined {
  const { body } = env;
  const { report } = body;
  const inner: Env = { ...env, place: 'condition' };
  let failed = false;
  const part = (ast: ExprAst): Expr | undefined => {
    const e = asInt(report, evaluate(inner, ast), ast.span);
    if (e && mentions(e, 'j')) {
      failed = true;
      report.error('ATTN2038', "the range of j can't depend on j itself", ast.span, {
        help: 'put it into the condition: `when …`',
      });
      return undefined;
    }
    return e && usableInCondition(env, e, ast.span) ? e : undefined;
  };
  const from = part(range.from);
  const to = part(range.to);
  const step = range.step && part(range.step);
  if (range.step && step && !validDivisor(body, step, 'a step', range.step.span)) failed = true;
  if (!from || !to || failed || (range.step && !step)) return undefined;
  if (isEmpty(range, from, to) && ![range.from, range.to].some((a) => varies(env, a))) {
    reportEmpty(env, range, from, to);
    return undefined;
  }
  const { variables } = body.lowering;
  const j = variables.get('j') ?? { op: 'var', type: 'int', name: 'j' };
  variables.set('j', j);
  const inside = and(le(from, j), range.inclusive ? le(j, to) : lt(j, to));
  if (!step || isConst(step, 1)) return inside;
  const distance = intOperation(body, 'sub', [j, from], range.span);
  if (!distance) return undefined;
  const remainder = mod(distance, step);
  if (!body.lowering.origins.has(remainder)) body.lowering.origins.set(remainder, range.span);
  return all([inside, eq(remainder, ZERO)]);
}

/** True if both ends are known and nothing lies between them. */
export const isEmpty = (range: RangeAst, from: Expr, to: Expr): boolean =>
  isConst(from) && isConst(to) && (range.inclusive ? from.value > to.value : from.value >= to.value);

export function reportEmpty(env: Env, range: RangeAst, from: Expr, to: Expr): void {
  const ends = isConst(from) && isConst(to) ? [from.value, to.value] : [0, 0];
  const backward = ends[0] > ends[1];
  const message = backward ? 'this range runs backward, so nothing is in it' : 'nothing is in this range';
  const help = backward ? 'the smaller end comes first' : '`..<` leaves the last value out; `..` includes it';
  env.body.report.error('ATTN2033', message, range.span, { help });
}

/** True if the value depends on a fixed parameter or a repetition. */
export const varies = (env: Env, ast: ExprAst): boolean =>
  namesIn(ast).some(({ text }) => {
    const binding = lookup(env.scope, text);
    return binding !== undefined && binding.kind !== 'input' && binding.varies;
  });

/** When a rule holds; `undefined` after an error. */
export function readRule(env: Env, ast: RuleAst): Expr | undefined {
  const inside = ast.range ? readRange(env, ast.range) : TRUE;
  const when = ast.when ? readCondition(env, ast.when) : TRUE;
  return inside && when && and(inside, when);
}

/** True if a rule's condition depends on a fixed parameter or a repetition. */
export function ruleVaries(env: Env, ast: RuleAst): boolean {
  const exprs = [ast.range?.from, ast.range?.to, ast.range?.step, ast.when];
  return exprs.some((e) => e !== undefined && varies(env, e));
}

/** True if some rule or include stands among the items, however often it is repeated. */
export const hasRules = (items: readonly ItemAst[]): boolean =>
  items.some(
    (item) =>
      item.kind === 'rule' ||
      item.kind === 'include' ||
      ((item.kind === 'block' || item.kind === 'for') && hasRules(item.items)),
  );
