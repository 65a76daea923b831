"""Ops over the shape of a tensor: reshape, transpose, broadcast, tile, and what is built of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pynn.dtypes import as_whole
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import shapes
from pynn.ops.elementwise import unbroadcast

__all__ = [
    "broadcast_to",
    "expand_dims",
    "flatten",
    "moveaxis",
    "repeat",
    "reshape",
    "squeeze",
    "swapaxes",
    "tile",
    "transpose",
]


def axis_number(name: str, axis) -> int:
    """`axis` as a Python integer.

    Raises:
        TypeError: it is none; a bool isn't one either.
    """
    number = as_whole(axis)
    if number is None:
        raise TypeError(f"[{name}] an axis must be an integer. Received: axis={axis!r}. Count axes from 0, or with -1 from the last.")
    return number


def axis_numbers(name: str, axis) -> tuple[int, ...]:
    """One axis or several as a tuple of Python integers.

    Raises:
        TypeError: one is no integer.
    """
    return tuple(axis_number(name, a) for a in (axis if np.iterable(axis) else (axis,)))


def checked_axis(name: str, axis: int, rank: int) -> int:
    """`axis` counted from the front.

    Raises:
        ValueError: there is no such axis.
        TypeError: it is no integer.
    """
    number = axis_number(name, axis)
    if not -rank <= number < rank:
        raise ValueError(f"[{name}] there is no such axis. Received: axis={number} for {rank} axes.")
    return number % rank


def checked_axes(name: str, axis, rank: int) -> tuple[int, ...]:
    """One axis or several, counted from the front, in their order.

    Raises:
        ValueError: there is no such axis, or one is named twice.
        TypeError: one is no integer.
    """
    found = tuple(checked_axis(name, a, rank) for a in axis_numbers(name, axis))
    if len(set(found)) != len(found):
        raise ValueError(f"[{name}] an axis is named twice. Received: axis={axis} for {rank} axes. Name each once.")
    return found


def whole_number(name: str, what: str, value) -> int:
    """`value` as a Python integer.

    Raises:
        TypeError: it is none; a float isn't one either, even where it is whole.
    """
    number = as_whole(value)
    if number is None:
        raise TypeError(f"[{name}] {what} must be a whole number. Received: {value!r}. Pass an int.")
    return number


def as_shape(name: str, value, what: str = "shape") -> tuple[int, ...]:
    """A whole number or a sequence of them as a tuple of Python integers.

    Raises:
        TypeError: it is neither.
    """
    if type(value) is tuple and all([type(n) is int for n in value]):
        return value
    single = as_whole(value)
    numbers = (single,) if single is not None or not np.iterable(value) else tuple(map(as_whole, value))
    if None in numbers:
        raise TypeError(f"[{name}] {what} must be a whole number or several. Received: {what}={value!r}. Pass for example (2, 3).")
    return numbers


# -- reshape: the same memory under another shape -----------------------------------------------------------------------


def _infer_reshape(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    known = math.prod(n for n in shape if n != -1)
    holes = shape.count(-1)
    if holes == 1 and known > 0 and x.size % known == 0:
        shape = tuple(x.size // known if n == -1 else n for n in shape)
    if shape.count(-1) or math.prod(shape) != x.size or any(n < 0 for n in shape):
        raise ValueError(
            f"[reshape] the number of elements can't change. Received: {shapes(x=x)} with {x.size} elements, shape={shape}. "
            "At most one axis may be -1, and the lengths must multiply to the number of elements."
        )
    return Spec(shape, x.dtype)


def _reshape_vjp(dys, inputs, outputs, attrs, needs):
    return (reshape(dys[0], inputs[0].shape),)


RESHAPE = define(
    "reshape",
    inputs=("x",),
    attrs={"shape": ()},
    infer=_infer_reshape,
    fallback=lambda x, *, shape: x.reshape(shape),
    vjp=_reshape_vjp,
    reference=lambda x, *, shape: x.reshape(shape),
    samples=lambda: [
        Sample([(3, 4)], {"shape": (2, 6)}),
        Sample([(2, 3, 5)], {"shape": (-1, 5)}),
        Sample([(0, 3)], {"shape": (3, 0)}),
        Sample([(1,)], {"shape": ()}),
    ],
    kernel="copy",
    alias=True,
    tfjs="Reshape",
    onnx="Reshape",
)


def reshape(x, shape, *more: int) -> Tensor:
    """`x` with another shape and the same elements in the same order; one length may be -1. Takes `(2, 3)` or `2, 3`.

    Raises:
        ValueError: the number of elements would change.
        TypeError: a length is no integer.

    Example:
        >>> import pynn as pn
        >>> pn.reshape([1.0, 2.0, 3.0, 4.0], (2, -1)).numpy().tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    x = as_tensor(x)
    shape = as_shape("reshape", shape) + as_shape("reshape", more)
    return x if shape == x.shape else apply(RESHAPE, x, shape=shape)


def flatten(x) -> Tensor:
    """`x` as a vector."""
    return reshape(x, (-1,)) if as_tensor(x).size else reshape(x, (0,))


def expand_dims(x, axis: int | Sequence[int]) -> Tensor:
    """`x` with new axes of length 1 at the given places of the result.

    Raises:
        ValueError: there is no such place, or one is named twice.

    Example:
        >>> import pynn as pn
        >>> pn.expand_dims(pn.zeros((2, 3)), -1).shape
        (2, 3, 1)
    """
    x = as_tensor(x)
    axes = axis_numbers("expand_dims", axis)
    rank = len(x.shape) + len(axes)
    places = checked_axes("expand_dims", axes, rank)
    lengths = iter(x.shape)
    return reshape(x, tuple(1 if i in places else next(lengths) for i in range(rank)))


def squeeze(x, axis: int | Sequence[int] | None = None) -> Tensor:
    """`x` without the given axes, which must have length 1; None means all such axes.

    Raises:
        ValueError: an axis is longer than 1, or named twice.

    Example:
        >>> import pynn as pn
        >>> pn.squeeze(pn.zeros((2, 1, 3)), 1).shape
        (2, 3)
    """
    x = as_tensor(x)
    if axis is None:
        return reshape(x, tuple(n for n in x.shape if n != 1))
    places = checked_axes("squeeze", axis, len(x.shape))
    if any(x.shape[a] != 1 for a in places):
        raise ValueError(f"[squeeze] only axes of length 1 can be removed. Received: {shapes(x=x)}, axis={axis}.")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in places))


# -- transpose ----------------------------------------------------------------------------------------------------------


def _infer_transpose(x: Spec, *, axes: tuple[int, ...]) -> Spec:
    if sorted(axes) != list(range(len(x.shape))):
        raise ValueError(f"[transpose] axes must name each axis of the input once. Received: {shapes(x=x)}, axes={axes}.")
    return Spec(tuple(x.shape[a] for a in axes), x.dtype)


def _transpose_vjp(dys, inputs, outputs, attrs, needs):
    return (transpose(dys[0], tuple(int(a) for a in np.argsort(attrs["axes"]))),)


TRANSPOSE = define(
    "transpose",
    inputs=("x",),
    attrs={"axes": ()},
    infer=_infer_transpose,
    fallback=lambda x, *, axes: x.transpose(axes),
    vjp=_transpose_vjp,
    reference=lambda x, *, axes: x.transpose(axes),
    samples=lambda: [
        Sample([(3, 5)], {"axes": (1, 0)}),
        Sample([(17, 40)], {"axes": (1, 0)}),
        Sample([(2, 9, 11)], {"axes": (0, 2, 1)}),
        Sample([(3, 8, 2, 5)], {"axes": (2, 0, 3, 1)}),
        Sample([(4, 6, 3)], {"axes": (1, 0, 2)}),
        Sample([(0, 3)], {"axes": (1, 0)}),
        Sample([()], {"axes": ()}),
    ],
    tfjs="Transpose",
    onnx="Transpose",
)


def transpose(x, axes: Sequence[int] | None = None) -> Tensor:
    """`x` with its axes in the given order, by default reversed.

    Raises:
        ValueError: `axes` doesn't name each axis once.

    Example:
        >>> import pynn as pn
        >>> pn.transpose(pn.zeros((2, 3, 4))).shape
        (4, 3, 2)
    """
    x = as_tensor(x)
    rank = len(x.shape)
    order = tuple(range(rank))[::-1] if axes is None else tuple(checked_axis("transpose", a, rank) for a in axis_numbers("transpose", axes))
    return x if order == tuple(range(rank)) else apply(TRANSPOSE, x, axes=order)


def swapaxes(x, first: int, second: int) -> Tensor:
    """`x` with two axes exchanged.

    Raises:
        ValueError: there is no such axis.
    """
    x = as_tensor(x)
    order = list(range(len(x.shape)))
    a, b = checked_axis("swapaxes", first, len(order)), checked_axis("swapaxes", second, len(order))
    order[a], order[b] = order[b], order[a]
    return transpose(x, order)


def moveaxis(x, source: int, destination: int) -> Tensor:
    """`x` with one axis at another place, the others in their order.

    Raises:
        ValueError: there is no such axis.
    """
    x = as_tensor(x)
    order = list(range(len(x.shape)))
    axis = order.pop(checked_axis("moveaxis", source, len(order)))
    order.insert(checked_axis("moveaxis", destination, len(x.shape)), axis)
    return transpose(x, order)


# -- broadcast and tile -------------------------------------------------------------------------------------------------


def _infer_broadcast(x: Spec, *, shape: tuple[int, ...]) -> Spec:
    own = shape[len(shape) - len(x.shape) :] if len(shape) >= len(x.shape) and min(shape, default=0) >= 0 else None
    if own is None or any(n != m and n != 1 for n, m in zip(x.shape, own, strict=True)):
        raise ValueError(
            f"[broadcast_to] the input doesn't broadcast to this shape. Received: {shapes(x=x)}, shape={shape}. "
            "Counted from the last, each axis of the input must have length 1 or that of the shape, which is 0 or more."
        )
    return Spec(shape, x.dtype)


def _broadcast_vjp(dys, inputs, outputs, attrs, needs):
    return (unbroadcast(dys[0], inputs[0].shape),)


BROADCAST_TO = define(
    "broadcast_to",
    inputs=("x",),
    attrs={"shape": ()},
    infer=_infer_broadcast,
    fallback=lambda x, *, shape: np.broadcast_to(x, shape),
    vjp=_broadcast_vjp,
    reference=lambda x, *, shape: np.broadcast_to(x, shape),
    samples=lambda: [
        Sample([()], {"shape": (3, 5)}),
        Sample([(5,)], {"shape": (4, 5)}),
        Sample([(4, 1, 3)], {"shape": (2, 4, 7, 3)}),
        Sample([(6, 1)], {"shape": (6, 33)}),
        Sample([(1, 3)], {"shape": (0, 3)}),
    ],
    tfjs="BroadcastTo",
    onnx="Expand",
)


def broadcast_to(x, shape) -> Tensor:
    """`x` repeated along axes of length 1 and along new leading axes until it has `shape`.

    Raises:
        ValueError: the shapes don't broadcast.
        TypeError: a length is no integer.
    """
    x, shape = as_tensor(x), as_shape("broadcast_to", shape)
    return x if x.shape == shape else apply(BROADCAST_TO, x, shape=shape)


def _infer_tile(x: Spec, *, repeats: tuple[int, ...]) -> Spec:
    if len(repeats) != len(x.shape) or any(r < 0 for r in repeats):
        raise ValueError(f"[tile] there must be one repeat count per axis, none negative. Received: {shapes(x=x)}, repeats={repeats}.")
    return Spec(tuple(n * r for n, r in zip(x.shape, repeats, strict=True)), x.dtype)


def _tile_vjp(dys, inputs, outputs, attrs, needs):
    dx = dys[0]
    for axis, (n, r) in enumerate(zip(inputs[0].shape, attrs["repeats"], strict=True)):
        if r != 1:
            split_shape = (*dx.shape[:axis], r, n, *dx.shape[axis + 1 :])
            dx = call("sum", reshape(dx, split_shape), axis=axis)
    return (dx,)


TILE = define(
    "tile",
    inputs=("x",),
    attrs={"repeats": ()},
    infer=_infer_tile,
    fallback=lambda x, *, repeats: np.tile(x, repeats),
    vjp=_tile_vjp,
    reference=lambda x, *, repeats: np.tile(x, repeats),
    samples=lambda: [
        Sample([(3,)], {"repeats": (4,)}),
        Sample([(2, 5)], {"repeats": (3, 2)}),
        Sample([(2, 3, 4)], {"repeats": (1, 5, 1)}),
        Sample([(2, 3)], {"repeats": (0, 2)}),
    ],
    tfjs="Tile",
    onnx="Tile",
)


def tile(x, repeats) -> Tensor:
    """`x` as a whole repeated along each axis; leading axes are added if there are more counts than axes.

    Raises:
        ValueError: a count is negative.

    Example:
        >>> import pynn as pn
        >>> pn.tile([1.0, 2.0], (2,)).numpy().tolist()
        [1.0, 2.0, 1.0, 2.0]
    """
    x, repeats = as_tensor(x), as_shape("tile", repeats, "repeats")
    missing = len(repeats) - len(x.shape)
    if missing > 0:
        x = reshape(x, (1,) * missing + x.shape)
    return apply(TILE, x, repeats=(1,) * -missing + repeats if missing < 0 else repeats)


def repeat(x, repeats: int, axis: int | None = None) -> Tensor:
    """Each slice along `axis` repeated `repeats` times in place; None flattens first.

    Raises:
        ValueError: `repeats` is negative, or there is no such axis.
    """
    x, count = as_tensor(x), whole_number("repeat", "repeats", repeats)
    if count < 0:
        raise ValueError(f"[repeat] a slice can't be repeated fewer than 0 times. Received: repeats={count}. Give 0 or more.")
    if axis is None:
        x, axis = flatten(x), 0
    axis = checked_axis("repeat", axis, len(x.shape))
    wide = broadcast_to(expand_dims(x, axis + 1), (*x.shape[: axis + 1], count, *x.shape[axis + 1 :]))
    return reshape(wide, (*x.shape[:axis], x.shape[axis] * count, *x.shape[axis + 1 :]))
