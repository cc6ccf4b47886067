"""branches: attention for PyTorch's FlexAttention (torch 2.9 or newer), printed by attnc export --to flex.

Two branches that add up, a bias on the edges of a graph, a sink.

    out = attention(q, k, v, bonds=bonds, sinks=sinks)

q is [batch, heads, queries, dim]; k and v are [batch, key heads, keys, dim]. A query without an edge gives 0.

Inputs, as tensors or arrays:
    bonds: a graph: {"row_ptr": …, "col_idx": …, "weight": …}
    sinks: float [heads]

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


NAME = "branches"
# Where the queries stand: "end": the last one at the last key; "start": row 0 at key 0.
ALIGN = "end"
# Parameters that build() and attention() take, with their defaults, and the ranges of those that have one.
PARAMETERS = {}
RANGES = {}
# Parameters that are fixed in this module; another export has others.
FIXED = {"w": [16, 64], "r": [1, 4]}
# Tensors to bind. A graph ("edges") is bound as NAME.row_ptr and NAME.col_idx (and NAME.weight), or NAME.row, NAME.col.
INPUTS = {
    "bonds": {"type": "edges", "axes": [], "weighted": True},
    "sinks": {"type": "float", "axes": ["heads"]},
}
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
    bonds = graph(inputs, "bonds", 1, 1, True, device)
    sinks = table(inputs, "sinks", torch.float32, (heads,), device)
    position, of = sequences(batch, queries, keys, lengths, device)

    def branch_0(b, h, i, j):
        # branch: i -> j when i div segment == j div segment and i % rate == head % rate and j % rate == head % rate
        return i // 16 == j // 16

    def branch_1(b, h, i, j):
        # branch: i -> j when i div segment == j div segment and i % rate == head % rate and j % rate == head % rate
        return (i // 64 == j // 64) & (i % 4 == h % 4) & (j % 4 == h % 4)

    n1 = of(lambda keys, queries, base: keys // 16)

    def sample_1(b, h, q_idx):
        # sample(2, keys div 16, 0, head, i div 16)
        i = position(b, q_idx)
        return 2, n1(b), 0, h, i // 16

    drawn_1 = draw(sample_1, batch if lengths else 1, heads, queries, device)
    base_of = of(lambda keys, queries, base: base)

    def random(b, h, i, j):
        # random: i -> j when j div 16 in sample(2, keys div 16, 0, head, i div 16)
        return in_sample(drawn_1, b, h, i - base_of(b), j // 16)

    def restricted(b, h, i, j):
        # restrict j <= i
        return j <= i

    def mask_mod(b, h, q_idx, kv_idx):
        i, j = position(b, q_idx), kv_idx
        return restricted(b, h, i, j) & (branch_0(b, h, i, j) | branch_1(b, h, i, j) | random(b, h, i, j))

    def multiplicity(b, h, i, j):
        # How often an edge counts.
        return (
            branch_0(b, h, i, j).to(torch.int32)
            + branch_1(b, h, i, j).to(torch.int32)
            + random(b, h, i, j).to(torch.int32)
        )

    def score_mod(score, b, h, q_idx, kv_idx):
        # score = dot * scale + bonds.weight[i, j]
        # exp(score + log(m)) is m * exp(score): a pair that counts m times.
        i, j = position(b, q_idx), kv_idx
        score = score + edge_weight(bonds, 0, i, j)
        return score + torch.log(torch.clamp(multiplicity(b, h, i, j), min=1).to(torch.float32))

    def sink_score(b, h, q_idx):
        # mix = softmax(sink: sinks[head])
        return sinks[h]

    if lengths:
        mask_mod = within_lengths(mask_mod, of)

    def block_mask():
        size = (batch if lengths else None, heads, queries, keys)
        on_gpu = torch.device(device).type == "cuda"
        return create_block_mask(mask_mod, *size, device=device, BLOCK_SIZE=block_size, _compile=on_gpu)

    b = torch.arange(batch, device=device).reshape(-1, 1, 1)
    h = torch.arange(heads, device=device).reshape(1, -1, 1)
    q_idx = torch.arange(queries, device=device).reshape(1, 1, -1)
    sink = torch.as_tensor(sink_score(b, h, q_idx), dtype=torch.float32, device=device)
    return Parts(mask_mod, score_mod, block_mask, None, sink, block_size)


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


def attention(q, k, v, *, bonds, sinks, return_lse=False, block_size=128, lengths=None, kernel_options=None):
    """Attention from scratch: build(), its block mask, attend()."""
    batch, heads, queries, dim = q.shape
    inputs = {**{f"bonds.{part}": x for part, x in bonds.items()}, "sinks": sinks}
    parameters = {}
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


def table(inputs, name, dtype, sizes, device):
    """An input as a tensor of the shape that the pattern declares."""
    if name not in inputs:
        raise ValueError(f"{NAME}: the input {name!r} is missing")
    values = torch.as_tensor(inputs[name]).to(device=device, dtype=dtype)
    if tuple(values.shape) != tuple(sizes):
        raise ValueError(f"{NAME}: {name!r} must have shape {list(sizes)}, not {list(values.shape)}")
    return values


def index(x, like):
    """An index as a tensor: FlexAttention takes no other."""
    return x if isinstance(x, torch.Tensor) else like.new_full((), x, dtype=torch.int32)


def f32(x):
    """x rounded to float32."""
    try:
        return struct.unpack("f", struct.pack("f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def popcount(x):
    """How many of the 32 bits are 1: added up in fours, then in eights, and so on, always below 2**31."""
    x = sum((x >> n) & 0x11111111 for n in range(4))
    x = (x + (x >> 4)) & 0x0F0F0F0F
    x = x + (x >> 8)
    return (x + (x >> 16)) & 0x3F


def bitmap(row, column, rows, columns, what):
    """Words of 32 bits, so many for each row, with the bits of the given pairs set; and how many those are."""
    words = max((columns + 31) // 32, 1)
    if rows * words >= 2**31:
        raise ValueError(f"{NAME}: FlexAttention looks {what} up in a bitmap; {rows} x {columns} is too large")
    bits = torch.zeros(max(rows, 1) * words, dtype=torch.int32, device=row.device)
    bit = column % 32
    value = torch.where(bit < 31, 1 << torch.clamp(bit, max=30), -(2**31)).to(torch.int32)
    return bits.index_add_(0, row * words + column // 32, value), words


def bit_at(bits, at, x):
    """Is bit x of a row set, if `at` is the word in which it is?"""
    return ((bits[at] >> (x & 31)) & 1) == 1


class Graph(NamedTuple):
    bits: torch.Tensor  # [graphs * rows * words], a bit for each pair
    before: torch.Tensor | None  # of each word: the edges before it
    weight: torch.Tensor | None  # of each edge
    rows: int
    words: int


def graph(inputs, name, batches, heads, weighted, device):
    """The graph NAME: from NAME.row_ptr and NAME.col_idx, or from NAME.row and NAME.col (and NAME.batch and
    NAME.head where each has a graph of its own). A repeated edge counts once, with its first weight.
    """

    def part(key, dtype=torch.int64):
        values = inputs.get(f"{name}.{key}")
        return None if values is None else torch.as_tensor(values).to(device=device, dtype=dtype)

    graphs = batches * heads
    pointers, column, row = part("row_ptr"), part("col_idx"), part("row")
    if pointers is not None and column is not None:
        pointers = pointers.reshape(graphs, -1)
        rows = pointers.shape[1] - 1
        counts = (pointers[:, 1:] - pointers[:, :-1]).reshape(-1)
        row = torch.repeat_interleave(torch.arange(graphs * rows, device=device), counts)
    elif row is not None and part("col") is not None:
        column = part("col")
        rows = int(row.max()) + 1 if row.numel() > 0 else 1
        number = part("batch") * heads if batches > 1 else 0
        row = (number + part("head") if heads > 1 else number) * rows + row
    else:
        raise ValueError(f"{NAME}: the graph {name!r} takes {name}.row_ptr and {name}.col_idx, or .row and .col")
    if row.shape != column.shape:
        raise ValueError(f"{NAME}: {name} has {column.numel()} columns, but {row.numel()} edges")
    weight = part("weight", torch.float32)
    if weighted and weight is None:
        raise ValueError(f"{NAME}: the input '{name}.weight' is missing")
    columns = int(column.max()) + 1 if column.numel() > 0 else 0
    order = torch.argsort(row * columns + column, stable=True)
    row, column = row[order], column[order]
    one = torch.ones(min(row.numel(), 1), dtype=torch.bool, device=device)
    first = torch.cat([one, (row[1:] != row[:-1]) | (column[1:] != column[:-1])])
    row, column = row[first], column[first]
    bits, words = bitmap(row, column, graphs * rows, columns, f"the graph {name!r}")
    if not weighted:
        return Graph(bits, None, None, rows, words)
    edges = torch.bincount(row * words + column // 32, minlength=bits.numel())
    before = (torch.cumsum(edges, 0) - edges).to(torch.int32)
    # One more, so that there is one to read where there is no edge.
    weight = torch.cat([weight[order][first], torch.zeros(1, device=device)])
    return Graph(bits, before, weight, rows, words)


def find_word(graph, number, a, b):
    """The word of the pair (a, b) of a graph, and whether they lie inside."""
    inside = (a >= 0) & (a < graph.rows) & (b >= 0) & (b < 32 * graph.words)
    row = number * graph.rows + torch.clamp(a, 0, max(graph.rows - 1, 0))
    return row * graph.words + torch.clamp(b >> 5, 0, graph.words - 1), inside


def edge_weight(graph, number, a, b):
    """The weight of the edge from a to b, and 0 where there is none. Edges are numbered row by row."""
    a, b = index(a, graph.bits), index(b, graph.bits)
    at, inside = find_word(graph, number, a, b)
    lower = graph.bits[at] & ~(-1 << (b & 31))
    weight = graph.weight[graph.before[at] + popcount(lower)]
    return torch.where(bit_at(graph.bits, at, b) & inside, weight, 0.0)


class Sample(NamedTuple):
    # Of each of batch * heads * rows: its members, filled up with NONE; where words > 0, a bitmap of them.
    members: torch.Tensor
    batch: int  # 1 in each of the three where all are alike
    heads: int
    rows: int
    width: int
    words: int


NONE = 2**31 - 1


def times32(x, factor):
    """The product's lower 32 bits, of numbers of 32 bits in 64."""
    low = (x & 0xFFFF) * factor
    return (low + ((((x >> 16) * factor) & 0xFFFF) << 16)) & 0xFFFFFFFF


def mix32(x):
    """murmur3's 32-bit finaliser."""
    x = times32(x ^ (x >> 16), 0x85EBCA6B)
    x = times32(x ^ (x >> 13), 0xC2B2AE35)
    return x ^ (x >> 16)


def draw(sample, batch, heads, rows, device):
    """The members of sample(b, h, row), which gives count, below, seed and keys, for every b, h and row."""
    b = torch.arange(batch, device=device).reshape(-1, 1, 1)
    h = torch.arange(heads, device=device).reshape(1, -1, 1)
    row = torch.arange(rows, device=device).reshape(1, 1, -1)
    zero = b * 0 + h * 0 + row * 0
    count, below, seed, *keys = ((zero + x).reshape(-1, 1) for x in sample(b, h, row))
    width = max(int(torch.clamp(torch.minimum(count, below), min=0).max()), 1)
    word = mix32((seed & 0xFFFFFFFF) ^ 0x9E3779B9)
    for key in keys:
        word = mix32((times32(word, 31) + (key & 0xFFFFFFFF)) & 0xFFFFFFFF)
    half = zero.reshape(-1, 1) + 1
    for bits in range(1, 16):
        half = half + (below > 4**bits)
    low = (1 << half) - 1

    def step(x):
        left, right = x >> half, x & low
        for n in range(4):
            mixed = mix32((word + times32(right + 1, 0x9E3779B1) + n) & 0xFFFFFFFF)
            left, right = right, left ^ (mixed & low)
        return (left << half) | right

    n = zero.reshape(-1, 1) + torch.arange(width, device=device).reshape(1, -1)
    wanted = (n < count) & (n < below)
    members = step(torch.where(wanted, n, 0))
    outside = wanted & (members >= below)
    while bool(outside.any()):
        members = torch.where(outside, step(members), members)
        outside = wanted & (members >= below)
    if width <= 32:
        members = torch.where(wanted, members, NONE).reshape(-1).to(torch.int32)
        return Sample(members, batch, heads, rows, width, 0)
    row = (n * 0 + torch.arange(n.shape[0], device=device).reshape(-1, 1))[wanted]
    bits, words = bitmap(row, members[wanted], n.shape[0], int(below.max()), "samples")
    return Sample(bits, batch, heads, rows, width, words)


def in_sample(sample, b, h, row, x):
    """Is x a member of the row's sample?"""
    at = b if sample.batch > 1 else 0
    at = at * sample.heads + (h if sample.heads > 1 else 0)
    at = at * sample.rows + (row if sample.rows > 1 else 0)
    if sample.words > 0:
        x = index(x, sample.members)
        word = index(at * sample.words, sample.members) + torch.clamp(x >> 5, 0, sample.words - 1)
        return bit_at(sample.members, word, x) & (x >= 0) & (x < 32 * sample.words)
    at = index(at * sample.width, sample.members)
    found = sample.members[at] == x
    for n in range(1, sample.width):
        found = found | (sample.members[at + n] == x)
    return found & (x < NONE)
