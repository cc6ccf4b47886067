import { argsOf, walk, type Expr } from '../ir/expr.js';

/** Expressions as text, in the spelling of .attn where that has one. */

export interface ExpressionOptions {
  /** Names of grid axes, slowest first: `i.0` is printed as `i.y`. */
  readonly axes?: readonly string[];
  /** Nodes that stand for themselves by a name: see `printShared`. */
  readonly names?: ReadonlyMap<Expr, string>;
}

/** Binding strengths; a larger number binds tighter. */
const LEVEL = {
  or: 1,
  and: 2,
  not: 3,
  compare: 4,
  add: 5,
  multiply: 6,
  minus: 7,
  power: 8,
  atom: 9,
} as const;

interface Printed {
  readonly text: string;
  readonly level: number;
}

/** One line, with as few parentheses as precedence allows. */
export function printExpr(e: Expr, options: ExpressionOptions = {}): string {
  const memo = new Map<Expr, Printed>();
  return printed(e, options, memo).text;
}

/**
 * Several expressions, one a line as `NAME = …`, after a `let` line for every larger part that they use more than once:
 * what is shared in the DAG is printed once, so the text's length stays proportional to it.
 */
export function printShared(
  roots: readonly { readonly name: string; readonly expr: Expr }[],
  options: ExpressionOptions = {},
): readonly string[] {
  const uses = new Map<Expr, number>();
  const size = new Map<Expr, number>();
  const order: Expr[] = [];
  walk(
    roots.map((r) => r.expr),
    (e) => {
      order.push(e);
      let total = 1;
      for (const a of argsOf(e)) {
        uses.set(a, (uses.get(a) ?? 0) + 1);
        total += size.get(a) ?? 1;
      }
      size.set(e, Math.min(total, 1e6));
    },
  );
  for (const r of roots) uses.set(r.expr, (uses.get(r.expr) ?? 0) + 1);
  const names = new Map<Expr, string>(options.names);
  const lines: string[] = [];
  for (const e of order) {
    if ((uses.get(e) ?? 0) < 2 || (size.get(e) ?? 1) < LEAST_SHARED) continue;
    const name = `t${lines.length + 1}`;
    lines.push(`let ${name} = ${printExpr(e, { ...options, names })}`);
    names.set(e, name);
  }
  return [...lines, ...roots.map((r) => `${r.name} = ${printExpr(r.expr, { ...options, names })}`)];
}

/** Nodes below which a shared part is repeated rather than named. */
const LEAST_SHARED = 6;

function printed(e: Expr, options: ExpressionOptions, memo: Map<Expr, Printed>): Printed {
  const name = options.names?.get(e);
  if (name !== undefined) return { text: name, level: LEVEL.atom };
  const known = memo.get(e);
  if (known) return known;
  const made = print(e, options, memo);
  memo.set(e, made);
  return made;
}

function print(e: Expr, options: ExpressionOptions, memo: Map<Expr, Printed>): Printed {
  const part = (x: Expr, least = 0): string => {
    const { text, level } = printed(x, options, memo);
    return level < least ? `(${text})` : text;
  };
  const atom = (text: string): Printed => ({ text, level: LEVEL.atom });
  const call = (name: string): Printed =>
    atom(
      `${name}(${argsOf(e)
        .map((a) => part(a))
        .join(', ')})`,
    );
  const infix = (op: string, level: number, right = level + 1): Printed => {
    const [a, b] = argsOf(e);
    return { text: `${part(a, level)} ${op} ${part(b, right)}`, level };
  };
  switch (e.op) {
    case 'const':
      return constant(e.value, e.type);
    case 'var':
      return atom(variableName(e.name, options.axes));
    case 'param':
      return atom(e.name);
    case 'or':
      return infix('or', LEVEL.or);
    case 'and':
      return infix('and', LEVEL.and);
    case 'not':
      return negated(e.args[0], part);
    case 'lt':
      return infix('<', LEVEL.compare);
    case 'le':
      return infix('<=', LEVEL.compare);
    case 'eq':
      return infix('==', LEVEL.compare);
    case 'add':
      return sum(e.args[0], e.args[1], options, part);
    case 'sub':
      return infix('-', LEVEL.add);
    case 'mul':
      return infix('*', LEVEL.multiply);
    case 'div':
      return infix('div', LEVEL.multiply);
    case 'mod':
      return infix('%', LEVEL.multiply);
    case 'fdiv':
      return infix('/', LEVEL.multiply);
    case 'neg': {
      const [x] = e.args;
      // − − x is x, in integers and floats alike.
      if (x.op === 'neg' && !options.names?.has(x)) return printed(x.args[0], options, memo);
      return { text: `-${part(x, LEVEL.minus)}`, level: LEVEL.minus };
    }
    case 'pow':
      return {
        text: `${part(e.args[0], LEVEL.atom)} ** ${part(e.args[1], LEVEL.power)}`,
        level: LEVEL.power,
      };
    case 'to_float':
      return atom(`float(${part(e.args[0])})`);
    case 'sample': {
      const [x, ...rest] = e.args;
      const set = `sample(${rest.map((a) => part(a)).join(', ')})`;
      return { text: `${part(x, LEVEL.add)} in ${set}`, level: LEVEL.compare };
    }
    case 'table':
      return atom(`${e.name}[${e.args.map((a) => part(a)).join(', ')}]`);
    case 'table_min':
    case 'table_max': {
      const ranges = pairs(e.args.map((a) => part(a)));
      return atom(`${e.op === 'table_min' ? 'min' : 'max'}(${e.name}[${ranges.join(', ')}])`);
    }
    case 'edge':
    case 'weight':
    case 'edges_any':
    case 'edges_all': {
      const [batch, head, ...at] = e.args;
      const own = batch.op === 'const' && head.op === 'const' ? '' : `{${part(batch)}, ${part(head)}}`;
      const index = at.map((a) => part(a));
      const text = `${e.name}${own}${e.op === 'weight' ? '.weight' : ''}`;
      return atom(
        e.op === 'edges_any' || e.op === 'edges_all'
          ? `${e.op === 'edges_any' ? 'any' : 'all'}(${text}[${pairs(index).join(', ')}])`
          : `${text}[${index.join(', ')}]`,
      );
    }
    case 'abs':
    case 'min':
    case 'max':
    case 'bitand':
    case 'bitor':
    case 'bitxor':
    case 'shl':
    case 'shr':
    case 'popcount':
    case 'ones':
    case 'floor':
    case 'ceil':
    case 'exp':
    case 'log':
    case 'sqrt':
    case 'tanh':
    case 'if':
    case 'sample_at':
      return call(e.op);
  }
}

/** `a + -b` is printed as `a - b`. */
function sum(
  a: Expr,
  b: Expr,
  options: ExpressionOptions,
  part: (x: Expr, least?: number) => string,
): Printed {
  const left = part(a, LEVEL.add);
  let term: Expr = b;
  let minus = false;
  while (term.op === 'neg' && !options.names?.has(term)) {
    minus = !minus;
    term = term.args[0];
  }
  if (term.op === 'const' && term.type === 'int' && term.value < 0) {
    minus = !minus;
    term = { ...term, value: -term.value };
  }
  return { text: `${left} ${minus ? '-' : '+'} ${part(term, LEVEL.multiply)}`, level: LEVEL.add };
}

/** `not (a < b)` is `a >= b` between integers only: NaN has neither. */
function negated(x: Expr, part: (x: Expr, least?: number) => string): Printed {
  const opposite = { lt: '>=', le: '>', eq: '!=' } as const;
  if ((x.op === 'lt' || x.op === 'le' || x.op === 'eq') && x.args.every((a) => a.type !== 'float')) {
    const [a, b] = x.args;
    const text = `${part(a, LEVEL.compare + 1)} ${opposite[x.op]} ${part(b, LEVEL.compare + 1)}`;
    return { text, level: LEVEL.compare };
  }
  return { text: `not ${part(x, LEVEL.compare)}`, level: LEVEL.not };
}

function constant(value: number, type: Expr['type']): Printed {
  if (type === 'bool') return { text: value === 0 ? 'false' : 'true', level: LEVEL.atom };
  const level = value < 0 || Object.is(value, -0) ? LEVEL.minus : LEVEL.atom;
  if (!Number.isFinite(value)) return { text: String(value).replace('Infinity', 'inf'), level };
  if (type === 'int') return { text: String(value), level };
  const text = Object.is(value, -0) ? '-0' : String(value);
  return { text: /[.e]/.test(text) ? text : `${text}.0`, level };
}

function pairs(texts: readonly string[]): string[] {
  return texts.flatMap((lo, n) => (n % 2 === 0 ? [`${lo} .. ${texts[n + 1]}`] : []));
}

/** `i.0.lo` → `i.y.lo`, `size.1` → `x.size`. */
function variableName(name: string, axes: readonly string[] = []): string {
  const side = /^([ij])\.(\d+)(.*)$/.exec(name);
  if (side) return `${side[1]}.${axes[Number(side[2])] ?? side[2]}${side[3]}`;
  const size = /^size\.(\d+)$/.exec(name);
  if (size) return `${axes[Number(size[1])] ?? `axis${size[1]}`}.size`;
  return name;
}
