import { variable } from '../../ir/build.js';
import { rewrite, some, type Expr } from '../../ir/expr.js';
import { printExpr } from '../../print/expression.js';
import { printValues } from './body.js';
import { define } from './rules.js';
import { pairPosition, queryPosition, type Scope } from './scope.js';
import { call, comment, returned, type Text } from './text.js';

/** The score and the sink as Python functions. */

export interface PrintedScore {
  /** There is a `score_mod`. */
  readonly modified: boolean;
  /** What FlexAttention multiplies the product of the rows by: 1/√dim, or nothing where the score has it otherwise. */
  readonly scaled: boolean;
}

const SCORE = variable('score', 'float');

/** The score in terms of FlexAttention's own, which is the product of the rows times 1/√dim or times 1. */
export function scoreOf(score: Expr | undefined): { readonly expr: Expr; readonly scaled: boolean } {
  if (score === undefined) return { expr: SCORE, scaled: true };
  const is = (e: Expr, name: string): boolean => e.op === 'var' && e.name === name;
  const scaled = rewrite(score, (e) => {
    if (e.op !== 'mul') return e;
    const [a, b] = e.args;
    return (is(a, 'dot') && is(b, 'scale')) || (is(a, 'scale') && is(b, 'dot')) ? SCORE : e;
  });
  if (!some(scaled, (e) => is(e, 'dot'))) return { expr: scaled, scaled: true };
  return { expr: rewrite(score, (e) => (is(e, 'dot') ? SCORE : e)), scaled: false };
}

export function printScore(counted: boolean, scope: Scope): PrintedScore {
  const { score } = scope.pattern;
  const { expr, scaled } = scoreOf(score);
  const same = expr.op === 'var' && expr.name === 'score';
  if (same && !counted) return { modified: false, scaled };
  const { lines, values } = printValues([expr], 'none', scope);
  const [value] = values;
  const tensor = scope.facts(expr).kind === 'tensor' ? value : call('torch.full_like', ['score', value]);
  const axes = (scope.pattern.grid ?? []).map((g) => g.name);
  const about = [
    ...(score ? comment(`score = ${printExpr(score, { axes })}`) : []),
    ...(counted ? comment('exp(score + log(m)) is m * exp(score): a pair that counts m times.') : []),
  ];
  const result = [...lines, ...(counted ? withCount(tensor) : returned(tensor))];
  const position = result.some((l) => /\b[ij]\b/.test(l)) ? [pairPosition(scope)] : [];
  const body = [...about, ...position, ...result];
  define('score_mod', ['score', 'b', 'h', 'q_idx', 'kv_idx'], body, scope);
  return { modified: true, scaled };
}

/** The logarithm is of at least 1: where there is no edge the mask decides. */
function withCount(score: Text): readonly string[] {
  const count = 'torch.log(torch.clamp(multiplicity(b, h, i, j), min=1).to(torch.float32))';
  if (score.text === 'score') return [`return score + ${count}`];
  return [...returned(score, 'score = '), `return score + ${count}`];
}

/** `sink_score(b, h, q_idx)`; true if there is one. */
export function printSink(scope: Scope): boolean {
  const { sink } = scope.pattern.mix;
  if (sink === undefined) return false;
  const { lines, values } = printValues([sink], 'none', scope);
  const position = scope.facts(sink).query ? [`i = ${queryPosition(scope)}`] : [];
  const axes = (scope.pattern.grid ?? []).map((g) => g.name);
  const about = comment(`mix = softmax(sink: ${printExpr(sink, { axes })})`);
  define('sink_score', ['b', 'h', 'q_idx'], [...about, ...position, ...lines, ...returned(values[0])], scope);
  return true;
}
