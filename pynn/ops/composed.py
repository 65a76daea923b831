"""Elementwise functions and reductions that are a few other ops."""

from __future__ import annotations

import math

from pynn.dtypes import bool_, is_float
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor
from pynn.ops.elementwise import as_float, comparable

__all__ = ["allclose", "celu", "count_nonzero", "hard_tanh", "isclose", "log10", "log2", "logaddexp", "prelu"]


def log2(x) -> Tensor:
    """The logarithm to base 2."""
    return call("log", as_float(x)) * (1 / math.log(2))


def log10(x) -> Tensor:
    """The logarithm to base 10."""
    return call("log", as_float(x)) * (1 / math.log(10))


def logaddexp(x, y) -> Tensor:
    """`log(e^x + e^y)`, without overflow; the shapes broadcast. The gradients are `sigmoid(x - y)` and `sigmoid(y - x)`.

    Raises:
        ValueError: the shapes don't broadcast.
    """
    x, y = map(as_float, comparable(x, y))
    above = call("greater", x, y)
    larger, smaller = call("where", above, x, y), call("where", above, y, x)
    infinite = call("logical_and", call("equal", x, y), call("isinf", x))  # equal infinities have no difference
    return larger + call("softplus", call("where", infinite, 0.0, smaller - larger))


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """`|x - y|` of tensors of one dtype. The difference of integers, which may wrap around, and that of their float64s, which are rounded,
    both at once: the larger one is right.
    """
    if is_float(x.dtype):
        return call("abs", x - y)
    exact = call("cast", call("cast", x, "int64") - call("cast", y, "int64"), "float64")
    rounded = call("cast", x, "float64") - call("cast", y, "float64")
    return call("maximum", call("abs", exact), call("abs", rounded))


def isclose(x, y, rtol: float = 1e-5, atol: float = 1e-8) -> Tensor:
    """Where `|x - y| <= atol + rtol |y|`, as bools; infinities are close to themselves, NaN to nothing.

    Integers and bools are compared in float64, so that neighbours which float32 can't tell apart stay apart.

    Raises:
        ValueError: the shapes don't broadcast.
    """
    x, y = comparable(x, y)
    distance = _distance(x, y)
    near = call("less_equal", distance, atol + rtol * call("abs", call("cast", y, distance.dtype)))
    return call("logical_or", call("equal", x, y), call("logical_and", near, call("isfinite", y)))


def allclose(x, y, rtol: float = 1e-5, atol: float = 1e-8) -> Tensor:
    """Whether `isclose` holds everywhere, as one bool.

    Raises:
        ValueError: the shapes don't broadcast.
    """
    return call("all", isclose(x, y, rtol, atol))


def count_nonzero(x, axis=None, keepdims: bool = False) -> Tensor:
    """How many elements over the axes aren't 0, as int64.

    Raises:
        ValueError: there is no such axis.
    """
    x = as_tensor(x)
    return call("sum", x if x.dtype == bool_ else call("not_equal", x, 0), axis=axis, keepdims=keepdims)


def celu(x, alpha: float = 1.0) -> Tensor:
    """`max(x, 0) + min(0, alpha * (e^(x / alpha) - 1))`. Reference: Barron, 2017."""
    x = as_float(x)
    above = x > 0.0
    return call("where", above, x, alpha * call("expm1", call("where", above, 0.0, x) / alpha))


def hard_tanh(x) -> Tensor:
    """`x` kept between -1 and 1."""
    return call("clip", as_float(x), -1.0, 1.0)


def prelu(x, alpha) -> Tensor:
    """`x` above 0, `alpha * x` below, with a tensor of slopes that broadcasts. Reference: He et al., 2015."""
    x = as_float(x)
    return call("where", x > 0.0, x, alpha * x)
