"""Tensors made from nothing: constants, ranges, the identity."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn.dtypes import as_dtype, is_float
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, check_range, tensor
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
    """A tensor of this shape with one value everywhere; its dtype is that of the value (Python floats: float32). A tensor as the value
    has a gradient.

    Raises:
        ValueError: the value has a shape that doesn't broadcast to this one.
        OverflowError: a Python number beyond the range of an integer `dtype`.
    """
    dtype = np.float32 if dtype is None and isinstance(value, float) else dtype
    return call("broadcast_to", tensor(value, dtype), _shape("full", shape))


def zeros(shape, dtype: Any = "float32") -> Tensor:
    """A tensor of zeros.

    Raises:
        ValueError: a length is negative.
    """
    return tensor(np.zeros(_shape("zeros", shape), as_dtype(dtype)))


def ones(shape, dtype: Any = "float32") -> Tensor:
    """A tensor of ones.

    Raises:
        ValueError: a length is negative.
    """
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


def eye(rows: int, columns: int | None = None, dtype: Any = "float32") -> Tensor:
    """Ones on the diagonal, zeros elsewhere; a square, or `rows` by `columns`.

    Raises:
        ValueError: a length is negative.
    """
    rows = _count("eye", "rows", rows)
    columns = rows if columns is None else _count("eye", "columns", columns)
    return tensor(np.eye(rows, columns, dtype=as_dtype(dtype)))


def _number(name: str, what: str, value) -> int | float:
    found = np.asarray(value)
    if found.shape or found.dtype.kind not in "biuf":
        raise TypeError(f"[{name}] {what} must be a number. Received: {what}={value!r}. Pass an int or a float.")
    if not np.isfinite(found):
        raise ValueError(f"[{name}] {what} must be finite. Received: {what}={found.item()}. Pass a finite number.")
    return value if isinstance(value, (bool, int, float, np.generic)) else found.item()


def _in_range(values: np.ndarray, dtype: np.dtype | None) -> Tensor:
    if dtype is not None and dtype.kind in "iu" and values.size:
        check_range(values, dtype)
    return tensor(values, dtype)


def arange(start, stop=None, step: Any = 1, dtype=None) -> Tensor:
    """`start, start + step, ...` before `stop`; with one argument from 0 to it. Floats give float32.

    Raises:
        TypeError: one of them is no number.
        ValueError: `step` is 0, or one isn't finite.
        OverflowError: a number beyond the range of an integer `dtype`.
    """
    start, stop = (0, start) if stop is None else (start, stop)
    first, end, stride = (_number("arange", *pair) for pair in (("start", start), ("stop", stop), ("step", 1 if step is None else step)))
    if not stride:
        raise ValueError("[arange] a step of 0 never reaches the end. Received: step=0. Pass another step.")
    values = np.arange(first, end, stride)
    return _in_range(values, as_dtype(dtype) if dtype is not None else as_dtype(np.float32) if is_float(values.dtype) else None)


def linspace(start: float, stop: float, number: int, dtype: Any = "float32") -> Tensor:
    """`number` values from `start` to `stop`, both included, at equal distances.

    Raises:
        TypeError: an end is no number.
        OverflowError: a number beyond the range of an integer `dtype`.
    """
    ends = [np.asarray(start), np.asarray(stop)]
    for what, end in zip(("start", "stop"), ends, strict=True):
        if end.dtype.kind not in "biuf":
            raise TypeError(f"[linspace] {what} must be a number. Received: {what}={end.tolist()!r}. Pass an int or a float.")
    return _in_range(np.linspace(*ends, _count("linspace", "number", number)), None if dtype is None else as_dtype(dtype))
