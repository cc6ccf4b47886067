import { argsOf, type Expr } from '../../ir/expr.js';
import { printDag, type PrintedDag } from './dag.js';
import type { HelperName } from './helpers.js';
import type { Scope } from './scope.js';
import {
  call,
  compare,
  indent,
  infix,
  Level,
  literal,
  primary,
  returned,
  within,
  type Text,
} from './text.js';

/**
 * Expressions that are the same for all pairs, as plain Python: ints are exact there too, `//` and `%` are floored,
 * floats are double. In conditions floats are float32, rounded after every operation (`f32`).
 */

/** Whether floats are rounded to float32 after each operation, as in conditions, or only in the end, as in scores. */
export type Rounding = 'f32' | 'none';

/** The text of an expression of kind number or sequence, inside a function whose batch index is `b`. */
export function uniformText(e: Expr, rounding: Rounding, scope: Scope): Text {
  if (scope.facts(e).kind === 'number') {
    const leaf = numberLeaf(e, rounding, scope);
    if (leaf) return leaf;
    if (isShort(e)) return inline(e, rounding, scope);
  }
  return hoisted(e, rounding, scope);
}

/** Operations of ints and bools up to which a number stands where it is used. */
const SHORT = 6;

function isShort(e: Expr): boolean {
  let left = SHORT;
  const go = (x: Expr): boolean =>
    x.type !== 'float' && (argsOf(x).length === 0 || left-- > 0) && argsOf(x).every(go);
  return go(e);
}

function inline(e: Expr, rounding: Rounding, scope: Scope): Text {
  return printNumber(
    e,
    argsOf(e).map((a) => numberLeaf(a, rounding, scope) ?? inline(a, rounding, scope)),
    rounding,
    scope,
  );
}

/** The value in a line of `build`: `n1 = …`, or a function of the sequence, `n1(b)`. */
function hoisted(e: Expr, rounding: Rounding, scope: Scope): Text {
  const one = scope.intern(e);
  const isNumber = scope.facts(one).kind === 'number';
  const key = scope.keyOf(one, rounding);
  const known = scope.hoisted.get(key);
  if (known !== undefined) return known;
  const name = one.op === 'var' ? scope.names.take(`${one.name}_of`) : scope.names.number('n');
  const printed = print(one, rounding, scope);
  const value = returned(printed.values[0], isNumber ? `${name} = ` : 'return ');
  const lets = printed.lets.flatMap((l) => returned(l.text, `${l.name} = `));
  if (isNumber) scope.lines.push(...lets, ...value);
  else if (lets.length === 0 && value.length === 1) {
    scope.lines.push(`${name} = of(lambda keys, queries, base: ${printed.values[0].text})`);
  } else {
    scope.lines.push('', `def ${name}(keys, queries, base):`, ...indent([...lets, ...value]), '');
    scope.lines.push(`${name} = of(${name})`);
  }
  const text = isNumber ? primary(name) : call(name, ['b']);
  scope.hoisted.set(key, text);
  return text;
}

function print(e: Expr, rounding: Rounding, scope: Scope): PrintedDag {
  return printDag([e], {
    leaf: (x) => numberLeaf(x, rounding, scope),
    argsOf,
    operation: (x, args) => printNumber(x, args, rounding, scope),
    name: () => scope.names.number('n'),
  });
}

function numberLeaf(e: Expr, rounding: Rounding, scope: Scope): Text | undefined {
  switch (e.op) {
    case 'const':
      return literal(e.type === 'float' && rounding === 'f32' ? Math.fround(e.value) : e.value, e.type);
    case 'param':
      return primary(scope.parameters.get(e.name) as string);
    case 'var': {
      const size = /^size\.(\d+)$/.exec(e.name);
      if (size) return primary(scope.axes[Number(size[1])]);
      if (e.name === 'scale')
        return rounding === 'f32' ? call(scope.helper('f32'), ['scale']) : primary('scale');
      return primary(e.name);
    }
    default:
      return undefined;
  }
}

const FUNCTIONS: Partial<Record<Expr['op'], HelperName>> = {
  exp: 'number_exp',
  log: 'number_log',
  sqrt: 'number_sqrt',
  tanh: 'number_tanh',
  pow: 'number_power',
  fdiv: 'number_quotient',
};

function printNumber(e: Expr, x: readonly Text[], rounding: Rounding, scope: Scope): Text {
  const text = printExact(e, x, scope);
  const exact = ['neg', 'abs', 'min', 'max', 'if'];
  if (e.type !== 'float' || rounding === 'none' || exact.includes(e.op)) return text;
  return call(scope.helper('f32'), [text]);
}

function printExact(e: Expr, x: readonly Text[], scope: Scope): Text {
  const helper = FUNCTIONS[e.op];
  if (helper) return call(scope.helper(helper), x);
  switch (e.op) {
    case 'add':
      return infix(x[0], '+', x[1], Level.Sum);
    case 'sub':
      return infix(x[0], '-', x[1], Level.Sum);
    case 'mul':
      return infix(x[0], '*', x[1], Level.Product);
    case 'div':
      return infix(x[0], '//', x[1], Level.Product);
    case 'mod':
      return infix(x[0], '%', x[1], Level.Product);
    case 'neg':
      return { text: `-${within(x[0], Level.Unary)}`, level: Level.Unary };
    case 'abs':
    case 'min':
    case 'max':
      return call(e.op, x);
    case 'bitand':
      return infix(x[0], '&', x[1], Level.BitAnd);
    case 'bitor':
      return infix(x[0], '|', x[1], Level.BitOr);
    case 'bitxor':
      return infix(x[0], '^', x[1], Level.BitXor);
    case 'shl':
    case 'shr':
    case 'popcount':
    case 'ones':
      return call(scope.helper(BITS[e.op]), x);
    case 'floor':
    case 'ceil':
      return call(`math.${e.op}`, x);
    case 'to_float':
      return call('float', x);
    case 'and':
      return infix(x[0], 'and', x[1], Level.And);
    case 'or':
      return infix(x[0], 'or', x[1], Level.Or);
    case 'not':
      return { text: `not ${within(x[0], Level.Not)}`, level: Level.Not };
    case 'lt':
      return compare(x[0], '<', x[1]);
    case 'le':
      return compare(x[0], '<=', x[1]);
    case 'eq':
      return compare(x[0], '==', x[1]);
    case 'if':
      return primary(`(${x[1].text} if ${x[0].text} else ${x[2].text})`);
    default:
      throw new Error(`${e.op} is no operation on numbers`);
  }
}

export const BITS = { shl: 'shift_left', shr: 'shift_right', popcount: 'popcount', ones: 'ones' } as const;
