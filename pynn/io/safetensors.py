"""The safetensors format: named arrays in one file that can hold nothing else.

A file is the header's length (8 bytes, little-endian), the header (JSON: name -> dtype, shape, begin and end), then the bytes
of the tensors, back to back. Every statement of the header is checked against the size of the file before a single array is made,
and the tensors must cover the bytes exactly: no gap, no overlap.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from typing import Any

import numpy as np

from pynn.errors import DataError
from pynn.io import bounded_json
from pynn.io.atomic import atomic_file
from pynn.io.files import open_regular, printable

__all__ = ["load_file", "load_metadata", "save_file"]

HEADER_LIMIT = 16 << 20
"""The longest header, in bytes, that is read or written."""

_METADATA = "__metadata__"
_RANK_LIMIT = 32
_STORED = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
_NAME_OF = {dtype: name for name, dtype in _STORED.items() if name != "BF16"}


@dataclass(frozen=True)
class _Entry:
    """Where a tensor lies: bytes `begin` to `end` after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def load_file(path: str | os.PathLike[str], *, map_file: bool = False, follow: bool = True) -> dict[str, np.ndarray]:
    """Read every tensor of a safetensors file.

    Args:
        path: the file.
        map_file: give read-only arrays over a memory map of the file instead of copies, where the bytes are aligned. The file
            must not be changed or cut while they live.
        follow: whether `path` may be a symbolic link.

    Returns:
        name -> array, in the order of the bytes. BF16 becomes float32, every other dtype stays.

    Raises:
        FileNotFoundError: no such file.
        DataError: the file isn't safetensors, is cut short, or contradicts itself.

    Example:
        >>> save_file({"kernel": np.ones((2, 3), np.float32)}, "weights.safetensors")
        >>> load_file("weights.safetensors")["kernel"].shape
        (2, 3)
    """
    with open_regular(path, follow=follow) as file:
        source = _Source(file, path)
        entries, _ = source.header()
        if map_file and entries:
            return _mapped(source, entries)
        return {entry.name: _decoded(source.read(entry), entry, source.name) for entry in entries}


def load_metadata(path: str | os.PathLike[str], *, follow: bool = True) -> dict[str, str]:
    """The `__metadata__` of a safetensors file, text by text; empty if it has none.

    Raises:
        FileNotFoundError: no such file.
        DataError: as `load_file`.
    """
    with open_regular(path, follow=follow) as file:
        return _Source(file, path).header()[1]


def save_file(tensors: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays to a safetensors file, in one step: a failure leaves the file that was there.

    The same arrays give the same bytes. The widest dtypes come first and the header is padded, so each tensor is aligned.

    Args:
        tensors: name -> array (anything that `np.asarray` takes).
        path: the file.
        metadata: text to keep beside them.

    Raises:
        TypeError: a name or a piece of metadata isn't a string, or the format has no such dtype.
        ValueError: a name is `__metadata__` or isn't valid Unicode, or the header gets longer than 16 MiB.
        OSError: the file can't be written.

    Example:
        >>> save_file({"bias": np.zeros(10, np.float32)}, "weights.safetensors", {"epoch": "3"})
    """
    arrays = {_checked_text(name, "name"): _storable(name, value) for name, value in tensors.items()}
    if _METADATA in arrays:
        raise ValueError(f"[safetensors] a tensor can't have the name {_METADATA!r}.")
    order = list(_STORED)
    names = sorted(arrays, key=lambda name: (-order.index(_NAME_OF[arrays[name].dtype]), name))
    header = _header_bytes({name: arrays[name] for name in names}, metadata)
    with atomic_file(path) as file:
        file.write(struct.pack("<Q", len(header)))
        file.write(header)
        for name in names:
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


class _Source:
    """An open file, its size at that moment, and the reading of its header."""

    def __init__(self, file: BufferedReader, path: str | os.PathLike[str]):
        self.file = file
        self.name = os.path.basename(os.fspath(path))
        self.size = os.fstat(file.fileno()).st_size
        self.data_start = 0

    def header(self) -> tuple[list[_Entry], dict[str, str]]:
        """The entries in the order of their bytes, and the metadata."""
        if self.size < 8:
            raise _error(self.name, f"the file has {self.size} bytes; the length of the header alone takes 8")
        (length,) = struct.unpack("<Q", self.exactly(8))
        if length > min(HEADER_LIMIT, self.size - 8):
            raise _error(self.name, f"the header says {length} bytes; the file has {self.size - 8}, the limit is {HEADER_LIMIT}")
        self.data_start = 8 + length
        text = self.exactly(length)
        if text[:1] != b"{":
            raise _error(self.name, "the header does not start with '{'")
        content = bounded_json.loads(text, source=self.name, max_bytes=HEADER_LIMIT, max_depth=3)
        metadata = _metadata_of(content.pop(_METADATA, {}), self.name)
        entries = [_entry(name, value, self.name) for name, value in content.items()]
        entries.sort(key=lambda entry: (entry.begin, entry.end))
        _check_cover(entries, self.size - self.data_start, self.name)
        return entries, metadata

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        data = self.file.read(count)
        if len(data) != count:
            raise _error(self.name, "the file became shorter while it was read")
        return data

    def read(self, entry: _Entry) -> np.ndarray:
        """A new array with the stored values of `entry`; entries are read in the order of their bytes."""
        array = np.empty(entry.shape, _STORED[entry.dtype])
        if self.file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise _error(self.name, "the file became shorter while it was read")
        return array


def _error(source: str, problem: str) -> DataError:
    return DataError(f"[safetensors] {printable(source)}: {problem}.")


def _metadata_of(value: Any, source: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _error(source, f"{_METADATA} must map strings to strings")
    return value


def _entry(name: str, value: Any, source: str) -> _Entry:
    where = f"tensor {printable(name)}"
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _error(source, f"{where} must have dtype, shape and data_offsets and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _STORED:
        raise _error(source, f"{where} has the dtype {printable(dtype)}; known are {', '.join(_STORED)}")
    if not _are_sizes(shape) or len(shape) > _RANK_LIMIT:
        raise _error(source, f"{where} has the shape {printable(shape)}; at most {_RANK_LIMIT} whole numbers >= 0")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _error(source, f"{where} has the data_offsets {printable(offsets)}; they are [begin, end]")
    if prod(size for size in shape if size) * _STORED[dtype].itemsize >= 2**63:
        raise _error(source, f"{where} has the shape {printable(shape)}, which overflows")
    needed = prod(shape) * _STORED[dtype].itemsize
    if offsets[1] - offsets[0] != needed:
        raise _error(source, f"{where} takes {offsets[1] - offsets[0]} bytes; {dtype} of shape {printable(shape)} needs {needed}")
    return _Entry(name, dtype, tuple(shape), *offsets)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _check_cover(entries: list[_Entry], available: int, source: str) -> None:
    reached = 0
    for entry in entries:
        if entry.begin != reached:
            fault = "overlaps the one before" if entry.begin < reached else "leaves a gap"
            raise _error(source, f"tensor {printable(entry.name)} starts at byte {entry.begin}, not {reached}: it {fault}")
        reached = entry.end
    if reached != available:
        raise _error(source, f"the tensors take {reached} bytes, but {available} follow the header")


def _decoded(stored: np.ndarray, entry: _Entry, source: str) -> np.ndarray:
    """The array a caller gets for the stored one; the same memory unless the dtype has to change."""
    if entry.dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if entry.dtype == "BOOL" and stored.size and stored.reshape(-1).view(np.uint8).max() > 1:
        raise _error(source, f"tensor {printable(entry.name)} is BOOL but has bytes other than 0 and 1")
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _mapped(source: _Source, entries: list[_Entry]) -> dict[str, np.ndarray]:
    memory = mmap.mmap(source.file.fileno(), 0, access=mmap.ACCESS_READ)
    if len(memory) != source.size:
        raise _error(source.name, "the file changed its size while it was read")
    arrays = {}
    for entry in entries:
        count = prod(entry.shape)
        stored = np.frombuffer(memory, _STORED[entry.dtype], count, source.data_start + entry.begin) if count else None
        array = np.empty(entry.shape, _STORED[entry.dtype]) if stored is None else stored.reshape(entry.shape)
        decoded = np.require(_decoded(array, entry, source.name), requirements="A")
        decoded.flags.writeable = False
        arrays[entry.name] = decoded
    return arrays


def _checked_text(text: Any, role: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"[safetensors] a {role} must be a string. Received: {printable(text)}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"[safetensors] the {role} {printable(text)} has a lone surrogate; UTF-8 can't hold it.") from None
    return text


def _storable(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NAME_OF:
        known = ", ".join(str(known) for known in _NAME_OF)
        raise TypeError(f"[safetensors] tensor {printable(name)} has the dtype {array.dtype}; the format has {known}.")
    if array.ndim > _RANK_LIMIT:
        raise ValueError(f"[safetensors] tensor {printable(name)} has rank {array.ndim}; at most {_RANK_LIMIT}.")
    return np.asarray(array, dtype, order="C")


def _header_bytes(arrays: dict[str, np.ndarray], metadata: Mapping[str, str] | None) -> bytes:
    content: dict[str, Any] = {}
    if metadata is not None:
        pairs = sorted((_checked_text(key, "metadata key"), value) for key, value in metadata.items())
        content[_METADATA] = {key: _checked_text(value, "metadata value") for key, value in pairs}
    begin = 0
    for name, array in arrays.items():
        end = begin + array.nbytes
        content[name] = {"dtype": _NAME_OF[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ValueError(f"[safetensors] the header would take {len(text)} bytes; the limit is {HEADER_LIMIT}.")
    return text
