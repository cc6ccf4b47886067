"""What exported modules import of FlexAttention: the definition, for small tensors."""

import math

import torch


class AuxRequest:
    def __init__(self, lse=False):
        self.lse = lse


class AuxOutput:
    def __init__(self, lse):
        self.lse = lse


def create_block_mask(mask_mod, *size, **options):
    return {"mask_mod": mask_mod, "size": size, **options}


def flex_attention(q, k, v, score_mod, block_mask, scale, enable_gqa, kernel_options, return_aux):
    batch, heads, queries, dim = q.shape
    key_heads, keys, width = k.shape[1], k.shape[2], v.shape[3]
    assert enable_gqa == (key_heads != heads)
    scale = 1 / math.sqrt(dim) if scale is None else scale
    out, lse = [], []
    for b in range(batch):
        for h in range(heads):
            at = b * key_heads + h // (heads // key_heads)
            for row in range(queries):
                start = ((b * heads + h) * queries + row) * dim
                query = q.values[start : start + dim]
                scores = [
                    scale * sum(x * y for x, y in zip(query, k.values[(at * keys + j) * dim :]))
                    for j in range(keys)
                ]
                scores = modified(scores, score_mod, block_mask, b, h, row)
                most = max(scores)
                weights = [math.exp(s - most) if s > -math.inf else 0.0 for s in scores]
                total = sum(weights)
                lse.append(most + math.log(total) if total > 0 else -math.inf)
                out += [
                    sum(w * v.values[(at * keys + j) * width + d] for j, w in enumerate(weights)) / (total or 1)
                    for d in range(width)
                ]
    out = torch.Tensor(out, (batch, heads, queries, width), torch.float64)
    lse = torch.Tensor(lse, (batch, heads, queries), torch.float64)
    return (out, AuxOutput(lse)) if return_aux is not None and return_aux.lse else out


def modified(scores, score_mod, block_mask, b, h, row):
    """A row's scores, as the score and the mask have them."""
    b, h, row = (torch.tensor(x, dtype=torch.int32) for x in (b, h, row))
    j = torch.arange(len(scores), dtype=torch.int32)
    result = torch.Tensor(scores, (len(scores),), torch.float64)
    torch.tracing = True
    try:
        if score_mod is not None:
            result = score_mod(result, b, h, row, j)
        if block_mask is not None:
            result = torch.where(block_mask["mask_mod"](b, h, row, j), result, -math.inf)
    finally:
        torch.tracing = False
    return result.tolist()
