"""Reductions over axes: sums, means, extremes, products, logic, and what is built of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from pynn.dtypes import bool_, int64, is_float
from pynn.engine.apply import apply
from pynn.engine.op import Op, Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, scalar, stop_gradient
from pynn.errors import shapes
from pynn.ops.elementwise import as_float
from pynn.ops.shape import axis_number, checked_axes

__all__ = ["all", "any", "argmax", "argmin", "logsumexp", "max", "mean", "min", "norm", "prod", "std", "sum", "var"]

# Mirrors csrc/kernels/reduce.cc.
KINDS = {"sum": 0, "mean": 1, "max": 2, "min": 3, "prod": 4, "any": 5, "all": 6}


def reduced_axes(name: str, axis, rank: int) -> tuple[int, ...]:
    """The axes, counted from the front and in order; None means all of them.

    Raises:
        ValueError: there is no such axis, or one is named twice.
        TypeError: one is no integer.
    """
    return tuple(range(rank)) if axis is None else tuple(sorted(checked_axes(name, axis, rank)))


def reduced_shape(shape: tuple[int, ...], axes: Sequence[int], keepdims: bool) -> tuple[int, ...]:
    """The shape after a reduction over `axes`."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _widened(dtype: np.dtype) -> np.dtype:
    return dtype if is_float(dtype) else int64


def _samples(attrs: Sequence[dict] = ({},), values: Callable | None = None) -> Callable:
    cases = [((3, 7), (0, 1)), ((33, 5), (0,)), ((300, 19), (0,)), ((4, 19), (1,)), ((2, 3, 5), (0, 2)), ((2, 3, 5), (1,)), ((1030,), (0,))]

    def samples() -> list[Sample]:
        rng = np.random.default_rng(5)
        return [
            Sample([values(rng, shape) if values else shape], {"axis": axes, "keepdims": keep})
            for shape, axes in cases
            for keep in (False, True)
        ]

    return samples


def _reduction(name: str, numpy: Callable, *, vjp=None, dtype=lambda d: d, empty: bool = True, **fields) -> Op:
    def infer(x: Spec, *, axis, keepdims) -> Spec:
        if not empty:
            _check_elements(name, x, axis)
        return Spec(reduced_shape(x.shape, axis, keepdims), dtype(x.dtype))

    def fallback(x, *, axis, keepdims):
        return numpy(x, axis, keepdims)

    def pack(attrs):
        return [KINDS[name], len(attrs["axis"]), *attrs["axis"]], []

    fields.setdefault("kernel", "reduce")
    fields.setdefault("pack", pack)
    fields.setdefault("samples", _samples())
    return define(
        name,
        inputs=("x",),
        attrs={"axis": (), "keepdims": False},
        infer=infer,
        fallback=fallback,
        vjp=vjp,
        reference=fallback,
        **fields,
    )


def _check_elements(name: str, x: Spec | Tensor, axes: Sequence[int]) -> None:
    if any_zero(x.shape, axes) and math.prod(reduced_shape(x.shape, axes, False)):
        raise ValueError(f"[{name}] there is nothing to reduce. Received: {shapes(x=x)}, axis={tuple(axes)}.")


def any_zero(shape: tuple[int, ...], axes: Sequence[int]) -> bool:
    """True if one of the axes has length 0."""
    return 0 in [shape[a] for a in axes]


def _spread(t: Tensor, x: Tensor, axes: Sequence[int]) -> Tensor:
    """A reduced value, with its axes put back as length 1."""
    return call("reshape", t, reduced_shape(x.shape, axes, True))


def _count(x: Tensor, axes: Sequence[int]) -> int:
    return math.prod(x.shape[a] for a in axes)


def _reduce(op: Op, x: Tensor, axis, keepdims: bool) -> Tensor:
    return apply(op, x, axis=reduced_axes(op.name, axis, len(x.shape)), keepdims=bool(keepdims))


def _as_numpy_calls(function: Callable) -> Callable:
    """The same for `np.sum(x)` and similar functions, which call the tensor's method with `out=None`, and some with `dtype=None`."""

    @functools.wraps(function)
    def reduction(x, *args, dtype=None, out=None, **words):
        if dtype is not None or out is not None:
            given, fix = ("dtype", "Cast the tensor first, x.astype(dtype).") if out is None else ("out", "Use the result.")
            raise TypeError(f"[{function.__name__}] tensors are reduced in their own dtype, to a new tensor. Received: {given}. {fix}")
        return function(x, *args, **words)

    return reduction


# ---- sum and mean -----------------------------------------------------------------------------------------------------


def _sum_vjp(dys, inputs, outputs, attrs, needs):
    x = inputs[0]
    return (call("broadcast_to", _spread(dys[0], x, attrs["axis"]), x.shape),)


def _mean_vjp(dys, inputs, outputs, attrs, needs):
    x, axes = inputs[0], attrs["axis"]
    count = _count(x, axes)
    scaled = dys[0] * (1.0 / count) if count else dys[0]
    return (call("broadcast_to", _spread(scaled, x, axes), x.shape),)


def _mean_numpy(x, axes, keep):
    count = math.prod(x.shape[a] for a in axes)
    return np.divide(np.sum(x, axis=axes, keepdims=keep), x.dtype.type(count))


_SUM = _reduction(
    "sum",
    lambda x, axes, keep: np.sum(x, axis=axes, keepdims=keep, dtype=_widened(x.dtype)),
    vjp=_sum_vjp,
    dtype=_widened,
    tfjs="Sum",
    onnx="ReduceSum",
)
_MEAN = _reduction("mean", _mean_numpy, vjp=_mean_vjp, tfjs="Mean", onnx="ReduceMean")


@_as_numpy_calls
def sum(x, axis=None, keepdims: bool = False) -> Tensor:
    """The sum over one axis, several, or all of them (None). Integers and bools give int64.

    Raises:
        ValueError: there is no such axis.

    Example:
        >>> import pynn as pn
        >>> pn.sum([[1.0, 2.0], [3.0, 4.0]], axis=0).numpy().tolist()
        [4.0, 6.0]
    """
    return _reduce(_SUM, as_tensor(x), axis, keepdims)


@_as_numpy_calls
def mean(x, axis=None, keepdims: bool = False) -> Tensor:
    """The mean over one axis, several, or all of them (None): the sum divided by the number of elements. Integers become float32 first.

    Raises:
        ValueError: there is no such axis.

    Example:
        >>> import pynn as pn
        >>> pn.mean([[1.0, 2.0], [3.0, 4.0]], axis=1).numpy().tolist()
        [1.5, 3.5]
    """
    return _reduce(_MEAN, as_float(x), axis, keepdims)


# ---- extremes ---------------------------------------------------------------------------------------------------------


def _extreme_vjp(dys, inputs, outputs, attrs, needs):
    x, axes = inputs[0], attrs["axis"]
    winners = call("cast", call("equal", x, _spread(outputs[0], x, axes)), x.dtype)
    share = _spread(dys[0], x, axes) / sum(winners, axes, keepdims=True)
    return (winners * share,)


_MAX = _reduction(
    "max",
    lambda x, axes, keep: np.max(x, axis=axes, keepdims=keep),
    vjp=_extreme_vjp,
    empty=False,
    tfjs="Max",
    onnx="ReduceMax",
)
_MIN = _reduction(
    "min",
    lambda x, axes, keep: np.min(x, axis=axes, keepdims=keep),
    vjp=_extreme_vjp,
    empty=False,
    tfjs="Min",
    onnx="ReduceMin",
)


@_as_numpy_calls
def max(x, axis=None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes, NaN if one is NaN. Equal largest elements share the gradient.

    Raises:
        ValueError: there are no elements, or there is no such axis.
    """
    return _reduce(_MAX, as_tensor(x), axis, keepdims)


@_as_numpy_calls
def min(x, axis=None, keepdims: bool = False) -> Tensor:
    """The smallest element over the axes, NaN if one is NaN. Equal smallest elements share the gradient.

    Raises:
        ValueError: there are no elements, or there is no such axis.
    """
    return _reduce(_MIN, as_tensor(x), axis, keepdims)


def _index_of_extreme(name: str, numpy: Callable, **fields) -> Op:
    return _reduction(
        name,
        lambda x, axes, keep: numpy(x, axis=axes[0], keepdims=keep),
        dtype=lambda d: int64,
        empty=False,
        kernel="arg_extreme",
        pack=lambda attrs: ([int(name == "argmin"), *attrs["axis"]], []),
        **fields,
    )


def _index_samples() -> list[Sample]:
    rng = np.random.default_rng(6)
    cases = (((3, 7), 1), ((33, 5), 0), ((2, 3, 5), 1), ((1030,), 0))
    return [Sample([rng.integers(0, 9, size=s) * 0.5], {"axis": (a,), "keepdims": k}, False) for s, a in cases for k in (False, True)]


_ARGMAX = _index_of_extreme("argmax", np.argmax, samples=_index_samples, tfjs="ArgMax", onnx="ArgMax")
_ARGMIN = _index_of_extreme("argmin", np.argmin, samples=_index_samples, tfjs="ArgMin", onnx="ArgMin")


def _index_reduce(op: Op, x, axis: int | None, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    if axis is not None:
        return _reduce(op, x, axis_number(op.name, axis), keepdims)
    found = _reduce(op, call("reshape", x, (x.size,)), 0, False)
    return call("reshape", found, (1,) * len(x.shape)) if keepdims else found


def argmax(x, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first largest element along one axis, or in the flattened tensor (None). The first NaN wins.

    Raises:
        ValueError: there are no elements, or there is no such axis.

    Example:
        >>> import pynn as pn
        >>> pn.argmax([[1.0, 3.0], [4.0, 2.0]], axis=1).numpy().tolist()
        [1, 0]
    """
    return _index_reduce(_ARGMAX, x, axis, keepdims)


def argmin(x, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index (int64) of the first smallest element along one axis, or in the flattened tensor (None). The first NaN wins.

    Raises:
        ValueError: there are no elements, or there is no such axis.
    """
    return _index_reduce(_ARGMIN, x, axis, keepdims)


# ---- products and logic -----------------------------------------------------------------------------------------------


def _prod_vjp(dys, inputs, outputs, attrs, needs):
    # The product of the others: of those before and of those after. Without a quotient it holds at zeros, and in derivatives of any order.
    x, axes = inputs[0], attrs["axis"]
    order = [*(a for a in range(len(x.shape)) if a not in axes), *axes]
    last = call("transpose", x, order)
    lines = call("reshape", last, (*last.shape[: len(order) - len(axes)], _count(x, axes)))
    before = call("cumprod", lines, axis=-1, exclusive=True)
    others = before * call("cumprod", lines, axis=-1, exclusive=True, reverse=True)
    others = call("transpose", call("reshape", others, last.shape), sorted(range(len(order)), key=order.__getitem__))
    return (others * _spread(dys[0], x, axes),)


_PROD = _reduction(
    "prod",
    lambda x, axes, keep: np.prod(x, axis=axes, keepdims=keep, dtype=_widened(x.dtype)),
    vjp=_prod_vjp,
    dtype=_widened,
    samples=_samples(values=lambda rng, shape: rng.uniform(0.9, 1.1, size=shape)),
    tfjs="Prod",
    onnx="ReduceProd",
)


@_as_numpy_calls
def prod(x, axis=None, keepdims: bool = False) -> Tensor:
    """The product over one axis, several, or all of them (None). Integers and bools give int64.

    Raises:
        ValueError: there is no such axis.
    """
    return _reduce(_PROD, as_tensor(x), axis, keepdims)


def _zeros_and_ones(rng, shape):
    return (rng.random(shape) < 0.5).astype(np.float64)


_ANY = _reduction(
    "any",
    lambda x, axes, keep: np.any(x, axis=axes, keepdims=keep),
    dtype=lambda d: bool_,
    samples=_samples(values=_zeros_and_ones),
    tfjs="Any",
)
_ALL = _reduction(
    "all",
    lambda x, axes, keep: np.all(x, axis=axes, keepdims=keep),
    dtype=lambda d: bool_,
    samples=_samples(values=_zeros_and_ones),
    tfjs="All",
)


@_as_numpy_calls
def any(x, axis=None, keepdims: bool = False) -> Tensor:
    """Whether any element over the axes isn't 0, as bools.

    Raises:
        ValueError: there is no such axis.
    """
    return _reduce(_ANY, as_tensor(x), axis, keepdims)


@_as_numpy_calls
def all(x, axis=None, keepdims: bool = False) -> Tensor:
    """Whether no element over the axes is 0, as bools.

    Raises:
        ValueError: there is no such axis.
    """
    return _reduce(_ALL, as_tensor(x), axis, keepdims)


# ---- built of the others ----------------------------------------------------------------------------------------------


@_as_numpy_calls
def var(x, axis=None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The variance over the axes: the mean of `(x - mean(x))^2`, with `n - ddof`, 0 at least, in place of n.

    Raises:
        ValueError: there is no such axis.
    """
    x = as_float(x)
    axes = reduced_axes("var", axis, len(x.shape))
    squares = call("square", x - mean(x, axes, keepdims=True))
    if not ddof:
        return mean(squares, axes, keepdims)
    count = _count(x, axes)
    return sum(squares, axes, keepdims) / float(count - ddof if ddof < count else 0)


def _root(x: Tensor) -> Tensor:
    """The square root, with the gradient 0 at 0: what is squared and summed below has a minimum there."""
    zero = call("equal", x, 0.0)
    return call("where", zero, 0.0, call("sqrt", call("where", zero, 1.0, x)))


@_as_numpy_calls
def std(x, axis=None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """The standard deviation over the axes: the square root of `var`. Where all elements are equal its gradient is 0.

    Raises:
        ValueError: there is no such axis.
    """
    return _root(var(x, axis, keepdims, ddof))


def logsumexp(x, axis=None, keepdims: bool = False) -> Tensor:
    """`log(sum(exp(x)))` over the axes, without overflow.

    Raises:
        ValueError: an axis is empty, or there is no such axis.
    """
    x = as_float(x)
    axes = reduced_axes("logsumexp", axis, len(x.shape))
    _check_elements("logsumexp", x, axes)
    largest = stop_gradient(max(x, axes, keepdims=True))
    shift = call("where", call("isfinite", largest), largest, scalar(0, x.dtype))
    total = call("log", sum(call("exp", x - shift), axes, keepdims=True)) + shift
    return total if keepdims else call("reshape", total, reduced_shape(x.shape, axes, False))


def norm(x, ord: int | float | str = "euclidean", axis=None, keepdims: bool = False) -> Tensor:
    """The norm over the axes, all elements taken as one vector. The gradient of a vector of zeros is 0.

    Args:
        x: Tensor.
        ord: "euclidean", "fro" or 2: `sqrt(sum(x^2))`; 1: `sum(|x|)`; `inf`: `max(|x|)`; `-inf`: `min(|x|)`.
        axis: One axis, several, or None for all.
        keepdims: Keep the axes as length 1.

    Raises:
        ValueError: `ord` is none of these, or there are no elements of which to take an extreme.

    Example:
        >>> import pynn as pn
        >>> float(pn.norm([3.0, 4.0]))
        5.0
    """
    x = as_float(x)
    if ord in ("euclidean", "fro", 2):
        return _root(sum(call("square", x), axis, keepdims))
    reductions = {1: sum, math.inf: max, -math.inf: min}
    if ord not in reductions:
        raise ValueError(f"[norm] unknown norm. Received: ord={ord!r}. Known: 'euclidean', 'fro', 1, 2, inf, -inf.")
    if ord != 1:
        _check_elements("norm", x, reduced_axes("norm", axis, len(x.shape)))
    return reductions[ord](call("abs", x), axis, keepdims)
