import type { ExprAst, InputAst, ItemAst, PatternAst, TokensAst } from '../../grammar/ast.js';
import { nearest } from '../../grammar/nearest.js';
import { int } from '../ir/build.js';
import type { Axis } from '../ir/edges.js';
import { same, type Expr } from '../ir/expr.js';
import type { Body, Env, Grid } from './context.js';
import { evaluate } from './expressions.js';
import type { Report } from './report.js';
import { needKnown } from './static.js';
import { asInt } from './types.js';
import { INT32_MAX } from './values.js';

type Once = 'score' | 'mix' | 'tokens' | 'align' | 'overlaps';
const ONCE: readonly string[] = ['score', 'mix', 'tokens', 'align', 'overlaps'];
const OUTSIDE: readonly string[] = [...ONCE, 'input', 'restrict'];

const shown: Readonly<Record<string, string>> = {
  score: '`score = …`',
  mix: '`mix = …`',
  tokens: '`tokens (…)`',
  align: '`align`',
  overlaps: '`overlaps`',
  input: '`input`',
  restrict: '`restrict`',
};

/** The items that a pattern has at most once, where it has them. */
export type Singles = { readonly [K in Once]?: ItemAst & { readonly kind: K } };

/** Finds them; what is given twice, or inside inner braces, is an error. */
export function readSingles(report: Report, pattern: PatternAst): Singles {
  const found: Partial<Record<string, ItemAst>> = {};
  for (const item of pattern.items) {
    if (item.kind === 'block' || item.kind === 'for') reportMisplaced(report, item.items);
    if (!ONCE.includes(item.kind)) continue;
    const first = found[item.kind];
    if (!first) {
      found[item.kind] = item;
      continue;
    }
    report.error('ATTN2009', `a pattern has one ${shown[item.kind]}`, item.span, {
      help: 'leave one of them out',
      related: [{ message: 'the first one', span: first.span }],
    });
  }
  return found as Singles;
}

function reportMisplaced(report: Report, items: readonly ItemAst[]): void {
  for (const item of items) {
    if (item.kind === 'block' || item.kind === 'for') reportMisplaced(report, item.items);
    if (!OUTSIDE.includes(item.kind)) continue;
    report.error('ATTN2010', `${shown[item.kind]} is of the whole pattern`, item.span, {
      help:
        item.kind === 'restrict'
          ? 'move it out of these braces, or add its condition to the rules with `and`'
          : 'move it out of these braces',
    });
  }
}

/** Every name that some `let` below declares. */
export function letNames(items: readonly ItemAst[]): string[] {
  return items.flatMap((item) => {
    if (item.kind === 'let') return [item.name.text];
    return item.kind === 'block' || item.kind === 'for' ? letNames(item.items) : [];
  });
}

/** A size made of parameters and numbers, as a constant. */
function readSize(env: Env, ast: ExprAst, what: string): Expr | undefined {
  const { body } = env;
  const expr = asInt(body.report, evaluate(env, ast), ast.span);
  const value = expr && needKnown(body, expr, `the size of ${what}`, ast.span);
  if (value === undefined) return undefined;
  if (value >= 1 && value <= INT32_MAX) return int(value);
  const message = `the size of ${what} is ${value}, and must be 1 or more`;
  body.report.error(value < 1 ? 'ATTN2037' : 'ATTN2031', message, ast.span);
  return undefined;
}

/** `tokens (y: H, x: W)`; `undefined` after an error. */
export function readGrid(env: Env, ast: TokensAst): Grid | undefined {
  const { report } = env.body;
  let broken = false;
  let inferred = 0;
  const seen = new Map<string, TokensAst['axes'][number]>();
  const axes = ast.axes.map((axis) => {
    const first = seen.get(axis.name.text);
    if (first) {
      broken = true;
      report.error('ATTN2005', `axis \`${axis.name.text}\` is declared twice`, axis.name.span, {
        related: [{ message: 'first here', span: first.name.span }],
      });
    }
    seen.set(axis.name.text, axis);
    if (!axis.size) {
      inferred++;
      if (inferred === 2) {
        broken = true;
        report.error('ATTN2074', 'only one size of a grid can be `?`', axis.span, {
          help: 'give all the others; the last one follows from the number of tokens',
        });
      }
      return { name: axis.name.text, size: undefined };
    }
    const size = readSize(env, axis.size, `axis \`${axis.name.text}\``);
    broken ||= size === undefined;
    return { name: axis.name.text, size };
  });
  return broken ? undefined : { axes, span: ast.span };
}

export const sameGrid = (a: Grid, b: Grid): boolean =>
  a.axes.length === b.axes.length && a.axes.every((x, n) => sameSize(x.size, b.axes[n].size));

const sameSize = (a: Expr | undefined, b: Expr | undefined): boolean =>
  a === undefined || b === undefined ? a === b : same(a, b);

const AXES = ['keys', 'tokens', 'queries', 'heads', 'batch'] as const;

/** The axes of an input; `undefined` after an error. */
export function readAxes(env: Env, ast: InputAst): readonly Axis[] | undefined {
  const axes = ast.axes.map((axis) => readAxis(env, ast, axis));
  if (axes.includes(undefined)) return undefined;
  const known = axes as readonly Axis[];
  if (ast.type === 'edges') return checkGraphAxes(env.body, ast, known);
  if (known.length > 0) return known;
  env.body.report.error('ATTN2039', `table \`${ast.name.text}\` has no axis`, ast.span, {
    help: 'for example `int[tokens]`, `float[heads]` or `bool[queries, keys]`; a single number is a parameter',
  });
  return undefined;
}

function readAxis(env: Env, ast: InputAst, axis: ExprAst): Axis | undefined {
  if (axis.kind === 'name') {
    switch (axis.text) {
      case 'keys':
      case 'tokens':
        return { kind: 'keys' };
      case 'queries':
      case 'heads':
      case 'batch':
        return { kind: axis.text };
      case 'length':
      case 'head':
      case 'i':
      case 'j': {
        const instead = axis.text === 'head' ? 'heads' : 'tokens';
        env.body.report.error('ATTN2039', `\`${axis.text}\` is not an axis`, axis.span, {
          help: `did you mean \`${instead}\`?`,
        });
        return undefined;
      }
      default:
        break;
    }
    const like = nearest(axis.text, AXES);
    if (like && !env.scope.names.has(axis.text)) {
      env.body.report.error('ATTN2001', `unknown axis \`${axis.text}\``, axis.span, {
        help: `did you mean \`${like}\`?`,
      });
      return undefined;
    }
  }
  const size = readSize(env, axis, `an axis of \`${ast.name.text}\``);
  return size && { kind: 'size', size };
}

function checkGraphAxes(body: Body, ast: InputAst, axes: readonly Axis[]): readonly Axis[] | undefined {
  const kinds = axes.map((a) => a.kind).join(', ');
  if (['', 'batch', 'heads', 'batch, heads'].includes(kinds)) return axes;
  body.report.error('ATTN2039', `\`edges[${kinds}]\` is not possible`, ast.span, {
    help: 'write `edges`, `edges[batch]`, `edges[heads]` or `edges[batch, heads]`',
  });
  return undefined;
}

export const sameAxes = (a: readonly Axis[], b: readonly Axis[]): boolean =>
  a.length === b.length &&
  a.every((x, n) => {
    const y = b[n];
    return x.kind === 'size' ? y.kind === 'size' && same(x.size, y.size) : x.kind === y.kind;
  });
