"""Numbers counted, found in sorted ones, and told apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, promote
from pynn.errors import CaptureError, shapes
from pynn.ops.shape import checked_axis, whole_number

__all__ = ["bincount", "searchsorted", "unique"]


def _depends_on_values(name: str, x: Tensor, fix: str) -> None:
    if x.is_abstract:
        raise CaptureError(
            f"[{name}] the result's shape depends on values, which a captured step doesn't know. Received: {shapes(x=x)}. {fix}"
        )


# -- counts ---------------------------------------------------------------------------------------------------------------


def _buckets(x: Tensor, size: int) -> Tensor:
    """Where each number counts among `size + 1` buckets a row, the last for numbers that are too large; negative ones are -1."""
    rows = call("reshape", x, (1, x.size) if x.ndim == 1 else x.shape)
    first = call("reshape", call("arange", rows.shape[0], dtype="int64"), (rows.shape[0], 1)) * (size + 1)
    bucket = call("where", rows < 0, call("full_like", rows, -1), call("minimum", rows, size) + first)
    return call("reshape", bucket, (x.size,))


def _bincount_operands(x, weights) -> tuple[Tensor, Tensor | None]:
    x, weights = as_tensor(x), None if weights is None else as_tensor(weights)
    if x.dtype.kind not in "iu" or x.ndim not in (1, 2):
        kind = TypeError if x.dtype.kind not in "iu" else ValueError
        raise kind(f"[bincount] x must be a vector or a matrix of integers. Received: {shapes(x=x)}, {x.dtype}. Use pynn.cast or reshape.")
    if weights is not None and weights.shape != x.shape:
        raise ValueError(f"[bincount] there must be one weight per number. Received: {shapes(x=x, weights=weights)}.")
    return call("cast", x, "int64"), weights


def bincount(x, weights=None, size: int | None = None, binary_output: bool = False) -> Tensor:
    """How often each number occurs: `y[k] = sum_i weights[i] * (x[i] == k)`, in each row of a matrix on its own.

    Args:
        x: Integers (n,) or (rows, n), none negative.
        weights: What each number counts, in the shape of `x`; by default 1. They have gradients.
        size: How many numbers are counted, from 0; larger ones are left out. By default up to the largest in `x`.
        binary_output: Whether a number counts 1 however often it occurs.

    Returns:
        (size,) or (rows, size), in the dtype of the weights, without them int64.

    Raises:
        ValueError: a number is negative (it's reported as index -1), or the shapes don't fit.
        TypeError: `x` has no integers.
        CaptureError: `size` is missing in a captured function.

    Example:
        >>> import pynn as pn
        >>> pn.bincount([0, 2, 2]).numpy().tolist()
        [1, 0, 2]
    """
    x, weights = _bincount_operands(x, weights)
    if size is None:
        _depends_on_values("bincount", x, "Pass size=, the number of counts.")
        size = max(int(x.data.max(initial=-1)) + 1, 0)
    size = whole_number("bincount", "size", size)
    if size < 0:
        raise ValueError(f"[bincount] size can't be negative. Received: size={size}. Give 0 or more.")
    dtype = np.dtype(np.int64) if weights is None else weights.dtype
    rows = x.shape[0] if x.ndim == 2 else 1
    counted = call("ones", x.size, dtype) if weights is None or binary_output else call("reshape", weights, (x.size,))
    counts = call("scatter_add", call("zeros", rows * (size + 1), dtype), _buckets(x, size), counted)
    counts = call("reshape", counts, (*x.shape[:-1], size + 1))[..., :size]
    return call("cast", call("not_equal", counts, 0), dtype) if binary_output else counts


# -- places in sorted numbers ---------------------------------------------------------------------------------------------


def _infer_searchsorted(sequence: Spec, values: Spec, *, right: bool) -> Spec:
    fits = len(sequence.shape) == 1 or (sequence.shape and len(values.shape) and sequence.shape[:-1] == values.shape[:-1])
    if not fits:
        raise ValueError(
            "[searchsorted] the sorted numbers must be a vector, or have all axes of the values but the last. "
            f"Received: {shapes(sorted_sequence=sequence, values=values)}."
        )
    return Spec(values.shape, np.dtype(np.int64))


def _searchsorted_numpy(sequence, values, *, right):
    side = "right" if right else "left"
    if sequence.ndim == 1:
        return np.searchsorted(sequence, values, side)
    found = np.empty(values.shape, np.int64)
    for row in np.ndindex(values.shape[:-1]):
        found[row] = np.searchsorted(sequence[row], values[row], side)
    return found


def _searchsorted_reference(sequence, values, *, right):
    compare = np.less_equal if right else np.less
    return compare(sequence[..., None, :], values[..., None]).sum(-1)


SEARCHSORTED = define(
    "searchsorted",
    inputs=("sorted_sequence", "values"),
    attrs={"right": False},
    infer=_infer_searchsorted,
    fallback=_searchsorted_numpy,
    reference=_searchsorted_reference,
    samples=lambda: [
        Sample([np.array([-1.0, 0.5, 0.5, 2.0]), (3, 4)], grad=False),
        Sample([np.array([1, 2, 2, 2, 5]), np.array([2, 0, 9])], {"right": True}, grad=False),
        Sample([np.array([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.5]]), (2, 5)], grad=False),
        Sample([(0,), (3,)], grad=False),
    ],
    tfjs="SearchSorted",
)


def searchsorted(sorted_sequence, values, side: str = "left") -> Tensor:
    """Before which of the sorted numbers each value belongs: as many as are smaller ("left"), or not larger ("right"), as int64.

    Args:
        sorted_sequence: (n,) for values of any shape, or (..., n) beside (..., m); ascending along the last axis, which isn't checked.
        values: What to find; NaN belongs behind everything.
        side: "left" (TensorFlow.js's `lowerBound`) or "right" (`upperBound`).

    Raises:
        ValueError: the shapes don't fit, or there is no such side.

    Example:
        >>> import pynn as pn
        >>> pn.searchsorted([1, 3, 5], [3, 4]).numpy().tolist()
        [1, 2]
    """
    if side not in ("left", "right"):
        raise ValueError(f"[searchsorted] the side must be 'left' or 'right'. Received: side={side!r}.")
    return apply(SEARCHSORTED, *promote(sorted_sequence, values), right=side == "right")


# -- different values -----------------------------------------------------------------------------------------------------


class Unique(NamedTuple):
    """What `unique` finds."""

    values: Tensor
    indices: Tensor


def _first_and_which(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(where each different slice occurs first, in order; which of them each slice is)."""
    if not array.size:  # slices without elements are all equal
        length = array.shape[axis]
        return np.zeros(min(length, 1), np.int64), np.zeros(length, np.int64)
    _, first, which = np.unique(array, return_index=True, return_inverse=True, axis=axis if array.ndim > 1 else None)
    order = np.argsort(first)
    return first[order], np.argsort(order)[which.reshape(-1)]


def unique(x, axis: int | None = None) -> Unique:
    """The different elements of `x`, or slices along an axis, in the order in which they come first; and which of them each one is.

    `take(values, indices, axis)` is `x`. NaNs are one element. Gradients flow to where a value comes first. Not in captured functions,
    as the result's shape depends on values.

    Returns:
        `(values, indices)`: without an axis (m,) and int64 in the shape of `x`; else the m slices, and (x.shape[axis],).

    Raises:
        ValueError: there is no such axis.
        CaptureError: called in a captured function.

    Example:
        >>> import pynn as pn
        >>> pn.unique([3, 1, 3]).values.numpy().tolist()
        [3, 1]
    """
    x = as_tensor(x)
    _depends_on_values("unique", x, "Call it before, or compile with run_eagerly=True.")
    flat = call("reshape", x, (x.size,)) if axis is None else x
    along = 0 if axis is None else checked_axis("unique", axis, x.ndim)
    first, which = _first_and_which(flat.data, along)
    return Unique(call("take", flat, first, axis=along), as_tensor(which.reshape(x.shape) if axis is None else which))
