import type { Expr } from '../../ir/expr.js';
import { uniformText } from './numbers.js';
import type { Scope } from './scope.js';

/** Divisors that the parameters make: torch would divide by 0 without a word. */
export function printChecks(scope: Scope): void {
  const { pattern } = scope;
  const safe = (e: Expr): boolean =>
    (e.op === 'var' && e.name === 'heads') ||
    (e.op === 'param' && (pattern.parameters.find((p) => p.name === e.name)?.range?.lo ?? 0) >= 1);
  const texts = pattern.checks
    .filter((c) => c.kind === 'divisor' && scope.facts(c.expr).kind === 'number' && !safe(c.expr))
    .map((c) => uniformText(c.expr, 'none', scope).text);
  if (texts.length === 0) return;
  const least = texts.length === 1 ? texts[0] : `min(${texts.join(', ')})`;
  scope.lines.push(`if ${least} < 1:`, '    raise ValueError(f"{NAME}: a divisor is below 1")');
}
