/** Concrete syntax → tree. What recovery left incomplete is left out: its error has been reported by the parser. */
import type { IToken } from 'chevrotain';
import type {
  ExprAst,
  FileAst,
  ForSourceAst,
  ImportAst,
  InputAst,
  ItemAst,
  Name,
  ParameterAst,
  ParameterType,
  PatternAst,
  RangeAst,
  TokensAst,
} from './ast.js';
import { docBefore, given, nodeSpan, report, tokenName, tokenSpan, type Builder } from './builder.js';
import type {
  FileCstNode,
  ForEachCstNode,
  ImportFileCstNode,
  InputTableCstNode,
  ItemsCstNode,
  LabelledCstNode,
  MixCstNode,
  ParameterCstNode,
  PatternCstNode,
  RangeCstNode,
  RangeEndCstNode,
  RuleCstNode,
  TokensCstNode,
} from './generated/cst.js';
import { nearest } from './nearest.js';
import { toArguments, toExpression, toList } from './to-expression.js';

/** Builds the tree without its comments. */
export function toAst(builder: Builder, node: FileCstNode | undefined): Omit<FileAst, 'comments'> {
  const { file, text } = builder.source;
  return {
    kind: 'file',
    imports: present(node?.children.importFile, (child) => toImport(builder, child)),
    patterns: present(node?.children.pattern, (child) => toPattern(builder, child)),
    span: { file, start: 0, end: text.length },
  };
}

/** Maps children to nodes, without those that are broken. */
function present<From, To>(
  children: readonly From[] | undefined,
  map: (child: From) => To | undefined,
): To[] {
  const nodes: To[] = [];
  for (const child of children ?? []) {
    const node = map(child);
    if (node !== undefined) nodes.push(node);
  }
  return nodes;
}

function toImport(builder: Builder, node: ImportFileCstNode): ImportAst | undefined {
  const text = given(node.children.Text);
  if (text === undefined) return undefined;
  // A text that is not closed has been reported.
  const path = text.image.slice(1, text.image.length > 1 && text.image.endsWith('"') ? -1 : undefined);
  return { kind: 'import', path, span: nodeSpan(builder, node) };
}

function toPattern(builder: Builder, node: PatternCstNode): PatternAst | undefined {
  const { children } = node;
  const name = given(children.Identifier);
  if (name === undefined) return undefined;
  const span = nodeSpan(builder, node);
  return {
    kind: 'pattern',
    name: tokenName(builder, name),
    doc: docBefore(builder, span.start),
    parameters: present(children.parameters?.[0]?.children.parameter, (child) => toParameter(builder, child)),
    items: toItems(builder, children.items?.[0]),
    span,
  };
}

const parameterTypes: readonly ParameterType[] = ['int', 'float', 'bool', 'int[]', 'float[]'];
const inputTypes: readonly InputAst['type'][] = ['int', 'float', 'bool', 'edges'];
const overlapModes = ['merge', 'add'] as const;
const alignments = ['end', 'start'] as const;

function toParameter(builder: Builder, node: ParameterCstNode): ParameterAst | undefined {
  const { children } = node;
  const key = given(children.Key);
  const word = given(children.Identifier);
  const value = toExpression(builder, children.expression?.[0]);
  const range = children.range === undefined ? undefined : toRange(builder, children.range[0]);
  if (key === undefined || word === undefined) return undefined;
  const type = oneOf(builder, word, children.LeftBracket === undefined ? '' : '[]', parameterTypes, 'a type');
  if (value === undefined || type === undefined || (children.range !== undefined && range === undefined)) {
    return undefined;
  }
  const span = nodeSpan(builder, node);
  return {
    kind: 'parameter',
    name: tokenName(builder, key),
    type,
    range,
    value,
    doc: docBefore(builder, span.start),
    span,
  };
}

function toRange(builder: Builder, node: RangeCstNode | undefined): RangeAst | undefined {
  const from = toExpression(builder, node?.children.expression?.[0]);
  return from && toRangeEnd(builder, from, node?.children.rangeEnd?.[0]);
}

function toRangeEnd(
  builder: Builder,
  from: ExprAst,
  node: RangeEndCstNode | undefined,
): RangeAst | undefined {
  const { children } = node ?? {};
  const to = toExpression(builder, children?.expression?.[0]);
  const stepped = children?.Step !== undefined;
  const step = stepped ? toExpression(builder, children?.expression?.[1]) : undefined;
  if (node === undefined || to === undefined || (stepped && step === undefined)) return undefined;
  const span = { ...from.span, end: nodeSpan(builder, node).end };
  return { kind: 'range', from, to, inclusive: children?.DotDotLess === undefined, step, span };
}

function toItems(builder: Builder, node: ItemsCstNode | undefined): ItemAst[] {
  const { children } = node ?? {};
  const items: ItemAst[] = [
    ...present(children?.labelled, (child) => toLabelled(builder, child)),
    ...present(children?.letName, (child): ItemAst | undefined => {
      const name = given(child.children.Identifier);
      const value = toExpression(builder, child.children.expression?.[0]);
      if (name === undefined || value === undefined) return undefined;
      return { kind: 'let', name: tokenName(builder, name), value, span: nodeSpan(builder, child) };
    }),
    ...present(children?.restrict, (child): ItemAst | undefined => {
      const condition = toExpression(builder, child.children.expression?.[0]);
      return condition && { kind: 'restrict', condition, span: nodeSpan(builder, child) };
    }),
    ...present(children?.forEach, (child) => toFor(builder, child)),
    ...present(children?.overlaps, (child): ItemAst | undefined => {
      const word = given(child.children.Identifier);
      const mode = word && oneOf(builder, word, '', overlapModes, 'a way to join overlaps');
      return mode && { kind: 'overlaps', mode, span: nodeSpan(builder, child) };
    }),
    ...present(children?.score, (child): ItemAst | undefined => {
      const value = toExpression(builder, child.children.expression?.[0]);
      return value && { kind: 'score', value, span: nodeSpan(builder, child) };
    }),
    ...present(children?.mix, (child) => toMix(builder, child)),
    ...present(children?.inputTable, (child) => toInput(builder, child)),
    ...present(children?.tokens, (child) => toTokens(builder, child)),
    ...present(children?.align, (child): ItemAst | undefined => {
      const word = given(child.children.Identifier);
      const to = word && oneOf(builder, word, '', alignments, 'an alignment');
      return to && { kind: 'align', to, span: nodeSpan(builder, child) };
    }),
  ];
  // Chevrotain groups children by kind; the text's order is the one that counts.
  return items.sort((a, b) => a.span.start - b.span.start);
}

function toLabelled(builder: Builder, node: LabelledCstNode): ItemAst | undefined {
  const { children } = node;
  const token = given(children.Label);
  const label = token && tokenName(builder, token);
  const span = nodeSpan(builder, node);
  const rule = children.rule?.[0];
  if (rule !== undefined) return toRule(builder, rule, label, span);
  const block = children.items?.[0];
  if (block !== undefined) return { kind: 'block', label, items: toItems(builder, block), span };
  const include = children.include?.[0]?.children;
  const pattern = given(include?.Identifier);
  if (pattern === undefined) return undefined;
  const args = include?.callArguments === undefined ? [] : toArguments(builder, include.callArguments[0]!);
  return args && { kind: 'include', label, pattern: tokenName(builder, pattern), args, span };
}

function toRule(
  builder: Builder,
  node: RuleCstNode,
  label: Name | undefined,
  span: ItemAst['span'],
): ItemAst | undefined {
  const { children } = node;
  const from = given(children.From);
  const to = given(children.Identifier);
  const range = children.range === undefined ? undefined : toRange(builder, children.range[0]);
  const when = children.When === undefined ? undefined : toExpression(builder, children.expression?.[0]);
  if (from === undefined || to === undefined) return undefined;
  if (from.image !== 'i' || to.image !== 'j') {
    const where = { ...tokenSpan(builder, from), end: tokenSpan(builder, to).end };
    const message = `an edge is written \`i -> j\`, not \`${from.image} -> ${to.image}\``;
    report(
      builder,
      'ATTN1013',
      message,
      where,
      '`i` is the position of the query, `j` that of the key it attends to',
    );
  }
  // A rule that lost its condition would be another rule.
  if (children.range !== undefined && range === undefined) return undefined;
  if (children.When !== undefined && when === undefined) return undefined;
  return { kind: 'rule', label, range, when, doc: docBefore(builder, span.start), span };
}

function toFor(builder: Builder, node: ForEachCstNode): ItemAst | undefined {
  const { children } = node;
  const list = toExpression(builder, children.expression?.[0]);
  const items = toItems(builder, children.items?.[0]);
  const over = list && toForSource(builder, list, children.rangeEnd?.[0]);
  const names = present(children.Identifier, (token) =>
    Number.isNaN(token.startOffset) ? undefined : tokenName(builder, token),
  );
  if (over === undefined || names.length === 0) return undefined;
  return { kind: 'for', names, over, items, span: nodeSpan(builder, node) };
}

function toForSource(
  builder: Builder,
  list: ExprAst,
  end: RangeEndCstNode | undefined,
): ForSourceAst | undefined {
  if (end !== undefined) return toRangeEnd(builder, list, end);
  if (list.kind !== 'call' || list.name.text !== 'zip') return { kind: 'each', list, span: list.span };
  for (const arg of list.args) {
    if (arg.name !== undefined) report(builder, 'ATTN1009', '`zip` takes lists without names', arg.name.span);
  }
  return { kind: 'zip', lists: list.args.map((arg) => arg.value), span: list.span };
}

function toMix(builder: Builder, node: MixCstNode): ItemAst | undefined {
  const name = given(node.children.Identifier);
  const call = node.children.callArguments?.[0];
  const args = call === undefined ? [] : toArguments(builder, call);
  if (name === undefined || args === undefined) return undefined;
  return { kind: 'mix', name: tokenName(builder, name), args, span: nodeSpan(builder, node) };
}

function toInput(builder: Builder, node: InputTableCstNode): InputAst | undefined {
  const { children } = node;
  const key = given(children.Key);
  const word = given(children.Identifier);
  const list = children.list?.[0];
  const axes = list === undefined ? [] : toList(builder, list);
  const type = word && oneOf(builder, word, '', inputTypes, 'a type');
  if (key === undefined || type === undefined || axes === undefined) return undefined;
  const span = nodeSpan(builder, node);
  return {
    kind: 'input',
    name: tokenName(builder, key),
    type,
    axes,
    doc: docBefore(builder, span.start),
    span,
  };
}

function toTokens(builder: Builder, node: TokensCstNode): TokensAst | undefined {
  const axes: TokensAst['axes'][number][] = [];
  for (const child of node.children.axis ?? []) {
    const key = given(child.children.Key);
    const inferred = child.children.Question !== undefined;
    const size = inferred ? undefined : toExpression(builder, child.children.expression?.[0]);
    if (key === undefined || (!inferred && size === undefined)) return undefined;
    axes.push({ name: tokenName(builder, key), size, span: nodeSpan(builder, child) });
  }
  return { kind: 'tokens', axes, span: nodeSpan(builder, node) };
}

/** The word, if it is one of those possible; else it is reported with the nearest of them. */
function oneOf<Word extends string>(
  builder: Builder,
  token: IToken,
  suffix: string,
  words: readonly Word[],
  what: string,
): Word | undefined {
  const text = token.image + suffix;
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  const near = nearest(text, words);
  const all = words.map((word) => `\`${word}\``);
  const help =
    near === undefined
      ? `write ${all.slice(0, -1).join(', ')} or ${all.at(-1)}`
      : `did you mean \`${near}\`?`;
  report(builder, 'ATTN1012', `\`${text}\` is not ${what}`, tokenSpan(builder, token), help);
  return undefined;
}
