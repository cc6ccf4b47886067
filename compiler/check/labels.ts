import type { ItemAst, Name, RuleAst } from '../../grammar/ast.js';
import type { Report } from './report.js';

/** Reports labels that two items of the same braces share. Repetitions number theirs, so those only meet each other. */
export function checkLabels(report: Report, items: readonly ItemAst[]): void {
  const seen = new Map<string, Name>();
  const go = (list: readonly ItemAst[], prefix: string, suffix: string): void => {
    for (const item of list) {
      if (item.kind === 'for') {
        go(item.items, prefix, `${suffix}[]`);
        continue;
      }
      if (item.kind !== 'rule' && item.kind !== 'block' && item.kind !== 'include') continue;
      const { label } = item;
      if (label) {
        const path = prefix + label.text + suffix;
        const first = seen.get(path);
        if (first) {
          report.error('ATTN2008', `the label \`${label.text}\` is used twice`, label.span, {
            related: [{ message: 'first here', span: first.span }],
          });
        } else seen.set(path, label);
      }
      if (item.kind === 'block') go(item.items, label ? `${prefix}${label.text}.` : prefix, suffix);
    }
  };
  go(items, '', '');
}

/** Rules by their number in the text, from 1: the names of those without a label. */
export function numberRules(items: readonly ItemAst[]): ReadonlyMap<RuleAst, number> {
  const numbers = new Map<RuleAst, number>();
  const go = (list: readonly ItemAst[]): void => {
    for (const item of list) {
      if (item.kind === 'rule') numbers.set(item, numbers.size + 1);
      else if (item.kind === 'block' || item.kind === 'for') go(item.items);
    }
  };
  go(items);
  return numbers;
}

/** How labels are written at some place: `prefix` + label + `suffix`, made unique where the compiler chose them. */
export interface Labels {
  readonly prefix: string;
  readonly suffix: string;
  /** Those given so far in the whole pattern. */
  readonly taken: Set<string>;
}

export function giveLabel(labels: Labels, label: string): string {
  const name = (n: number): string => `${labels.prefix}${label}${n > 1 ? `_${n}` : ''}${labels.suffix}`;
  let n = 1;
  while (labels.taken.has(name(n))) n++;
  labels.taken.add(name(n));
  return name(n);
}

/** The prefix for what an include brings; two includes of one pattern get different ones. */
export function givePrefix(labels: Labels, label: string): string {
  const name = giveLabel({ ...labels, prefix: `include ${labels.prefix}` }, label);
  return `${name.slice('include '.length, name.length - labels.suffix.length)}.`;
}
