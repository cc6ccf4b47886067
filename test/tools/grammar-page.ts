/** docs/grammar.html: the grammar as railroad diagrams, from what Chevrotain knows of the parser. */
import type { ISerializedGast } from 'chevrotain';
import * as t from '../../grammar/tokens.js';
import { drawRailroad, escape, optional, type Track } from './railroad.js';

/** How a token is shown; in one rule (`rule.Token`) or in all. */
const shown: Readonly<Record<string, string>> = {
  'rule.Identifier': 'j',
  'parameter.Identifier': 'type',
  'inputTable.Identifier': 'type',
  'overlaps.Identifier': 'merge | add',
  'align.Identifier': 'end | start',
  Identifier: 'name',
  Key: 'name',
  Label: 'label',
  From: 'i',
  Tokens: 'tokens',
  LastComma: ',',
  NumberLiteral: 'number',
  Boolean: 'true | false',
  Text: '"path"',
  BinaryOperator: 'operator',
  PrefixOperator: '- | not',
  EOF: 'end of file',
};

const spellings = new Map(
  t.allTokens
    .filter((type) => type.PATTERN instanceof RegExp)
    .map((type): [string, string] => [type.name, (type.PATTERN as RegExp).source.replaceAll('\\', '')]),
);

function terminal(rule: string, token: string): Track {
  return {
    kind: 'terminal',
    text: shown[`${rule}.${token}`] ?? shown[token] ?? spellings.get(token) ?? token,
  };
}

/** The serialized forms that have a definition, and a separator where they repeat with one. */
interface Composite extends ISerializedGast {
  readonly definition: ISerializedGast[];
  readonly separator?: ISerializedGast & { readonly name: string };
}

interface Named extends ISerializedGast {
  readonly name: string;
}

function toTrack(rule: string, node: ISerializedGast): Track {
  const sequence = (): Track => {
    const parts = (node as Composite).definition.map((part) => toTrack(rule, part));
    return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts };
  };
  const loop = (): Track => {
    const separator = (node as Composite).separator;
    const between: Track = separator === undefined ? { kind: 'nothing' } : terminal(rule, separator.name);
    return { kind: 'loop', part: sequence(), between };
  };
  switch (node.type) {
    case 'Terminal':
      return terminal(rule, (node as Named).name);
    case 'NonTerminal':
      return { kind: 'reference', name: (node as Named).name };
    case 'Alternation':
      return { kind: 'choice', parts: (node as Composite).definition.map((part) => toTrack(rule, part)) };
    case 'Option':
      return optional(sequence());
    case 'Repetition':
    case 'RepetitionWithSeparator':
      return optional(loop());
    case 'RepetitionMandatory':
    case 'RepetitionMandatoryWithSeparator':
      return loop();
    default:
      return sequence();
  }
}

const precedence: readonly (readonly [string, string])[] = [
  ['or', ''],
  ['and', ''],
  ['not', 'a prefix'],
  ['< <= > >= == != in', 'comparisons may be chained: 0 <= x < n; in may not'],
  ['+ -', ''],
  ['* / div %', ''],
  ['-', 'a prefix'],
  ['**', 'groups to the right'],
  ['( ) [ ] .', 'calls, indices and members'],
];

/** The whole page; it loads nothing. */
export function grammarPage(rules: readonly ISerializedGast[]): string {
  const sections = rules.map((rule) => {
    const { name } = rule as Named;
    return `<h2 id="${name}">${name}</h2>\n${drawRailroad(toTrack(name, rule))}`;
  });
  const rows = precedence.map(([operators, note]) => {
    return `<tr><td><code>${escape(operators)}</code></td><td>${escape(note)}</td></tr>`;
  });
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The grammar of .attn files</title>
<style>
:root { color-scheme: light dark; --line: #345; --box: #eef3fa; --word: #f7efdc; }
@media (prefers-color-scheme: dark) { :root { --line: #bcd; --box: #243447; --word: #4a3f22; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font: 600 1rem monospace; margin: 2rem 0 .5rem; }
svg { max-width: 100%; height: auto; }
svg path { fill: none; stroke: var(--line); stroke-width: 1.5; }
svg rect { fill: var(--word); stroke: var(--line); stroke-width: 1.5; }
svg a rect { fill: var(--box); }
svg text { font: 13px monospace; text-anchor: middle; fill: currentColor; }
td { padding-right: 2rem; }
</style>
<h1>The grammar of .attn files</h1>
<p>Generated from <code>grammar/parser.ts</code>. Follow the line from left to right; square boxes are rules and link to them, round ones are words. White space, line ends, <code>// comments</code> and <code>/* comments */</code> may stand between any two.</p>
${sections.join('\n')}
<h2 id="operator">operator</h2>
<p>The prefixes <code>-</code> and <code>not</code> and the operators of an expression, loosest first:</p>
<table>
${rows.join('\n')}
</table>
</html>
`;
}
