"""Blocks of tensors: slice and its reverse, pad, concat, split, stack, flip, and Python's indexing."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence

import numpy as np

from pynn.dtypes import bool_, fits_float64, is_float, is_whole
from pynn.engine.apply import apply
from pynn.engine.op import Sample, Spec, define
from pynn.engine.operators import Operators, call
from pynn.engine.tensor import Tensor, as_tensor, promote, scalar
from pynn.errors import shapes
from pynn.ops.shape import as_shape, checked_axes, checked_axis, expand_dims, reshape, squeeze, whole_number

__all__ = ["concat", "flip", "getitem", "pad", "slice", "split", "stack", "unstack"]


# -- slice, and placing a block where a slice was -------------------------------------------------------------------------


def _index(begin, size, step) -> tuple:
    """Python slices for a block; a block that runs backwards to the first element has no end."""
    ends = (b + n * s for b, n, s in zip(begin, size, step, strict=True))
    return tuple(builtins.slice(b, e if e >= 0 else None, s) for b, e, s in zip(begin, ends, step, strict=True))


def _infer_slice(x: Spec, *, begin, size, step) -> Spec:
    rank = len(x.shape)
    inside = len(begin) == len(size) == len(step) == rank and all(
        s != 0 and n >= 0 and (n == 0 or (0 <= b < m and 0 <= b + (n - 1) * s < m))
        for b, n, s, m in zip(begin, size, step, x.shape, strict=True)
    )
    if not inside:
        raise ValueError(
            f"[slice] the block must lie inside the input. Received: {shapes(x=x)}, begin={begin}, size={size}, step={step}. "
            "Give one begin, size and step per axis, with begin + (size - 1) * step on the axis."
        )
    return Spec(size, x.dtype)


def _slice_numpy(x, *, begin, size, step):
    return x[_index(begin, size, step)].reshape(size) if 0 not in size else np.zeros(size, x.dtype)


def _slice_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(SLICE_GRAD, dys[0], begin=attrs["begin"], step=attrs["step"], shape=inputs[0].shape),)


def _slice_samples() -> list[Sample]:
    return [
        Sample([(10,)], {"begin": (2,), "size": (5,), "step": (1,)}),
        Sample([(10,)], {"begin": (9,), "size": (4,), "step": (-3,)}),
        Sample([(6, 40)], {"begin": (1, 3), "size": (4, 33), "step": (1, 1)}),
        Sample([(5, 6, 7)], {"begin": (4, 0, 1), "size": (5, 3, 3), "step": (-1, 2, 2)}),
        Sample([(3, 4)], {"begin": (1, 0), "size": (0, 4), "step": (1, 1)}),
    ]


SLICE = define(
    "slice",
    inputs=("x",),
    attrs={"begin": (), "size": (), "step": ()},
    infer=_infer_slice,
    fallback=_slice_numpy,
    vjp=_slice_vjp,
    pack=lambda attrs: ([*attrs["begin"], *attrs["step"]], []),
    reference=_slice_numpy,
    samples=_slice_samples,
    tfjs="StridedSlice",
    onnx="Slice",
)


def _slice_grad_numpy(dy, *, begin, step, shape):
    dx = np.zeros(shape, dy.dtype)
    if dy.size:
        dx[_index(begin, dy.shape, step)] = dy
    return dx


def _slice_grad_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(SLICE, dys[0], begin=attrs["begin"], size=inputs[0].shape, step=attrs["step"]),)


SLICE_GRAD = define(
    "slice_grad",
    inputs=("dy",),
    attrs={"begin": (), "step": (), "shape": ()},
    infer=lambda dy, *, begin, step, shape: Spec(shape, dy.dtype),
    fallback=_slice_grad_numpy,
    vjp=_slice_grad_vjp,
    pack=lambda attrs: ([*attrs["begin"], *attrs["step"]], []),
    reference=_slice_grad_numpy,
    samples=lambda: [
        Sample([s.attrs["size"]], {"begin": s.attrs["begin"], "step": s.attrs["step"], "shape": s.inputs[0]}) for s in _slice_samples()
    ],
    kernel="place",
)


def _block(x: Tensor, begin, size, step) -> tuple[tuple[int, ...], ...]:
    """The three of a block as tuples, for a step of None too."""
    steps = (1,) * len(x.shape) if step is None else as_shape("slice", step, "step")
    return as_shape("slice", begin, "begin"), as_shape("slice", size, "size"), steps


def slice_block(x, begin, size, step=None) -> Tensor:
    """`slice` for complete tuples; the whole of `x` is `x` itself."""
    x = as_tensor(x)
    begin, size, step = _block(x, begin, size, step)
    whole = size == x.shape and all(s == 1 or n < 2 for s, n in zip(step, size, strict=False))
    return x if whole and not any(begin) else apply(SLICE, x, begin=begin, size=size, step=step)


def slice(x, begin, size, step=None) -> Tensor:
    """The block of `x` that starts at `begin` and has `size` elements along each axis, `step` apart (negative: backwards).

    A size of -1 extends to the end of the axis.

    Raises:
        ValueError: the block isn't inside `x`.
        TypeError: a number of the block is no integer.
    """
    x = as_tensor(x)
    begin, size, step = _block(x, begin, size, step)
    if -1 in size and len(begin) == len(size) == len(x.shape):
        size = tuple(
            n if n != -1 else max(-(-(m - b) // s) if s > 0 else b // -s + 1, 0)
            for n, m, b, s in zip(size, x.shape, begin, step, strict=True)
        )
    return slice_block(x, begin, size, step)


def flip(x, axis: int | Sequence[int] | None = None) -> Tensor:
    """`x` with the elements along the given axes (None: all) in reverse order.

    Raises:
        ValueError: there is no such axis.
    """
    x = as_tensor(x)
    axes = range(len(x.shape)) if axis is None else checked_axes("flip", axis, len(x.shape))
    if not x.size:
        return x
    begin = tuple(n - 1 if a in axes else 0 for a, n in enumerate(x.shape))
    return slice_block(x, begin, x.shape, tuple(-1 if a in axes else 1 for a in range(len(x.shape))))


# -- pad ------------------------------------------------------------------------------------------------------------------


def _infer_pad(x: Spec, *, before, after, value) -> Spec:
    if len(before) != len(x.shape) or len(after) != len(x.shape) or any(n < 0 for n in (*before, *after)):
        raise ValueError(
            f"[pad] there must be two widths per axis, none negative. Received: {shapes(x=x)}, before={before}, after={after}."
        )
    return Spec(tuple(b + n + a for b, n, a in zip(before, x.shape, after, strict=True)), x.dtype)


def _pad_numpy(x, *, before, after, value):
    return np.pad(x, tuple(zip(before, after, strict=True)), constant_values=x.dtype.type(value)) if x.ndim else x


def _pad_vjp(dys, inputs, outputs, attrs, needs):
    return (slice_block(dys[0], attrs["before"], inputs[0].shape),)


PAD = define(
    "pad",
    inputs=("x",),
    attrs={"before": (), "after": (), "value": 0.0},
    infer=_infer_pad,
    fallback=_pad_numpy,
    vjp=_pad_vjp,
    pack=lambda attrs: ([*attrs["before"], *(1 for _ in attrs["before"])], [attrs["value"]]),
    reference=_pad_numpy,
    samples=lambda: [
        Sample([(5,)], {"before": (2,), "after": (1,), "value": 0.5}),
        Sample([(3, 17)], {"before": (0, 1), "after": (2, 0), "value": 0.0}),
        Sample([(2, 4, 4, 3)], {"before": (0, 1, 1, 0), "after": (0, 1, 1, 0), "value": 0.0}),
        Sample([(0, 2)], {"before": (1, 0), "after": (0, 3), "value": -1.0}),
    ],
    kernel="place",
    tfjs="PadV2",
    onnx="Pad",
)


def pad(x, paddings: Sequence, value: float = 0.0, *, mode: str = "constant") -> Tensor:
    """`x` with elements added around it.

    Args:
        x: Tensor of any dtype.
        paddings: One `(before, after)` per axis.
        value: What a constant padding holds.
        mode: "constant", "reflect" (mirrored, without the edge) or "symmetric" (mirrored, with it).

    Raises:
        ValueError: a width is negative, a mirrored one longer than the axis has elements for, or the dtype of `x` doesn't hold the value.
        TypeError: the paddings are no pairs of integers.

    Example:
        >>> import pynn as pn
        >>> pn.pad([1.0, 2.0], [(1, 0)]).numpy().tolist()
        [0.0, 1.0, 2.0]
    """
    x = as_tensor(x)
    before, after = _widths(paddings)
    if mode == "constant" or len(before) != len(x.shape):
        return _constant(x, before, after, value)
    if mode not in ("reflect", "symmetric"):
        raise ValueError(f"[pad] unknown mode. Received: mode={mode!r}. Known: 'constant', 'reflect', 'symmetric'.")
    edge = 1 if mode == "reflect" else 0
    for axis, (b, a) in enumerate(zip(before, after, strict=True)):
        x = _mirror(x, axis, b, a, edge)
    return x


def _widths(paddings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The widths before all axes and those after them."""
    sides = [tuple(p) if np.iterable(p) else () for p in paddings] if np.iterable(paddings) else [()]
    if any(len(side) != 2 for side in sides):
        raise TypeError(f"[pad] there must be two widths (before, after) per axis. Received: paddings={paddings!r}. Pass [(1, 1), (0, 2)].")
    before, after = ([whole_number("pad", "a width", side[i]) for side in sides] for i in range(2))
    return tuple(before), tuple(after)


def _check_held(value, dtype: np.dtype) -> None:
    """Kernels would make something of any float, each something else."""
    if is_float(dtype):
        try:
            float(value)
        except (TypeError, ValueError):
            raise TypeError(f"[pad] the value must be a number. Received: value={value!r}. Pass for example 0.0.") from None
        return
    low, high = (0, 1) if dtype == bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    try:
        held = low <= value <= high and int(value) == value
    except (TypeError, ValueError):  # no number, or several
        held = False
    if not held:
        raise ValueError(
            f"[pad] a tensor of {dtype} holds whole numbers from {low} to {high}. Received: value={value!r}. "
            "Pad with one of them, or cast the tensor first, for example with x.astype('float32')."
        )


def _constant(x: Tensor, before: tuple[int, ...], after: tuple[int, ...], value) -> Tensor:
    _check_held(value, x.dtype)
    if fits_float64(value):
        return apply(PAD, x, before=before, after=after, value=float(value))
    inside = apply(PAD, call("ones", x.shape, bool), before=before, after=after)
    return call("where", inside, apply(PAD, x, before=before, after=after), scalar(value, x.dtype))


def _mirror(x: Tensor, axis: int, before: int, after: int, edge: int) -> Tensor:
    n = x.shape[axis]
    if min(before, after) < 0 or max(before, after) > n - edge:
        raise ValueError(
            f"[pad] a mirrored padding takes its elements from the axis, which has too few. Received: {shapes(x=x)}, axis={axis}, "
            f"widths=({before}, {after}). Pad by at most {n - edge}."
        )

    def reversed_part(first: int, size: int) -> Tensor:
        begin, step = [0] * len(x.shape), [1] * len(x.shape)
        begin[axis], step[axis] = first, -1
        return slice_block(x, begin, (*x.shape[:axis], size, *x.shape[axis + 1 :]), step)

    parts = [reversed_part(before - 1 + edge, before)] if before else []
    parts.append(x)
    if after:
        parts.append(reversed_part(n - 1 - edge, after))
    return concat(parts, axis)


# -- concat and what is built of it ---------------------------------------------------------------------------------------


def _infer_concat(*xs: Spec, axis: int) -> Spec:
    if not xs:
        raise ValueError("[concat] there is nothing to join. Received: no tensors.")
    first = xs[0]
    same = [s.shape[:axis] + s.shape[axis + 1 :] for s in xs]
    if any(len(s.shape) != len(first.shape) or s.dtype != first.dtype for s in xs) or any(s != same[0] for s in same):
        raise ValueError(
            f"[concat] the tensors must have one dtype and, but for the axis to join, one shape. "
            f"Received: {', '.join(f'{s.dtype}{s.shape}' for s in xs)}, axis={axis}."
        )
    return Spec(first.shape[:axis] + (sum(s.shape[axis] for s in xs),) + first.shape[axis + 1 :], first.dtype)


def _concat_vjp(dys, inputs, outputs, attrs, needs):
    sizes = [t.shape[attrs["axis"]] for t in inputs]
    return tuple(split(dys[0], sizes, attrs["axis"]))


CONCAT = define(
    "concat",
    inputs=("*",),
    attrs={"axis": 0},
    infer=_infer_concat,
    fallback=lambda *xs, axis: np.concatenate(xs, axis=axis),
    vjp=_concat_vjp,
    reference=lambda *xs, axis: np.concatenate(xs, axis=axis),
    samples=lambda: [
        Sample([(2, 3), (4, 3)], {"axis": 0}),
        Sample([(5, 3), (5, 1), (5, 8)], {"axis": 1}),
        Sample([(2, 3, 4), (2, 0, 4)], {"axis": 1}),
        Sample([(7,)], {"axis": 0}),
    ],
    tfjs="Concat",
    onnx="Concat",
)


def _met(xs: Iterable) -> tuple[Tensor, ...]:
    """Tensors and numbers in their common dtype."""
    xs = tuple(xs)
    return promote(*xs) if xs else ()


def concat(xs: Iterable, axis: int = 0) -> Tensor:
    """The tensors one after another along an axis, in their common dtype.

    Raises:
        ValueError: there are none, or other axes differ.

    Example:
        >>> import pynn as pn
        >>> pn.concat([[1.0, 2.0], [3.0]], axis=0).numpy().tolist()
        [1.0, 2.0, 3.0]
    """
    tensors = _met(xs)
    axis = checked_axis("concat", axis, len(tensors[0].shape)) if tensors else 0
    return tensors[0] if len(tensors) == 1 else apply(CONCAT, *tensors, axis=axis)


def stack(xs: Iterable, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis, in their common dtype.

    Raises:
        ValueError: there are no tensors, their shapes differ, or there is no such axis.

    Example:
        >>> import pynn as pn
        >>> pn.stack([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 2)
    """
    tensors = _met(xs)
    other = next((i for i, x in enumerate(tensors) if x.shape != tensors[0].shape), None)
    if other is not None:
        found = f"shape {tensors[0].shape} first, {tensors[other].shape} at place {other}"
        raise ValueError(f"[stack] the tensors must have one shape. Received: {found}. Use concat to join along an axis that they have.")
    return concat([expand_dims(x, axis) for x in tensors], axis)


def split(x, parts: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """`x` cut along an axis into `parts` equal pieces, or into pieces of the given lengths.

    Raises:
        ValueError: the lengths don't add up to the axis.
        TypeError: one is no integer.

    Example:
        >>> import pynn as pn
        >>> [part.shape for part in pn.split(pn.zeros((6, 2)), 3)]
        [(2, 2), (2, 2), (2, 2)]
    """
    x = as_tensor(x)
    axis = checked_axis("split", axis, len(x.shape))
    length = x.shape[axis]
    if np.iterable(parts):
        sizes = [whole_number("split", "a length", n) for n in parts]
    else:
        count = whole_number("split", "the number of parts", parts)
        sizes = [length // max(count, 1)] * count
    if sum(sizes) != length or any(n < 0 for n in sizes):
        raise ValueError(f"[split] the pieces must add up to the axis's length. Received: {shapes(x=x)}, axis={axis}, parts={parts}.")
    pieces, first = [], 0
    for n in sizes:
        begin = tuple(first if a == axis else 0 for a in range(len(x.shape)))
        pieces.append(slice_block(x, begin, (*x.shape[:axis], n, *x.shape[axis + 1 :])))
        first += n
    return pieces


def unstack(x, axis: int = 0) -> list[Tensor]:
    """The slices of `x` along an axis, without that axis.

    Raises:
        ValueError: there is no such axis.
    """
    x = as_tensor(x)
    axis = checked_axis("unstack", axis, len(x.shape))
    return [squeeze(piece, axis) for piece in split(x, x.shape[axis], axis)]


# -- x[...] -----------------------------------------------------------------------------------------------------------------


def _expanded(key, rank: int) -> list:
    """The key as one entry per axis (and per new axis), an Ellipsis written out."""
    key = list(key) if isinstance(key, tuple) else [key]
    ellipses = sum(1 for k in key if k is Ellipsis)
    used = sum(1 for k in key if k is not None and k is not Ellipsis)
    if used > rank or ellipses > 1:
        raise IndexError(f"[getitem] too many indices. Received: {used} for {rank} axes.")
    rest = [builtins.slice(None)] * (rank - used)
    if not ellipses:
        return key + rest
    at = next(i for i, k in enumerate(key) if k is Ellipsis)
    return key[:at] + rest + key[at + 1 :]


def _is_tensor_index(k) -> bool:
    return isinstance(k, (Operators, np.ndarray, list))


def _integer(k, axis: int, length: int) -> int:
    k = int(k)
    if not -length <= k < length:
        raise IndexError(f"[getitem] index {k} is out of range for axis {axis} with length {length}.")
    return k % length


def getitem(x, key) -> Tensor:
    """`x[key]` for integers, slices with steps, None, Ellipsis, and one integer tensor or array among them.

    Integers, and those of a list or an array, count from the end if they are negative; those of a tensor go from 0, as in `take`.

    Raises:
        IndexError: an index is out of range, or there are too many.
        ValueError: an index of a tensor is out of range.
        TypeError: the key is of another kind, such as a mask, whose result has no fixed shape.
    """
    x = as_tensor(x)
    begin, size, step, shape, picks = [], [], [], [], []
    axis = 0
    for k in _expanded(key, len(x.shape)):
        if k is None:
            shape.append(1)
            continue
        length = x.shape[axis]
        if isinstance(k, builtins.slice):
            first, last, stride = k.indices(length)
            block = first, len(range(first, last, stride)), stride
            shape.append(block[1])
        elif is_whole(k):
            block = _integer(k, axis, length), 1, 1
        elif _is_tensor_index(k):
            picks.append((len(shape), _from_either_end(k, axis, length)))
            block = 0, length, 1
            shape.append(length)
        else:
            raise TypeError(f"[getitem] indices must be integers, slices, None, ... or an integer tensor. Received: {k!r}.")
        for values, value in zip((begin, size, step), block, strict=True):
            values.append(value if block[1] else (1 if values is step else 0))
        axis += 1
    out = reshape(slice_block(x, tuple(begin), tuple(size), tuple(step)), tuple(shape))
    return out if not picks else _picked(out, picks)


def _from_either_end(indices, axis: int, length: int):
    """Those of a list or an array counted from the front; a tensor is left alone."""
    if isinstance(indices, Operators):
        return indices
    indices = np.asarray(indices)
    if not indices.size:
        return indices.astype(np.int64)  # NumPy takes empty lists for floats
    if indices.dtype.kind not in "iu":
        return indices
    wrong = (indices < -length) | (indices >= length)
    if wrong.any():
        raise IndexError(f"[getitem] index {indices[wrong][0]} is out of range for axis {axis} with length {length}.")
    return np.where(indices < 0, indices.astype(np.int64) + length, indices)


def _picked(x: Tensor, picks: list) -> Tensor:
    if len(picks) > 1:
        raise TypeError("[getitem] only one axis can be indexed by a tensor. Use pynn.take for one axis after another.")
    axis, indices = picks[0]
    indices = as_tensor(indices)
    if indices.dtype.kind == "b":
        raise TypeError("[getitem] a mask picks a number of elements known only at run time. Use pynn.where(mask, x, 0).")
    return call("take", x, indices, axis=axis)
