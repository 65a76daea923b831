"""Pooling over the two spatial axes of NHWC images."""

from __future__ import annotations

from typing import Any

import numpy as np

from pynn.dtypes import is_float
from pynn.engine.apply import apply
from pynn.engine.loops import Either, read
from pynn.engine.op import Sample, Spec, define
from pynn.engine.tensor import Tensor, as_tensor
from pynn.errors import shapes
from pynn.ops import pool_loops
from pynn.ops.windows import checked_padding, image_windows, padded_images, padding_ints, pair, tap_slice

__all__ = ["average_pool2d", "max_pool2d"]

POOL_ATTRS = dict(pool_size=(2, 2), strides=(2, 2), padding="valid")
_ONE = (1, 1)
_BYTE_WINDOW = 255  # a larger window numbers its positions in 32 bits, on the fallback


def _pool_pack(attrs: dict) -> tuple[list[int], list[float]]:
    return [*attrs["pool_size"], *attrs["strides"], *padding_ints(attrs["padding"])], []


def _pool_attrs(attrs: dict) -> dict:
    return {name: attrs[name] for name in POOL_ATTRS}


def _argmax_dtype(pool_size) -> np.dtype:
    return np.dtype(np.uint8 if pool_size[0] * pool_size[1] <= _BYTE_WINDOW else np.int32)


def _windows(shape, *, pool_size, strides, padding):
    return image_windows(shape, pool_size, strides, _ONE, padding)


def _out_shape(shape, attrs: dict) -> tuple[int, ...]:
    rows, cols = _windows(shape, **_pool_attrs({**POOL_ATTRS, **attrs}))
    return (shape[0], rows.out_size, cols.out_size, shape[3])


def _pooled_spec(name: str, x: Spec, *, pool_size, strides, padding, **_) -> Spec:
    if not is_float(x.dtype):
        raise TypeError(f"[{name}] only float images can be pooled. Received: x.dtype={x.dtype}. Cast them.")
    if len(x.shape) != 4:
        raise ValueError(f"[{name}] the input must have 4 axes: (batch, height, width, channels). Received: {shapes(x=x)}.")
    if not isinstance(padding, str) and any(max(side) >= size for side, size in zip(padding, pool_size, strict=True)):
        raise ValueError(f"[{name}] the padding must be smaller than the window. Received: padding={padding}, pool_size={pool_size}.")
    if not x.shape[1] or not x.shape[2]:
        raise ValueError(f"[{name}] an image without pixels has no windows. Received: {shapes(x=x)}. Give it rows and columns.")
    shape = _out_shape(x.shape, dict(pool_size=pool_size, strides=strides, padding=padding))
    if shape[1] < 1 or shape[2] < 1:
        raise ValueError(
            f"[{name}] the window doesn't fit into the image. Received: {shapes(x=x)}, pool_size={pool_size}. "
            "Use a smaller window or padding='same'."
        )
    return Spec(shape, x.dtype)


def _infer_grad(name: str):
    def infer(dy: Spec, *argmax: Spec, input_shape, **attrs) -> Spec:
        wanted = _pooled_spec(name, Spec(tuple(input_shape), dy.dtype), **attrs)
        if dy.shape != wanted.shape or any(a.shape != wanted.shape for a in argmax):
            raise ValueError(f"[{name}] dy must have the shape of the pooled result. Received: {shapes(dy=dy)}, not {wanted.shape}.")
        return Spec(tuple(input_shape), dy.dtype)

    return infer


def _taps(rows, cols, pool_size, strides):
    """(number of the tap in its window, index of the padded image positions under it)"""
    for kh in range(pool_size[0]):
        for kw in range(pool_size[1]):
            yield kh * pool_size[1] + kw, (slice(None), tap_slice(rows, strides[0], kh), tap_slice(cols, strides[1], kw))


def _padded_zeros(shape, rows, cols, dtype) -> np.ndarray:
    return np.zeros((shape[0], shape[1] + rows.before + rows.after, shape[2] + cols.before + cols.after, shape[3]), dtype)


def _unpadded(dx: np.ndarray, shape, rows, cols) -> np.ndarray:
    return dx[:, rows.before : rows.before + shape[1], cols.before : cols.before + shape[2]]


# -- maximum ------------------------------------------------------------------------------------------------------------


def _infer_max(x: Spec, **attrs) -> tuple[Spec, Spec]:
    y = _pooled_spec("max_pool2d", x, **attrs)
    return y, Spec(y.shape, _argmax_dtype(attrs["pool_size"]))


def _max_numpy(x, *, pool_size, strides, padding):
    rows, cols = _windows(x.shape, pool_size=pool_size, strides=strides, padding=padding)
    padded = padded_images(x, rows, cols, -np.inf)
    exists = padded_images(np.ones((1, *x.shape[1:3], 1), bool), rows, cols, False)
    best = np.full(_out_shape(x.shape, dict(pool_size=pool_size, strides=strides, padding=padding)), -np.inf, x.dtype)
    best_at = np.full(best.shape, -1, np.int32)
    for number, at in _taps(rows, cols, pool_size, strides):
        candidate = padded[at]
        better = exists[at] & ((candidate > best) | np.isnan(candidate) | (best_at < 0)) & ~np.isnan(best)
        best = np.where(better, candidate, best)
        best_at = np.where(better, number, best_at)
    return best, best_at.astype(_argmax_dtype(pool_size))


def _max_loops(x, *, pool_size, strides, padding):
    rows, cols = _windows(x.shape, pool_size=pool_size, strides=strides, padding=padding)
    y = np.full(_out_shape(x.shape, dict(pool_size=pool_size, strides=strides, padding=padding)), -np.inf, x.dtype)
    argmax = np.full(y.shape, -1, np.int32).astype(_argmax_dtype(pool_size))
    pool_loops.largest(*read(x), y, argmax, pool_size, strides, (rows.before, cols.before))
    return y, argmax


def _max_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(MAX_POOL2D_GRAD, dys[0], outputs[1], input_shape=inputs[0].shape, **attrs),)


def _max_grad_numpy(dy, argmax, *, input_shape, **attrs):
    rows, cols = _windows(input_shape, **attrs)
    dx = _padded_zeros((dy.shape[0], *input_shape[1:]), rows, cols, dy.dtype)
    for number, at in _taps(rows, cols, attrs["pool_size"], attrs["strides"]):
        dx[at] += np.where(argmax == number, dy, 0)
    return _unpadded(dx, input_shape, rows, cols)


def _max_grad_loops(dy, argmax, *, input_shape, pool_size, strides, padding):
    rows, cols = _windows(input_shape, pool_size=pool_size, strides=strides, padding=padding)
    dx = np.zeros((dy.shape[0], *input_shape[1:]), dy.dtype)
    pool_loops.give_back(*read(dy, argmax), dx, pool_size, strides, (rows.before, cols.before))
    return dx


def _max_grad_vjp(dys, inputs, outputs, attrs, needs):
    return apply(MAX_POOL2D_TAKE, dys[0], inputs[1], **_pool_attrs(attrs)), None


def _infer_take(x: Spec, argmax: Spec, **attrs) -> Spec:
    return _pooled_spec("max_pool2d_take", x, **attrs)


def _take_numpy(x, argmax, **attrs):
    rows, cols = _windows(x.shape, **attrs)
    padded = padded_images(x, rows, cols)
    y = np.zeros(argmax.shape, x.dtype)
    for number, at in _taps(rows, cols, attrs["pool_size"], attrs["strides"]):
        y += np.where(argmax == number, padded[at], 0)
    return y


def _take_loops(x, argmax, *, pool_size, strides, padding):
    rows, cols = _windows(x.shape, pool_size=pool_size, strides=strides, padding=padding)
    y = np.empty(argmax.shape, x.dtype)
    pool_loops.take(*read(x, argmax), y, pool_size, strides, (rows.before, cols.before))
    return y


def _take_vjp(dys, inputs, outputs, attrs, needs):
    return apply(MAX_POOL2D_GRAD, dys[0], inputs[1], input_shape=inputs[0].shape, **attrs), None


# -- mean ---------------------------------------------------------------------------------------------------------------


def _counts(shape, dtype, *, pool_size, strides, padding) -> np.ndarray:
    """How many positions of each window exist: (out height, out width, 1)."""
    rows, cols = _windows(shape, pool_size=pool_size, strides=strides, padding=padding)
    exists = padded_images(np.ones((1, *shape[1:3], 1), dtype), rows, cols)
    return sum(exists[at] for _, at in _taps(rows, cols, pool_size, strides))[0]


def _average_numpy(x, **attrs):
    rows, cols = _windows(x.shape, **attrs)
    padded = padded_images(x, rows, cols)
    return sum(padded[at] for _, at in _taps(rows, cols, attrs["pool_size"], attrs["strides"])) / _counts(x.shape, x.dtype, **attrs)


def _average_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(AVERAGE_POOL2D_GRAD, dys[0], input_shape=inputs[0].shape, **attrs),)


def _average_grad_numpy(dy, *, input_shape, **attrs):
    rows, cols = _windows(input_shape, **attrs)
    dx = _padded_zeros((dy.shape[0], *input_shape[1:]), rows, cols, dy.dtype)
    share = dy / _counts(input_shape, dy.dtype, **attrs)
    for _, at in _taps(rows, cols, attrs["pool_size"], attrs["strides"]):
        dx[at] += share
    return _unpadded(dx, input_shape, rows, cols)


def _average_grad_vjp(dys, inputs, outputs, attrs, needs):
    return (apply(AVERAGE_POOL2D, dys[0], **_pool_attrs(attrs)),)


# -- references: the definitions, window by window ------------------------------------------------------------------------


def _reference_windows(shape, *, pool_size, strides, padding):
    """(oh, ow, [(number, ih, iw), ...]) for every window, positions that exist only."""
    rows, cols = _windows(shape, pool_size=pool_size, strides=strides, padding=padding)
    for oh in range(rows.out_size):
        for ow in range(cols.out_size):
            places = []
            for number in range(pool_size[0] * pool_size[1]):
                ih = oh * strides[0] - rows.before + number // pool_size[1]
                iw = ow * strides[1] - cols.before + number % pool_size[1]
                if 0 <= ih < shape[1] and 0 <= iw < shape[2]:
                    places.append((number, ih, iw))
            yield oh, ow, places


def _max_reference(x, **attrs):
    y = np.zeros(_out_shape(x.shape, attrs))
    argmax = np.zeros(y.shape, np.int64)
    for oh, ow, places in _reference_windows(x.shape, **attrs):
        values = np.stack([x[:, ih, iw] for _, ih, iw in places])
        y[:, oh, ow] = values.max(axis=0)
        argmax[:, oh, ow] = np.array([number for number, _, _ in places])[values.argmax(axis=0)]
    return y, argmax


def _max_grad_reference(dy, argmax, *, input_shape, **attrs):
    dx = np.zeros((dy.shape[0], *input_shape[1:]))
    for oh, ow, places in _reference_windows(input_shape, **attrs):
        for number, ih, iw in places:
            dx[:, ih, iw] += np.where(argmax[:, oh, ow] == number, dy[:, oh, ow], 0)
    return dx


def _take_reference(x, argmax, **attrs):
    y = np.zeros(argmax.shape)
    for oh, ow, places in _reference_windows(x.shape, **attrs):
        for number, ih, iw in places:
            y[:, oh, ow] += np.where(argmax[:, oh, ow] == number, x[:, ih, iw], 0)
    return y


def _average_reference(x, **attrs):
    y = np.zeros(_out_shape(x.shape, attrs))
    for oh, ow, places in _reference_windows(x.shape, **attrs):
        y[:, oh, ow] = np.mean([x[:, ih, iw] for _, ih, iw in places], axis=0)
    return y


def _average_grad_reference(dy, *, input_shape, **attrs):
    dx = np.zeros((dy.shape[0], *input_shape[1:]))
    for oh, ow, places in _reference_windows(input_shape, **attrs):
        for _, ih, iw in places:
            dx[:, ih, iw] += dy[:, oh, ow] / len(places)
    return dx


# -- records ------------------------------------------------------------------------------------------------------------

_CASES = [
    ((2, 6, 8, 8), {}),
    ((3, 7, 5, 19), {}),
    ((2, 7, 9, 3), {"pool_size": (3, 3), "padding": "same"}),
    ((1, 8, 6, 5), {"pool_size": (3, 2), "strides": (1, 2), "padding": "same"}),
    ((2, 9, 9, 1), {"pool_size": (2, 3), "strides": (3, 4)}),
    ((1, 5, 4, 16), {"pool_size": (3, 3), "strides": (2, 1), "padding": ((1, 2), (0, 1))}),
    ((2, 1, 1, 4), {"pool_size": (3, 3), "padding": "same"}),
    ((0, 4, 4, 2), {}),
]


def _argmax_samples(first_is_input: bool):
    """Samples of the ops that read an argmax: a random one of positions that exist."""
    samples = []
    rng = np.random.default_rng(0)
    for shape, attrs in _CASES:
        complete = {**POOL_ATTRS, **attrs}
        _, argmax = _max_numpy(rng.normal(size=shape), **complete)
        argmax = argmax.astype(np.uint8)
        extra = {} if first_is_input else {"input_shape": shape}
        samples.append(Sample([shape if first_is_input else argmax.shape, argmax], {**extra, **complete}))
    return samples


MAX_POOL2D = define(
    "max_pool2d",
    inputs=("x",),
    attrs=POOL_ATTRS,
    infer=_infer_max,
    fallback=Either(_max_numpy, _max_loops),
    vjp=_max_vjp,
    residuals=1,
    pack=_pool_pack,
    reference=_max_reference,
    samples=lambda: [Sample([shape], {**POOL_ATTRS, **attrs}) for shape, attrs in _CASES],
    tfjs="MaxPool",
    onnx="MaxPool",
)

MAX_POOL2D_GRAD = define(
    "max_pool2d_grad",
    inputs=("dy", "argmax"),
    attrs={"input_shape": (), **POOL_ATTRS},
    infer=_infer_grad("max_pool2d_grad"),
    fallback=Either(_max_grad_numpy, _max_grad_loops),
    vjp=_max_grad_vjp,
    pack=_pool_pack,
    reference=_max_grad_reference,
    samples=lambda: _argmax_samples(False),
)

MAX_POOL2D_TAKE = define(
    "max_pool2d_take",
    inputs=("x", "argmax"),
    attrs=POOL_ATTRS,
    infer=_infer_take,
    fallback=Either(_take_numpy, _take_loops),
    vjp=_take_vjp,
    pack=_pool_pack,
    reference=_take_reference,
    samples=lambda: _argmax_samples(True),
)

AVERAGE_POOL2D = define(
    "average_pool2d",
    inputs=("x",),
    attrs=POOL_ATTRS,
    infer=lambda x, **attrs: _pooled_spec("average_pool2d", x, **attrs),
    fallback=_average_numpy,
    vjp=_average_vjp,
    pack=_pool_pack,
    reference=_average_reference,
    samples=lambda: [Sample([shape], {**POOL_ATTRS, **attrs}) for shape, attrs in _CASES],
    tfjs="AvgPool",
    onnx="AveragePool",
)

AVERAGE_POOL2D_GRAD = define(
    "average_pool2d_grad",
    inputs=("dy",),
    attrs={"input_shape": (), **POOL_ATTRS},
    infer=_infer_grad("average_pool2d_grad"),
    fallback=_average_grad_numpy,
    vjp=_average_grad_vjp,
    pack=_pool_pack,
    reference=_average_grad_reference,
    samples=lambda: [Sample([_out_shape(shape, attrs)], {"input_shape": shape, **POOL_ATTRS, **attrs}) for shape, attrs in _CASES],
)


def _checked_attrs(name: str, pool_size, strides, padding) -> dict:
    pool_size = pair(name, "pool_size", pool_size)
    strides = pool_size if strides is None else pair(name, "strides", strides)
    return dict(pool_size=pool_size, strides=strides, padding=checked_padding(name, padding))


def max_pool2d(x, pool_size: Any = 2, *, strides=None, padding: Any = "valid") -> Tensor:
    """The largest value of each window: `y[n, oh, ow, c] = max over window of x[n, oh * sh - top + kh, ow * sw - left + kw, c]`.

    Padding is never chosen. Of equal values, the first in the window, row by row, gets the gradient.

    Args:
        x: Images (batch, height, width, channels).
        pool_size: Size of the window; one number or (rows, columns).
        strides: Distance between windows; the size of the window by default.
        padding: `"valid"`, `"same"`, or `((top, bottom), (left, right))`.

    Raises:
        ValueError: no window fits into the image.

    Example:
        >>> import pynn as pn
        >>> pn.max_pool2d(pn.ones((1, 26, 26, 8))).shape
        (1, 13, 13, 8)
    """
    return apply(MAX_POOL2D, as_tensor(x), **_checked_attrs("max_pool2d", pool_size, strides, padding))


def average_pool2d(x, pool_size: Any = 2, *, strides=None, padding: Any = "valid") -> Tensor:
    """The mean of each window, over the positions that exist: padding is not counted.

    Args:
        x: Images (batch, height, width, channels).
        pool_size: Size of the window; one number or (rows, columns).
        strides: Distance between windows; the size of the window by default.
        padding: `"valid"`, `"same"`, or `((top, bottom), (left, right))`.

    Raises:
        ValueError: no window fits into the image.
    """
    return apply(AVERAGE_POOL2D, as_tensor(x), **_checked_attrs("average_pool2d", pool_size, strides, padding))
