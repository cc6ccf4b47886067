import { checkSource } from '../../compiler/check/index.js';
import type { Pattern } from '../../compiler/ir/edges.js';
import type { BoundShape } from '../../compiler/ir/shape.js';
import { hasErrors } from '../../grammar/diagnostics.js';
import type { RandomPattern } from './generate.js';

/** Random patterns, checked and bound to their shapes. */

export function shapeOf(p: RandomPattern, pattern: Pattern): BoundShape {
  const parameters = new Map<string, number>();
  for (const q of pattern.parameters) {
    if (!q.fixed && typeof q.value === 'number') parameters.set(q.name, q.value);
  }
  return {
    batch: p.batch,
    heads: p.heads,
    keyHeads: 1,
    dim: 16,
    queries: p.queries,
    keys: p.keys,
    grid: p.grid,
    align: pattern.align,
    parameters,
  };
}

/** The pattern of a random text, or undefined where the checker refuses it (a rule that is constant, say). */
export function lower(p: RandomPattern): Pattern | undefined {
  const checked = checkSource({ file: 'random.attn', text: p.text }, { pattern: 'random' });
  if (!hasErrors(checked.diagnostics)) return checked.pattern;
  // Only what a random text may well get wrong; anything else is a bug of the generator or of the checker.
  const known = ['never', 'range', 'index', 'outside', 'empty', 'backward', '32 bits'];
  const odd = checked.diagnostics.filter(
    (d) => d.severity === 'error' && !known.some((word) => d.message.toLowerCase().includes(word)),
  );
  if (odd.length > 0) throw new Error(`${odd.map((d) => `${d.code} ${d.message}`).join('\n')}\n${p.text}`);
  return undefined;
}
