import type { Pattern } from '../compiler/ir/edges.js';
import { ruleConditions } from '../compiler/ir/evaluate.js';
import type { Term } from '../compiler/ir/segment.js';

/** Every rule with the restrictions around it, as a term of its own. */
export function conditionsOfRules(pattern: Pattern): readonly Term[] {
  return ruleConditions(pattern.edges).map(({ rule, when }) => ({
    atoms: [when],
    label: rule.label,
    source: rule.origin.text,
  }));
}
