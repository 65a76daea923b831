"""Sliding windows over the two spatial axes of NHWC images: what convolution and pooling have in common.

For an axis of `size` positions, window `k`, stride `s`, dilation `d`, the window spans `(k - 1) * d + 1` positions.
`"valid"`: only whole windows, `floor((size - span) / s) + 1` of them. `"same"`: `ceil(size / s)` windows, zeros around the input as
needed, the odd one after it. `((top, bottom), (left, right))`: so many zeros on each side, then as `"valid"`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pynn.dtypes import as_whole

PADDING_MODES = {"valid": 0, "same": 1}
MOST_PIXELS = 2**31 - 1  # of a step, a window or padding: kMostWindowSteps of csrc/kernels/conv_shape.h


class Axis(NamedTuple):
    """One spatial axis: output positions and the padding on both sides."""

    out_size: int
    before: int
    after: int


def axis_windows(size: int, window: int, stride: int, dilation: int, padding, index: int) -> Axis:
    """Windows of spatial axis `index` (0 rows, 1 columns); `out_size` is below 1 where no window fits."""
    span = (window - 1) * dilation + 1
    if padding == "same":
        out_size = -(-size // stride)
        total = max(0, (out_size - 1) * stride + span - size)
        return Axis(out_size, total // 2, total - total // 2)
    before, after = (0, 0) if padding == "valid" else padding[index]
    return Axis((size + before + after - span) // stride + 1, before, after)


def image_windows(shape, window, strides, dilation, padding) -> tuple[Axis, Axis]:
    """Windows of both spatial axes of images of `shape` (batch, height, width, channels)."""
    rows, cols = (axis_windows(shape[1 + i], window[i], strides[i], dilation[i], padding, i) for i in range(2))
    return rows, cols


def pair(name: str, what: str, value) -> tuple[int, int]:
    """`value` for both axes: `2` or `(2, 3)`, whole and above zero.

    Raises:
        TypeError: it isn't one integer or two.
        ValueError: one is below 1, or 2**31 or more.
    """
    values = tuple(map(as_whole, value if isinstance(value, (tuple, list)) else (value, value)))
    if len(values) != 2 or None in values:
        raise TypeError(f"[{name}] {what} must be an integer or two of them, for rows and columns. Received: {what}={value!r}.")
    if min(values) < 1:
        raise ValueError(f"[{name}] {what} must be at least 1. Received: {what}={value!r}.")
    if max(values) > MOST_PIXELS:
        raise ValueError(f"[{name}] {what} must be below 2**31. Received: {what}={value!r}. No image has so many pixels in a row.")
    return values


def checked_padding(name: str, padding):
    """`"valid"`, `"same"` (in any case) or `((top, bottom), (left, right))`, as attributes keep it.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(padding, str) and padding.lower() in PADDING_MODES:
        return padding.lower()
    try:
        sides = tuple((as_whole(before), as_whole(after)) for before, after in padding)
    except (TypeError, ValueError):
        sides = ()
    if isinstance(padding, str) or len(sides) != 2 or any(n is None or not 0 <= n <= MOST_PIXELS for side in sides for n in side):
        raise ValueError(
            f"[{name}] unknown padding. Received: padding={padding!r}. "
            'Use "valid", "same", or ((top, bottom), (left, right)) with numbers of zeros.'
        )
    return sides


def padding_ints(padding) -> list[int]:
    """Padding as the native kernels take it: mode, top, bottom, left, right."""
    if isinstance(padding, str):
        return [PADDING_MODES[padding], 0, 0, 0, 0]
    return [2, *padding[0], *padding[1]]


def padded_images(x: np.ndarray, rows: Axis, cols: Axis, value: float = 0.0) -> np.ndarray:
    """`x` with `value` around its images; `x` itself where there is nothing to add."""
    sides = ((0, 0), (rows.before, rows.after), (cols.before, cols.after), (0, 0))
    return np.pad(x, sides, constant_values=value) if any(map(any, sides)) else x


def tap_slice(axis: Axis, stride: int, start: int) -> slice:
    """The positions of a padded axis that are `start` positions into their window."""
    return slice(start, start + (axis.out_size - 1) * stride + 1, stride)
