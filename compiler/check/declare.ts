import type { Name } from '../../grammar/ast.js';
import { argsOf, type Expr } from '../ir/expr.js';
import { spanKey, type Env } from './context.js';
import { isFunction } from './calls.js';
import { isBuiltIn, lookup, type Binding } from './scope.js';
import { UNKNOWN, type Value } from './values.js';

/** Adds a name to the scope, unless it is built in or visible already. */
export function declare(env: Env, binding: Binding): void {
  const { report } = env.body;
  const { text, span } = binding.name;
  if (isBuiltIn(text) || isFunction(text)) {
    report.error('ATTN2006', `\`${text}\` is built in and can't be declared`, span, {
      help: 'choose another name',
    });
    env.body.lowering.used.add(spanKey(span));
    return;
  }
  const first = lookup(env.scope, text);
  if (first) {
    report.error('ATTN2005', `\`${text}\` is declared twice`, span, {
      help: 'choose another name',
      related: [{ message: 'first declared here', span: first.name.span }],
    });
    // Counts as read: an unused twin is not worth a second message.
    env.body.lowering.used.add(spanKey(span)).add(spanKey(first.name.span));
    return;
  }
  env.scope.names.set(text, binding);
}

export function declareLet(env: Env, name: Name, value: Value, varies: boolean): void {
  env.body.declared.push({ what: 'name', name });
  const fits = value.kind !== 'scalar' || depthOf(env, value.expr) <= MAX_DEPTH;
  if (!fits) {
    env.body.report.error(
      'ATTN2075',
      `\`${name.text}\` stands on more than ${MAX_DEPTH} operations`,
      name.span,
      {
        help: 'each name in the chain of `let` counts with all that it stands for',
      },
    );
  }
  declare(env, { kind: 'let', name, value: fits ? value : UNKNOWN, varies });
}

/** Operations inside each other; what walks expressions recursively relies on it. */
const MAX_DEPTH = 1_000;

function depthOf(env: Env, e: Expr): number {
  const { depths } = env.body.lowering;
  const known = depths.get(e);
  if (known !== undefined) return known;
  const depth = argsOf(e).reduce((most, a) => Math.max(most, depthOf(env, a)), 0) + 1;
  depths.set(e, depth);
  return depth;
}

/** Warns of what nothing reads. */
export function warnUnused(env: Env): void {
  const { lowering, report, declared } = env.body;
  const done = new Set<string>();
  for (const { what, name } of declared) {
    const key = spanKey(name.span);
    if (lowering.used.has(key) || done.has(key)) continue;
    done.add(key);
    report.warning('ATTN2011', `${what} \`${name.text}\` is never used`, name.span, { help: 'leave it out' });
  }
}
