import type { BindingCheck, Pattern } from '../compiler/ir/edges.js';
import { checkBinding as problemsByIntervals } from '../compiler/ir/binding-checks.js';
import { mentions, some, type Expr } from '../compiler/ir/expr.js';
import type { BoundInputs } from '../compiler/ir/inputs.js';
import { baseOf, setShape, setSide, type BoundShape } from '../compiler/ir/shape.js';
import { compileTape, type Tape } from '../compiler/ir/tape.js';
import { AttncError } from './errors.js';

/**
 * The pattern's own checks (divisors, 32-bit range, sizes) at bound lengths and parameters: first by intervals over
 * all positions; what these cannot prove is tried position by position, within a budget.
 */

/** Evaluations of one check; past it the intervals' word counts. */
const BUDGET = 1 << 22;

interface Extremes {
  readonly lo: number;
  readonly hi: number;
}

export function checkBinding(pattern: Pattern, shape: BoundShape, inputs: BoundInputs): void {
  for (const { check, lo, hi } of problemsByIntervals(pattern, shape, inputs)) {
    for (let batch = 0; batch < shape.batch; batch++) {
      if (shape.queries[batch] === 0 || shape.keys[batch] === 0) continue;
      const tried = extremes(check.expr, shape, batch, inputs) ?? { lo, hi };
      const inside = tried.lo >= check.lo && tried.hi <= check.hi;
      if (!inside) throw problem(check, tried, shape, batch);
    }
  }
}

/** The least and greatest value over all pairs, or undefined where these are too many. */
function extremes(expr: Expr, shape: BoundShape, batch: number, inputs: BoundInputs): Extremes | undefined {
  const uses = (name: string): boolean => some(expr, (e) => e.op === 'var' && e.name === name);
  const rows = mentions(expr, 'i') ? shape.queries[batch] : 1;
  const keys = mentions(expr, 'j') ? shape.keys[batch] : 1;
  const heads = uses('head') ? shape.heads : 1;
  if (rows * keys * heads > BUDGET) return undefined;
  const tape: Tape = compileTape([expr], { precision: 'f32' });
  let lo = Infinity;
  let hi = -Infinity;
  for (let head = 0; head < heads; head++) {
    setShape(tape, shape, batch, head);
    for (let row = 0; row < rows; row++) {
      setSide(tape, 'i', row + baseOf(shape, batch), shape.grid);
      for (let j = 0; j < keys; j++) {
        setSide(tape, 'j', j, shape.grid);
        tape.run(inputs);
        const x = tape.result(0);
        // NaN (a division by 0 inside) is outside every range.
        if (Number.isNaN(x)) return { lo: NaN, hi: NaN };
        if (x < lo) lo = x;
        if (x > hi) hi = x;
      }
    }
  }
  return { lo, hi };
}

function problem(check: BindingCheck, found: Extremes, shape: BoundShape, batch: number): AttncError {
  const value = found.lo < check.lo ? found.lo : found.hi;
  const details = { rule: check.origin.text, value, least: check.lo, most: check.hi };
  const where = `in \`${check.origin.text}\``;
  const bound = `${shape.queries[batch]} queries, ${shape.keys[batch]} keys and these parameters`;
  switch (check.kind) {
    case 'divisor':
      return new AttncError('parameter-out-of-range', `a divisor ${where} is ${value} with ${bound}`, {
        help: 'a divisor or modulus must be at least 1',
        details,
      });
    case 'int32':
      return new AttncError('length-out-of-range', `a number ${where} reaches ${value} with ${bound}`, {
        help: 'integers must stay in 32 bits: use fewer tokens or smaller parameters',
        details,
      });
    case 'size':
      return new AttncError('parameter-out-of-range', `a size ${where} is ${value} with ${bound}`, {
        help: `it must be in ${check.lo} .. ${check.hi}`,
        details,
      });
  }
}
