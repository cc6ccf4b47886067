import { isConst } from '../../ir/build.js';
import type { Axis } from '../../ir/edges.js';
import { uniformText } from './numbers.js';
import type { PrintedRules } from './rules.js';
import type { PrintedScore } from './score.js';
import type { Scope } from './scope.js';
import { helperTexts, type HelperName } from './helpers.js';
import { comment, indent, literal, quote } from './text.js';

/** The module around a pattern's functions: what it says of itself, `build`, `attend`, `attention`, and its helpers. */

export interface ModuleParts {
  readonly rules: PrintedRules;
  readonly score: PrintedScore;
  readonly sink: boolean;
  readonly byBatch: boolean;
  readonly byHead: boolean;
}

export function printModule(scope: Scope, parts: ModuleParts): string {
  // Helpers that the printing below calls are marked first.
  const body = buildLines(scope, parts);
  const sections = [
    docstring(scope),
    imports(),
    metadata(scope),
    PARTS,
    body,
    ATTEND,
    attentionLines(scope).join('\n'),
    ...helpers(scope),
  ];
  return `${tidy(sections.join('\n\n\n'))}\n`;
}

/** No three empty lines, none at the beginning of a block, none twice inside a function. */
function tidy(text: string): string {
  return text
    .split('\n')
    .map((l) => l.trimEnd())
    .join('\n')
    .replace(/\n{4,}/g, '\n\n\n')
    .replace(/\n\n\n+(?= )/g, '\n\n');
}

const plain = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"""', "'''");

function docstring(scope: Scope): string {
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

const imports = (): string =>
  [
    'from __future__ import annotations',
    '',
    'import math',
    'import struct',
    'from typing import Callable, NamedTuple',
    '',
    'import torch',
    'from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention',
  ].join('\n');

function metadata(scope: Scope): string {
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

function dictionary(name: string, entries: readonly string[]): readonly string[] {
  const line = `${name} = {${entries.join(', ')}}`;
  return line.length <= 110 ? [line] : [`${name} = {`, ...indent(entries.map((e) => `${e},`)), '}'];
}

const PARTS = `class Parts(NamedTuple):
    """What build() gives."""

    mask_mod: Callable | None  # (b, h, q_idx, kv_idx) -> is it an edge? None: all are
    score_mod: Callable | None  # (score, b, h, q_idx, kv_idx) -> score; None: the score as it is
    block_mask: Callable  # () -> the BlockMask of mask_mod; None where that is None
    scale: float | None  # for flex_attention; None is its own 1 / sqrt(dim)
    sink: torch.Tensor | None  # score of the sink, broadcasts to [batch, heads, queries]
    block_size: int`;

function buildLines(scope: Scope, { rules, score, sink, byBatch, byHead }: ModuleParts): string {
  const lines: string[] = [];
  scope.helper('settings');
  const set = [...scope.parameters].map(([name, python]) => `${python} = parameters[${quote(name)}]`);
  lines.push('inputs, parameters = inputs or {}, settings(parameters or {})', ...set);
  lines.push(...gridLines(scope), ...inputLines(scope));
  lines.push(`position, of = ${scope.helper('sequences')}(batch, queries, keys, lengths, device)`);
  if (scope.lines.some((l) => /\bscale\b/.test(l.replace(/#.*/, ''))))
    lines.push('scale = 1 / math.sqrt(dim)');
  lines.push(...scope.lines, '');
  const within = scope.helper('within_lengths');
  lines.push(
    ...(rules.masked
      ? ['if lengths:', `    mask_mod = ${within}(mask_mod, of)`]
      : ['# Every pair is an edge.', `mask_mod = ${within}(None, of) if lengths else None`]),
    '',
    'def block_mask():',
    ...(rules.masked ? [] : ['    if mask_mod is None:', '        return None']),
    // Where the mask is the same for all batches or heads, one stands for all.
    `    size = (${byBatch ? 'batch' : 'batch if lengths else None'}, ${byHead ? 'heads' : 'None'}, queries, keys)`,
    '    on_gpu = torch.device(device).type == "cuda"',
    '    return create_block_mask(mask_mod, *size, device=device, BLOCK_SIZE=block_size, _compile=on_gpu)',
    '',
  );
  if (sink) {
    lines.push(
      'b = torch.arange(batch, device=device).reshape(-1, 1, 1)',
      'h = torch.arange(heads, device=device).reshape(1, -1, 1)',
      'q_idx = torch.arange(queries, device=device).reshape(1, 1, -1)',
      'sink = torch.as_tensor(sink_score(b, h, q_idx), dtype=torch.float32, device=device)',
    );
  }
  const scale = score.scaled ? 'None' : '1.0';
  lines.push(
    `return Parts(mask_mod, ${score.modified ? 'score_mod' : 'None'}, block_mask, ${scale}, ${sink ? 'sink' : 'None'}, block_size)`,
  );
  const about = [
    '"""The functions for tensors of this shape. `inputs` by name (see INPUTS), `parameters` by name (see PARAMETERS),',
    '`lengths`: {"queries": […], "keys": […]} where the sequences of the batch use only some of their rows.',
    '"""',
  ];
  return [
    'def build(',
    ...indent([
      'device, batch, heads, queries, keys, inputs=None, parameters=None, block_size=128, dim=64, lengths=None',
    ]),
    '):',
    ...indent([...about, ...lines]),
  ].join('\n');
}

function gridLines(scope: Scope): readonly string[] {
  const { grid } = scope.pattern;
  if (!grid) return [];
  const sizes = grid.map((g) => (g.size ? uniformText(g.size, 'none', scope).text : 'None'));
  const names = scope.axes.length === 1 ? `(${scope.axes[0]},)` : scope.axes.join(', ');
  return [`${names} = ${scope.helper('grid_sizes')}(keys, [${sizes.join(', ')}])`];
}

function inputLines(scope: Scope): readonly string[] {
  const types = { int: scope.int, float: 'torch.float32', bool: 'torch.bool' } as const;
  return [...scope.inputs.values()].map(({ name, declared }) => {
    const has = (kind: Axis['kind']): boolean => declared.axes.some((a) => a.kind === kind);
    if (declared.type === 'edges') {
      const graphs = `${has('batch') ? 'batch' : '1'}, ${has('heads') ? 'heads' : '1'}`;
      const weighted = declared.weighted ? 'True' : 'False';
      return `${name} = ${scope.helper('graph')}(inputs, ${quote(declared.name)}, ${graphs}, ${weighted}, device)`;
    }
    const sizes = declared.axes.map((a) =>
      a.kind === 'size' ? uniformText(a.size, 'none', scope).text : a.kind,
    );
    const shape = `(${sizes.join(', ')}${sizes.length === 1 ? ',' : ''})`;
    return `${name} = ${scope.helper('table')}(inputs, ${quote(declared.name)}, ${types[declared.type]}, ${shape}, device)`;
  });
}

const ATTEND = `def attend(parts, block_mask, q, k, v, return_lse=False, kernel_options=None):
    """out, or (out, lse), of what build() and its block_mask() gave. \`lse\` leaves the sink out."""
    if kernel_options is None and q.is_cuda and parts.block_size < 128:
        kernel_options = {"BLOCK_M": parts.block_size, "BLOCK_N": parts.block_size}
    run = _compiled if q.is_cuda else _attend
    _, score_mod, _, scale, sink, _ = parts
    return run(q, k, v, score_mod, block_mask, scale, sink, return_lse, kernel_options)


def _attend(q, k, v, score_mod, block_mask, scale, sink, return_lse, kernel_options):
    with_lse = return_lse or sink is not None
    result = flex_attention(
        q,
        k,
        v,
        score_mod=score_mod,
        block_mask=block_mask,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
        kernel_options=kernel_options,
        return_aux=AuxRequest(lse=True) if with_lse else None,
    )
    if not with_lse:
        return result
    out, lse = result[0], result[1].lse
    if sink is not None:
        # With S the sum of exp(score), S / (S + exp(sink)) is sigmoid(log(S) - sink).
        out = out * torch.sigmoid(lse - sink).unsqueeze(-1).to(out.dtype)
    return (out, lse) if return_lse else out


_compiled = torch.compile(_attend, dynamic=False)`;

interface Keyword {
  readonly name: string;
  /** The pattern's name for it. */
  readonly of: string;
  /** The default; undefined for inputs, which must be given. */
  readonly value: string | undefined;
  readonly graph: boolean;
}

function keywordsOf(scope: Scope): readonly Keyword[] {
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

function attentionLines(scope: Scope): readonly string[] {
  const keywords = keywordsOf(scope);
  const options = ['return_lse=False', 'block_size=128', 'lengths=None', 'kernel_options=None'];
  const signature = [
    'q',
    'k',
    'v',
    '*',
    ...keywords.map((x) => (x.value === undefined ? x.name : `${x.name}=${x.value}`)),
    ...options,
  ];
  const line = `def attention(${signature.join(', ')}):`;
  const inputs = keywords
    .filter((x) => x.value === undefined)
    .map((x) =>
      x.graph ? `**{f"${x.of}.{part}": x for part, x in ${x.name}.items()}` : `${quote(x.of)}: ${x.name}`,
    );
  const parameters = keywords.filter((x) => x.value !== undefined).map((x) => `${quote(x.of)}: ${x.name}`);
  return [
    ...(line.length <= 110 ? [line] : ['def attention(', ...indent(signature.map((s) => `${s},`)), '):']),
    ...indent([
      '"""Attention from scratch: build(), its block mask, attend()."""',
      'batch, heads, queries, dim = q.shape',
      ...dictionary('inputs', inputs),
      ...dictionary('parameters', parameters),
      'shape = (q.device, batch, heads, queries, k.shape[2])',
      'parts = build(*shape, inputs, parameters, block_size=block_size, dim=dim, lengths=lengths)',
      'return attend(parts, parts.block_mask(), q, k, v, return_lse, kernel_options)',
    ]),
  ];
}

function helpers(scope: Scope): readonly string[] {
  const used = scope.helpers();
  const texts = (Object.keys(helperTexts) as HelperName[])
    .filter((name) => used.has(name))
    .map((name) => helperTexts[name].text);
  const [first, ...rest] = texts;
  return [[...comment('What the functions above call.'), '', '', first].join('\n'), ...rest];
}
