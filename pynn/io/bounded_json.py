"""JSON from files that somebody else made: bounded in size, depth, count of values and length of numbers.

Beyond the limits it is stricter than `json`: a key that appears twice in an object, NaN and Infinity, numbers that overflow a
float64 or 64 bits, invalid UTF-8 and lone surrogates are all errors.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from pynn.errors import DataError
from pynn.io.files import open_regular, printable

__all__ = ["load", "loads"]

MAX_BYTES = 64 << 20
MAX_DEPTH = 100
MAX_VALUES = 250_000

_BLOCK = 1 << 18
_NESTING = np.zeros(256, np.int32)
_NESTING[[ord("["), ord("{")]] = 1
_NESTING[[ord("]"), ord("}")]] = -1
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_NUMBER = 400


def loads(
    data: bytes,
    *,
    source: str = "json",
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_values: int = MAX_VALUES,
) -> Any:
    """Parse JSON text.

    Args:
        data: UTF-8 bytes, without a byte order mark.
        source: what the text is, for messages.
        max_bytes: the longest text, in bytes.
        max_depth: how deep arrays and objects may nest.
        max_values: how many values there may be in all.

    Raises:
        DataError: the text isn't JSON, or breaks a limit or a rule above.

    Example:
        >>> loads(b'{"units": 10}')
        {'units': 10}
    """
    if len(data) > max_bytes:
        raise _error(source, f"the text has {len(data)} bytes; the limit is {max_bytes}")
    _check_structure(data, source, max_depth, max_values)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise _error(source, f"byte {cause.start} is not UTF-8") from None
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda pairs: _object(pairs, source),
        parse_int=lambda digits: _integer(digits, source),
        parse_float=lambda digits: _float(digits, source),
        parse_constant=lambda name: _reject_constant(name, source),
    )
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as cause:
        raise _error(source, f"not JSON: {cause.msg} at character {cause.pos}") from None
    if _SURROGATE_ESCAPE.search(data):
        _reject_lone_surrogates(value, source)
    return value


def load(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, follow: bool = True, **limits: int) -> Any:
    """Parse a JSON file; see `loads` for the limits and `pynn.io.files.open_regular` for `follow`.

    Raises:
        FileNotFoundError: no such file.
        DataError: as `loads`.
    """
    with open_regular(path, follow=follow) as file:
        data = file.read(max_bytes + 1)
    name = os.path.basename(os.fspath(path))
    if len(data) > max_bytes:
        raise _error(name, f"the file has more than {max_bytes} bytes")
    return loads(data, source=name, max_bytes=max_bytes, **limits)


def _error(source: str, problem: str) -> DataError:
    return DataError(f"[json] {printable(source)}: {problem}.")


def _check_structure(data: bytes, source: str, max_depth: int, max_values: int) -> None:
    """Bounds depth and count before anything is built. What isn't JSON is left to the parser."""
    opening = data.count(b"[") + data.count(b"{")
    if opening <= max_depth and opening + data.count(b",") < max_values:
        return
    values, depth = 1, 0
    for bare in _outside_strings(data.replace(b"\\\\", b"").replace(b'\\"', b"")):
        steps = _NESTING[bare]
        values += int(np.count_nonzero(steps > 0)) + int(np.count_nonzero(bare == ord(",")))
        if values > max_values:
            raise _error(source, f"more than {max_values} values")
        depths = np.cumsum(steps) + depth
        if int(depths.max(initial=0)) > max_depth:
            raise _error(source, f"arrays and objects nest more than {max_depth} deep")
        depth = int(depths[-1]) if depths.size else depth


def _outside_strings(unescaped: bytes) -> Iterator[np.ndarray]:
    """The characters between strings, block by block; no string in `unescaped` has a quote inside."""
    characters = np.frombuffer(unescaped, np.uint8)
    parity = np.uint8(0)
    for start in range(0, len(characters), _BLOCK):
        block = characters[start : start + _BLOCK]
        inside = (np.cumsum(block == ord('"'), dtype=np.uint8) & np.uint8(1)) ^ parity
        parity = inside[-1]
        yield block[inside == 0]


def _object(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _error(source, f"the key {printable(key)} appears twice in one object")
        seen.add(key)
    return result


def _integer(digits: str, source: str) -> int:
    if len(digits) <= 20:
        value = int(digits)
        if -(2**63) <= value < 2**64:
            return value
    raise _error(source, f"an integer of {len(digits)} characters does not fit in 64 bits")


def _float(digits: str, source: str) -> float:
    value = float(digits) if len(digits) <= _LONGEST_NUMBER else math.inf
    if math.isinf(value):
        raise _error(source, f"the number {printable(digits, 24)} does not fit in a float64")
    return value


def _reject_constant(name: str, source: str) -> float:
    raise _error(source, f"{name} is not a JSON number")


def _reject_lone_surrogates(value: Any, source: str) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, str) and not _is_unicode(item):
            raise _error(source, f"the string {printable(item)} has a lone surrogate")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
