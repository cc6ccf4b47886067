import type { ExprAst, FileAst, ForAst, ItemAst, PatternAst } from '../../grammar/ast.js';
import { printExpression, printRange } from '../../grammar/print-expression.js';

/** The syntax tree as an indented list: one node a line, kind first. */
export function printAst(file: FileAst): string {
  const lines = [...file.imports.map((i) => `import "${i.path}"`), ...file.patterns.flatMap(patternLines)];
  return lines.map((line) => `${line}\n`).join('');
}

function patternLines(p: PatternAst): string[] {
  const parameters = p.parameters.map((x) => {
    const range = x.range ? ` in ${printRange(x.range)}` : '';
    return `parameter ${x.name.text}: ${x.type}${range} = ${printExpression(x.value)}`;
  });
  return [`pattern ${p.name.text}`, ...inside([...parameters, ...p.items.flatMap(itemLines)])];
}

const inside = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
const labelOf = (label: { readonly text: string } | undefined): string => (label ? ` ${label.text}` : '');

function itemLines(item: ItemAst): string[] {
  switch (item.kind) {
    case 'rule': {
      const range = item.range ? [`in ${printRange(item.range)}`] : [];
      const when = item.when ? [`when ${printExpression(item.when)}`] : [];
      return [`rule${labelOf(item.label)}`, ...inside([...range, ...when])];
    }
    case 'block':
      return [`block${labelOf(item.label)}`, ...inside(item.items.flatMap(itemLines))];
    case 'let':
      return [`let ${item.name.text} = ${printExpression(item.value)}`];
    case 'restrict':
      return [`restrict ${printExpression(item.condition)}`];
    case 'include':
      return [`include${labelOf(item.label)} ${item.pattern.text}(${argumentsText(item.args)})`];
    case 'for':
      return [
        `for ${item.names.map((n) => n.text).join(', ')} in ${sourceText(item.over)}`,
        ...inside(item.items.flatMap(itemLines)),
      ];
    case 'overlaps':
      return [`overlaps ${item.mode}`];
    case 'score':
      return [`score = ${printExpression(item.value)}`];
    case 'mix':
      return [`mix = ${item.name.text}(${argumentsText(item.args)})`];
    case 'input': {
      const axes = item.axes.map(printExpression).join(', ');
      return [`input ${item.name.text}: ${item.type}${axes === '' ? '' : `[${axes}]`}`];
    }
    case 'tokens': {
      const axes = item.axes.map((a) => `${a.name.text}: ${a.size ? printExpression(a.size) : '?'}`);
      return [`tokens (${axes.join(', ')})`];
    }
    case 'align':
      return [`align ${item.to}`];
  }
}

function sourceText(over: ForAst['over']): string {
  switch (over.kind) {
    case 'range':
      return printRange(over);
    case 'zip':
      return `zip(${over.lists.map(printExpression).join(', ')})`;
    case 'each':
      return printExpression(over.list);
  }
}

function argumentsText(
  args: readonly { readonly name: { readonly text: string } | undefined; readonly value: ExprAst }[],
): string {
  return args.map((a) => (a.name ? `${a.name.text}: ` : '') + printExpression(a.value)).join(', ');
}
