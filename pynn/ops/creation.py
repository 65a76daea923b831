"""Tensors made from nothing: constants, ranges, the identity."""

from __future__ import annotations

import numpy as np

from pynn.dtypes import as_dtype, is_float
from pynn.engine.tensor import Tensor, tensor
from pynn.ops.shape import as_shape, whole_number

__all__ = ["arange", "eye", "full", "full_like", "linspace", "ones", "ones_like", "zeros", "zeros_like"]


def _shape(name: str, shape) -> tuple[int, ...]:
    lengths = as_shape(name, shape)
    if any(n < 0 for n in lengths):
        raise ValueError(f"[{name}] an axis can't have a negative length. Received: shape={lengths}. Give lengths of 0 or more.")
    return lengths


def _count(name: str, what: str, value) -> int:
    number = whole_number(name, what, value)
    if number < 0:
        raise ValueError(f"[{name}] {what} can't be negative. Received: {what}={number}. Give 0 or more.")
    return number


def full(shape, value, dtype=None) -> Tensor:
    """A tensor of this shape with one value everywhere; its dtype is that of the value (Python floats: float32).

    Raises:
        OverflowError: a Python number beyond the range of an integer `dtype`.
    """
    dtype = np.float32 if dtype is None and isinstance(value, float) else dtype
    return tensor(np.full(_shape("full", shape), value if hasattr(value, "dtype") else tensor(value, dtype).data), dtype)


def zeros(shape, dtype="float32") -> Tensor:
    """A tensor of zeros."""
    return tensor(np.zeros(_shape("zeros", shape), as_dtype(dtype)))


def ones(shape, dtype="float32") -> Tensor:
    """A tensor of ones."""
    return tensor(np.ones(_shape("ones", shape), as_dtype(dtype)))


def _like(x) -> tuple[tuple[int, ...], np.dtype]:
    x = x if hasattr(x, "shape") and hasattr(x, "dtype") else tensor(x)
    return tuple(x.shape), as_dtype(x.dtype)


def full_like(x, value) -> Tensor:
    """One value everywhere, in the shape and dtype of `x`."""
    shape, dtype = _like(x)
    return full(shape, value, dtype)


def zeros_like(x) -> Tensor:
    """Zeros in the shape and dtype of `x`."""
    return zeros(*_like(x))


def ones_like(x) -> Tensor:
    """Ones in the shape and dtype of `x`."""
    return ones(*_like(x))


def eye(rows: int, columns: int | None = None, dtype="float32") -> Tensor:
    """Ones on the diagonal, zeros elsewhere; a square, or `rows` by `columns`."""
    rows = _count("eye", "rows", rows)
    columns = rows if columns is None else _count("eye", "columns", columns)
    return tensor(np.eye(rows, columns, dtype=as_dtype(dtype)))


def arange(start, stop=None, step=1, dtype=None) -> Tensor:
    """`start, start + step, ...` before `stop`; with one argument from 0 to it. Floats give float32.

    Raises:
        ValueError: the step is zero.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ValueError(f"[arange] the step can't be zero. Received: step={step}. Use linspace for a number of values.")
    values = np.arange(start, stop, step)
    return tensor(values, dtype or (np.float32 if is_float(values.dtype) else None))


def linspace(start: float, stop: float, number: int, dtype="float32") -> Tensor:
    """`number` values from `start` to `stop`, both included, at equal distances."""
    return tensor(np.linspace(start, stop, _count("linspace", "number", number)), dtype)
