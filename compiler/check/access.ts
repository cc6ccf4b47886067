import type { ExprAst, Name, Span } from '../../grammar/ast.js';
import { nearest } from '../../grammar/nearest.js';
import { eq, float, int, isConst, read, select, sub, ZERO } from '../ir/build.js';
import type { Axis } from '../ir/edges.js';
import type { Expr } from '../ir/expr.js';
import { alwaysOutside } from './never.js';
import { sharedVariable, spanKey, type Env } from './context.js';
import type { Operand } from './operators.js';
import { lookup, type Binding } from './scope.js';
import { asInt } from './types.js';
import { count, scalar, UNKNOWN, type Value } from './values.js';

type Input = Binding & { readonly kind: 'input' };

/** The input that `object[…]` or `object.weight[…]` names, if it does. */
export function inputOf(
  env: Env,
  object: ExprAst,
): { readonly input: Input; readonly member: Name | undefined } | undefined {
  const name = object.kind === 'member' ? object.object : object;
  if (name.kind !== 'name') return undefined;
  const binding = lookup(env.scope, name.text);
  if (binding?.kind !== 'input') return undefined;
  env.body.lowering.used.add(spanKey(binding.name.span));
  return { input: binding, member: object.kind === 'member' ? object.member : undefined };
}

/** `table[a, b]`, `graph[a, b]`, `graph.weight[a, b]`. */
export function readInput(
  env: Env,
  input: Input,
  member: Name | undefined,
  indices: readonly Operand[],
  span: Span,
): Value {
  const exprs = indices.map((o) => asInt(env.body.report, o.value, o.span, 'ATTN2022'));
  return input.ast.type === 'edges'
    ? readGraph(env, input, member, indices, exprs, span)
    : readTable(env, input, member, indices, exprs, span);
}

function readTable(
  env: Env,
  input: Input,
  member: Name | undefined,
  indices: readonly Operand[],
  exprs: readonly (Expr | undefined)[],
  span: Span,
): Value {
  const { body } = env;
  const name = input.name.text;
  if (member) {
    body.report.error('ATTN2004', `table \`${name}\` has no member \`${member.text}\``, member.span);
    return UNKNOWN;
  }
  const { axes } = input;
  if (!axes) return UNKNOWN;
  if (indices.length !== axes.length) {
    body.report.error(
      'ATTN2026',
      `\`${name}\` takes ${count(axes.length, 'index', 'indices')}, not ${indices.length}`,
      span,
      { related: [{ message: 'declared here', span: input.ast.span }] },
    );
    return UNKNOWN;
  }
  const outside = exprs.map((e, n) => e && checkIndex(env, name, e, axes[n], indices[n].span));
  if (exprs.includes(undefined) || outside.includes(true)) return UNKNOWN;
  const rows = (exprs as readonly Expr[]).map((e, n) =>
    axes[n].kind === 'queries' ? sub(e, sharedVariable(body.lowering, 'base')) : e,
  );
  const { type } = input.ast;
  return scalar(read('table', type === 'edges' ? 'bool' : type, name, rows));
}

function readGraph(
  env: Env,
  input: Input,
  member: Name | undefined,
  indices: readonly Operand[],
  exprs: readonly (Expr | undefined)[],
  span: Span,
): Value {
  const { body } = env;
  const { lowering, report } = body;
  const name = input.name.text;
  if (member && member.text !== 'weight') {
    const help = `\`${name}.weight[a, b]\` is the weight of an edge`;
    report.error('ATTN2004', `graph \`${name}\` has no member \`${member.text}\``, member.span, { help });
    return UNKNOWN;
  }
  if (indices.length !== 2) {
    report.error('ATTN2026', `a graph takes 2 indices, not ${indices.length}`, span, {
      help: `write \`${name}[i, j]\`; batch and head are understood where the input declares them`,
    });
    return UNKNOWN;
  }
  if (member && (env.place === 'condition' || env.place === 'sink')) {
    report.error('ATTN2024', 'weights of a graph stand only in a score', span, {
      help: `the condition is \`${name}[a, b]\`: is there such an edge?`,
    });
    return UNKNOWN;
  }
  const outside = exprs.map((e, n) => e && checkIndex(env, name, e, undefined, indices[n].span));
  const { axes } = input;
  const [a, b] = exprs;
  if (!axes || !a || !b || outside.includes(true)) return UNKNOWN;
  const along = (kind: 'batch' | 'heads', variable: string): Expr =>
    axes.some((x) => x.kind === kind) ? sharedVariable(lowering, variable) : ZERO;
  const args = [along('batch', 'batch'), along('heads', 'head'), a, b];
  if (!member) return scalar(read('edge', 'bool', name, args));
  lowering.weighted.add(name);
  return scalar(read('weight', 'float', name, args));
}

/** True, and an error, if the index can never be inside; a graph's axes have no known size. */
function checkIndex(env: Env, name: string, index: Expr, axis: Axis | undefined, span: Span): boolean {
  const { lowering } = env.body;
  const size = axis && sizeOf(env, axis);
  if (!alwaysOutside(index, size, lowering.ranges)) return false;
  const what = isConst(index) ? `the index ${index.value}` : 'this index';
  const bounds =
    size && isConst(size) ? `this axis holds 0 … ${size.value - 1}` : 'indices run from 0 to the size - 1';
  env.body.report.error('ATTN2034', `${what} is always outside of \`${name}\``, span, { help: bounds });
  return true;
}

function sizeOf(env: Env, axis: Axis): Expr | undefined {
  switch (axis.kind) {
    case 'size':
      return axis.size;
    case 'keys':
    case 'heads':
      return sharedVariable(env.body.lowering, axis.kind);
    // Indexed by position, and without a name for its size.
    case 'queries':
    case 'batch':
      return undefined;
  }
}

/** `list[index]`; an index known only at run time reads 0 outside, as tables do. */
export function indexList(
  env: Env,
  list: Value & { readonly kind: 'list' },
  indices: readonly Operand[],
  span: Span,
): Value {
  const { report, lowering } = env.body;
  if (indices.length !== 1) {
    report.error('ATTN2026', `a list takes 1 index, not ${indices.length}`, span);
    return UNKNOWN;
  }
  const index = asInt(report, indices[0].value, indices[0].span, 'ATTN2022');
  if (!index) return UNKNOWN;
  if (alwaysOutside(index, int(list.items.length), lowering.ranges)) {
    const help = list.items.length === 0 ? 'it is empty' : `it holds items 0 … ${list.items.length - 1}`;
    report.error('ATTN2034', 'this index is always outside of the list', indices[0].span, { help });
    return UNKNOWN;
  }
  const zero = list.type === 'int' ? int(0) : float(0);
  return scalar(list.items.reduceRight((rest, item, n) => select(eq(index, int(n)), item, rest), zero));
}

/** `i.y`, `j.x`, `y.size`. */
export function readMember(env: Env, object: Name, member: Name, span: Span): Value {
  const { body } = env;
  const { report, lowering, grid } = body;
  const axes = grid?.axes.map((a) => a.name) ?? [];
  const axis = axes.indexOf(object.text);
  if (object.text === 'i' || object.text === 'j') {
    const n = axes.indexOf(member.text);
    if (n >= 0) return scalar(sharedVariable(lowering, `${object.text}.${n}`));
    if (body.gridBroken) return UNKNOWN;
    if (!grid) {
      report.error('ATTN2004', `\`${object.text}.${member.text}\` needs a grid`, span, {
        help: 'lay the tokens on a grid with `tokens (y: HEIGHT, x: WIDTH)`',
      });
    } else reportUnknownAxis(env, member, axes);
    return UNKNOWN;
  }
  const binding = lookup(env.scope, object.text);
  if (axis >= 0 && member.text === 'size') {
    const size = grid!.axes[axis].size;
    return scalar(size ?? sharedVariable(lowering, `size.${axis}`));
  }
  if (axis >= 0 && !binding) {
    report.error('ATTN2004', `axis \`${object.text}\` has no member \`${member.text}\``, member.span, {
      help: `\`${object.text}.size\` is its size; coordinates are \`i.${object.text}\` and \`j.${object.text}\``,
    });
    return UNKNOWN;
  }
  if (binding) {
    lowering.used.add(spanKey(binding.name.span));
    if (binding.kind !== 'input' && binding.value.kind === 'unknown') return UNKNOWN;
    const help =
      binding.kind === 'input' && binding.ast.type === 'edges' && member.text === 'weight'
        ? `a weight takes the edge's ends: \`${object.text}.weight[i, j]\``
        : member.text === 'size'
          ? 'only the axes of `tokens (…)` have a size'
          : undefined;
    report.error('ATTN2004', `\`${object.text}\` has no member \`${member.text}\``, member.span, { help });
    return UNKNOWN;
  }
  if (body.gridBroken) return UNKNOWN;
  const like = nearest(object.text, ['i', 'j', ...axes]);
  const help = like ? `did you mean \`${like}.${member.text}\`?` : undefined;
  report.error('ATTN2001', `unknown name \`${object.text}\``, object.span, { help });
  return UNKNOWN;
}

function reportUnknownAxis(env: Env, member: Name, axes: readonly string[]): void {
  const like = nearest(member.text, axes);
  const help = like ? `did you mean \`${like}\`?` : `the axes are ${axes.map((a) => `\`${a}\``).join(', ')}`;
  env.body.report.error('ATTN2004', `the grid has no axis \`${member.text}\``, member.span, { help });
}
