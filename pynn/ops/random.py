"""Random numbers as a function of a key, a counter and the index of the element: Philox 4x32-10.

Nothing here has hidden state. The same key and counter give the same numbers on every machine, at every thread count, on the
native and on the fallback kernels; `increment` advances the counter for the next draw.

Arguments of all: `counter` is an int64 number, `key0` and `key1` are the two halves of the key, 32 bits each, and `shape` and `dtype`
describe the result. A counter of another dtype, or a dtype that can't be drawn, raises TypeError; a negative length ValueError.

Reference: Salmon, Moraes, Dror and Shaw 2011.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynn.dtypes import as_dtype, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, scalar
from pynn.ops.shape import as_shape, whole_number

__all__ = [
    "dropout",
    "increment",
    "permutation",
    "random_bernoulli",
    "random_integers",
    "random_normal",
    "random_truncated_normal",
    "random_uniform",
]

_INT64 = np.dtype(np.int64)
_LOWER = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85


def philox_words(key0: int, key1: int, counter: int, count: int) -> np.ndarray:
    """The first `count` 32-bit words of the stream (key, counter), as uint64: word i is word i % 4 of block i // 4."""
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    position = np.uint64(int(counter) & (2**64 - 1))
    x0, x1, x2, x3 = (
        block & _LOWER,
        block >> _SHIFT,
        np.full_like(block, position & _LOWER),
        np.full_like(block, position >> _SHIFT),
    )
    key = [key0 & 0xFFFFFFFF, key1 & 0xFFFFFFFF]
    for _ in range(10):
        p0, p1 = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1, x2, x3 = (
            (p1 >> _SHIFT) ^ x1 ^ np.uint64(key[0]),
            p1 & _LOWER,
            (p0 >> _SHIFT) ^ x3 ^ np.uint64(key[1]),
            p0 & _LOWER,
        )
        key = [(k + w) & 0xFFFFFFFF for k, w in zip(key, _WEYL, strict=True)]
    return np.stack([x0, x1, x2, x3], axis=1).reshape(-1)[:count]


def _bound(p: float) -> int:
    """The number of words below which a word falls with probability p."""
    return min(max(int(math.floor(p * 4294967296.0 + 0.5)), 0), 2**32)


def _check_counter(name: str, counter: Spec) -> None:
    if counter.shape != () or counter.dtype != _INT64:
        raise TypeError(
            f"[{name}] the counter must be a single int64 number. Received: dtype={counter.dtype}, shape={counter.shape}. "
            "Pass an int, or a Variable made with dtype='int64'."
        )


def _counter(value) -> Tensor:
    return scalar(value, _INT64) if isinstance(value, (int, np.integer)) else as_tensor(value)


def _key(key0: int, key1: int) -> dict[str, int]:
    return {"key0": int(key0) & 0xFFFFFFFF, "key1": int(key1) & 0xFFFFFFFF}


# -- dropout -----------------------------------------------------------------------------------------------------------


def _infer_dropout(x: Spec, counter: Spec, *, key0, key1, rate) -> Spec:
    _check_counter("dropout", counter)
    if not is_float(x.dtype):
        raise TypeError(f"[dropout] the input must be a float tensor. Received: dtype={x.dtype}. Cast it with pynn.cast.")
    if not 0 <= rate <= 1:
        raise ValueError(f"[dropout] the rate must be the share of elements to drop, from 0 to 1. Received: rate={rate}.")
    return x


def _dropout_numpy(x, counter, *, key0, key1, rate):
    bound = min(_bound(rate), 2**32 - 1)
    keep = philox_words(key0, key1, int(counter), x.size).reshape(x.shape) >= np.uint64(bound)
    scale = x.dtype.type(1 / (1 - rate) if rate < 1 else 0)
    return np.where(keep, x * scale, x.dtype.type(0))


def _dropout_vjp(dys, inputs, outputs, attrs, needs):
    return apply(DROPOUT, dys[0], inputs[1], **attrs), None


def _dropout_samples() -> list[Sample]:
    shapes = [(5,), (3, 7), (2, 3, 129), (0, 4), (1,), (4100,)]
    return [
        Sample([shape, np.array(3 + i)], {"key0": 11, "key1": 2**32 - 5, "rate": rate})
        for i, (shape, rate) in enumerate(zip(shapes, (0.5, 0.1, 0.25, 0.5, 0.0, 0.9), strict=True))
    ]


DROPOUT = define(
    "dropout",
    inputs=("x", "counter"),
    attrs={"key0": 0, "key1": 0, "rate": 0.5},
    infer=_infer_dropout,
    fallback=_dropout_numpy,
    vjp=_dropout_vjp,
    reference=_dropout_numpy,
    samples=_dropout_samples,
    elementwise=True,
)


def dropout(x, counter, *, rate: float, key0: int = 0, key1: int = 0) -> Tensor:
    """`x / (1 - rate)` where an element is kept, 0 where it is dropped; each is dropped with probability `rate`.

    Args:
        x: Float tensor of any shape.
        counter: int64 number; another one gives another mask. Gradients make the mask again from it.
        rate: Share of elements dropped, from 0 to 1.
        key0: First half of the key, 32 bits.
        key1: Second half of the key.

    Raises:
        TypeError: `x` isn't float or the counter isn't int64.
        ValueError: the rate is outside [0, 1].

    Reference: Srivastava et al. 2014.
    """
    return apply(DROPOUT, x, _counter(counter), rate=float(rate), **_key(key0, key1))


# -- distributions -----------------------------------------------------------------------------------------------------


def _infer_filled(name: str, kinds: str):
    def infer(counter: Spec, *, shape, dtype, **attrs) -> Spec:
        _check_counter(name, counter)
        if any(n < 0 for n in shape):
            raise ValueError(f"[{name}] an axis can't have a negative length. Received: shape={shape}.")
        found = as_dtype(dtype)
        if found.kind not in kinds:
            raise TypeError(f"[{name}] numbers of this dtype can't be drawn. Received: dtype={dtype!r}.")
        return Spec(shape, found)

    return infer


def _words_for(counter, key0, key1, shape) -> np.ndarray:
    return philox_words(key0, key1, int(counter), math.prod(shape)).reshape(shape)


def _unit(counter, key0, key1, shape, dtype) -> np.ndarray:
    if as_dtype(dtype) == np.float32:
        words = _words_for(counter, key0, key1, shape) >> np.uint64(8)
        return words.astype(np.float32) * np.float32(2.0**-24)
    words = philox_words(key0, key1, int(counter), 2 * math.prod(shape)).reshape(*shape, 2)
    return ((words[..., 0] << _SHIFT | words[..., 1]) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _uniform_numpy(counter, *, key0, key1, low, high, shape, dtype):
    kind = as_dtype(dtype).type
    return kind(low) + _unit(counter, key0, key1, shape, dtype) * kind(high - low)


def _normal_numpy(counter, *, key0, key1, mean, stddev, shape, dtype):
    count = math.prod(shape)
    words = philox_words(key0, key1, int(counter), count + count % 2).reshape(-1, 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 1) * 2.0**-32))
    angle = words[:, 1] * (2 * math.pi * 2.0**-32)
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:count]
    return mean + stddev * z.reshape(shape)


_CENTRAL = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4),
    (4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3),
    (2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0),
    (1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1),
    (1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)


def _rational(table, x) -> np.ndarray:
    polynomial = np.polynomial.polynomial.polyval
    return polynomial(x, table[0] + table[1]) / polynomial(x, table[2] + table[3])


def _normal_quantile(p: np.ndarray) -> np.ndarray:
    """The p-quantile of the standard normal distribution, |p - 0.5| <= 0.48. Reference: Wichura 1988, AS 241."""
    q = p - 0.5
    near = np.abs(q) <= 0.425
    central = q * _rational(_CENTRAL, np.where(near, 0.180625 - q * q, 0.0))
    r = np.sqrt(-np.log(np.where(near, 0.05, np.where(q < 0, p, 1 - p)))) - 1.6
    return np.where(near, central, np.copysign(_rational(_TAIL, r), q))


_BELOW = 0.022750131948179195  # P(z < -2)


def _truncated_normal_numpy(counter, *, key0, key1, mean, stddev, shape, dtype):
    u = (_words_for(counter, key0, key1, shape).astype(np.float64) + 0.5) * 2.0**-32
    return mean + stddev * _normal_quantile(_BELOW + u * (1 - 2 * _BELOW))


def _bernoulli_numpy(counter, *, key0, key1, p, shape, dtype):
    return _words_for(counter, key0, key1, shape) < np.uint64(_bound(p))


def _integers_numpy(counter, *, key0, key1, low, span, shape, dtype):
    return low + ((_words_for(counter, key0, key1, shape) * np.uint64(span)) >> _SHIFT).astype(np.int64)


def _pack(*names: str):
    """Keys, then the named ints; all floats. Shape and dtype are the output's."""

    def pack(attrs: dict) -> tuple[list[int], list[float]]:
        values = [attrs[n] for n in names]
        ints = [attrs["key0"], attrs["key1"], *(v for v in values if isinstance(v, int))]
        return ints, [v for v in values if isinstance(v, float)]

    return pack


def _distribution(name: str, attrs: dict, fallback, *, kinds: str = "f", dtypes=("float32", "float64")):
    def samples() -> list[Sample]:
        shapes = [(7,), (3, 5), (0, 2), (), (1029,)]
        changed = [{"shape": s, "key0": i, "key1": 99, "dtype": d} for i, s in enumerate(shapes) for d in dtypes]
        return [Sample([np.array(5 * i)], c, grad=False) for i, c in enumerate(changed)]

    return define(
        name,
        inputs=("counter",),
        attrs={"key0": 0, "key1": 0, **attrs, "shape": (), "dtype": dtypes[0]},
        infer=_infer_filled(name, kinds),
        fallback=fallback,
        pack=_pack(*attrs),
        reference=fallback,
        samples=samples,
    )


RANDOM_UNIFORM = _distribution("random_uniform", {"low": 0.0, "high": 1.0}, _uniform_numpy)
RANDOM_NORMAL = _distribution("random_normal", {"mean": 0.0, "stddev": 1.0}, _normal_numpy)
RANDOM_TRUNCATED_NORMAL = _distribution("random_truncated_normal", {"mean": 0.0, "stddev": 1.0}, _truncated_normal_numpy)
RANDOM_BERNOULLI = _distribution("random_bernoulli", {"p": 0.5}, _bernoulli_numpy)
RANDOM_INTEGERS = _distribution("random_integers", {"low": 0, "span": 100}, _integers_numpy, kinds="i", dtypes=("int64", "int32"))


def _draw(op, counter, shape, dtype, key0, key1, **attrs) -> Tensor:
    return apply(op, _counter(counter), shape=as_shape(op.name, shape), dtype=as_dtype(dtype).name, **_key(key0, key1), **attrs)


def random_uniform(counter, shape, *, low: float = 0.0, high: float = 1.0, dtype: Any = "float32", key0: int = 0, key1: int = 0) -> Tensor:
    """Uniform numbers `low + u * (high - low)`, u in [0, 1) in steps of 2^-24 (float32) or 2^-53 (float64).

    Where that is rounded to `high`, it is the number before it.
    """
    drawn = _draw(RANDOM_UNIFORM, counter, shape, dtype, key0, key1, low=float(low), high=float(high))
    return _kept_below(drawn, low, high)


def _kept_below(drawn: Tensor, low: float, high: float) -> Tensor:
    """The numbers as they are unless the last possible one is rounded to `high`: all other bits stay those of the stream."""
    kind = drawn.dtype.type
    with np.errstate(all="ignore"):
        first, end = kind(low), kind(high)
        last = first + kind(1 - np.finfo(kind).epsneg) * kind(high - low)
    return call("minimum", drawn, float(np.nextafter(end, first))) if low < high and last >= end else drawn


def random_normal(
    counter, shape, *, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", key0: int = 0, key1: int = 0
) -> Tensor:
    """Normal numbers of this mean and standard deviation. Reference: Box and Muller 1958."""
    return _draw(RANDOM_NORMAL, counter, shape, dtype, key0, key1, mean=float(mean), stddev=float(stddev))


def random_truncated_normal(
    counter, shape, *, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32", key0: int = 0, key1: int = 0
) -> Tensor:
    """Normal numbers within two standard deviations of the mean, as quantiles of uniform ones; `stddev` is that before the cut."""
    return _draw(RANDOM_TRUNCATED_NORMAL, counter, shape, dtype, key0, key1, mean=float(mean), stddev=float(stddev))


def random_bernoulli(counter, shape, *, p: float = 0.5, dtype: Any = "float32", key0: int = 0, key1: int = 0) -> Tensor:
    """1 with probability `p`, else 0, as floats."""
    if not 0 <= p <= 1:
        raise ValueError(f"[random_bernoulli] p must be a probability, from 0 to 1. Received: p={p}.")
    return _draw(RANDOM_BERNOULLI, counter, shape, dtype, key0, key1, p=float(p))


def random_integers(counter, shape, *, low: int = 0, high: int, dtype: Any = "int64", key0: int = 0, key1: int = 0) -> Tensor:
    """Integers in [low, high), equally likely up to (high - low) / 2^32.

    Raises:
        ValueError: `high - low` is outside 1 to 2^32, or the dtype doesn't hold all the numbers.
        TypeError: a bound is no integer.
    """
    low, high = whole_number("random_integers", "low", low), whole_number("random_integers", "high", high)
    if not 1 <= high - low <= 2**32:
        raise ValueError(f"[random_integers] high must be above low, by 2^32 at most. Received: low={low}, high={high}.")
    kind = as_dtype(dtype)
    if kind.kind == "i" and not np.iinfo(kind).min <= low <= high - 1 <= np.iinfo(kind).max:
        raise ValueError(
            f"[random_integers] the dtype must hold all numbers from low to high - 1. Received: low={low}, high={high}, dtype={kind}. "
            "Use a wider dtype."
        )
    return _draw(RANDOM_INTEGERS, counter, shape, dtype, key0, key1, low=low, span=high - low)


# -- permutation and counters ------------------------------------------------------------------------------------------


def _infer_permutation(counter: Spec, *, key0, key1, n) -> Spec:
    _check_counter("permutation", counter)
    if not 0 <= n < 2**32:
        raise ValueError(f"[permutation] n must be from 0 to 2^32 - 1. Received: n={n}.")
    return Spec((n,), _INT64)


def _permutation_numpy(counter, *, key0, key1, n):
    words = philox_words(key0, key1, int(counter), n)
    targets = (words * np.arange(1, n + 1, dtype=np.uint64) >> _SHIFT).tolist()
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = targets[i]
        order[i], order[j] = order[j], order[i]
    return np.array(order, _INT64)


PERMUTATION = define(
    "permutation",
    inputs=("counter",),
    attrs={"key0": 0, "key1": 0, "n": 0},
    infer=_infer_permutation,
    fallback=_permutation_numpy,
    reference=_permutation_numpy,
    samples=lambda: [Sample([np.array(i)], {"key0": 7, "key1": 1, "n": n}, grad=False) for i, n in enumerate((0, 1, 2, 63, 64, 65, 1000))],
)


def permutation(counter, n: int, *, key0: int = 0, key1: int = 0) -> Tensor:
    """The numbers 0 to n - 1 in random order, int64. Reference: Fisher and Yates, in Durstenfeld's form of 1964."""
    return apply(PERMUTATION, _counter(counter), n=whole_number("permutation", "n", n), **_key(key0, key1))


def _infer_increment(counter: Spec, *, by) -> Spec:
    _check_counter("increment", counter)
    return counter


INCREMENT = define(
    "increment",
    inputs=("counter",),
    attrs={"by": 1},
    infer=_infer_increment,
    fallback=lambda counter, *, by: counter + by,
    updates={0: 0},
    reference=lambda counter, *, by: counter + by,
    samples=lambda: [Sample([np.array(41)], {"by": by}, grad=False) for by in (1, 128, -3)],
)


def increment(counter, by: int = 1) -> Tensor:
    """`counter + by` for a single int64 number; in a program it is written in place."""
    return apply(INCREMENT, _counter(counter), by=whole_number("increment", "by", by))
