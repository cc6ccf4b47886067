import type { ArgumentAst, ExprAst, Name, Span } from '../../grammar/ast.js';
import { nearest } from '../../grammar/nearest.js';
import { bool, float, int, make, toFloat } from '../ir/build.js';
import { some, type Expr } from '../ir/expr.js';
import { indexList, inputOf, readInput, readMember } from './access.js';
import { callFunction, isFunction, reportUnknownFunction } from './calls.js';
import { sharedVariable, spanKey, type Env } from './context.js';
import { binaryOperation, comparison, membership, unaryOperation, type Operand } from './operators.js';
import { BUILT_IN_NAMES, lookup, visibleNames } from './scope.js';
import { evaluateKnown } from './static.js';
import { asInt, asNumber } from './types.js';
import { INT32_MAX, scalar, UNKNOWN, type Value } from './values.js';

/**
 * Names, types and meaning of an expression in one walk: its value as an expression of the IR. After an error the
 * value is unknown, and nothing more is said about what is made of it.
 */
export function evaluate(env: Env, ast: ExprAst): Value {
  switch (ast.kind) {
    case 'int':
      return literal(env, ast.value, ast.span, 1);
    case 'float':
      return scalar(float(ast.value));
    case 'bool':
      return scalar(bool(ast.value));
    case 'list':
      return evaluateList(env, ast.items);
    case 'name':
      return evaluateName(env, ast);
    case 'member':
      return evaluateMember(env, ast);
    case 'index':
      return evaluateIndex(env, ast);
    case 'call':
      return evaluateCall(env, ast.name, ast.args, ast.span);
    case 'unary':
      // −2147483648 is an int, 2147483648 is not.
      if (ast.op === '-' && ast.value.kind === 'int') return literal(env, ast.value.value, ast.span, -1);
      return unaryOperation(env.body, ast.op, operand(env, ast.value), ast.span);
    case 'binary':
      return binaryOperation(env.body, ast.op, operand(env, ast.left), operand(env, ast.right), ast.span);
    case 'compare':
      return comparison(
        env.body,
        ast.operators,
        ast.operands.map((o) => operand(env, o)),
      );
    case 'in':
      return evaluateIn(env, operand(env, ast.value), ast.set);
  }
}

const operand = (env: Env, ast: ExprAst): Operand => ({ value: evaluate(env, ast), span: ast.span });

function literal(env: Env, value: number, span: Span, sign: 1 | -1): Value {
  if (value <= INT32_MAX + (sign < 0 ? 1 : 0)) return scalar(int(sign * value + 0));
  env.body.report.error('ATTN2031', `the value ${sign * value} does not fit into 32 bits`, span, {
    help: `the largest int is ${INT32_MAX}; as a float it is written \`${sign * value}.0\``,
  });
  return UNKNOWN;
}

/** A list whose items are known at compile time; ints among floats become floats. */
function evaluateList(env: Env, items: readonly ExprAst[]): Value {
  const exprs = items.map((item) => {
    const e = asNumber(env.body.report, evaluate(env, item), item.span);
    return e && knownItem(env, e, item.span, true);
  });
  if (exprs.includes(undefined)) return UNKNOWN;
  const known = exprs as readonly Expr[];
  const type = known.some((e) => e.type === 'float') ? 'float' : 'int';
  return { kind: 'list', type, items: type === 'float' ? known.map(toFloat) : known };
}

/** An item as a constant; where it need not be one, whatever can't be stays as it is. */
function knownItem(env: Env, e: Expr, span: Span, must: boolean): Expr | undefined {
  const known = evaluateKnown(env.body.lowering, e);
  if (known.kind === 'known') return e.type === 'float' ? float(known.value) : int(known.value);
  if (!must) return e;
  env.body.report.error('ATTN2030', 'the items of a list must be known when the pattern is compiled', span, {
    help: `this one depends on \`${known.on}\`; a list right after \`in\` may hold any expressions`,
  });
  return undefined;
}

function evaluateName(env: Env, ast: ExprAst & { readonly kind: 'name' }): Value {
  const { body } = env;
  const { lowering, report } = body;
  const binding = lookup(env.scope, ast.text);
  if (binding) {
    lowering.used.add(spanKey(binding.name.span));
    if (binding.kind !== 'input') return binding.value;
    const what = binding.ast.type === 'edges' ? 'graph' : 'table';
    const axes = binding.ast.type === 'edges' ? 'i, j' : binding.ast.axes.map(indexName).join(', ') || 'i';
    report.error('ATTN2025', `${what} \`${ast.text}\` needs its indices`, ast.span, {
      help: `for example \`${ast.text}[${axes}]\``,
    });
    return UNKNOWN;
  }
  switch (ast.text) {
    case 'i':
    case 'j':
    case 'batch':
    case 'head':
    case 'heads':
    case 'queries':
    case 'keys':
    case 'dim':
      return scalar(sharedVariable(lowering, ast.text));
    case 'length':
      return scalar(sharedVariable(lowering, 'keys'));
    case 'scale':
      return scalar(sharedVariable(lowering, 'scale', 'float'));
    case 'q':
    case 'k':
    case 'v':
      report.error('ATTN2024', `\`${ast.text}\` has no value of its own`, ast.span, {
        help: ast.text === 'v' ? 'the mix alone reads the values' : '`q` and `k` stand only in `dot(q, k)`',
      });
      return UNKNOWN;
    default:
      break;
  }
  reportUnknownName(env, ast.text, ast.span);
  return UNKNOWN;
}

function indexName(axis: ExprAst): string {
  if (axis.kind !== 'name') return 'n';
  const names: Readonly<Record<string, string>> = {
    heads: 'head',
    batch: 'batch',
    queries: 'i',
    keys: 'j',
    tokens: 'i',
  };
  return names[axis.text] ?? 'n';
}

function reportUnknownName(env: Env, name: string, span: Span): void {
  const { body } = env;
  const axes = body.grid?.axes.map((a) => a.name) ?? [];
  const like = nearest(name, [...visibleNames(env.scope), ...BUILT_IN_NAMES]);
  // The name that was meant is not unused as well.
  const meant = like === undefined ? undefined : lookup(env.scope, like);
  if (meant) body.lowering.used.add(spanKey(meant.name.span));
  const help = axes.includes(name)
    ? `coordinates are \`i.${name}\` and \`j.${name}\`, the size is \`${name}.size\``
    : isFunction(name)
      ? 'it is a function; its arguments stand in parentheses'
      : body.laterNames.has(name)
        ? 'it is declared further down, or in other braces; a `let` is visible to what follows it'
        : like
          ? `did you mean \`${like}\`?`
          : undefined;
  body.report.error('ATTN2001', `unknown name \`${name}\``, span, { help });
}

function evaluateMember(env: Env, ast: ExprAst & { readonly kind: 'member' }): Value {
  const { object } = ast;
  if (object.kind === 'name') {
    return readMember(env, { text: object.text, span: object.span }, ast.member, ast.span);
  }
  evaluate(env, object);
  env.body.report.error('ATTN2004', `an expression has no member \`${ast.member.text}\``, ast.member.span);
  return UNKNOWN;
}

function evaluateIndex(env: Env, ast: ExprAst & { readonly kind: 'index' }): Value {
  const indices = ast.indices.map((a) => operand(env, a));
  const found = inputOf(env, ast.object);
  if (found) return readInput(env, found.input, found.member, indices, ast.span);
  const object = evaluate(env, ast.object);
  switch (object.kind) {
    case 'list':
      return indexList(env, object, indices, ast.span);
    case 'scalar':
      env.body.report.error('ATTN2025', 'only tables, graphs and lists take an index', ast.object.span, {
        help:
          ast.object.kind === 'name'
            ? `declare a table with \`input ${ast.object.text}: int[tokens]\``
            : undefined,
      });
      return UNKNOWN;
    case 'unknown':
      return UNKNOWN;
  }
}

function evaluateCall(env: Env, name: Name, args: readonly ArgumentAst[], span: Span): Value {
  const { report } = env.body;
  if (name.text === 'dot') return evaluateDot(env, args, span);
  const operands = args.map((a) => operand(env, a.value));
  if (!isFunction(name.text)) {
    reportUnknownFunction(env.body, name.text, name.span);
    return UNKNOWN;
  }
  const named = args.find((a) => a.name);
  if (named) {
    report.error('ATTN2028', `\`${name.text}\` takes its arguments by position`, named.name!.span, {
      help: `leave \`${named.name!.text}:\` out`,
    });
    return UNKNOWN;
  }
  if (name.text === 'sample') {
    report.error('ATTN2024', '`sample` stands only after `in`', span, {
      help: 'write `x in sample(count, below, seed, key…)`',
    });
    return UNKNOWN;
  }
  return callFunction(env.body, name.text, operands, span);
}

/** `dot(q, k)`: the one thing that is done with q and k for now. */
function evaluateDot(env: Env, args: readonly ArgumentAst[], span: Span): Value {
  const { report, lowering } = env.body;
  const names = args.map((a) => (a.value.kind === 'name' && !a.name ? a.value.text : ''));
  if (names.join() !== 'q,k') {
    report.error('ATTN2024', 'a dot product is written `dot(q, k)`', span, {
      help: 'q and k are the rows of the query and the key; other products come later',
    });
    return UNKNOWN;
  }
  if (env.place === 'score' || env.place === 'let') return scalar(sharedVariable(lowering, 'dot', 'float'));
  report.error('ATTN2024', '`dot(q, k)` stands only in a score', span, {
    help: "which pairs attend can't depend on what q and k hold",
  });
  return UNKNOWN;
}

/** `x in [a, b]`, `x in LIST`, `x in sample(count, below, seed, key…)`. */
function evaluateIn(env: Env, value: Operand, set: ExprAst): Value {
  const { report } = env.body;
  if (set.kind === 'call' && set.name.text === 'sample') return evaluateSample(env, value, set);
  if (set.kind === 'list') {
    const items = set.items.map((item) => {
      const e = asNumber(report, evaluate(env, item), item.span);
      return e && knownItem(env, e, item.span, false);
    });
    return items.includes(undefined) ? UNKNOWN : membership(env.body, value, items as readonly Expr[]);
  }
  const list = evaluate(env, set);
  switch (list.kind) {
    case 'list':
      return membership(env.body, value, list.items);
    case 'unknown':
      return UNKNOWN;
    case 'scalar':
      report.error('ATTN2023', '`in` needs a list or `sample(…)` after it', set.span, {
        help: 'write `x in [3, 5, 8]`, or `x == y` for a single value',
      });
      return UNKNOWN;
  }
}

function evaluateSample(env: Env, value: Operand, call: ExprAst & { readonly kind: 'call' }): Value {
  const { report } = env.body;
  const operands = call.args.map((a) => operand(env, a.value));
  const named = call.args.find((a) => a.name);
  if (named || operands.length < 3) {
    report.error(
      named ? 'ATTN2028' : 'ATTN2027',
      named
        ? '`sample` takes its arguments by position'
        : `\`sample\` takes 3 or more arguments, not ${operands.length}`,
      call.span,
      { help: 'it is written `sample(count, below, seed, key…)`' },
    );
    return UNKNOWN;
  }
  const args = [value, ...operands].map((o) => asInt(report, o.value, o.span));
  return args.includes(undefined) ? UNKNOWN : scalar(make('sample', 'bool', args as readonly Expr[]));
}

/** True if the expression reads `dot(q, k)` or a graph's weights: things of a score. */
export const readsScore = (e: Expr): boolean =>
  some(e, (n) => (n.op === 'var' && n.name === 'dot') || n.op === 'weight');
