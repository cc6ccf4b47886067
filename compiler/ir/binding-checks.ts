import type { BindingCheck, Pattern } from './edges.js';
import { int, sub, variable } from './build.js';
import { rewrite, some, type Expr } from './expr.js';
import type { BoundInputs } from './inputs.js';
import { isInfinite } from './interval.js';
import { Cover } from './range.js';
import { setShape, type BoundShape } from './shape.js';
import { boxOfWholeSide } from './space.js';
import { compileTape } from './tape.js';

/** What only binding can know: divisors, 32-bit range and sizes, checked over all positions at once. */

export interface BindingProblem {
  readonly check: BindingCheck;
  /** The least and the greatest value that the expression may take. */
  readonly lo: number;
  readonly hi: number;
}

const mentionsVariable = (e: Expr, name: string): boolean =>
  some(e, (n) => n.op === 'var' && n.name === name);

export function checkBinding(
  pattern: Pattern,
  shape: BoundShape,
  inputs: BoundInputs,
): readonly BindingProblem[] {
  return runChecks(pattern.checks, shape, inputs);
}

function runChecks(
  checks: readonly BindingCheck[],
  shape: BoundShape,
  inputs: BoundInputs,
): readonly BindingProblem[] {
  const axes = shape.grid.length;
  const cover = new Cover(new Map([...boxOfWholeSide('i', axes), ...boxOfWholeSide('j', axes)]));
  const ranges = checks.map((c) => cover.range(c.expr));
  const tape = compileTape(
    ranges.flatMap((r) => [r.lo, r.hi]),
    { precision: 'f32' },
  );
  const byHead = checks.some((c) => mentionsVariable(c.expr, 'head'));
  const problems = new Map<BindingCheck, BindingProblem>();
  for (let batch = 0; batch < shape.batch; batch++) {
    if (shape.keys[batch] === 0 || shape.queries[batch] === 0) continue;
    for (let head = 0; head < (byHead ? shape.heads : Math.min(shape.heads, 1)); head++) {
      setShape(tape, shape, batch, head);
      tape.run(inputs);
      checks.forEach((check, n) => {
        const lo = isInfinite(ranges[n].lo) ? -Infinity : tape.result(2 * n);
        const hi = isInfinite(ranges[n].hi) ? Infinity : tape.result(2 * n + 1);
        if (!(lo >= check.lo && hi <= check.hi) && !problems.has(check))
          problems.set(check, { check, lo, hi });
      });
    }
  }
  return [...problems.values()];
}

/** Positions are 32-bit integers on the GPU. */
const LONGEST = 2 ** 31 - 1;

/**
 * The largest number of keys (and queries) for which every check holds with the parameters' present values, tables
 * being taken to hold positions. What is bound later is checked as it is.
 */
export function largestLength(pattern: Pattern, shape: BoundShape): number {
  const last = sub(variable('keys'), int(1));
  const memo = new Map<Expr, Expr>();
  const assume = (e: Expr): Expr =>
    rewrite(e, (n) => (n.op === 'table' && n.type === 'int' ? variable('tables') : n), memo);
  const checks = pattern.checks.map((c) => ({ ...c, expr: assume(c.expr) }));
  const axes = shape.grid.length;
  const box = new Map([...boxOfWholeSide('i', axes), ...boxOfWholeSide('j', axes)]);
  box.set('tables', { lo: int(0), hi: last, modulus: int(1), residue: int(0) });
  const cover = new Cover(box);
  const ranges = checks.map((c) => cover.range(c.expr));
  if (ranges.some((r) => isInfinite(r.lo) || isInfinite(r.hi))) return LONGEST;
  const tape = compileTape(
    ranges.flatMap((r) => [r.lo, r.hi]),
    { precision: 'f32' },
  );
  const holds = (keys: number): boolean => {
    setShape(tape, { ...shape, batch: 1, queries: [keys], keys: [keys] }, 0, shape.heads - 1);
    tape.run();
    return checks.every((c, n) => tape.result(2 * n) >= c.lo && tape.result(2 * n + 1) <= c.hi);
  };
  if (holds(LONGEST)) return LONGEST;
  let lo = 0;
  let hi = LONGEST;
  while (hi - lo > 1) {
    const middle = Math.floor((lo + hi) / 2);
    if (holds(middle)) lo = middle;
    else hi = middle;
  }
  return lo;
}
