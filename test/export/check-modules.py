"""Evaluates exported modules on every pair of small shapes, and compares with what the test computed.

    python3 check-modules.py CASES.json

Prints one line of JSON for each case: {"name": …, "problem": null or what is wrong}. torch is whichever is found: the
tests put the stand-in first; with the real one the same cases check the stand-in.
"""

import importlib.util
import json
import math
import sys
import traceback

import torch


def load(path):
    name = f"exported_{len(modules)}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


modules = {}


def traced(function, *args):
    torch.tracing = True
    try:
        return function(*args)
    finally:
        torch.tracing = False


def axis(count, place, kind):
    shape = [1, 1, 1, 1]
    shape[place] = count
    return torch.arange(count, device="cpu").to(kind).reshape(*shape)


def spread(t, shape):
    """The values of a tensor that broadcasts to the shape."""
    zero = torch.full(shape, 0, dtype=torch.float64)
    return (zero + t.to(torch.float64)).reshape(-1).tolist()


def close(a, b):
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= 1e-5 * max(1.0, abs(b))


def check(case):
    path = case["module"]
    if path not in modules:
        modules[path] = load(path)
    module = modules[path]
    if "q" in case:
        return check_attention(case, module)
    if case["fails"] is not None:
        try:
            build(case, module)
        except ValueError as error:
            return None if str(error) == case["fails"] else f"the error is {error}"
        return "there is no error"
    batch, heads, queries, keys = shape = case["shape"]
    parts = build(case, module)
    for kind in (torch.int32, torch.int64):
        problem = check_as(case, parts, shape, [axis(n, place, kind) for place, n in enumerate(shape)])
        if problem:
            return f"{problem} (with {kind})"
    if parts.block_mask and parts.mask_mod is not None:
        problem = check_block_mask(case, parts, shape)
        if problem:
            return problem
    if (parts.sink is None) != (case["sink"] is None):
        return f"the sink is {parts.sink}"
    if case["sink"] is not None:
        found = spread(parts.sink, (batch, heads, queries))
        for n, (a, b) in enumerate(zip(found, case["sink"])):
            if b is not None and not close(a, b):
                return f"sink of row {n} is {a}, not {b}"
    return None


def tensors(found):
    return {name: torch.tensor(x["data"]).reshape(*x["shape"]) for name, x in found.items()}


def build(case, module):
    return module.build(
        "cpu", *case["shape"], tensors(case["inputs"]), case["parameters"], dim=case["dim"], lengths=case["lengths"]
    )


def check_attention(case, module):
    """The whole of attention(), against out and lse of the oracle."""
    q, k, v = tensors({name: case[name] for name in ("q", "k", "v")}).values()
    given = {}
    for name, x in tensors(case["inputs"]).items():
        name, *part = name.split(".")
        if part:
            given.setdefault(name, {})[part[0]] = x
        else:
            given[name] = x
    out, lse = module.attention(q, k, v, **given, **case["parameters"], lengths=case["lengths"], return_lse=True)
    for name, found, wanted in (("out", out, case["out"]), ("lse", lse, case["lse"])):
        found = spread(found, found.shape)
        for n, (a, b) in enumerate(zip(found, wanted)):
            if not close(a, -math.inf if b is None else b):
                return f"{name}[{n}] is {a}, not {b}"
        if len(found) != len(wanted):
            return f"{name} has {len(found)} elements, not {len(wanted)}"
    alone = module.attention(q, k, v, **given, **case["parameters"], lengths=case["lengths"])
    return None if spread(alone, alone.shape) == spread(out, out.shape) else "out is another without lse"


def check_as(case, parts, shape, at):
    if parts.mask_mod is None:
        mask = [1] * math.prod(shape)
    else:
        mask = spread(traced(parts.mask_mod, *at), shape)
    expected = case["multiplicity"]
    for n, (a, m) in enumerate(zip(mask, expected)):
        if (a != 0) != (m != "0"):
            return f"pair {place(n, shape)} is {bool(a)}, but has multiplicity {m}"
    scale = 1 / math.sqrt(case["dim"]) if parts.scale is None else parts.scale
    dots = torch.tensor([x * scale for x in case["dots"]], dtype=torch.float32).reshape(*shape)
    score = dots if parts.score_mod is None else traced(parts.score_mod, dots, *at)
    found = spread(score, shape)
    for n, (a, m) in enumerate(zip(found, expected)):
        b = case["scores"][n]
        b = math.nan if b is None else b + math.log(int(m, 36)) if m != "0" else b
        if m != "0" and not close(a, b):
            return f"the score of pair {place(n, shape)} is {a}, not {b}"
    return None


def check_block_mask(case, parts, shape):
    """One block mask may stand for all batches or heads only if they are alike."""
    made = parts.block_mask()
    if not isinstance(made, dict):
        return None
    batch, heads, *rest = made["size"]
    if rest != list(shape[2:]) or batch not in (None, shape[0]) or heads not in (None, shape[1]):
        return f"the block mask is for {made['size']}"
    area = shape[2] * shape[3]
    parts = [case["multiplicity"][n * area : (n + 1) * area] for n in range(shape[0] * shape[1])]
    alike = [[c != "0" for c in p] for p in parts]
    for n, p in enumerate(alike):
        b, h = divmod(n, shape[1])
        if p != alike[(0 if batch is None else b) * shape[1] + (0 if heads is None else h)]:
            return f"the block mask is for {made['size']}, but batch {b}, head {h} has another"
    return None


def place(n, shape):
    at = []
    for size in reversed(shape):
        n, x = divmod(n, size)
        at.append(x)
    return tuple(reversed(at))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    for case in cases:
        if hasattr(torch, "_dynamo"):
            torch._dynamo.reset()
        try:
            problem = check(case)
        except Exception:
            problem = traceback.format_exc()
        print(json.dumps({"name": case["name"], "problem": problem}), flush=True)


main()
