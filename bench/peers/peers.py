"""PyTorch's ways to compute a row: each gives a list of variants to try, of which the fastest counts."""

import importlib.util
import os
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import longnet


class NotAvailable(Exception):
    """Why a peer can't do a row."""


def variants(peer, job, tables, folder, device, blocks):
    """Pairs of a description and a function of nothing, which gives a function of q, k, v. What takes long (masks,
    compiling) is done by the outer one."""
    row = job["row"]
    if peer == "flex":
        return flex_variants(job, tables, folder, device, blocks)
    if peer == "sdpa_flash":
        return sdpa_variants(row, SDPBackend.FLASH_ATTENTION if device == "cuda" else SDPBackend.MATH)
    if peer == "sdpa_cudnn":
        return sdpa_variants(row, SDPBackend.CUDNN_ATTENTION if device == "cuda" else SDPBackend.MATH)
    if peer in ("longnet_eager", "longnet_compiled"):
        segments, rates = row["set"]["w"], row["set"]["r"]

        def run(q, k, v):
            return longnet.attention(q, k, v, segments, rates)

        compiled = peer == "longnet_compiled"
        return [("", lambda: torch.compile(run, dynamic=False) if compiled and device == "cuda" else run)]
    raise NotAvailable(f"{peer} is no peer of PyTorch")


def sdpa_variants(row, backend):
    shape, pattern = row["shape"], row["pattern"]
    one_query = shape["queries"] == 1
    if pattern not in ("dense", "causal") or (shape["queries"] != shape["keys"] and not one_query):
        raise NotAvailable("not a mask that it has")
    # Queries stand at the end: a single one sees every key.
    causal = pattern == "causal" and not one_query
    grouped = shape["heads"] != shape["keyHeads"]

    def plain():
        def run(q, k, v):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=grouped)

        return run

    def folded():
        # Heads that share keys as queries of one head: without a mask it is the same function.
        def run(q, k, v):
            batch, heads, queries, dim = q.shape
            rows = (batch, k.shape[1], heads // k.shape[1] * queries, dim)
            with sdpa_kernel(backend):
                out = F.scaled_dot_product_attention(q.reshape(rows), k, v)
            return out.reshape(batch, heads, queries, v.shape[-1])

        return run

    return [("", plain)] + ([("heads folded into queries", folded)] if grouped and not causal else [])


def flex_variants(job, tables, folder, device, blocks):
    flex = job["flex"]
    if "module" not in flex:
        raise NotAvailable(flex["why"])
    shape = job["row"]["shape"]
    # Few queries take another kernel of FlexAttention's, which has block sizes of its own.
    sizes = blocks if shape["queries"] >= 128 else [128]

    def make(block):
        def ready():
            torch._dynamo.reset()
            # A module of its own for each: functions of different masks never share what was compiled.
            module = load_module(os.path.join(folder, flex["module"]), f"{flex['module'][:-3]}_{block}")
            size = (device, shape["batch"], shape["heads"], shape["queries"], shape["keys"])
            parts = module.build(*size, inputs=tables, block_size=block, dim=shape["dim"])
            mask = parts.block_mask()
            return lambda q, k, v: module.attend(parts, mask, q, k, v)

        return ready

    return [(f"blocks of {block}", make(block)) for block in sizes]


def load_module(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # The compiler looks modules up by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


