import type { ExprAst, Span } from '../../grammar/ast.js';
import { apply } from '../ir/build.js';
import type { Expr } from '../ir/expr.js';
import type { Body, Lowering } from './context.js';

/** The value of an expression at compile time, or what it depends on that is not known then. */
export type Known =
  { readonly kind: 'known'; readonly value: number } | { readonly kind: 'open'; readonly on: string };

/** Parameters that it reads become fixed. Floats are rounded to float32 at every step, as conditions are. */
export function evaluateKnown(lowering: Lowering, root: Expr): Known {
  const memo = new Map<Expr, Known>();
  const open = (on: string): Known => ({ kind: 'open', on });
  const go = (e: Expr): Known => {
    const done = memo.get(e);
    if (done) return done;
    const known = compute(e);
    memo.set(e, known);
    return known;
  };
  const compute = (e: Expr): Known => {
    switch (e.op) {
      case 'const':
        return { kind: 'known', value: e.type === 'float' ? Math.fround(e.value) : e.value };
      case 'var':
        return open(e.name === 'dot' ? 'dot(q, k)' : e.name);
      case 'param': {
        const value = lowering.values.get(e.name);
        if (value === undefined) return open(e.name);
        lowering.needed.add(e.name);
        return { kind: 'known', value };
      }
      default:
        break;
    }
    if ('name' in e) return open(e.name);
    const args: number[] = [];
    for (const a of e.args) {
      const known = go(a);
      if (known.kind === 'open') return known;
      args.push(known.value);
    }
    const value = apply(e.op, e.type, args);
    return { kind: 'known', value: e.type === 'float' ? Math.fround(value) : value };
  };
  return go(root);
}

/** The value, or an error that says what keeps it from being known. */
export function needKnown(body: Body, expr: Expr, what: string, span: Span): number | undefined {
  const known = evaluateKnown(body.lowering, expr);
  if (known.kind === 'known') return known.value;
  const source = /^(base|[ij](\.\d+)?|size\.\d+)$/.test(known.on) ? positionName(known.on) : known.on;
  body.report.error('ATTN2030', `${what} must be known when the pattern is compiled`, span, {
    help: `it depends on \`${source}\`; use numbers and parameters only`,
  });
  return undefined;
}

const positionName = (variable: string): string =>
  variable === 'base' ? 'queries' : variable.startsWith('size') ? 'size' : variable[0];

/** Every name that an expression mentions, its own and those of calls' arguments, with places. */
export function namesIn(ast: ExprAst): readonly { readonly text: string; readonly span: Span }[] {
  switch (ast.kind) {
    case 'int':
    case 'float':
    case 'bool':
      return [];
    case 'name':
      return [ast];
    case 'list':
      return ast.items.flatMap(namesIn);
    case 'member':
      return namesIn(ast.object);
    case 'index':
      return [ast.object, ...ast.indices].flatMap(namesIn);
    case 'call':
      return ast.args.flatMap((a) => namesIn(a.value));
    case 'unary':
      return namesIn(ast.value);
    case 'binary':
      return [...namesIn(ast.left), ...namesIn(ast.right)];
    case 'compare':
      return ast.operands.flatMap(namesIn);
    case 'in':
      return [...namesIn(ast.value), ...namesIn(ast.set)];
  }
}
