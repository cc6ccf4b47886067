/**
 * Expressions: the leaf type of the compiler. Plain data, shared sub-expressions are shared objects (a DAG).
 * `build.ts` constructs them with folding, `tape.ts` evaluates them, `range.ts` bounds them over boxes,
 * and the emitter prints them as WGSL. Integers are exact, floats in conditions are float32.
 */

export type Type = 'int' | 'float' | 'bool';

/**
 * Variables, all int unless said.
 * The pair: `i` (query's position), `j` (key's row), `batch`, `head`; `i.0`, `j.1` … are grid coordinates.
 * Shapes: `heads`, `queries`, `keys`, `dim`, `base` (position of query row 0: keys − queries under `align end`, 0
 * under `align start`), `size.0` … (grid sizes), `scale` (float, 1/√dim), `dot` (float, only in scores).
 * What is run: `first` and `rows` (position of the first query row, number of rows), `window.lo` and `window.hi` (the
 * keys at hand: first, one past the last).
 * Boxes: `i.lo`, `i.hi`, `j.lo`, `j.hi`, `i.0.lo` … (inclusive ends), `i.class` and `j.class` (residue classes).
 * Enumeration: `member` (the value that a family of bounds runs over).
 */
export type VariableName = string;

/** Operators by arity and meaning. `div` and `mod` are floored; `floor` and `ceil` give ints. */
export type Operator =
  | 'add'
  | 'sub'
  | 'mul'
  | 'neg'
  | 'abs'
  | 'min'
  | 'max'
  | 'div'
  | 'mod'
  | 'bitand'
  | 'bitor'
  | 'bitxor'
  | 'shl'
  | 'shr'
  | 'popcount'
  /** 2^bitlength(x) − 1: every bit at or below the highest set one. 0 for 0, −1 (all bits) for negative x. */
  | 'ones'
  | 'fdiv'
  | 'pow'
  | 'floor'
  | 'ceil'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'tanh'
  | 'to_float'
  | 'and'
  | 'or'
  | 'not'
  | 'lt'
  | 'le'
  | 'eq'
  | 'if'
  /** `sample(x, count, below, seed, keys…)`: bool, is x among π(0) … π(min(count, below) − 1)? */
  | 'sample'
  /** `sample_at(n, below, seed, keys…)`: int, π(n). */
  | 'sample_at';

/** Nodes that read a bound input, or a part of a graph (graph-boxes.ts). `table_min`/`table_max` take (lo, hi) for each axis and exist on the host only. */
export type InputOperator =
  | 'table'
  | 'table_min'
  | 'table_max'
  /** `edge(batch, head, a, b)`: bool. `edges_any` and `edges_all(batch, head, a.lo, a.hi, b.lo, b.hi)`: host only. */
  | 'edge'
  | 'edges_any'
  | 'edges_all'
  /** `weight(batch, head, a, b)`: float, 0 where there is no edge. */
  | 'weight';

export interface Constant {
  readonly op: 'const';
  readonly type: Type;
  /** Booleans are 0 and 1. */
  readonly value: number;
}

export interface Variable {
  readonly op: 'var';
  readonly type: Type;
  readonly name: VariableName;
}

/** A dynamic parameter; static ones are constants by now. */
export interface ParameterRef {
  readonly op: 'param';
  readonly type: Type;
  readonly name: string;
}

export interface Operation {
  readonly op: Operator;
  readonly type: Type;
  readonly args: readonly Expr[];
}

export interface InputRead {
  readonly op: InputOperator;
  readonly type: Type;
  readonly name: string;
  readonly args: readonly Expr[];
}

export type Expr = Constant | Variable | ParameterRef | Operation | InputRead;

export function argsOf(e: Expr): readonly Expr[] {
  return 'args' in e ? e.args : [];
}

/** Calls `visit` once for each distinct node, arguments before the nodes that use them. */
export function walk(roots: readonly Expr[], visit: (e: Expr) => void): void {
  const seen = new Set<Expr>();
  const go = (e: Expr): void => {
    if (seen.has(e)) return;
    seen.add(e);
    for (const a of argsOf(e)) go(a);
    visit(e);
  };
  for (const r of roots) go(r);
}

export function some(root: Expr, test: (e: Expr) => boolean): boolean {
  let found = false;
  walk([root], (e) => {
    found ||= test(e);
  });
  return found;
}

/** True if `e` mentions the side's position or one of its grid coordinates. */
export function mentions(e: Expr, side: 'i' | 'j'): boolean {
  return some(e, (n) => n.op === 'var' && (n.name === side || n.name.startsWith(`${side}.`)));
}

/** Nodes compared before two expressions are taken to differ: shared ones count each time they are reached. */
const MAX_COMPARED = 10_000;

/** Structural equality (of very large expressions that are not one object, false). */
export function same(a: Expr, b: Expr): boolean {
  let left = MAX_COMPARED;
  const equal = (p: Expr, q: Expr): boolean => {
    if (p === q) return true;
    if (p.op !== q.op || p.type !== q.type || left-- <= 0) return false;
    if (p.op === 'const') return q.op === 'const' && Object.is(p.value, q.value);
    if ('name' in p && 'name' in q && p.name !== q.name) return false;
    const x = argsOf(p);
    const y = argsOf(q);
    return x.length === y.length && x.every((e, n) => equal(e, y[n]));
  };
  return a === b || (a.op === b.op && a.type === b.type && equal(a, b));
}

/** Rebuilds a DAG bottom-up; `change` sees a node whose arguments are already rebuilt. */
export function rewrite(root: Expr, change: (e: Expr) => Expr, memo = new Map<Expr, Expr>()): Expr {
  const done = memo.get(root);
  if (done) return done;
  let node = root;
  if ('args' in root) {
    const args = root.args.map((a) => rewrite(a, change, memo));
    if (args.some((a, n) => a !== root.args[n])) node = { ...root, args } as Expr;
  }
  const result = change(node);
  memo.set(root, result);
  return result;
}
