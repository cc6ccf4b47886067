import type { ArgumentAst, BinaryOperator, CompareOperator, ExprAst } from '../../grammar/ast.js';
import { alike, asFloat, callFunction, floorDivide, floorRemainder, type Rounding } from './functions.js';
import { drawn } from './permutation.js';
import { find, type Binding, type Code, type Pair, type Scope, type ValueType } from './scope.js';
import { entry } from './tables.js';

const keep: Rounding = (x) => x;

/** Reads an expression that decides on an edge: every float step is rounded to float32. */
export function condition(e: ExprAst, scope: Scope | undefined): Code {
  return compile(e, scope, Math.fround);
}

/** Reads an expression of a score: float64 throughout. */
export function scoreExpression(e: ExprAst, scope: Scope | undefined): Code {
  return compile(e, scope, keep);
}

function compile(e: ExprAst, scope: Scope | undefined, round: Rounding): Code {
  const go = (x: ExprAst): Code => compile(x, scope, round);
  switch (e.kind) {
    case 'int':
      return constant('int', e.value);
    case 'float':
      return constant('float', round(e.value));
    case 'bool':
      return constant('bool', e.value ? 1 : 0);
    case 'list':
      throw new Error('a list stands where a number is wanted');
    case 'name':
      return named(e.text, scope, round);
    case 'member':
      return member(e.object, e.member.text, scope);
    case 'index':
      return indexed(e.object, e.indices, scope, round);
    case 'call':
      return called(e.name.text, e.args, scope, round);
    case 'unary': {
      const value = go(e.value);
      if (e.op === 'not') return { type: 'bool', run: (p) => 1 - value.run(p) };
      return { type: value.type, run: (p) => 0 - value.run(p) };
    }
    case 'binary':
      return binary(e.op, go(e.left), go(e.right), round);
    case 'compare':
      return comparison(e.operators, e.operands.map(go), round);
    case 'in':
      return membership(e.value, e.set, scope, round);
  }
}

const constant = (type: ValueType, value: number): Code => ({ type, run: () => value });

/** Names that are always there. */
const builtins: Readonly<Record<string, (p: Pair) => number>> = {
  i: (p) => p.i,
  j: (p) => p.j,
  batch: (p) => p.batch,
  head: (p) => p.head,
  heads: (p) => p.heads,
  queries: (p) => p.queries,
  keys: (p) => p.keys,
  length: (p) => p.keys,
  dim: (p) => p.dim,
};

function named(name: string, scope: Scope | undefined, round: Rounding): Code {
  const binding = find(scope, name);
  if (binding !== undefined) return bound(name, binding, round);
  if (name === 'scale') return { type: 'float', run: (p) => round(1 / Math.sqrt(p.dim)) };
  const read = builtins[name];
  if (read === undefined) throw new Error(`unknown name ${name}`);
  return { type: 'int', run: read };
}

function bound(name: string, binding: Binding, round: Rounding): Code {
  switch (binding.kind) {
    case 'value':
      return constant(binding.type, binding.type === 'float' ? round(binding.value) : binding.value);
    case 'expression': {
      const code = compile(binding.ast, binding.scope, round);
      return binding.type === 'float' ? asFloat(code, round) : code;
    }
    case 'table': {
      // A table without axes is a single value.
      if (binding.byRow.length > 0) throw new Error(`${name} is a table`);
      return constant(binding.type, round(binding.table.data[0]));
    }
    case 'values':
    case 'graph':
    case 'axis':
      throw new Error(`${name} is no number`);
  }
}

/** `i.y`, `j.y`, `y.size` */
function member(object: ExprAst, name: string, scope: Scope | undefined): Code {
  if (object.kind !== 'name') throw new Error('no such member');
  const axis = find(scope, `axis ${name === 'size' ? object.text : name}`);
  if (axis?.kind !== 'axis') throw new Error(`no grid axis for ${object.text}.${name}`);
  const { size, stride } = axis;
  if (name === 'size') return { type: 'int', run: size };
  const position = builtins[object.text];
  return { type: 'int', run: (p) => Math.floor(position(p) / stride(p)) % size(p) };
}

function indexed(
  object: ExprAst,
  indices: readonly ExprAst[],
  scope: Scope | undefined,
  round: Rounding,
): Code {
  const weight = object.kind === 'member' && object.member.text === 'weight';
  const target = weight ? object.object : object;
  const at = indices.map((x) => compile(x, scope, round).run);
  if (target.kind === 'list') return pick(listItems(target, scope, round), at[0]);
  if (target.kind !== 'name') throw new Error('only tables, graphs and lists have entries');
  const binding = find(scope, target.text);
  if (binding?.kind === 'graph') {
    const lookup = graphEntry(binding, at);
    if (weight) return { type: 'float', run: (p) => round(lookup(p) ?? 0) };
    return { type: 'bool', run: (p) => (lookup(p) === undefined ? 0 : 1) };
  }
  if (binding?.kind === 'table') {
    const { table, byRow, type } = binding;
    const scratch = at.map(() => 0);
    const run = (p: Pair): number => {
      for (let a = 0; a < at.length; a++) scratch[a] = at[a](p) - (byRow[a] ? p.base : 0);
      const value = entry(table, scratch);
      return type === 'float' ? round(value) : type === 'bool' ? (value !== 0 ? 1 : 0) : value;
    };
    return { type, run };
  }
  return pick(listItems(target, scope, round), at[0]);
}

/** An entry of a list; 0 past its ends, as for tables. */
function pick(items: readonly Code[], at: (p: Pair) => number): Code {
  const same = alike(items, keep);
  return { type: same[0]?.type ?? 'int', run: (p) => same[at(p)]?.run(p) ?? 0 };
}

function graphEntry(
  binding: Binding & { kind: 'graph' },
  [row, column]: readonly ((p: Pair) => number)[],
): (p: Pair) => number | undefined {
  const { graph, axes } = binding;
  return (p) => {
    const r = row(p);
    if (!(r >= 0 && r < graph.rowsEach)) return undefined;
    let which = 0;
    for (const axis of axes) which = axis === 'batch' ? which + p.batch : which * p.heads + p.head;
    return graph.rows[which * graph.rowsEach + r]?.get(column(p));
  };
}

function called(name: string, args: readonly ArgumentAst[], scope: Scope | undefined, round: Rounding): Code {
  if (name === 'dot') return { type: 'float', run: (p) => p.dot };
  const code = callFunction(
    name,
    args.map((a) => compile(a.value, scope, round)),
    round,
  );
  if (code === undefined) throw new Error(`unknown function ${name}`);
  return code;
}

function binary(op: BinaryOperator, left: Code, right: Code, round: Rounding): Code {
  if (op === 'and') return { type: 'bool', run: (p) => (left.run(p) !== 0 ? right.run(p) : 0) };
  if (op === 'or') return { type: 'bool', run: (p) => (left.run(p) !== 0 ? 1 : right.run(p)) };
  if (op === 'div') return { type: 'int', run: (p) => floorDivide(left.run(p), right.run(p)) };
  if (op === '%') return { type: 'int', run: (p) => floorRemainder(left.run(p), right.run(p)) };
  const float = op === '/' || op === '**' || left.type === 'float' || right.type === 'float';
  const a = float ? asFloat(left, round).run : left.run;
  const b = float ? asFloat(right, round).run : right.run;
  const type: ValueType = float ? 'float' : 'int';
  const end = float ? round : keep;
  switch (op) {
    case '+':
      return { type, run: (p) => end(a(p) + b(p)) };
    case '-':
      return { type, run: (p) => end(a(p) - b(p)) };
    case '*':
      return { type, run: (p) => end(a(p) * b(p)) };
    case '/':
      return { type, run: (p) => end(a(p) / b(p)) };
    case '**':
      return { type, run: (p) => end(a(p) ** b(p)) };
  }
}

function holds(op: CompareOperator, a: number, b: number): boolean {
  switch (op) {
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
    case '==':
      return a === b;
    case '!=':
      return a !== b;
  }
}

/** `a < b <= c` is `a < b and b <= c`; each link of the chain has a type of its own. */
function comparison(operators: readonly CompareOperator[], operands: readonly Code[], round: Rounding): Code {
  const links = operators.map((op, n) => {
    const [a, b] = alike(operands.slice(n, n + 2), round);
    return (p: Pair) => holds(op, a.run(p), b.run(p));
  });
  if (links.length === 1) {
    const [only] = links;
    return { type: 'bool', run: (p) => (only(p) ? 1 : 0) };
  }
  return { type: 'bool', run: (p) => (links.every((link) => link(p)) ? 1 : 0) };
}

function membership(value: ExprAst, set: ExprAst, scope: Scope | undefined, round: Rounding): Code {
  const x = compile(value, scope, round);
  if (set.kind === 'call' && set.name.text === 'sample') {
    const [count, below, seed, ...keys] = set.args.map((a) => compile(a.value, scope, round).run);
    const run = (p: Pair): boolean =>
      drawn(
        x.run(p),
        count(p),
        below(p),
        seed(p),
        keys.map((k) => k(p)),
      );
    return { type: 'bool', run: (p) => (run(p) ? 1 : 0) };
  }
  const tests = listItems(set, scope, round).map((item) => comparison(['=='], [x, item], round).run);
  return { type: 'bool', run: (p) => (tests.some((test) => test(p) !== 0) ? 1 : 0) };
}

/** The entries of a list: a literal, a parameter, or a `let` that stands for one. */
export function listItems(
  e: ExprAst,
  scope: Scope | undefined,
  round: Rounding = Math.fround,
): readonly Code[] {
  if (e.kind === 'list') return e.items.map((x) => compile(x, scope, round));
  const binding = e.kind === 'name' ? find(scope, e.text) : undefined;
  if (binding?.kind === 'values') {
    return binding.values.map((v) => constant(binding.type, binding.type === 'float' ? round(v) : v));
  }
  if (binding?.kind === 'expression') {
    const items = listItems(binding.ast, binding.scope, round);
    return binding.type === 'float[]' ? items.map((x) => asFloat(x, round)) : items;
  }
  throw new Error('a list is wanted');
}
