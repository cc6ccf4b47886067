import { isConst, sub, variable } from '../../ir/build.js';
import type { Axis } from '../../ir/edges.js';
import { same, walk, type Expr, type InputRead, type Operation } from '../../ir/expr.js';
import { printExpr } from '../../print/expression.js';
import { union } from './facts.js';
import { uniformText, type Rounding } from './numbers.js';
import { queryPosition, type Scope } from './scope.js';
import { call, comment, indent, infix, Level, primary, type Text } from './text.js';

/** Reads of tables and graphs, and samples, which are drawn into tables of their own. */

export function printRead(e: InputRead, x: readonly Text[], scope: Scope): Text {
  const { name } = scope.inputs.get(e.name) as { readonly name: string };
  switch (e.op) {
    case 'table':
      return printTable(e, name, x, scope);
    case 'edge':
    case 'weight': {
      const graph = graphNumber(e, x, scope);
      return call(scope.helper(e.op === 'edge' ? 'has_edge' : 'edge_weight'), [name, graph, ...x.slice(2)]);
    }
    case 'table_min':
    case 'table_max':
    case 'edges_any':
    case 'edges_all':
      throw new Error(`${e.op} exists on the host only`);
  }
}

/** `doc[j]`, or `read(doc, j - 1)`, which is 0 outside, where an index may lie outside. */
function printTable(e: InputRead, name: string, x: readonly Text[], scope: Scope): Text {
  const { axes } = scope.inputs.get(e.name)?.declared ?? { axes: [] };
  if (axes.length === 0) return primary(name);
  const inside = e.args.every((a, n) => scope.facts(a).kind === 'tensor' && staysInside(a, axes[n], scope));
  if (inside) return primary(`${name}[${x.map((t) => t.text).join(', ')}]`);
  return call(scope.helper('read'), [name, ...x]);
}

function staysInside(index: Expr, axis: Axis, scope: Scope): boolean {
  const is = (name: string): boolean => index.op === 'var' && index.name === name;
  switch (axis.kind) {
    case 'keys':
      return is('j') || (is('i') && scope.pattern.align === 'end');
    case 'queries':
      return same(index, sub(variable('i'), variable('base')));
    case 'heads':
      return is('head');
    case 'batch':
      return is('batch');
    case 'size': {
      const [lo, hi] = bounds(index);
      return isConst(axis.size) && lo >= 0 && hi < axis.size.value;
    }
  }
}

/** Least and greatest value of an int expression, as far as its constants tell. */
function bounds(root: Expr): readonly [number, number] {
  const known = new Map<Expr, readonly [number, number]>();
  const unknown = [-Infinity, Infinity] as const;
  walk([root], (e) => {
    const [a, b] = 'args' in e ? e.args.map((x) => known.get(x) ?? unknown) : [];
    known.set(e, own(e, a ?? unknown, b ?? unknown));
  });
  return known.get(root) ?? unknown;
}

function own(
  e: Expr,
  [aLo, aHi]: readonly [number, number],
  [bLo, bHi]: readonly [number, number],
): readonly [number, number] {
  switch (e.op) {
    case 'const':
      return [e.value, e.value];
    case 'var':
      return [e.type === 'int' ? 0 : -Infinity, Infinity];
    case 'add':
      return [aLo + bLo, aHi + bHi];
    case 'sub':
      return [aLo - bHi, aHi - bLo];
    case 'min':
      return [Math.min(aLo, bLo), Math.min(aHi, bHi)];
    case 'max':
      return [Math.max(aLo, bLo), Math.max(aHi, bHi)];
    case 'mod':
      return [0, bHi - 1];
    case 'popcount':
      return [0, 32];
    default:
      return [-Infinity, Infinity];
  }
}

function graphNumber(e: InputRead, x: readonly Text[], scope: Scope): string {
  const [batch, head] = e.args.slice(0, 2).map((a) => scope.facts(a).kind === 'tensor');
  if (!batch) return head ? x[1].text : '0';
  return head ? `${x[0].text} * heads + ${x[1].text}` : x[0].text;
}

/** Prints several expressions: `body.ts` has it, which prints reads in turn. */
export type PrintValues = (
  roots: readonly Expr[],
  rounding: Rounding,
  scope: Scope,
) => { readonly lines: readonly string[]; readonly values: readonly Text[] };

/** `x in sample(count, below, seed, keys…)`: x is looked up among the members of its row's sample. */
export function printSample(e: Operation, x: Text, scope: Scope, print: PrintValues): Text {
  const args = e.args.slice(1);
  const facts = args.map(scope.facts).reduce(union);
  if (facts.query && facts.key) {
    scope.problems.push(e);
    return primary('False');
  }
  const drawn = drawSample(args, scope, print);
  const row = facts.query ? queryRow(scope) : facts.key ? primary('j') : primary('0');
  return call(scope.helper('in_sample'), [drawn, 'b', 'h', row, x]);
}

/** The name of the table in which the samples of all rows are. */
function drawSample(args: readonly Expr[], scope: Scope, print: PrintValues): string {
  const facts = args.map(scope.facts).reduce(union);
  const key = args.map((a) => scope.keyOf(scope.intern(a), 'sample')).join();
  const known = scope.hoisted.get(key);
  if (known) return known.text;
  const name = scope.names.number('drawn_');
  const rule = name.replace('drawn', 'sample');
  const { lines, values } = print(args, 'f32', scope);
  const [argument, setup] = facts.query
    ? ['q_idx', [`i = ${queryPosition(scope)}`]]
    : [facts.key ? 'j' : '_', []];
  const axes = (scope.pattern.grid ?? []).map((g) => g.name);
  const shown = `sample(${args.map((a) => printExpr(a, { axes })).join(', ')})`;
  const batch = facts.batch ? 'batch' : facts.lengths ? 'batch if lengths else 1' : '1';
  const rows = facts.query ? 'queries' : facts.key ? 'keys' : '1';
  scope.lines.push(
    '',
    `def ${rule}(b, h, ${argument}):`,
    ...indent([...comment(shown), ...setup, ...lines, `return ${values.map((v) => v.text).join(', ')}`]),
    '',
    `${name} = ${scope.helper('draw')}(${rule}, ${batch}, ${facts.head ? 'heads' : '1'}, ${rows}, device)`,
  );
  scope.hoisted.set(key, primary(name));
  return name;
}

/** The query's row: its position less that of row 0. */
function queryRow(scope: Scope): Text {
  const i = primary('i');
  if (scope.pattern.align === 'start') return i;
  return infix(i, '-', uniformText(variable('base'), 'f32', scope), Level.Sum);
}
