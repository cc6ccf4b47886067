import { isConst } from '../../ir/build.js';
import type { Axis } from '../../ir/edges.js';
import type { Scope } from './scope.js';
import { indent, literal, quote } from './text.js';

/** How a module describes itself: to readers, to programs, and to callers of attention(). */

const plain = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"""', "'''");

/** What a module is for, and how it is called. */
export function docstring(scope: Scope): string {
  const { pattern } = scope;
  const keywords = keywordsOf(scope);
  const example = keywords.map((k) =>
    k.value === undefined ? `${k.name}=${k.name}` : `${k.name}=${k.value}`,
  );
  const inputs = pattern.inputs.map((d) => {
    const axes = d.axes.map(axisText);
    const type =
      d.type === 'edges'
        ? `a graph${axes.length > 0 ? ` for each of ${axes.join(' and ')}` : ''}: {"row_ptr": …, "col_idx": …${d.weighted ? ', "weight": …' : ''}}`
        : `${d.type} [${axes.join(', ')}]`;
    return `    ${scope.inputs.get(d.name)?.name}: ${type}${d.doc === undefined ? '' : `. ${oneLine(d.doc)}`}`;
  });
  const parameters = pattern.parameters
    .filter((p) => !p.fixed && p.doc !== undefined)
    .map((p) => `    ${scope.parameters.get(p.name)}: ${oneLine(p.doc ?? '')}`);
  const lines = [
    `${pattern.name}: attention for PyTorch's FlexAttention (torch 2.9 or newer), printed by attnc export --to flex.`,
    '',
    ...(pattern.doc === undefined ? [] : [...pattern.doc.split('\n'), '']),
    `    out = attention(${['q, k, v', ...example].join(', ')})`,
    '',
    'q is [batch, heads, queries, dim]; k and v are [batch, key heads, keys, dim]. A query without an edge gives 0.',
    ...(inputs.length > 0 ? ['', 'Inputs, as tensors or arrays:', ...inputs] : []),
    ...(parameters.length > 0 ? ['', 'Parameters:', ...parameters] : []),
    '',
    'Making the block mask takes long, so keep it from call to call:',
    '',
    `    parts = build(q.device, batch, heads, queries, keys, inputs={…}, parameters={…})`,
    '    block_mask = parts.block_mask()',
    '    out, lse = attend(parts, block_mask, q, k, v, return_lse=True)',
  ];
  return `"""${plain(lines.join('\n'))}\n"""`;
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();

function axisText(axis: Axis): string {
  if (axis.kind !== 'size') return axis.kind;
  return isConst(axis.size) ? String(axis.size.value) : 'size';
}

/** What a module says of itself to programs. */
export function metadata(scope: Scope): string {
  const { pattern } = scope;
  const value = (type: string, v: number | readonly number[]): string => {
    const one = type.replace('[]', '') as 'int' | 'float' | 'bool';
    return typeof v === 'number'
      ? literal(v, one).text
      : `[${v.map((x) => literal(x, one).text).join(', ')}]`;
  };
  const of = (fixed: boolean): string[] =>
    pattern.parameters
      .filter((p) => p.fixed === fixed)
      .map((p) => `${quote(p.name)}: ${value(p.type, p.value)}`);
  const ranges = pattern.parameters.flatMap((p) =>
    p.fixed || p.range === undefined
      ? []
      : [`${quote(p.name)}: (${value(p.type, p.range.lo)}, ${value(p.type, p.range.hi)})`],
  );
  const inputs = pattern.inputs.map((d) => {
    const axes = d.axes.map((a) => (a.kind === 'size' ? axisText(a) : quote(a.kind)));
    const weighted = d.type === 'edges' ? `, "weighted": ${d.weighted ? 'True' : 'False'}` : '';
    return `${quote(d.name)}: {"type": ${quote(d.type)}, "axes": [${axes.join(', ')}]${weighted}}`;
  });
  const grid = pattern.grid ? `[${pattern.grid.map((g) => quote(g.name)).join(', ')}]` : 'None';
  return [
    `NAME = ${quote(pattern.name)}`,
    '# Where the queries stand: "end": the last one at the last key; "start": row 0 at key 0.',
    `ALIGN = ${quote(pattern.align)}`,
    '# Parameters that build() and attention() take, with their defaults, and the ranges of those that have one.',
    ...dictionary('PARAMETERS', of(false)),
    ...dictionary('RANGES', ranges),
    '# Parameters that are fixed in this module; another export has others.',
    ...dictionary('FIXED', of(true)),
    '# Tensors to bind. A graph ("edges") is bound as NAME.row_ptr and NAME.col_idx (and NAME.weight), or NAME.row, NAME.col.',
    ...dictionary('INPUTS', inputs),
    '# Axes of the grid on which the tokens lie, the last one fastest.',
    `GRID = ${grid}`,
    '# What positions and tables are computed in.',
    `INTEGER = ${scope.int}`,
  ].join('\n');
}

/** A dictionary in a variable, on one line if it fits. */
export function dictionary(name: string, entries: readonly string[]): readonly string[] {
  const line = `${name} = {${entries.join(', ')}}`;
  return line.length <= 110 ? [line] : [`${name} = {`, ...indent(entries.map((e) => `${e},`)), '}'];
}

/** An argument of attention(). */
export interface Keyword {
  readonly name: string;
  /** The pattern's name for it. */
  readonly of: string;
  /** The default; undefined for inputs, which must be given. */
  readonly value: string | undefined;
  readonly graph: boolean;
}

export function keywordsOf(scope: Scope): readonly Keyword[] {
  const inputs = [...scope.inputs.values()].map(({ name, declared }) => ({
    name,
    of: declared.name,
    value: undefined,
    graph: declared.type === 'edges',
  }));
  const parameters = scope.pattern.parameters.flatMap((p) =>
    p.fixed || typeof p.value !== 'number'
      ? []
      : [
          {
            name: scope.parameters.get(p.name) as string,
            of: p.name,
            value: literal(p.value, p.type as 'int' | 'float' | 'bool').text,
            graph: false,
          },
        ],
  );
  return [...inputs, ...parameters];
}
