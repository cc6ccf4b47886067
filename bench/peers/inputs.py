"""q, k and v as a function of the element's number: the definition of ../inputs.ts in integers, which serve as well
for Python's own numbers as for tensors of int64 (whose products may wrap: the lower 32 bits stay right)."""

SALTS = {"q": 1, "k": 2, "v": 3}
VALUES = 223
STEP = 64
MASK = 0xFFFFFFFF


def mix(x):
    x = x & MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def salt_of(name):
    return mix(SALTS[name] * 0x9E3779B9)


def place(n, salt):
    return (mix(n + salt) >> 8) % VALUES


def value_of(place):
    return (place - (VALUES - 1) // 2) / STEP


def tensor(name, shape, dtype, device):
    """A torch tensor, made on the device in pieces that leave room for the 64-bit numbers they pass through."""
    import torch

    count = 1
    for size in shape:
        count *= size
    salt = salt_of(name)
    table = torch.tensor([value_of(n) for n in range(VALUES)], dtype=torch.float64, device=device).to(dtype)
    out = torch.empty(count, dtype=dtype, device=device)
    piece = 1 << 24
    for first in range(0, count, piece):
        last = min(first + piece, count)
        out[first:last] = table[place(torch.arange(first, last, dtype=torch.int64, device=device), salt)]
    return out.reshape(shape)
