"""LongNet in the way of its authors' code, in our own words: for each branch the kept rows of every segment are
gathered, flash attention runs on them and gives its log-sum-exp, and the branches' results are mixed by it.
(Ding et al. 2023, "LongNet", equations 7 to 15; neighbouring heads share an offset, as in torchscale.)"""

import torch


def offsets(heads, rate, device):
    """Which of every `rate` rows a head keeps: heads rounded up to a multiple of the rate share them out evenly."""
    shared = -(-heads // rate)
    return torch.arange(heads, device=device) // shared


def flash(q, k, v):
    """Attention and its log-sum-exp; q, k, v [n, heads, rows, dim]."""
    if q.is_cuda:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, False, False)
        return out, lse
    scores = q.float() @ k.float().transpose(-1, -2) / q.shape[-1] ** 0.5
    return (torch.softmax(scores, -1) @ v.float()).to(q.dtype), torch.logsumexp(scores, -1)


def branch(q, k, v, segment, rate):
    """out [batch, heads, tokens, dim] and lse [batch, heads, tokens]: 0 and -inf in rows that the branch leaves out."""
    batch, heads, tokens, dim = q.shape
    segment = min(segment, tokens)
    count, kept = tokens // segment, segment // rate
    if rate == 1:
        split = (batch * count, heads, segment, dim)
        parts = [
            x.reshape(batch, heads, count, segment, dim).transpose(1, 2).reshape(split) for x in (q, k, v)
        ]
        out, lse = flash(*parts)
        out = out.reshape(batch, count, heads, segment, dim).transpose(1, 2).reshape(q.shape)
        lse = lse[..., :segment].reshape(batch, count, heads, segment).transpose(1, 2)
        return out, lse.reshape(batch, heads, tokens)
    head, offset = torch.arange(heads, device=q.device), offsets(heads, rate, q.device)

    def gather(x):
        # [heads, rate, batch, segments, kept, dim], of which one of `rate` for every head
        strided = x.reshape(batch, heads, count, kept, rate, dim).permute(1, 4, 0, 2, 3, 5)
        return strided[head, offset].reshape(heads, batch * count, kept, dim).transpose(0, 1)

    out, lse = flash(gather(q), gather(k), gather(v))
    full = q.new_zeros(heads, rate, batch, count, kept, dim)
    full[head, offset] = out.transpose(0, 1).reshape(heads, batch, count, kept, dim)
    sums = lse.new_full((heads, rate, batch, count, kept), float("-inf"))
    sums[head, offset] = lse[..., :kept].transpose(0, 1).reshape(heads, batch, count, kept)
    return (
        full.permute(2, 0, 3, 4, 1, 5).reshape(q.shape),
        sums.permute(2, 0, 3, 4, 1).reshape(batch, heads, tokens),
    )


def attention(q, k, v, segments, rates):
    results = [branch(q, k, v, segment, rate) for segment, rate in zip(segments, rates)]
    lse = torch.stack([sums for _, sums in results])
    weights = torch.exp(lse - lse.amax(0))
    weights = (weights / weights.sum(0)).to(q.dtype)
    out = torch.zeros_like(q)
    for (part, _), weight in zip(results, weights):
        out = out + part * weight.unsqueeze(-1)
    return out


def reference(q, k, v, segments, rates):
    """The same pair by pair in float64: for tests."""
    batch, heads, tokens, dim = q.shape
    scores = q.double() @ k.double().transpose(-1, -2) / dim**0.5
    position = torch.arange(tokens, device=q.device)
    times = torch.zeros(heads, tokens, tokens, dtype=torch.float64, device=q.device)
    for segment, rate in zip(segments, rates):
        offset = offsets(heads, rate, q.device).reshape(-1, 1)
        kept = (position % segment) % rate == offset
        same = position.reshape(-1, 1) // segment == position // segment
        times += (kept.unsqueeze(2) & kept.unsqueeze(1) & same).double()
    weights = times * torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights / weights.sum(-1, keepdim=True)) @ v.double()
