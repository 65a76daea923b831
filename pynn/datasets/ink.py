"""A compact form for images of handwriting: a sixth smaller than gzip makes them, with nothing but zlib.

Strokes are grey at their edges and nearly black inside, so three streams, each through zlib, one after the other:
1. the kind of each pixel, 0 paper, 1 grey, 2 dark; four pixels above each other are the digits of one byte to base 3, the upper first,
2. the grey pixels' values, in the images' order,
3. the dark ones'.
"""

from __future__ import annotations

import zlib

import numpy as np

from pynn.errors import DataError

__all__ = ["pack", "unpack"]

DARK = 251
ROWS = 4
_PLACES = np.array([27, 9, 3, 1], np.uint8)


def _columns(images: np.ndarray) -> np.ndarray:
    """View (images, groups of rows, width, rows of a group) of images whose height is a multiple of four."""
    count, height, width = images.shape
    return images.reshape(count, height // ROWS, ROWS, width).transpose(0, 1, 3, 2)


def pack(images: np.ndarray) -> bytes:
    """The packed form of uint8 images (count, height, width), the height a multiple of four."""
    kinds = (images > 0).astype(np.uint8) + (images >= DARK)
    tiles = (_columns(kinds) * _PLACES).sum(axis=-1, dtype=np.uint8)
    return b"".join(zlib.compress(stream.tobytes(), 9) for stream in (tiles, images[kinds == 1], images[kinds == 2]))


def _stream(data: bytes, size: int) -> tuple[np.ndarray, bytes]:
    """The next `size` values, and what follows their stream."""
    stream = zlib.decompressobj()
    values = stream.decompress(data, size + 1)
    if len(values) != size or not stream.eof:
        raise zlib.error(f"a stream has not the {size} values that it should")
    return np.frombuffer(values, np.uint8), stream.unused_data


def unpack(data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """New images of this shape from their packed form.

    Raises:
        DataError: the data is damaged, or of another shape.
    """
    count, height, width = shape
    images = np.zeros(shape, np.uint8)
    try:
        tiles, rest = _stream(data, count * (height // ROWS) * width)
        if tiles.max(initial=0) > 80:
            raise zlib.error("a tile is above 80")
        digits = np.arange(81, dtype=np.uint8)[:, None] // _PLACES % 3
        _columns(images)[...] = digits[tiles].reshape(count, height // ROWS, width, ROWS)
        for chosen in (images == 1, images == 2):
            values, rest = _stream(rest, int(np.count_nonzero(chosen)))
            images[chosen] = values
        if rest:
            raise zlib.error("bytes are left over")
    except zlib.error as cause:
        raise DataError(f"[ink] these are no packed images of shape {shape}: {cause}. Install the package again.") from None
    return images
