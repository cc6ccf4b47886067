"""window: attention for PyTorch's FlexAttention (torch 2.9 or newer), printed by attnc export --to flex.

A causal window.

    out = attention(q, k, v, reach=64)

q is [batch, heads, queries, dim]; k and v are [batch, key heads, keys, dim]. A query without an edge gives 0.

Parameters:
    reach: Keys in all.

Making the block mask takes long, so keep it from call to call:

    parts = build(q.device, batch, heads, queries, keys, inputs={…}, parameters={…})
    block_mask = parts.block_mask()
    out, lse = attend(parts, block_mask, q, k, v, return_lse=True)
"""


from __future__ import annotations

import math
import struct
from typing import Callable, NamedTuple

import torch
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention


NAME = "window"
# Where the queries stand: "end": the last one at the last key; "start": row 0 at key 0.
ALIGN = "end"
# Parameters that build() and attention() take, with their defaults, and the ranges of those that have one.
PARAMETERS = {"reach": 64}
RANGES = {"reach": (1, 4096)}
# Parameters that are fixed in this module; another export has others.
FIXED = {}
# Tensors to bind. A graph ("edges") is bound as NAME.row_ptr and NAME.col_idx (and NAME.weight), or NAME.row, NAME.col.
INPUTS = {}
# Axes of the grid on which the tokens lie, the last one fastest.
GRID = None
# What positions and tables are computed in.
INTEGER = torch.int32


class Parts(NamedTuple):
    """What build() gives."""

    mask_mod: Callable | None  # (b, h, q_idx, kv_idx) -> is it an edge? None: all are
    score_mod: Callable | None  # (score, b, h, q_idx, kv_idx) -> score; None: the score as it is
    block_mask: Callable  # () -> the BlockMask of mask_mod; None where that is None
    scale: float | None  # for flex_attention; None is its own 1 / sqrt(dim)
    sink: torch.Tensor | None  # score of the sink, broadcasts to [batch, heads, queries]
    block_size: int


def build(
    device, batch, heads, queries, keys, inputs=None, parameters=None, block_size=128, dim=64, lengths=None
):
    """The functions for tensors of this shape. `inputs` by name (see INPUTS), `parameters` by name (see PARAMETERS),
    `lengths`: {"queries": […], "keys": […]} where the sequences of the batch use only some of their rows.
    """
    inputs, parameters = inputs or {}, settings(parameters or {})
    reach = parameters["reach"]
    position, of = sequences(batch, queries, keys, lengths, device)

    def rule1(b, h, i, j):
        # i -> j when 0 <= i - j < reach
        return (0 <= i - j) & (i - j < reach)

    def mask_mod(b, h, q_idx, kv_idx):
        i, j = position(b, q_idx), kv_idx
        return rule1(b, h, i, j)

    if lengths:
        mask_mod = within_lengths(mask_mod, of)

    def block_mask():
        size = (batch if lengths else None, None, queries, keys)
        on_gpu = torch.device(device).type == "cuda"
        return create_block_mask(mask_mod, *size, device=device, BLOCK_SIZE=block_size, _compile=on_gpu)

    return Parts(mask_mod, None, block_mask, None, None, block_size)


def attend(parts, block_mask, q, k, v, return_lse=False, kernel_options=None):
    """out, or (out, lse), of what build() and its block_mask() gave. `lse` leaves the sink out."""
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


_compiled = torch.compile(_attend, dynamic=False)


def attention(q, k, v, *, reach=64, return_lse=False, block_size=128, lengths=None, kernel_options=None):
    """Attention from scratch: build(), its block mask, attend()."""
    batch, heads, queries, dim = q.shape
    inputs = {}
    parameters = {"reach": reach}
    shape = (q.device, batch, heads, queries, k.shape[2])
    parts = build(*shape, inputs, parameters, block_size=block_size, dim=dim, lengths=lengths)
    return attend(parts, parts.block_mask(), q, k, v, return_lse, kernel_options)


# What the functions above call.


def settings(given):
    """The parameters: those given, and the defaults of the others."""
    for name in given:
        if name in FIXED:
            raise ValueError(f"{NAME}: {name!r} is fixed in this module; export it with --set {name}=...")
        if name not in PARAMETERS:
            raise ValueError(f"{NAME}: there is no parameter {name!r}; there are {', '.join(PARAMETERS)}")
    values = {}
    for name, default in PARAMETERS.items():
        value = given.get(name, default)
        if isinstance(default, bool):
            values[name] = bool(value)
        elif isinstance(default, float):
            values[name] = f32(value)
        elif value != int(value):
            raise ValueError(f"{NAME}: {name!r} must be a whole number, not {value}")
        else:
            values[name] = int(value)
        least, most = RANGES.get(name, (value, value))
        if not least <= value <= most:
            raise ValueError(f"{NAME}: {name!r} is {value}, outside {least} .. {most}")
    return values


def sequences(batch, queries, keys, lengths, device):
    """Two functions: `position(b, q_idx)`, the position of a row of q, and `of(f)`, which makes
    f(keys, queries, base) a function of b: a number, or where lengths are given one for each sequence.
    """
    lengths = lengths or {}
    rows_q = [int(n) for n in lengths.get("queries", [queries] * batch)]
    rows_k = [int(n) for n in lengths.get("keys", [keys] * batch)]
    if len(rows_q) != batch or len(rows_k) != batch:
        raise ValueError(f"{NAME}: lengths must hold {batch} numbers, one for each sequence")
    if max(rows_q) > queries or max(rows_k) > keys or min(rows_q + rows_k) < 0:
        raise ValueError(f"{NAME}: lengths lie outside of q or k")
    if ALIGN == "end" and any(n > m for n, m in zip(rows_q, rows_k)):
        raise ValueError(f"{NAME}: more queries than keys; only patterns with `align start` take them")
    bases = [m - n if ALIGN == "end" else 0 for n, m in zip(rows_q, rows_k)]

    def of(f):
        values = [f(m, n, base) for n, m, base in zip(rows_q, rows_k, bases)]
        if not lengths:
            return lambda b: values[0]
        kind = torch.float32 if isinstance(values[0], float) else INTEGER
        kind = torch.bool if isinstance(values[0], bool) else kind
        numbers = torch.tensor(values, dtype=kind, device=device)
        return lambda b: numbers[b]

    base_of = of(lambda keys, queries, base: base)

    def position(b, q_idx):
        # Rows past a sequence's end are masked, but tables are read for them all the same.
        return torch.clamp(q_idx + base_of(b), max=keys - 1) if lengths else q_idx + base_of(b)

    return position, of


def within_lengths(mask_mod, of):
    """Leaves the rows of q, k and v out that lie past a sequence's own lengths."""
    queries_of = of(lambda keys, queries, base: queries)
    keys_of = of(lambda keys, queries, base: keys)

    def inside(b, h, q_idx, kv_idx):
        mask = (q_idx < queries_of(b)) & (kv_idx < keys_of(b))
        return mask if mask_mod is None else mask & mask_mod(b, h, q_idx, kv_idx)

    return inside


def f32(x):
    """x rounded to float32."""
    try:
        return struct.unpack("f", struct.pack("f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)
