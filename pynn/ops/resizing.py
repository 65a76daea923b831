"""Images in another size. Made of other ops."""

from __future__ import annotations

import numpy as np

from pynn.engine.operators import call
from pynn.engine.tensor import Tensor, as_tensor, tensor
from pynn.errors import shapes
from pynn.ops.elementwise import as_float
from pynn.ops.shape import as_shape

__all__ = ["resize_bilinear", "resize_nearest_neighbor"]


def _images(name: str, images: Tensor, size, align_corners: bool, half_pixel_centers: bool) -> tuple[Tensor, tuple[int, int]]:
    """The images with a batch axis, and (height, width) of the result."""
    lengths = as_shape(name, size, "size")
    if len(lengths) != 2 or min(lengths) < 1:
        raise ValueError(f"[{name}] the size must be (height, width), both 1 or more. Received: size={lengths}.")
    if images.ndim not in (3, 4) or 0 in images.shape[-3:-1]:
        raise ValueError(
            f"[{name}] images must be (batch, height, width, channels), or one without the batch axis, of one pixel at least. "
            f"Received: {shapes(images=images)}. Add an axis for the channels with images[..., None]."
        )
    if align_corners and half_pixel_centers:
        raise ValueError(f"[{name}] align_corners and half_pixel_centers exclude each other. Received: both True. Leave one out.")
    return (images if images.ndim == 4 else call("expand_dims", images, 0)), (lengths[0], lengths[1])


def _places(length: int, target: int, align_corners: bool, half_pixel_centers: bool) -> np.ndarray:
    """Where in the old axis the new pixels lie; a whole number is exactly that."""
    pixels = np.arange(target, dtype=np.float64)
    if align_corners and target > 1:
        return pixels * (length - 1) / (target - 1)
    return (pixels + 0.5) * length / target - 0.5 if half_pixel_centers else pixels * length / target


def _interpolation(places: np.ndarray, length: int, dtype: np.dtype) -> Tensor:
    """The matrix (target, length) that takes an axis to these places, each between two pixels."""
    places, rows = np.clip(places, 0, length - 1), np.arange(len(places))
    low = np.floor(places).astype(int)
    matrix = np.zeros((len(places), length))
    matrix[rows, low] += 1 - (places - low)
    matrix[rows, np.minimum(low + 1, length - 1)] += places - low
    return tensor(matrix, dtype)


def resize_bilinear(images, size, align_corners: bool = False, half_pixel_centers: bool = False) -> Tensor:
    """Images in another size, each pixel the mean of the four around its place, weighted by nearness.

    Pixel i of n is at `i * length / n` of the old axis; at `i * (length - 1) / (n - 1)` if `align_corners`, so that the corners stay;
    at `(i + 0.5) * length / n - 0.5` if `half_pixel_centers`, as `layers.Resizing` has it. A pixel that is not finite makes others of
    its row and column NaN.

    Args:
        images: (batch, height, width, channels), or without the batch axis; integers become float32.
        size: (height, width) of the result.
        align_corners, half_pixel_centers: Where the pixels lie; at most one of the two.

    Raises:
        ValueError: the images or the size aren't of this form, or both flags are set.

    Example:
        >>> import pynn as pn
        >>> pn.resize_bilinear([[[0.0], [2.0]]], (1, 4)).numpy().ravel().tolist()
        [0.0, 1.0, 2.0, 2.0]
    """
    images = as_float(images)
    batched, (height, width) = _images("resize_bilinear", images, size, align_corners, half_pixel_centers)
    batch, rows, columns, channels = batched.shape
    down = _interpolation(_places(rows, height, align_corners, half_pixel_centers), rows, images.dtype)
    across = _interpolation(_places(columns, width, align_corners, half_pixel_centers), columns, images.dtype)
    y = call("matmul", down, call("reshape", batched, (batch, rows, columns * channels)))
    y = call("matmul", across, call("reshape", y, (batch * height, columns, channels)))
    return call("reshape", y, (*images.shape[:-3], height, width, channels))


def _nearest(length: int, target: int, align_corners: bool, half_pixel_centers: bool) -> np.ndarray:
    """The old pixel for each new one; half-way between two, the later one."""
    shift = 0.5 if align_corners or half_pixel_centers else 0.0
    places = np.floor(_places(length, target, align_corners, half_pixel_centers) + shift)
    return np.clip(places, 0, length - 1).astype(np.int64)


def resize_nearest_neighbor(images, size, align_corners: bool = False, half_pixel_centers: bool = False) -> Tensor:
    """Images in another size, each pixel a copy of the one at its place, rounded down; with one of the flags, of the nearest.

    Args:
        images: (batch, height, width, channels) of any dtype, or without the batch axis.
        size: (height, width) of the result.
        align_corners, half_pixel_centers: Where the pixels lie, see `resize_bilinear`; at most one of the two.

    Raises:
        ValueError: the images or the size aren't of this form, or both flags are set.

    Example:
        >>> import pynn as pn
        >>> pn.resize_nearest_neighbor([[[0], [2]]], (1, 4)).numpy().ravel().tolist()
        [0, 0, 2, 2]
    """
    images = as_tensor(images)
    batched, lengths = _images("resize_nearest_neighbor", images, size, align_corners, half_pixel_centers)
    for axis, target in zip((1, 2), lengths, strict=True):
        batched = call("take", batched, _nearest(batched.shape[axis], target, align_corners, half_pixel_centers), axis=axis)
    return batched if images.ndim == 4 else call("squeeze", batched, 0)
