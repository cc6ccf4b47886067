import { add, int, lt, sub, variable, ONE } from '../ir/build.js';
import { argsOf, walk, type Expr } from '../ir/expr.js';
import { fromLinear, linear } from '../ir/linear.js';
import { boundsOf, type ParameterRanges } from './bounds.js';

/** Alternatives looked into before giving up. */
const MAX_CASES = 32;

/** What holds for every pair, as expressions that are at most 0. */
const FACTS: readonly Expr[] = [
  sub(add(variable('j'), ONE), variable('keys')),
  sub(add(variable('head'), ONE), variable('heads')),
];

/**
 * True if it is certain that the conditions never hold together, at any length: some comparison is impossible by the
 * bounds of its sides, or two comparisons contradict each other (`j < i and j > i`).
 */
export function neverHolds(conditions: readonly Expr[], ranges: ParameterRanges): boolean {
  let cases = 0;
  // Σ ≤ 0 for each entry of `known`.
  const impossible = (todo: readonly Expr[], known: readonly Expr[]): boolean => {
    if (todo.length === 0) return contradictory([...known, ...FACTS], ranges);
    const [first, ...rest] = todo;
    switch (first.op) {
      case 'const':
        return first.value === 0 || impossible(rest, known);
      case 'and':
        return impossible([...first.args, ...rest], known);
      case 'or':
        cases++;
        if (cases > MAX_CASES) return false;
        return first.args.every((a) => impossible([a, ...rest], known));
      case 'le':
      case 'lt':
      case 'eq': {
        const [a, b] = first.args;
        if (a.type !== 'int') return impossible(rest, known);
        const difference = sub(a, b);
        const facts =
          first.op === 'le'
            ? [difference]
            : first.op === 'lt'
              ? [add(difference, ONE)]
              : [difference, sub(b, a)];
        return impossible(rest, [...known, ...facts]);
      }
      default:
        return impossible(rest, known);
    }
  };
  return impossible(conditions, []);
}

/** Shared sub-expressions count each time: what is larger than this is not looked into. */
const MAX_SIZE = 2_000;

function sizeOf(root: Expr): number {
  const sizes = new Map<Expr, number>();
  walk([root], (e) =>
    sizes.set(
      e,
      argsOf(e).reduce((sum, a) => sum + sizes.get(a)!, 1),
    ),
  );
  return sizes.get(root)!;
}

function contradictory(atMostZero: readonly Expr[], ranges: ParameterRanges): boolean {
  // A sum of terms is bounded best with equal terms brought together.
  const positive = (e: Expr): boolean =>
    sizeOf(e) <= MAX_SIZE && boundsOf(fromLinear(linear(e)), ranges).lo > 0;
  if (atMostZero.some(positive)) return true;
  const limit = Math.min(atMostZero.length, 40);
  for (let a = 0; a < limit; a++) {
    for (let b = a + 1; b < limit; b++) {
      const sum: Expr = { op: 'add', type: 'int', args: [atMostZero[a], atMostZero[b]] };
      if (positive(sum)) return true;
    }
  }
  return false;
}

/** True if an int expression is certainly outside 0 … size − 1; a size that is not known is left out. */
export function alwaysOutside(index: Expr, size: Expr | undefined, ranges: ParameterRanges): boolean {
  return (
    neverHolds([lt(int(-1), index)], ranges) || (size !== undefined && neverHolds([lt(index, size)], ranges))
  );
}
