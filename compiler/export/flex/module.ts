import type { Axis } from '../../ir/edges.js';
import { dictionary, docstring, keywordsOf, metadata } from './describe.js';
import { uniformText } from './numbers.js';
import type { PrintedRules } from './rules.js';
import type { PrintedScore } from './score.js';
import type { Scope } from './scope.js';
import { helperTexts, type HelperName } from './helpers.js';
import { comment, indent, quote } from './text.js';

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
    if kernel_options is None and q.is_cuda and parts.block_size < 128 <= q.shape[2]:
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
