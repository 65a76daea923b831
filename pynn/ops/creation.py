"""Tensors made from nothing: constants, ranges, the identity."""

from __future__ import annotations

import operator

import numpy as np

from pynn.dtypes import as_dtype, is_float
from pynn.engine.tensor import Tensor, tensor

__all__ = ["arange", "eye", "full", "full_like", "linspace", "ones", "ones_like", "zeros", "zeros_like"]


def _shape(shape) -> tuple[int, ...]:
    return (operator.index(shape),) if not isinstance(shape, (tuple, list)) else tuple(operator.index(n) for n in shape)


def full(shape, value, dtype=None) -> Tensor:
    """A tensor of this shape with one value everywhere; its dtype is that of the value (Python floats: float32).

    Raises:
        OverflowError: a Python integer beyond the range of `dtype`.
    """
    dtype = np.float32 if dtype is None and isinstance(value, float) else dtype
    return tensor(np.full(_shape(shape), value if hasattr(value, "dtype") else tensor(value, dtype).data), dtype)


def zeros(shape, dtype="float32") -> Tensor:
    """A tensor of zeros."""
    return tensor(np.zeros(_shape(shape), as_dtype(dtype)))


def ones(shape, dtype="float32") -> Tensor:
    """A tensor of ones."""
    return tensor(np.ones(_shape(shape), as_dtype(dtype)))


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
    """Ones on the diagonal, zeros elsewhere."""
    return tensor(np.eye(rows, columns, dtype=as_dtype(dtype)))


def arange(start, stop=None, step=1, dtype=None) -> Tensor:
    """`start, start + step, ...` before `stop`; with one argument from 0 to it. Floats give float32."""
    start, stop = (0, start) if stop is None else (start, stop)
    values = np.arange(start, stop, step)
    return tensor(values, dtype or (np.float32 if is_float(values.dtype) else None))


def linspace(start: float, stop: float, number: int, dtype="float32") -> Tensor:
    """`number` values from `start` to `stop`, both included, at equal distances."""
    return tensor(np.linspace(start, stop, number), dtype)
