"""Rows picked by index, and sums scattered back to them. Indices are checked when they are used; none may be negative."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pynn.dtypes import as_dtype, fits_float64, is_float
from pynn.engine.apply import apply
from pynn.engine.loops import Either, Loop, read
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, scalar, tensor
from pynn.errors import shapes
from pynn.ops.shape import checked_axis, whole_number

__all__ = ["embedding", "gather_batch", "gather_rows", "one_hot", "scatter_add", "take"]

_INDEX_MESSAGE = "index {0} (at position {1}) is out of range for {2} rows. Indices must be at least 0 and below {2}."
_CURSOR_MESSAGE = "a batch of {1} rows from position {0} extends beyond the permutation of {2}. Start an epoch with the cursor at 0."
_INT64 = np.dtype(np.int64)


def _check_indices(name: str, indices: Spec) -> None:
    if indices.dtype.kind not in "iu":
        raise TypeError(f"[{name}] indices must be integers. Received: indices.dtype={indices.dtype}. Use pynn.cast.")


def checked_indices(name: str, indices: np.ndarray, rows: int, message: str = _INDEX_MESSAGE) -> np.ndarray:
    """Flat int64 indices, or the error that the native kernel's failure would give."""
    flat = indices.reshape(-1).astype(_INT64)
    wrong = (flat < 0) | (flat >= rows)
    if wrong.any():
        position = int(np.argmax(wrong))
        raise ValueError(f"[{name}] " + message.format(flat[position], position, rows))
    return flat


def _native_indices(indices) -> Tensor:
    indices = as_tensor(indices)
    small = indices.dtype.kind in "iu" and indices.dtype not in (np.int32, np.int64)
    return call("cast", indices, "int32") if small else indices


# -- take --------------------------------------------------------------------------------------------------------------


def _infer_take(name: str):
    def infer(data: Spec, indices: Spec, *, axis: int) -> Spec:
        _check_indices(name, indices)
        if not 0 <= axis < len(data.shape):
            raise ValueError(f"[{name}] the axis must be one of the data's. Received: axis={axis}, {shapes(data=data)}.")
        return Spec(data.shape[:axis] + indices.shape + data.shape[axis + 1 :], data.dtype)

    return infer


def _take_numpy(name: str):
    def take(data, indices, *, axis):
        flat = checked_indices(name, indices, data.shape[axis])
        shape = data.shape[:axis] + indices.shape + data.shape[axis + 1 :]
        return np.take(data, flat, axis=axis).reshape(shape)

    return take


def _take_vjp(dys, inputs, outputs, attrs, needs):
    data, indices = inputs
    return apply(TAKE_GRAD, dys[0], indices, axis=attrs["axis"], rows=data.shape[attrs["axis"]]), None


def _take_samples() -> list[Sample]:
    return [
        Sample([(5, 3), np.array([4, 0, 0, 2])], {"axis": 0}),
        Sample([(6,), np.array([[1, 5], [5, 0]], np.int32)], {"axis": 0}),
        Sample([(2, 7, 5), np.array([6, 6, 1])], {"axis": 1}),
        Sample([(2, 3, 9), np.array(4)], {"axis": 2}),
        Sample([(3, 40), np.zeros((0,), np.int64)], {"axis": 0}),
        Sample([(50, 33), np.arange(50)[::-1].copy()], {"axis": 0}),
    ]


def _row_samples() -> list[Sample]:
    return [s for s in _take_samples() if s.attrs["axis"] == 0]


def _define_take(name: str, inputs: tuple[str, str], samples, tfjs: str | None):
    return define(
        name,
        inputs=inputs,
        attrs={"axis": 0},
        infer=_infer_take(name),
        fallback=_take_numpy(name),
        vjp=_take_vjp,
        reference=_take_numpy(name),
        samples=samples,
        failures={1: _INDEX_MESSAGE},
        kernel="take",
        tfjs=tfjs,
        onnx="Gather",
    )


TAKE = _define_take("take", ("data", "indices"), _take_samples, "GatherV2")
GATHER_ROWS = _define_take("gather_rows", ("data", "indices"), _row_samples, "GatherV2")
EMBEDDING = _define_take("embedding", ("table", "ids"), _row_samples, "GatherV2")


def _infer_take_grad(dy: Spec, indices: Spec, *, axis: int, rows: int) -> Spec:
    _check_indices("take_grad", indices)
    return Spec(dy.shape[:axis] + (rows,) + dy.shape[axis + len(indices.shape) :], dy.dtype)


def _take_grad_numpy(dy, indices, *, axis, rows):
    flat = checked_indices("take_grad", indices, rows)
    rest = dy.shape[axis + indices.ndim :]
    dx = np.zeros((*dy.shape[:axis], rows, *rest), dy.dtype)
    by_position = dy.reshape(*dy.shape[:axis], flat.size, *rest)
    np.add.at(np.moveaxis(dx, axis, 0), flat, np.moveaxis(by_position, axis, 0))
    return dx


@Loop
def _add_rows(rows, indices, out):
    """out[o, indices[i]] += rows[o, i]"""
    for o in range(out.shape[0]):
        for i in range(indices.size):
            for c in range(out.shape[2]):
                out[o, indices[i], c] += rows[o, i, c]


def _take_grad_loops(dy, indices, *, axis, rows):
    if not is_float(dy.dtype):
        return _take_grad_numpy(dy, indices, axis=axis, rows=rows)
    flat = checked_indices("take_grad", indices, rows)
    outer, rest = dy.shape[:axis], dy.shape[axis + indices.ndim :]
    dx = np.zeros((math.prod(outer), rows, math.prod(rest)), dy.dtype)
    _add_rows(*read(dy.reshape(len(dx), flat.size, math.prod(rest)), flat), dx)
    return dx.reshape(*outer, rows, *rest)


def _take_grad_vjp(dys, inputs, outputs, attrs, needs):
    return take(dys[0], inputs[1], axis=attrs["axis"]), None


def _take_grad_samples() -> list[Sample]:
    return [
        Sample([(4, 3), np.array([4, 0, 0, 2])], {"axis": 0, "rows": 5}),
        Sample([(2, 2, 2, 9), np.array([[1, 3], [3, 0]], np.int32)], {"axis": 1, "rows": 4}),
        Sample([(300, 17), np.arange(300) % 7], {"axis": 0, "rows": 1000}),
        Sample([(0, 8), np.zeros((0,), np.int64)], {"axis": 0, "rows": 3}),
    ]


TAKE_GRAD = define(
    "take_grad",
    inputs=("dy", "indices"),
    attrs={"axis": 0, "rows": 1},
    infer=_infer_take_grad,
    fallback=Either(_take_grad_numpy, _take_grad_loops),
    vjp=_take_grad_vjp,
    reference=_take_grad_numpy,
    samples=_take_grad_samples,
    failures={1: _INDEX_MESSAGE},
)


def _take_batched(x: Tensor, indices: Tensor, axis: int, batch_dims: int) -> Tensor:
    """`take` with indices of its own for each of the first axes: these and `axis` become one, which is picked from."""
    if not 0 <= batch_dims <= min(axis, indices.ndim) or x.shape[:batch_dims] != indices.shape[:batch_dims]:
        raise ValueError(
            "[take] the first batch_dims axes must be the same in x and the indices, and come before the axis. "
            f"Received: {shapes(x=x, indices=indices)}, axis={axis}, batch_dims={batch_dims}."
        )
    _check_indices("take", indices.spec)
    batch, length = x.shape[:batch_dims], x.shape[axis]
    between, rest = x.shape[batch_dims:axis], x.shape[axis + 1 :]
    count, picked = math.prod(batch), indices.shape[batch_dims:]
    rows = call("reshape", call("moveaxis", x, axis, batch_dims), (count * length, *between, *rest))
    ids = call("reshape", call("cast", indices, "int64"), (count, math.prod(picked)))
    inside = call("logical_and", ids >= 0, ids < length)
    first = tensor(np.arange(count, dtype=_INT64)[:, None] * length)
    y = call("take", rows, call("where", inside, ids + first, call("full_like", ids, -1)), axis=0)
    y = call("reshape", y, (*batch, *picked, *between, *rest))
    heads, middle = batch_dims + len(picked), len(between)
    order = (*range(batch_dims), *range(heads, heads + middle), *range(batch_dims, heads), *range(heads + middle, y.ndim))
    return call("transpose", y, order)


def take(x, indices, axis: int | None = None, batch_dims: int = 0) -> Tensor:
    """Slices of `x` along an axis: `take(x, i, axis=0)[p] = x[i[p]]`.

    Args:
        x: Tensor of any dtype.
        indices: Integers of any shape, from 0 to the axis's length - 1; their axes take the place of `axis`.
        axis: The axis to pick along; None picks from the flattened tensor, or with `batch_dims` along the axis after these.
        batch_dims: How many first axes `x` and `indices` share: `take(x, i, axis=1, batch_dims=1)[b, p] = x[b, i[b, p]]`.

    Raises:
        ValueError: an index is out of range (with `batch_dims` it's reported as index -1), there is no such axis, or the first axes differ.
        TypeError: the indices aren't integers.

    Example:
        >>> import pynn as pn
        >>> pn.take([[1.0, 2.0], [3.0, 4.0]], [1, 1], axis=0).numpy().tolist()
        [[3.0, 4.0], [3.0, 4.0]]
    """
    x = as_tensor(x)
    if batch_dims != 0:
        batch_dims = whole_number("take", "batch_dims", batch_dims)
        axis = checked_axis("take", batch_dims if axis is None else axis, len(x.shape))
        return _take_batched(x, as_tensor(indices), axis, batch_dims)
    if axis is None:
        x, axis = call("reshape", x, (-1,)), 0
    return apply(TAKE, x, _native_indices(indices), axis=checked_axis("take", axis, len(x.shape)))


def gather_rows(data, indices) -> Tensor:
    """`data[indices]`: rows along the first axis. See `take`.

    Raises:
        ValueError: an index is out of range.
        TypeError: the indices aren't integers.
    """
    return apply(GATHER_ROWS, data, _native_indices(indices))


def embedding(table, ids) -> Tensor:
    """`table[ids]`: one row of the (rows, width) table for each id. The gradient is a dense table.

    Raises:
        ValueError: an id is negative or beyond the table.
    """
    return apply(EMBEDDING, table, _native_indices(ids))


# -- a batch by a permutation -------------------------------------------------------------------------------------------


def _infer_gather_batch(data: Spec, permutation: Spec, cursor: Spec, *, batch: int) -> Spec:
    if permutation.dtype != _INT64 or cursor.dtype != _INT64 or len(permutation.shape) != 1 or cursor.shape:
        raise TypeError(
            "[gather_batch] the permutation must be an int64 vector and the cursor an int64 number. Received: "
            f"permutation {permutation.dtype}{permutation.shape}, cursor {cursor.dtype}{cursor.shape}."
        )
    if not data.shape or batch < 0:
        raise ValueError(f"[gather_batch] there are no rows to pick. Received: {shapes(data=data)}, batch={batch}.")
    return Spec((batch, *data.shape[1:]), data.dtype)


def _gather_batch_numpy(data, permutation, cursor, *, batch):
    first = int(cursor)
    if first < 0 or first + batch > len(permutation):
        raise ValueError("[gather_batch] " + _CURSOR_MESSAGE.format(first, batch, len(permutation)))
    return data[checked_indices("gather_batch", permutation[first : first + batch], len(data))]


GATHER_BATCH = define(
    "gather_batch",
    inputs=("data", "permutation", "cursor"),
    attrs={"batch": 1},
    infer=_infer_gather_batch,
    fallback=_gather_batch_numpy,
    reference=_gather_batch_numpy,
    samples=lambda: [
        Sample([(10, 3), np.arange(10)[::-1].copy(), np.array(4)], {"batch": 6}, grad=False),
        Sample([(5, 28, 28, 1), np.array([3, 3, 1]), np.array(1)], {"batch": 2}, grad=False),
        Sample([(7,), np.array([6, 0, 2]), np.array(0)], {"batch": 3}, grad=False),
        Sample([(4, 2), np.array([1, 0]), np.array(2)], {"batch": 0}, grad=False),
    ],
    failures={1: _INDEX_MESSAGE, 2: _CURSOR_MESSAGE},
)


def gather_batch(data, permutation, cursor, *, batch: int) -> Tensor:
    """`data[permutation[cursor : cursor + batch]]`: how a training program picks its next rows.

    Raises:
        ValueError: the batch extends beyond the permutation, or one of its entries is no row of `data`.
    """
    return apply(GATHER_BATCH, data, permutation, cursor, batch=whole_number("gather_batch", "batch", batch))


# -- scatter_add and one_hot --------------------------------------------------------------------------------------------


def _infer_scatter_add(x: Spec, indices: Spec, updates: Spec) -> Spec:
    _check_indices("scatter_add", indices)
    if not x.shape or updates.shape != indices.shape + x.shape[1:] or updates.dtype != x.dtype:
        raise ValueError(
            f"[scatter_add] there must be one update of a row's shape and dtype per index. "
            f"Received: {shapes(x=x, indices=indices, updates=updates)}, {updates.dtype}. "
            f"Expected: updates.shape={indices.shape + x.shape[1:]}, {x.dtype}."
        )
    return x


def _scatter_add_numpy(x, indices, updates):
    flat = checked_indices("scatter_add", indices, len(x))
    out = x.copy()
    np.add.at(out, flat, updates.reshape(flat.size, *x.shape[1:]))
    return out


def _scatter_add_loops(x, indices, updates):
    if not is_float(x.dtype):
        return _scatter_add_numpy(x, indices, updates)
    flat = checked_indices("scatter_add", indices, len(x))
    out = x.copy()
    rest = math.prod(x.shape[1:])
    _add_rows(*read(updates.reshape(1, flat.size, rest), flat), out.reshape(1, len(x), rest))
    return out


def _scatter_add_vjp(dys, inputs, outputs, attrs, needs):
    return dys[0], None, gather_rows(dys[0], inputs[1]) if needs[2] else None


SCATTER_ADD = define(
    "scatter_add",
    inputs=("x", "indices", "updates"),
    infer=_infer_scatter_add,
    fallback=Either(_scatter_add_numpy, _scatter_add_loops),
    vjp=_scatter_add_vjp,
    updates={0: 0},
    reference=_scatter_add_numpy,
    samples=lambda: [
        Sample([(6, 3), np.array([5, 1, 5]), (3, 3)]),
        Sample([(9,), np.array([[0, 8], [8, 8]], np.int32), (2, 2)]),
        Sample([(4, 2), np.zeros((0,), np.int64), (0, 2)]),
    ],
    failures={1: _INDEX_MESSAGE},
    onnx="ScatterND",
)


def scatter_add(x, indices, updates) -> Tensor:
    """`x` with `updates[p]` added to its row `indices[p]`, for each p in order; a row may occur several times.

    Raises:
        ValueError: an index is out of range, or the shapes don't fit.
    """
    x = as_tensor(x)
    updates = updates if hasattr(updates, "dtype") else tensor(updates, x.dtype)
    return apply(SCATTER_ADD, x, _native_indices(indices), updates)


def _infer_one_hot(indices: Spec, *, depth, on, off, dtype) -> Spec:
    _check_indices("one_hot", indices)
    if depth < 0:
        raise ValueError(f"[one_hot] depth must be the number of classes, 0 or more. Received: depth={depth}.")
    return Spec((*indices.shape, depth), as_dtype(dtype))


def _one_hot_numpy(indices, *, depth, on, off, dtype):
    return np.where(indices[..., None] == np.arange(depth), on, off).astype(as_dtype(dtype))


ONE_HOT = define(
    "one_hot",
    inputs=("indices",),
    attrs={"depth": 1, "on": 1.0, "off": 0.0, "dtype": "float32"},
    infer=_infer_one_hot,
    fallback=_one_hot_numpy,
    reference=_one_hot_numpy,
    samples=lambda: [
        Sample([np.array([2, 0, 9, -1])], {"depth": 3}, grad=False),
        Sample([np.array([[1, 4], [0, 2]], np.int32)], {"depth": 5, "on": 0.9, "off": 0.1, "dtype": "float64"}, grad=False),
        Sample([np.zeros((0,), np.int64)], {"depth": 4}, grad=False),
    ],
    tfjs="OneHot",
    onnx="OneHot",
)


def one_hot(indices, depth: int, *, on: float = 1.0, off: float = 0.0, dtype: Any = "float32") -> Tensor:
    """A new last axis of length `depth` with `on` at each index and `off` elsewhere; an index outside gives `off` throughout.

    Raises:
        TypeError: the indices aren't integers.
        OverflowError: `on` or `off` are beyond the range of an integer `dtype`.

    Example:
        >>> import pynn as pn
        >>> pn.one_hot([0, 2], 3).numpy().tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    dtype, indices, depth = as_dtype(dtype), _native_indices(indices), whole_number("one_hot", "depth", depth)
    if not is_float(dtype):
        on, off = tensor(on, dtype).item(), tensor(off, dtype).item()
    if fits_float64(on) and fits_float64(off):
        return apply(ONE_HOT, indices, depth=depth, on=float(on), off=float(off), dtype=dtype.name)
    return call("where", apply(ONE_HOT, indices, depth=depth, dtype="bool"), scalar(on, dtype), scalar(off, dtype))
