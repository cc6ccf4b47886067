import { argsOf, walk, type Expr } from '../../ir/expr.js';

/** Makes equal expressions one object, over all that it is given. */
export function createInterner(): (e: Expr) => Expr {
  const known = new Map<string, Expr>();
  const numbers = new Map<Expr, number>();
  const made = new Map<Expr, Expr>();
  return (root) => {
    walk([root], (e) => {
      if (made.has(e)) return;
      const args = argsOf(e).map((a) => made.get(a) as Expr);
      const own =
        e.op === 'const' ? `#${Object.is(e.value, -0) ? '-0' : e.value}` : 'name' in e ? e.name : '';
      const key = `${e.op} ${e.type} ${own} ${args.map((a) => numbers.get(a)).join(' ')}`;
      let one = known.get(key);
      if (one === undefined) {
        one = 'args' in e ? ({ ...e, args } as Expr) : e;
        known.set(key, one);
        numbers.set(one, numbers.size);
      }
      made.set(e, one);
    });
    return made.get(root) as Expr;
  };
}
