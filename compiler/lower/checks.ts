import type { BindingCheck, Edges, Origin } from '../ir/edges.js';
import { rulesOf } from '../ir/edges.js';
import { argsOf, walk, type Expr } from '../ir/expr.js';

const INT32 = { lo: -(2 ** 31), hi: 2 ** 31 - 1 } as const;
const GROWING: readonly string[] = ['add', 'sub', 'mul', 'neg', 'shl'];

export interface CheckSources {
  readonly edges: Edges;
  /** Other expressions whose integers must fit: score and sink, with the place that stands for them. */
  readonly others: readonly { readonly expr: Expr; readonly origin: Origin }[];
  /** Where an operation was written, if that is known. */
  readonly originOf: (e: Expr) => Origin | undefined;
}

/**
 * What binding must check: that every divisor which is not a constant is at least 1, and that every integer operation
 * stays in 32 bits. Equal expressions are checked once.
 */
export function bindingChecks(sources: CheckSources): readonly BindingCheck[] {
  const identity = createIdentity();
  const done = new Set<string>();
  const checks: BindingCheck[] = [];
  const put = (kind: 'divisor' | 'int32', expr: Expr, origin: Origin): void => {
    const key = `${kind} ${identity(expr)}`;
    if (done.has(key)) return;
    done.add(key);
    const lo = kind === 'divisor' ? 1 : INT32.lo;
    checks.push({ expr, lo, hi: INT32.hi, kind, origin });
  };
  for (const { expr: root, origin: around } of rootsOf(sources)) {
    walk([root], (e) => {
      const origin = sources.originOf(e) ?? around;
      if ((e.op === 'div' || e.op === 'mod') && e.args[1].op !== 'const') put('divisor', e.args[1], origin);
      if (e.type === 'int' && GROWING.includes(e.op)) put('int32', e, origin);
    });
  }
  return checks;
}

function rootsOf({ edges, others }: CheckSources): { expr: Expr; origin: Origin }[] {
  const roots = rulesOf(edges).map((r) => ({ expr: r.when, origin: r.origin }));
  const go = (e: Edges): void => {
    const origin = rulesOf(e)[0]?.origin;
    if (e.restrict && origin) roots.push({ expr: e.restrict, origin });
    for (const part of e.parts) if (part.kind === 'edges') go(part);
  };
  go(edges);
  return [...roots, ...others];
}

/** Numbers expressions such that equal ones, and only those, have the same number. */
function createIdentity(): (e: Expr) => number {
  const numbers = new Map<string, number>();
  const known = new Map<Expr, number>();
  return function number(e: Expr): number {
    const before = known.get(e);
    if (before !== undefined) return before;
    const detail = e.op === 'const' ? String(e.value) : 'name' in e ? e.name : '';
    const key = `${e.op} ${e.type} ${detail} ${argsOf(e).map(number).join(' ')}`;
    const n = numbers.get(key) ?? numbers.size;
    numbers.set(key, n);
    known.set(e, n);
    return n;
  };
}
