import type { Expr, Operator } from '../../compiler/ir/expr.js';
import { int, variable } from '../../compiler/ir/build.js';
import { simplify } from '../../compiler/ir/simplify.js';
import { compileTape } from '../../compiler/ir/tape.js';
import { randomNumbers } from '../sample-tables.js';

const DIVISORS = [1, 2, 3, 4, 8, 12];

/** Throws at the first random expression that `simplify` changes the value of. */
export function checkSimplify(expressions: number): void {
  const random = randomNumbers(4);
  const below = (n: number): number => Math.floor(random() * n);
  const sign = (): number => below(41) - 20;
  const make = (depth: number): Expr => {
    if (depth === 0 || below(5) === 0)
      return below(3) === 0 ? int(sign()) : variable(below(2) === 0 ? 'i' : 'j');
    const op = (['add', 'sub', 'mul', 'div', 'mod', 'bitxor', 'neg', 'min', 'abs'] as const)[below(9)];
    const a = make(depth - 1);
    const b =
      op === 'div' || op === 'mod'
        ? int(DIVISORS[below(DIVISORS.length)])
        : op === 'mul'
          ? int(sign())
          : make(depth - 1);
    // As substitution makes them: not folded.
    return { op: op satisfies Operator, type: 'int', args: op === 'neg' || op === 'abs' ? [a] : [a, b] };
  };
  for (let n = 0; n < expressions; n++) {
    const e = make(4);
    const tape = compileTape([e, simplify(e)], { precision: 'f32' });
    for (let pair = 0; pair < 6; pair++) {
      const [i, j] = [sign() * 7, sign() * 5];
      tape.set('i', i);
      tape.set('j', j);
      tape.run();
      if (tape.result(0) === tape.result(1)) continue;
      throw new Error(`i = ${i}, j = ${j}: ${tape.result(0)} became ${tape.result(1)}: ${JSON.stringify(e)}`);
    }
  }
}
