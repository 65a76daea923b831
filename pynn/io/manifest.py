"""The weights manifest of TensorFlow.js: groups of binary shards in which weights lie one after the other, some of them quantized.

Everything is checked against the bytes that are there before anything is allocated.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pynn.errors import DataError
from pynn.io.files import open_regular, printable

_DTYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4"), "bool": np.dtype(np.uint8)}
_QUANTIZED = {"uint8": np.dtype(np.uint8), "uint16": np.dtype("<u2"), "float16": np.dtype("<f2")}


class Entry(NamedTuple):
    """One weight as the manifest declares it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype
    quantization: dict[str, Any] | None
    group: str | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def _error(problem: str) -> DataError:
    return DataError(f"[load_model] the weights manifest is not valid: {problem}.")


def parse_entry(raw: Any) -> Entry:
    """A checked manifest entry.

    Raises:
        DataError: name, shape, dtype or quantization is not as the format has it.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or not raw["name"]:
        raise _error(f"a weight has no name: {printable(raw)}")
    name, shape = raw["name"], raw.get("shape")
    valid = isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)
    if not valid or math.prod(shape) >= 1 << 40:
        raise _error(f"the weight {printable(name)} has the shape {printable(shape)}")
    dtype, quantization = raw.get("dtype"), raw.get("quantization")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _error(f"the weight {printable(name)} has the dtype {printable(dtype)}; known: {', '.join(_DTYPES)}")
    stored = _DTYPES[dtype]
    if quantization is not None:
        stored = _check_quantization(name, dtype, quantization)
    group = raw.get("group")
    return Entry(name, tuple(shape), dtype, stored, quantization, group if isinstance(group, str) else None)


def _check_quantization(name: str, dtype: str, quantization: Any) -> np.dtype:
    kind = quantization.get("dtype") if isinstance(quantization, dict) else None
    if not isinstance(kind, str) or kind not in _QUANTIZED or (kind == "float16" and dtype != "float32"):
        raise _error(f"the weight {printable(name)} is quantized as {printable(kind)}")
    if kind != "float16":
        scale, low = quantization.get("scale"), quantization.get("min")
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in (scale, low))
        limit = float(np.finfo(np.float32).max)
        if not numbers or scale <= 0 or max(abs(low), abs(low + scale * 65535)) > limit:
            raise _error(f"the weight {printable(name)} has quantization scale {printable(scale)} and min {printable(low)}")
    return _QUANTIZED[kind]


def _safe_path(folder: Path, name: Any) -> Path:
    ok = (
        isinstance(name, str)
        and 0 < len(name) < 256
        and "\0" not in name
        and "\\" not in name
        and ":" not in name
        and not name.startswith("/")
    )
    if not ok or any(part in ("", ".", "..") for part in name.split("/")):
        raise _error(f"a shard is named {printable(name)}; it must be a file in the model's folder")
    path = os.path.realpath(folder / name)
    if not path.startswith(os.path.realpath(folder) + os.sep):
        raise _error(f"the shard {printable(name)} leads out of the model's folder")
    return Path(path)


def _read_group(folder: Path, names: list, expected: int) -> bytes:
    files = [_safe_path(folder, name) for name in names]
    if len(set(files)) != len(files):
        raise _error("a shard is named twice")
    parts, total = [], 0
    for path in files:
        try:
            with open_regular(path, follow=False) as file:
                size = os.fstat(file.fileno()).st_size
                part = file.read(size) if total + size <= expected else b""
        except FileNotFoundError:
            raise DataError(f"[load_model] the shard {printable(path.name)} is missing. Copy it beside model.json.") from None
        parts.append(part)
        total += max(size, len(part))
        if total > expected:
            break
    if total != expected:
        more = "more" if total > expected else f"{total}"
        raise _error(f"its weights take {expected} bytes, but the shards hold {more}")
    return b"".join(parts)


def parse_manifest(manifest: Any) -> list[tuple[list, list[Entry]]]:
    """(shard names, entries) per group, checked without reading shards."""
    if not isinstance(manifest, list):
        raise _error("it is not a list of groups")
    groups, seen = [], set()
    for raw in manifest:
        if not isinstance(raw, dict) or not isinstance(raw.get("paths"), list) or not isinstance(raw.get("weights"), list):
            raise _error("a group has no paths or no weights")
        entries = [parse_entry(w) for w in raw["weights"]]
        for entry in entries:
            if (entry.name, entry.group) in seen:
                raise _error(f"the weight {printable(entry.name)} occurs twice")
            seen.add((entry.name, entry.group))
        groups.append((raw["paths"], entries))
    return groups


def read_groups(groups: list[tuple[list, list[Entry]]], folder: Path) -> list[tuple[Entry, np.ndarray]]:
    """Every weight of a parsed manifest with its decoded values, in order."""
    found = []
    for paths, entries in groups:
        data = _read_group(folder, paths, sum(e.size * e.stored.itemsize for e in entries))
        offset = 0
        for entry in entries:
            raw = np.frombuffer(data, entry.stored, entry.size, offset).reshape(entry.shape)
            offset += raw.nbytes
            found.append((entry, _decode(entry, raw)))
    return found


def _decode(entry: Entry, raw: np.ndarray) -> np.ndarray:
    target = np.dtype(bool) if entry.dtype == "bool" else _DTYPES[entry.dtype].newbyteorder("=")
    if entry.quantization is None:
        return raw.astype(target)
    if entry.quantization["dtype"] == "float16":
        return raw.astype(np.float32)
    values = raw * float(entry.quantization["scale"]) + float(entry.quantization["min"])
    return np.rint(values).astype(target) if target.kind in "iu" else values.astype(target)


def encode(array: np.ndarray, name: str, group: str | None = None) -> tuple[dict[str, Any], bytes]:
    """The manifest entry and the bytes of a weight; float64 becomes float32, int64 int32."""
    dtype = "float32" if array.dtype.kind == "f" else "bool" if array.dtype.kind == "b" else "int32"
    entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": dtype}
    if group is not None:
        entry["group"] = group
    return entry, np.ascontiguousarray(array, _DTYPES[dtype]).tobytes()
