"""The IDX format of MNIST: a magic number that names the type and the rank, the sizes, then the values; all big-endian."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Sequence
from math import prod

import numpy as np

from pynn.errors import DataError
from pynn.io.atomic import atomic_file
from pynn.io.files import open_regular, printable

__all__ = ["open_content", "read_idx", "write_idx"]

MAX_BYTES = 4 << 30

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 8
_BEST_DEFLATE_RATIO = 1032
_BLOCK = 1 << 20


def read_idx(path: str | os.PathLike[str], *, shape: Sequence[int] | None = None, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read an IDX file, plain or compressed with gzip (its first bytes say which).

    Nothing is allocated before the header agrees with the size of the file; for gzip, with the most that so many bytes can hold.

    Args:
        path: the file.
        shape: the shape that the array must have.
        max_bytes: the largest array that is read, in bytes.

    Returns:
        A new array in the machine's byte order.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file isn't IDX, is cut short, has bytes left over, or has another shape.

    Example:
        >>> write_idx("labels.idx.gz", np.arange(3, dtype=np.uint8))
        >>> read_idx("labels.idx.gz")
        array([0, 1, 2], dtype=uint8)
    """
    name = os.path.basename(os.fspath(path))
    with open_regular(path) as file:
        content, limit = open_content(file)
        try:
            array = _header(content, name, shape, min(limit, max_bytes + 4 + 4 * _MAX_RANK))
            _fill(content, array, name)
        except (EOFError, gzip.BadGzipFile, zlib.error) as cause:
            raise _error(name, f"damaged or cut short gzip data ({cause})") from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array as an IDX file, in one step; compressed, always to the same bytes, if `path` ends in `.gz`.

    Raises:
        TypeError: IDX has no such dtype.
        ValueError: the rank is 0 or above 8, or an axis has 2**32 entries or more.
        OSError: the file can't be written.
    """
    codes = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
    code = codes.get(array.dtype.newbyteorder(">"))
    if code is None:
        raise TypeError(f"[idx] IDX has no {array.dtype}; it has {', '.join(dtype.name for dtype in codes)}.")
    if not 1 <= array.ndim <= _MAX_RANK or max(array.shape) >= 2**32:
        raise ValueError(f"[idx] the rank must be 1 to {_MAX_RANK}, each size below 2**32. Received: array.shape={array.shape}.")
    data = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data += array.astype(array.dtype.newbyteorder(">")).tobytes()
    with atomic_file(path) as file:
        if not os.fspath(path).endswith(".gz"):
            file.write(data)
            return
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed:
            packed.write(data)


def open_content(file: io.BufferedReader) -> tuple[io.BufferedIOBase, int]:
    """The content of an open file, through gzip if it starts like gzip, and the most bytes that it can have."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(2)
    file.seek(0)
    if start != b"\x1f\x8b":
        return file, size
    return gzip.GzipFile(fileobj=file), size * _BEST_DEFLATE_RATIO


def _error(name: str, problem: str) -> DataError:
    return DataError(f"[idx] {printable(name)}: {problem}.")


def _header(content: io.BufferedIOBase, name: str, expected: Sequence[int] | None, limit: int) -> np.ndarray:
    """Reads the header and makes the array for what follows, of at most `limit` bytes with the header."""
    magic = content.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_RANK:
        raise _error(name, f"not an IDX file: it starts with {magic.hex(' ') or 'nothing'}")
    sizes = content.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _error(name, "the header is cut short")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if expected is not None and shape != tuple(expected):
        raise _error(name, f"the array has the shape {shape}; expected {tuple(expected)}")
    dtype = np.dtype(_DTYPES[magic[2]])
    total = 4 + len(sizes) + prod(shape) * dtype.itemsize
    if total > limit:
        raise _error(name, f"the header promises {total} bytes; there can be at most {limit}")
    try:
        return np.empty(shape, dtype)
    except ValueError:
        raise _error(name, f"the shape {shape} overflows") from None


def _fill(content: io.BufferedIOBase, array: np.ndarray, name: str) -> None:
    view = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        count = content.readinto(view[done : done + _BLOCK])
        if not count:
            raise _error(name, f"cut short: {done} of {len(view)} bytes of values")
        done += count
    if content.read(1):
        raise _error(name, f"bytes are left over after the {len(view)} bytes of values")
