"""A stand-in for the part of torch that exported modules use, in plain Python and stricter than torch:

- ints that leave their type's range are errors, where torch wraps around;
- an index outside a tensor is an error, a negative one too;
- while `tracing` is on, as inside mask_mod and score_mod, a tensor has no value that Python may look at.

Tensors are flat lists with a shape. float32 is rounded after every operation.
"""

import builtins
import math
import operator
from array import array
from functools import lru_cache, reduce
from itertools import product


class dtype:
    def __init__(self, name, rank, least=None, most=None):
        self.name, self.rank, self.least, self.most = name, rank, least, most

    def __repr__(self):
        return f"torch.{self.name}"


bool = dtype("bool", 0)
int32 = dtype("int32", 1, -(2**31), 2**31 - 1)
int64 = dtype("int64", 2, -(2**63), 2**63 - 1)
float32 = dtype("float32", 3)
float64 = dtype("float64", 4)

# On while a function is evaluated that torch would trace.
tracing = False


class device:
    def __init__(self, name):
        self.type = str(name).split(":")[0]


def _fit(values, kind):
    """Values as the type holds them."""
    if kind is float32:
        return array("f", values).tolist()
    if kind is float64:
        return list(map(float, values))
    if kind is bool:
        return list(map(builtins.bool, values))
    if values and not (kind.least <= min(values) and max(values) <= kind.most):
        raise OverflowError(f"an {kind.name} is {min(values)} or {max(values)}")
    return values


@lru_cache(maxsize=None)
def _strides(shape):
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@lru_cache(maxsize=None)
def _places(shape, to):
    """For each element of the shape `to`, its place in a tensor of `shape`."""
    shape = (1,) * (len(to) - len(shape)) + shape
    strides = [0 if size == 1 else step for size, step in zip(shape, _strides(shape))]
    places = [0]
    for size, step in zip(to, strides):
        places = [p + x * step for p in places for x in range(size)]
    return places


@lru_cache(maxsize=None)
def _joined(*shapes):
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    for sizes in zip(*padded):
        if len(set(sizes) - {1}) > 1:
            raise RuntimeError(f"shapes {shapes} don't go together")
    return tuple(next((s for s in sizes if s != 1), 1) for sizes in zip(*padded))


def _expanded(t, shape):
    return t.values if t.shape == shape else list(map(t.values.__getitem__, _places(t.shape, shape)))


def _kind_of_number(x):
    return bool if isinstance(x, builtins.bool) else int64 if isinstance(x, int) else float32


def _common(*args):
    """The type of a result: a plain number counts only where it is of a higher kind than the tensors."""
    kinds = [a.dtype for a in args if isinstance(a, Tensor)]
    kind = max(kinds, key=lambda k: k.rank) if kinds else None
    for a in args:
        if isinstance(a, Tensor):
            continue
        own = _kind_of_number(a)
        level = lambda k: 0 if k is bool else 1 if k.rank <= 2 else 2
        if kind is None or level(own) > level(kind):
            kind = own
    return kind


def _apply(f, args, kind):
    shape = _joined(*(a.shape for a in args if isinstance(a, Tensor)))
    size = math.prod(shape)
    columns = [_expanded(a, shape) if isinstance(a, Tensor) else [a] * size for a in args]
    return Tensor(_fit(list(map(f, *columns)), kind), shape, kind)


def _as_kind(args, kind):
    """The arguments converted to the type that they are computed in."""
    result = []
    for a in args:
        if isinstance(a, Tensor):
            result.append(a if a.dtype is kind else Tensor(_fit(a.values, kind), a.shape, kind))
        else:
            result.append(_fit([a], kind)[0])
    return result


def _arithmetic(f, *args):
    kind = _common(*args)
    if kind is bool:
        raise TypeError("arithmetic on bools")
    return _apply(f, _as_kind(args, kind), kind)


def _bits(f, a, b):
    kind = _common(a, b)
    if kind.rank > 2:
        raise TypeError("bit operation on floats")
    return _apply(f, _as_kind((a, b), kind), kind)


def _comparison(f, a, b):
    return _apply(f, _as_kind((a, b), _common(a, b)), bool)


def _quotient(a, b):
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def _host(what):
    if tracing:
        raise RuntimeError(f"{what} of a tensor is asked for where torch traces")


class Tensor:
    is_cuda = False

    def __init__(self, values, shape, kind):
        assert len(values) == math.prod(shape), (len(values), shape)
        self.values, self.shape, self.dtype = values, tuple(shape), kind
        self.device = device("cpu")

    def __repr__(self):
        return f"Tensor({list(self.shape)}, {self.dtype})"

    # What torch would take a tensor's value for.
    def __bool__(self):
        _host("the truth")
        return builtins.bool(self.item())

    def __int__(self):
        _host("the value")
        return int(self.item())

    __index__ = __int__

    def __float__(self):
        _host("the value")
        return float(self.item())

    def __iter__(self):
        raise TypeError("tensors are not iterated over")

    __hash__ = object.__hash__

    def item(self):
        _host("the value")
        assert len(self.values) == 1
        return self.values[0]

    def tolist(self):
        _host("the values")
        return list(self.values)

    def numel(self):
        return len(self.values)

    def to(self, kind=None, *, dtype=None, device=None):
        kind = kind or dtype or self.dtype
        values = self.values
        if kind.rank in (1, 2) and self.dtype.rank > 2:
            values = [math.trunc(x) for x in values]
        if kind.rank in (1, 2) and self.dtype is bool:
            values = [int(x) for x in values]
        return Tensor(_fit(values, kind), self.shape, kind)

    def reshape(self, *shape):
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        if -1 in shape:
            rest = math.prod(s for s in shape if s != -1)
            shape = [len(self.values) // rest if s == -1 and rest > 0 else max(s, 0) for s in shape]
        return Tensor(self.values, shape, self.dtype)

    def unsqueeze(self, at):
        assert at == -1
        return self.reshape(*self.shape, 1)

    def index_add_(self, dim, at, values):
        assert dim == 0 and len(self.shape) == 1 and values.dtype is self.dtype
        self.values = list(self.values)
        for n, x in zip(at.values, values.values):
            self.values[n] += x
        _fit(self.values, self.dtype)
        return self

    def new_full(self, shape, value, dtype=None):
        return full(shape, value, dtype=dtype or self.dtype)

    def max(self):
        return Tensor([max(self.values)], (), self.dtype)

    def any(self):
        return Tensor([builtins.any(self.values)], (), bool)

    def __getitem__(self, at):
        at = at if isinstance(at, tuple) else (at,)
        if builtins.all(isinstance(x, Tensor) for x in at):
            return self._gather(at)
        _host("a part that is chosen by plain numbers")
        axes = [range(size) for size in self.shape]
        for n, x in enumerate(at):
            axes[n] = axes[n][x] if isinstance(x, slice) else [x]
        strides = _strides(self.shape)
        places = (sum(map(operator.mul, x, strides)) for x in product(*axes))
        shape = [len(a) for n, a in enumerate(axes) if n >= len(at) or isinstance(at[n], slice)]
        return Tensor([self.values[p] for p in places], shape, self.dtype)

    def _gather(self, at):
        if len(at) == 1 and at[0].dtype is bool:
            assert at[0].shape == self.shape
            kept = [x for x, keep in zip(self.values, at[0].values) if keep]
            return Tensor(kept, (len(kept),), self.dtype)
        if len(at) != len(self.shape):
            raise IndexError(f"{len(at)} indices on {len(self.shape)} axes")
        shape = _joined(*(x.shape for x in at))
        places = [0] * math.prod(shape)
        for x, size, step in zip(at, self.shape, _strides(self.shape)):
            if x.dtype.rank not in (1, 2):
                raise IndexError(f"an index is {x.dtype}")
            x = _expanded(x, shape)
            if x and not (0 <= min(x) and max(x) < size):
                raise IndexError(f"index {min(x)} or {max(x)} of an axis of {size}")
            places = [p + n * step for p, n in zip(places, x)]
        return Tensor(list(map(self.values.__getitem__, places)), shape, self.dtype)

    def __add__(self, other):
        return _arithmetic(operator.add, self, other)

    __radd__ = __add__

    def __sub__(self, other):
        return _arithmetic(operator.sub, self, other)

    def __rsub__(self, other):
        return _arithmetic(operator.sub, other, self)

    def __mul__(self, other):
        return _arithmetic(operator.mul, self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other):
        return _bits(operator.floordiv, self, other)

    def __rfloordiv__(self, other):
        return _bits(operator.floordiv, other, self)

    def __mod__(self, other):
        return _bits(operator.mod, self, other)

    def __rmod__(self, other):
        return _bits(operator.mod, other, self)

    def __truediv__(self, other):
        return _floats(_quotient, self, other)

    def __rtruediv__(self, other):
        return _floats(_quotient, other, self)

    def __neg__(self):
        return _arithmetic(operator.neg, self)

    def __and__(self, other):
        return _bits(operator.and_, self, other)

    __rand__ = __and__

    def __or__(self, other):
        return _bits(operator.or_, self, other)

    __ror__ = __or__

    def __xor__(self, other):
        return _bits(operator.xor, self, other)

    __rxor__ = __xor__

    def __lshift__(self, other):
        return _bits(_shifted(operator.lshift), self, other)

    def __rlshift__(self, other):
        return _bits(_shifted(operator.lshift), other, self)

    def __rshift__(self, other):
        return _bits(_shifted(operator.rshift), self, other)

    def __rrshift__(self, other):
        return _bits(_shifted(operator.rshift), other, self)

    def __invert__(self):
        return _apply(operator.not_ if self.dtype is bool else operator.invert, [self], self.dtype)

    def __lt__(self, other):
        return _comparison(operator.lt, self, other)

    def __le__(self, other):
        return _comparison(operator.le, self, other)

    def __gt__(self, other):
        return _comparison(operator.gt, self, other)

    def __ge__(self, other):
        return _comparison(operator.ge, self, other)

    def __eq__(self, other):
        return _comparison(operator.eq, self, other)

    def __ne__(self, other):
        return _comparison(operator.ne, self, other)


def _shifted(f):
    def shift(x, by):
        if not 0 <= by <= 63:
            raise ValueError(f"a shift by {by}")
        return f(x, by)

    return shift


def _floats(f, *args):
    kind = _common(*args)
    if kind.rank <= 2:
        raise TypeError("floats are wanted")
    return _apply(f, _as_kind(args, kind), kind)


def _tensors(*args):
    for a in args:
        if not isinstance(a, Tensor):
            raise TypeError(f"a tensor is wanted, not {a!r}")
    return args


# ---- elementwise functions ----


def where(condition, a, b):
    if condition.dtype is not bool:
        raise TypeError("where() takes a bool")
    kind = _common(a, b)
    a, b = _as_kind((a, b), kind)
    return _apply(lambda c, x, y: x if c else y, [condition, a, b], kind)


def clamp(x, min=None, max=None):
    _tensors(x)
    for bound, f in ((min, builtins.max), (max, builtins.min)):
        if bound is not None:
            if isinstance(bound, Tensor):
                raise TypeError("clamp() is given a tensor as a bound")
            x = _arithmetic(f, x, bound)
    return x


def minimum(a, b):
    return _arithmetic(builtins.min, *_tensors(a, b))


def maximum(a, b):
    return _arithmetic(builtins.max, *_tensors(a, b))


def abs(x):
    return _arithmetic(builtins.abs, *_tensors(x))


def _total(f, least=-math.inf):
    """f, and what floats have where Python has an error."""

    def total(x):
        if x != x or x < least:
            return math.nan
        try:
            return f(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return -math.inf

    return total


def exp(x):
    return _floats(_total(math.exp), *_tensors(x))


def log(x):
    return _floats(_total(math.log, 0), *_tensors(x))


def sqrt(x):
    return _floats(_total(math.sqrt, 0), *_tensors(x))


def tanh(x):
    return _floats(math.tanh, *_tensors(x))


def sigmoid(x):
    return _floats(lambda a: 0.0 if a < -700 else 1 / (1 + math.exp(-a)), *_tensors(x))


def floor(x):
    return _floats(math.floor, *_tensors(x))


def ceil(x):
    return _floats(math.ceil, *_tensors(x))


def pow(a, b):
    def power(x, y):
        if x < 0 and not float(y).is_integer():
            return math.nan
        try:
            return x**y
        except OverflowError:
            return math.inf if x > 0 or y % 2 == 0 else -math.inf
        except ZeroDivisionError:
            return math.inf

    return _floats(power, a, b)


# ---- making and arranging ----


def tensor(data, dtype=None, device=None):
    shape, values = [], data
    while isinstance(values, (list, tuple)):
        shape.append(len(values))
        values = values[0] if values else 0
    flat = [data] if not shape else reduce(lambda x, _: [y for row in x for y in row], shape[1:], list(data))
    kind = dtype or (_common(*flat) if flat else float32)
    return Tensor(_fit(flat, kind), shape, kind)


def as_tensor(data, dtype=None, device=None):
    made = data if isinstance(data, Tensor) else tensor(data, dtype)
    return made if dtype is None else made.to(dtype)


def full(shape, value, dtype=None, device=None):
    kind = dtype or _kind_of_number(value)
    return Tensor(_fit([value] * math.prod(shape), kind), shape, kind)


def full_like(like, value):
    return full(like.shape, value, dtype=like.dtype)


def zeros(*shape, dtype=float32, device=None):
    return full(shape, 0, dtype=dtype)


def ones(*shape, dtype=float32, device=None):
    return full(shape, 1, dtype=dtype)


def arange(count, dtype=int64, device=None):
    return Tensor(list(range(count)), (count,), dtype)


def cat(tensors):
    kind = _common(*tensors)
    values = [x for t in _as_kind(tensors, kind) for x in t.values]
    return Tensor(values, (len(values),), kind)


def repeat_interleave(t, counts):
    values = [x for x, n in zip(t.values, counts.values) for _ in range(n)]
    return Tensor(values, (len(values),), t.dtype)


def argsort(t, stable=False):
    assert stable
    order = sorted(range(len(t.values)), key=t.values.__getitem__)
    return Tensor(order, t.shape, int64)


def bincount(t, minlength=0):
    counts = [0] * max(minlength, max(t.values, default=-1) + 1)
    for x in t.values:
        counts[x] += 1
    return Tensor(counts, (len(counts),), int64)


def cumsum(t, dim):
    total, sums = 0, []
    for x in t.values:
        total += x
        sums.append(total)
    return Tensor(sums, t.shape, int64)


def compile(function, **options):
    return function
