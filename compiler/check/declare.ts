import type { Name } from '../../grammar/ast.js';
import { spanKey, type Env } from './context.js';
import { isFunction } from './calls.js';
import { isBuiltIn, lookup, type Binding } from './scope.js';
import type { Value } from './values.js';

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
  declare(env, { kind: 'let', name, value, varies });
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
